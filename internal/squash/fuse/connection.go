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
	askers    askers

	mu      sync.Mutex
	workers int
	reading map[*worker]span // what they answer
	storing bool             // whether one of them stores pages
}

// newConnection makes what is needed to answer requests.
func newConnection(load kernel.FD) (*connection, error) {
	l, err := newListening(load)
	c := &connection{
		// More than there are processors, as some wait for the storage that the image is on.
		limit:     min(max(minWorkers, 2*runtime.NumCPU()), maxWorkers),
		listening: l,
		launch:    launchLasts,
		askers:    askers{begin: time.Now()},
		reading:   map[*worker]span{},
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

// maxHelpers is how many goroutines that are no workers help them at most.
const maxHelpers = reserved / 2

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
			w.askers.note(r)
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
