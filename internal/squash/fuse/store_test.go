package fuse

import "testing"

// Pages are not stored that somebody may wait for.
func TestMayStore(t *testing.T) {
	const block = 128 << 10
	for name, test := range map[string]struct {
		workers int
		other   span   // what another worker reads
		storing uint64 // a node that another one stores, or 0
		queued  bool
		want    bool
	}{
		"alone":          {workers: 1},
		"undisturbed":    {workers: 2, want: true},
		"same block":     {workers: 2, other: span{5, block - 1, 2 * block}},
		"next block":     {workers: 2, other: span{5, block, 2 * block}, want: true},
		"other file":     {workers: 2, other: span{6, 0, block}, want: true},
		"nobody knows":   {workers: 2, queued: true},
		"same file":      {workers: 4, storing: 5},
		"another stores": {workers: 4, storing: 6, want: true},
		"both store":     {workers: 2, storing: 6},
	} {
		c, kernelSide := connected(t)
		c.workers = test.workers
		w, other := c.newWorker(), c.newWorker()
		w.reads(span{5, 0, 4096})
		if test.other.to > 0 {
			other.reads(test.other)
		}
		if test.storing > 0 {
			c.storing[test.storing] = true
		}
		if test.queued {
			if err := kernelSide.Send([]byte{opRead}); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.mayStore(span{5, 0, block}); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
		kernelSide.Close()
	}
}
