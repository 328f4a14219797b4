package fuse

import (
	"runtime"
	"time"

	"ch-run/internal/kernel"
)

const (
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
// At first it keeps the launch from being disturbed. A dozen threads take as long to create as the server has to answer
// for a small command, and threads that take turns wake each other. So there are two workers to begin with, of which one
// listens; and for a while it is this thread that sees to it that the other one does if it has to wait.
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
