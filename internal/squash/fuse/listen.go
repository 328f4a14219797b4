package fuse

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ch-run/internal/kernel"
	"ch-run/internal/squash"
)

const (
	// maxWindow is how long the device is polled at most.
	maxWindow = 50 * time.Microsecond
	// minWindow is how long it must be worth to be polled.
	minWindow = 5 * time.Microsecond
	// wakeUp is how long a thread that sleeps takes to hear of a request.
	wakeUp = 30 * time.Microsecond
	// loadLasts is for how long it is believed how busy the machine is.
	loadLasts = 250 * time.Microsecond
	// readsForAll is after how many READ requests in a row all listen: files are being read, not looked for.
	readsForAll = 8
	// othersForOne is after how many other requests in a row one does.
	othersForOne = 8
	// crowdLasts is for how many requests other than READ all listen if two were there at a time.
	crowdLasts = 64
	// slownessLasts is the same if the storage is slow.
	slownessLasts = 512
)

// Listening is what the workers agree on: which of them listen.
//
// Whoever asks for one thing after the other, as a command does that starts, waits each time until a worker has
// woken up: 30 microseconds, several times what the answer takes. A worker that polls the device has the request at once.
// But the kernel wakes one that sleeps there all the same, which finds nothing, and is in the way. So either one
// worker listens, which polls, and answers without handing over ("leader/followers", Schmidt, Kircher, Pyarali and
// Buschmann, 2000); the others are parked. Or all listen, none polls, and the kernel wakes one for each request: where
// several are on the way at a time, answers take long, or files are read. There the threads are all that counts.
type listening struct {
	processors int
	load       kernel.FD    // /proc/loadavg, or -1: nobody knows how busy they are
	quiet      atomic.Bool  // whether one of them is idle, see lookAround
	looked     atomic.Int64 // when that was found out, in nanoseconds since 1970

	all   atomic.Bool  // whether all are to listen, and not one
	calm  atomic.Int32 // if all are: how many requests other than READ have to come until one is to
	reads atomic.Int32 // if one is: how many READ requests have come in a row

	watched atomic.Bool // whether somebody looks if nobody listens, see attend
	ended   atomic.Bool // whether there will be no more requests

	wake    kernel.Pipe // by which parked workers become listeners
	mu      sync.Mutex
	waiting int // listeners, who have no request
	parked  int
	wanted  bool     // whether somebody was to listen and nobody had time
	work    []func() // for parked workers that have been woken for it
}

func newListening(load kernel.FD) (*listening, error) {
	wake, err := kernel.NewPipe()
	l := &listening{processors: runtime.NumCPU(), load: load, wake: wake}
	l.quiet.Store(l.processors > 1)
	l.watched.Store(true)
	return l, err
}

// listen returns once the worker, which has no request, is a listener. Meanwhile it may do work for others.
func (w *worker) listen() {
	l := w.listening
	for helped := false; ; helped = true {
		l.mu.Lock()
		// If nobody listens after it has helped, it will be who was helped.
		if l.ended.Load() || l.all.Load() || l.waiting == 0 && (l.wanted || !helped) {
			l.waiting++
			l.wanted = false
			l.mu.Unlock()
			return
		}
		l.parked++
		l.mu.Unlock()
		_ = l.wake.Take()
		work := l.takeWork()
		if work == nil {
			return // who woke it has counted it
		}
		work()
	}
}

// takeWork returns what a worker has been woken for, or nil if that was to listen.
func (l *listening) takeWork() (work func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := len(l.work) - 1; last >= 0 {
		work, l.work = l.work[last], l.work[:last]
	}
	return work
}

// help has a parked worker do work, or says that there is none.
func (l *listening) help(work func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parked == 0 {
		return false
	}
	l.parked--
	l.work = append(l.work, work)
	l.wake.Put(1)
	return true
}

// taken notes that a listener has a request now.
func (l *listening) taken() {
	l.mu.Lock()
	l.waiting--
	l.mu.Unlock()
}

// passOn sees to it that somebody else listens, if anybody has time: else it will be the first who has. While that is
// watched, and there is a processor for it, it may be a moment later, as most often nobody has to.
func (l *listening) passOn() {
	if !l.watched.Load() || !l.quiet.Load() {
		l.mu.Lock()
		l.standIn()
	}
}

// glance is passOn for who watches.
func (l *listening) glance() {
	if l.mu.TryLock() { // else it is not the same one who waits
		l.standIn()
	}
}

// standIn has a parked worker listen if nobody does. It must be called with the lock held, which it releases.
func (l *listening) standIn() {
	wake := 0
	switch {
	case l.waiting > 0:
	case l.parked > 0:
		wake = 1
	default:
		l.wanted = true
	}
	l.unpark(wake)
}

// unwatch notes that nobody watches any longer.
func (l *listening) unwatch() {
	l.watched.Store(false)
	l.passOn()
}

// letAll has all workers listen, until so many requests in a row are not READ.
func (l *listening) letAll(requests int32) {
	l.calm.Store(requests)
	l.all.Store(true)
	l.mu.Lock()
	l.unpark(l.parked)
}

// end has all workers hear that the image is unmounted.
func (l *listening) end() {
	l.ended.Store(true)
	l.mu.Lock()
	l.unpark(l.parked)
}

// unpark makes listeners of n parked workers. It must be called with the lock held, which it releases before it wakes
// them: they may be there before it continues.
func (l *listening) unpark(n int) {
	l.parked -= n
	l.waiting += n
	l.mu.Unlock()
	l.wake.Put(n)
}

// next waits for a request and returns its length.
func (w *worker) next() (int, error) {
	alone := !w.listening.all.Load()
	begin := time.Now()
	if alone {
		w.poll(begin)
	}
	for {
		n, err := w.device.Read(w.buffer)
		if errors.Is(err, syscall.ENOENT) { // the request was taken back
			continue
		}
		if alone {
			w.adapt(time.Since(begin))
		}
		return n, err
	}
}

// poll returns when there is a request, or it is time to sleep.
func (w *worker) poll(begin time.Time) {
	for w.listening.quiet.Load() && w.window >= minWindow && time.Since(begin) < w.window && !w.device.HasInput() {
	}
}

// adapt sets for how long to poll by how long the last request took to come, as KVM does for guests that halt
// (Documentation/virt/kvm/halt-polling.rst in the kernel's source).
func (w *worker) adapt(waited time.Duration) {
	if waited < maxWindow+wakeUp { // who slept heard of it later
		w.window = maxWindow
	} else {
		w.window /= 2
	}
}

// lookAround finds out whether there is a processor for whoever asks, who waits now, besides the one that polls.
// Where others wait for processors, polling would take away from them.
func (l *listening) lookAround(now time.Time) {
	if now.UnixNano()-l.looked.Load() < int64(loadLasts) {
		return
	}
	runnable, err := l.load.Runnable()
	l.quiet.Store(err == nil && runnable < l.processors)
	l.looked.Store(now.UnixNano())
}

// arrived decides who listens while a request is answered, and from then on.
func (w *worker) arrived(r request) {
	l, read := w.listening, r.opcode == opRead
	l.taken()
	if l.all.Load() {
		switch {
		case !read && l.calm.Add(-1) <= 0:
			l.reads.Store(0)
			l.all.Store(false)
		case read && l.calm.Load() < othersForOne:
			l.calm.Store(othersForOne)
		}
		return
	}
	if !read {
		l.reads.Store(0)
	}
	switch {
	case read && l.reads.Add(1) >= readsForAll:
		l.letAll(othersForOne)
	case w.device.HasInput():
		l.letAll(crowdLasts)
	case read && w.image.Pace() > squash.Slow:
		l.passOn()
	default:
		l.lookAround(time.Now())
	}
}
