package fuse

import (
	"sync/atomic"
	"time"
)

// aloneAfter is for how long nobody else must have asked for a task to count as the only one. Tasks that read the same
// files at the same time, as the ranks of a job do that starts, ask far more often.
const aloneAfter = 100 * time.Millisecond

// Askers remembers which task (a thread, in the words of the kernel) asks, and since when no other one does.
type askers struct {
	begin   time.Time
	last    atomic.Uint32 // who asked last, or 0
	changed atomic.Int64  // when that was another one than before, in nanoseconds since begin, or 0
}

// note takes note of who asks.
func (a *askers) note(r request) {
	if r.task == 0 && r.opcode != opRead {
		return // the kernel itself: INIT, FORGET
	}
	if last := a.last.Swap(r.task); r.task == 0 || last != 0 && last != r.task {
		a.changed.Store(int64(time.Since(a.begin)))
	}
}

// alone says whether one task asks, and has been the only one for a while.
func (a *askers) alone() bool {
	changed := time.Duration(a.changed.Load())
	return changed == 0 || time.Since(a.begin)-changed >= aloneAfter
}
