package squash

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"ch-run/internal/squash/mutant"
)

// A farSource takes its time for every read.
type farSource struct {
	*bytes.Reader
	delay time.Duration

	mu   sync.Mutex
	asks [][2]int64
}

func (s *farSource) ReadAt(p []byte, offset int64) (int, error) {
	time.Sleep(s.delay)
	return s.Reader.ReadAt(p, offset)
}

func (s *farSource) prefetch(offset, length int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks = append(s.asks, [2]int64{offset, length})
}

// What is far away is asked for in advance, within the image; what is near is not.
func TestPrefetch(t *testing.T) {
	for _, image := range images(t, mutant.MakeSmall) {
		const before = 4096 // bytes in front of the image
		padded := append(make([]byte, before), image...)
		for _, delay := range []time.Duration{0, 2 * SlowRead} {
			s := &farSource{Reader: bytes.NewReader(padded), delay: delay}
			r, err := Open(s, int64(len(padded)), Options{Offset: before, Prefetch: s.prefetch})
			if err != nil {
				t.Fatal(err)
			}
			root, err := r.Inode(r.Root())
			if err != nil {
				t.Fatal(err)
			}
			if err := r.ReadDir(root, 0, func(Entry) bool { return true }); err != nil {
				t.Fatal(err)
			}
			metadata := 0
			for _, a := range s.asks {
				if a[0] < before || a[1] <= 0 || a[0]+a[1] > before+r.super.BytesUsed {
					t.Errorf("%v asked for, the image is from %d to %d", a, before, before+r.super.BytesUsed)
				}
				if a[0] == before+r.super.inodeTable {
					metadata++
				}
			}
			if delay > 0 && metadata != 1 {
				t.Errorf("metadata were asked for %d times: %v", metadata, s.asks)
			}
			if delay == 0 && len(s.asks) > 1 { // one, should the machine have stood still
				t.Errorf("asked for without need: %v", s.asks)
			}
		}
	}
}
