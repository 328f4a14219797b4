package fuse

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ch-run/internal/kernel"
	"ch-run/internal/squash"
)

const (
	minWorkers = 4
	maxWorkers = 16
	// maxStoring is how many workers may store pages at a time: fewer than there are workers, and than
	// requests that the kernel has on the way at a time (12 by default), see mayStore.
	maxStoring = minWorkers - 1
	// firstWorkers is how many there are while the launch goes on: one that stores pages may need the other.
	firstWorkers = 2
	// firstPlaces is how many threads run Go code at a time meanwhile: theirs, and one to spare.
	firstPlaces = 3
	// firstSpares is how many threads the Go runtime may still want meanwhile, also to collect garbage. It has one for
	// each place, one for each goroutine in a system call (the workers and the attendant), and two of its own, a monitor
	// and a template; of these 8 the goroutines and the runtime have 5. But it also creates one where another is
	// about to have nothing to do: with 3 spare ones it came to that now and then, with 6 never.
	firstSpares = 8
	// prepared is how many buffers for blocks of the image a small command takes, besides the first one.
	prepared = 3
	// maxInUse limits the memory that workers use at a time, in bytes: each has up to two blocks, and a third
	// one as it is in the image.
	maxInUse = 32 << 20
)

// A connection is the kernel's side of the mounted image.
type connection struct {
	device    kernel.FD
	image     *image
	limit     int // of workers
	listening *listening
	launch    time.Duration // for how long there are only the first workers, at most
	few       atomic.Bool   // whether it is so now
	helpers   atomic.Int32  // goroutines that are no workers, and help one

	mu      sync.Mutex
	workers int
	reading map[*worker]span // what they answer
	storing map[uint64]bool  // nodes of which a worker stores pages
}

// A span is a part of a file.
type span struct {
	node     uint64
	from, to int64 // in bytes
}

func (s span) overlaps(t span) bool { return s.node == t.node && s.from < t.to && t.from < s.to }

// newConnection makes what is needed to answer requests.
func newConnection(load kernel.FD) (*connection, error) {
	l, err := newListening(load)
	c := &connection{
		// More than there are processors, as some wait for the storage that the image is on.
		limit:     min(max(minWorkers, 2*runtime.NumCPU()), maxWorkers),
		listening: l,
		launch:    launchLasts,
		reading:   map[*worker]span{},
		storing:   map[uint64]bool{},
	}
	c.few.Store(true)
	return c, err
}

// serve answers the kernel's requests until the image is unmounted. spare creates threads for the Go runtime. ready is
// called once there are those without which somebody could wait forever, or if there is not enough room for them.
func (c *connection) serve(o Order, i *image, spare func(threads int) int, ready func(enough bool)) {
	c.device, c.image = o.Device, i
	c.limit = min(c.limit, max(minWorkers, maxInUse/(3*int(i.Superblock().BlockSize))))
	go func() {
		c.start(firstWorkers - 1)
		c.attend(o.Command, o.Mount, spare, ready)
	}()
	c.newWorker().run()
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

// share has somebody do work at the same time as the caller goes on, or says that nobody can.
func (c *connection) share(work func()) bool {
	switch {
	case c.listening.help(work):
	case c.few.Load():
		return false
	case c.helpers.Add(1) <= maxHelpers:
		go func() {
			work()
			c.helpers.Add(-1)
		}()
	default:
		c.helpers.Add(-1)
		return false
	}
	return true
}

// makeRoom has the Go runtime run more threads at a time. A worker that waits keeps its place among those that
// run Go code. There must be one for each: else a worker that gets something to do would wait until the
// runtime's monitor takes somebody's place away, which can be milliseconds.
func (c *connection) makeRoom() {
	if places := c.limit + min(runtime.NumCPU(), reserved); runtime.GOMAXPROCS(0) < places {
		runtime.GOMAXPROCS(places)
	}
}

const (
	// reserved is how many threads there are besides the workers': for blocks that are decompressed at the same
	// time, and for the garbage collector.
	reserved = 6
	// maxHelpers is how many of them the former take at most.
	maxHelpers = 3
)

// reads notes what the worker will answer.
func (w *worker) reads(s span) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading[w] = s
}

// mayStore says whether the worker may now store pages of a file, while the request that it has is not answered. The
// pages of that request are locked meanwhile, and the worker waits for those that it stores, should they belong to
// another request: in a way that no signal ends, so that if the server were killed just then nobody could answer that
// request any more, nor the server end. Hence not if there is such a request, or one that nobody has read.
//
// Should one come after all, nobody is to wait in a circle: so only one worker at a time stores pages of one file,
// and who has the other request answers without storing. And there must be workers left to answer it, and room for
// the kernel to send it.
func (w *worker) mayStore(s span) bool {
	if w.device.HasInput() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for other, r := range w.reading {
		if other != w && r.overlaps(s) {
			return false
		}
	}
	if w.storing[s.node] || len(w.storing) >= min(maxStoring, w.workers-1) {
		return false
	}
	w.storing[s.node] = true
	return true
}

func (c *connection) stored(node uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.storing, node)
}

// A worker answers one request at a time.
type worker struct {
	*connection
	window time.Duration // how long it polls the device, see adapt
	buffer []byte        // for the request
	reply  []byte        // for the answer, its header included
	data   squash.Data   // for the answer to READ
	vector [][]byte      // the answer: reply, and then what is sent from where it is
}

func (c *connection) newWorker() *worker {
	return &worker{connection: c, buffer: make([]byte, minReadBuffer), window: maxWindow}
}

// run answers requests until the image is unmounted.
func (w *worker) run() {
	w.mu.Lock()
	w.workers++ // only now that there is a thread for it
	w.mu.Unlock()
	for {
		w.listen()
		n, err := w.next()
		if err != nil { // ENODEV: unmounted, which the others are to hear too
			w.listening.end()
			return
		}
		if r, ok := parseRequest(w.buffer[:n]); ok {
			w.arrived(r)
			w.answer(r)
		} else {
			w.listening.taken()
		}
	}
}

// send sends what is in reply, in which room for the header has been left, and in vector.
func (w *worker) send(unique uint64, status int32) {
	length := len(w.reply)
	for _, part := range w.vector {
		length += len(part)
	}
	header := native.AppendUint32(w.reply[:0], uint32(length))
	header = native.AppendUint32(header, uint32(status))
	native.AppendUint64(header, unique)
	w.vector[0] = w.reply
	// An error means that nobody waits for it any more.
	_ = w.device.Writev(w.vector)
}
