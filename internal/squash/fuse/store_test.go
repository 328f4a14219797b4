package fuse

import (
	"testing"
	"time"
)

// Pages are not stored that somebody may wait for.
func TestMayStore(t *testing.T) {
	const block = 128 << 10
	for name, test := range map[string]struct {
		workers int
		other   span // what another worker reads
		storing bool // whether it also stores
		queued  bool
		asked   bool // whether another task has just asked
		want    bool
	}{
		"alone":          {workers: 1},
		"undisturbed":    {workers: 2, want: true},
		"same block":     {workers: 2, other: span{5, block - 1, 2 * block}},
		"next block":     {workers: 2, other: span{5, block, 2 * block}, want: true},
		"other file":     {workers: 2, other: span{6, 0, block}, want: true},
		"nobody knows":   {workers: 2, queued: true},
		"another stores": {workers: 4, other: span{6, 0, block}, storing: true},
		"another task":   {workers: 2, asked: true},
	} {
		c, kernelSide := connected(t)
		c.workers, c.storing = test.workers, test.storing
		w, other := c.newWorker(), c.newWorker()
		if test.asked {
			c.askers.note(request{opcode: opLookup, task: 8})
		}
		c.askers.note(request{opcode: opRead, task: 7})
		w.reads(span{5, 0, 4096})
		if test.other.to > 0 {
			other.reads(test.other)
		}
		if test.queued {
			if err := kernelSide.Send([]byte{opRead}); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.mayStore(span{5, 0, block}); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
		if test.want && w.mayStore(span{5, 0, block}) {
			t.Errorf("%s: twice at a time", name)
		}
		if c.stored(); test.want && !w.mayStore(span{5, 0, block}) {
			t.Errorf("%s: not again", name)
		}
		kernelSide.Close()
	}
}

func TestAskers(t *testing.T) {
	read := func(task uint32) request { return request{opcode: opRead, task: task} }
	for name, test := range map[string]struct {
		asked []request
		alone bool
	}{
		"nobody":          {nil, true},
		"one":             {[]request{read(7), read(7)}, true},
		"the kernel":      {[]request{{opcode: opInit}, read(7), {opcode: opForget}, read(7)}, true},
		"another one":     {[]request{read(7), {opcode: opGetattr, task: 8}}, false},
		"in turns":        {[]request{read(7), read(8), read(7)}, false},
		"nobody can tell": {[]request{read(0)}, false},
		"who cannot tell": {[]request{read(7), read(0), read(7)}, false},
	} {
		a := askers{begin: time.Now()}
		for _, r := range test.asked {
			a.note(r)
		}
		if got := a.alone(); got != test.alone {
			t.Errorf("%s: %t", name, got)
		}
		if a.begin = a.begin.Add(-aloneAfter); !a.alone() {
			t.Errorf("%s: not alone after a while", name)
		}
	}
}
