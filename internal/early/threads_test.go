package early

import (
	"os"
	"runtime"
	"sync"
	"testing"
)

// The Go runtime takes spare threads before it creates any.
func TestSpareThreads(t *testing.T) {
	const spares = 20
	threads := func() int {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(tasks)
	}
	before := threads()
	if got := SpareThreads(spares); got != spares {
		t.Fatalf("%d of %d threads", got, spares)
	}
	if got := threads(); got != before+spares {
		t.Errorf("%d threads, want %d", got, before+spares)
	}
	// More than there were before, so that each spare one runs.
	var all sync.WaitGroup
	all.Add(before + spares)
	for range before + spares {
		go func() {
			runtime.LockOSThread()
			use(100)
			all.Done()
			all.Wait()
			runtime.UnlockOSThread()
		}()
	}
	all.Wait()
	if got := threads(); got > 2*before+spares+2 {
		t.Errorf("%d threads at last, of which %d were spare", got, spares)
	}
}

// use takes some kilobytes of stack, in Go and in C.
func use(depth int) int {
	var room [256]byte
	if depth == 0 {
		SpareThreads(0)
		return int(room[0])
	}
	return use(depth-1) + int(room[depth])
}
