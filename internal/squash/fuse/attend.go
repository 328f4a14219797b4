package fuse

import (
	"runtime"
	"sync"
	"time"

	"ch-run/internal/kernel"
)

const (
	// firstWorkers is how many there are while the launch goes on: one that stores pages may need the other.
	firstWorkers = 2
	// firstPlaces is how many threads run Go code at a time meanwhile: theirs, and one to spare.
	firstPlaces = 3
	// firstSpares is how many threads the Go runtime may still want meanwhile, also to collect garbage. It has one for
	// each place, one for each goroutine in a system call (the workers and the attendant), and two of its own, a monitor
	// and a template; of these 8 the goroutines and the runtime have 5. But it also creates one where another is
	// about to have nothing to do: with 3 spare ones it came to that now and then, with 6 never.
	firstSpares = 8
	// reserved is how many threads there are besides the workers' when all have been hired: for blocks that are
	// decompressed at the same time, and for the garbage collector.
	reserved = 6

	// launchLasts is how long a launch is taken to last, and what its command does first.
	launchLasts = 100 * time.Millisecond
	// watchLasts is for how long, in the beginning, somebody watches whether they listen.
	watchLasts = 10 * time.Millisecond
	// glance is the time between two looks at them then.
	glance = 200 * time.Microsecond
	// pause is the time between two looks at anything else.
	pause = 5 * time.Millisecond
)

// attend is what one thread does that is no worker. Unlike them it never waits for what the kernel has to ask.
//
// At first it keeps the launch from being disturbed. With a dozen threads created in its first milliseconds, which take
// processors, and turns, that the answers need, a small command took 1.2 times as long. So there are two workers to
// begin with, of which one listens; and for a while it is this thread that sees to it that the other one does if it
// has to wait.
//
// When there is more to do, or after a while, others are hired. The processes of the command may leave no room for them, as
// they count towards the same limit: the two have to do meanwhile, as long as it takes. So the threads come first, and from
// here: a worker in whose course the runtime found that it wants one would be stuck. For the first two there are spare
// ones, as many as the runtime can want until there are more places to run Go code.
//
// In the end it waits for that of the command. The mount is kept until then, so that the last process of the container,
// which the command most often is, does not have to take down the file system: the kernel would have it forget each file
// and page before its parent hears that it has ended, a tenth of a short launch. Here nobody waits for it.
func (c *connection) attend(command, mount kernel.FD, spare func(threads int) int, ready func(enough bool)) {
	runtime.LockOSThread()
	ready(spare(firstSpares) == firstSpares)
	// wait returns when the time is up, sooner if the command ends.
	wait := func(most time.Duration) {
		if command.WaitInput(most) {
			// Unmounting waits for who stores pages, and that for an answer, for which nobody here would see to it.
			c.listening.unwatch()
			mount.Close()
			command.Close()
			command = -1
		}
	}
	begin := time.Now()
	during := func(period time.Duration) bool { return time.Since(begin) < period && !c.listening.all.Load() }
	for during(watchLasts) && command >= 0 {
		c.listening.glance()
		wait(glance)
	}
	c.listening.unwatch()
	for during(c.launch) {
		wait(pause)
	}
	for missing := c.missing() - spare(c.missing()); missing > 0; missing -= spare(missing) {
		wait(pause)
	}
	go c.hire()
	for command >= 0 {
		wait(time.Hour)
	}
}

// start starts workers, and returns when they have threads.
func (c *connection) start(workers int) {
	var started sync.WaitGroup
	started.Add(workers)
	for range workers {
		go func() {
			started.Done()
			c.newWorker().run()
		}()
	}
	started.Wait()
}

// missing is how many threads there are to be besides those that it takes to start.
func (c *connection) missing() int { return c.limit - firstWorkers + reserved }

// hire starts the other workers. There must be threads for them.
func (c *connection) hire() {
	c.makeRoom()
	c.start(c.limit - firstWorkers)
	c.few.Store(false)
}

// makeRoom has the Go runtime run more threads at a time. A worker that waits keeps its place among those that
// run Go code. There must be one for each: else a worker that gets something to do would wait until the
// runtime's monitor takes somebody's place away, which can be milliseconds.
func (c *connection) makeRoom() {
	if places := c.limit + min(runtime.NumCPU(), reserved); runtime.GOMAXPROCS(0) < places {
		runtime.GOMAXPROCS(places)
	}
}
