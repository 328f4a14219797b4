package fuse

import (
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"ch-run/internal/kernel"
)

// attended starts the attendant of a connection for a command that sleeps. The mount is a pipe, whose other end is returned;
// threads is asked for spare ones. All workers end as soon as they read.
func attended(t *testing.T, launch time.Duration, threads func(count int) int) (c *connection, command *exec.Cmd, mounted kernel.FD, ready chan bool) {
	t.Helper()
	c, err := newConnection(-1)
	if err != nil {
		t.Fatal(err)
	}
	// Reading a directory is EISDIR. It stays open, as there may be workers that have not tried yet.
	if c.device, err = kernel.OpenFile("/"); err != nil {
		t.Fatal(err)
	}
	c.launch = launch
	command = exec.Command("sleep", "60")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	handle, err := kernel.OpenProcess(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kernel.FD(ends[0]).Close)
	ready = make(chan bool, 1)
	go c.attend(handle, kernel.FD(ends[1]), threads, func(enough bool) { ready <- enough })
	return c, command, kernel.FD(ends[0]), ready
}

// The mount is kept until the command has ended, and the other workers come when there is room for them.
func TestAttend(t *testing.T) {
	var mu sync.Mutex
	var asked []int
	room := []int{firstSpares, 0, 3, 2, 100}
	c, command, mounted, ready := attended(t, launchLasts, func(count int) int {
		mu.Lock()
		defer mu.Unlock()
		created := min(count, room[0])
		asked, room = append(asked, count), room[1:]
		return created
	})
	if !<-ready {
		t.Error("not enough threads, it says")
	}
	workers := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.workers
	}
	waitFor(t, func() bool { return !c.few.Load() })
	all := c.missing()
	if want := []int{firstSpares, all, all, all - 3, all - 5}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v threads, want %v", asked, want)
	}
	waitFor(t, func() bool { return workers() == c.limit-firstWorkers })
	if mounted.HasInput() { // the end of the pipe
		t.Error("unmounted while the command runs")
	}
	_ = command.Process.Kill()
	waitFor(t, mounted.HasInput)
}

// Few threads are enough only for a while, and not if files are read.
func TestAttendSooner(t *testing.T) {
	c, _, _, ready := attended(t, time.Hour, func(count int) int { return count })
	<-ready
	c.listening.letAll(readsForAll)
	waitFor(t, func() bool { return !c.few.Load() })
}

// Too few threads are said to be.
func TestAttendWithoutRoom(t *testing.T) {
	first := true
	_, _, _, ready := attended(t, launchLasts, func(count int) int {
		defer func() { first = false }()
		if first {
			return count - 1
		}
		return count
	})
	if <-ready {
		t.Error("enough threads, it says")
	}
}

// While it is watched whether somebody listens, a parked worker does soon; at once where the machine is busy.
func TestWatched(t *testing.T) {
	for _, quiet := range []bool{true, false} {
		c, kernelSide := connected(t)
		l := c.listening
		l.quiet.Store(quiet)
		l.waiting = 1
		listens := make(chan struct{})
		go func() {
			c.newWorker().listen()
			close(listens)
		}()
		waitFor(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.parked == 1 })
		l.taken()
		if l.passOn(); quiet {
			select {
			case <-listens:
				t.Error("woken although it is watched")
			case <-time.After(10 * time.Millisecond):
			}
			l.glance()
		}
		<-listens
		kernelSide.Close()
	}
}
