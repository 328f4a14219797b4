package fuse

import (
	"errors"
	"runtime"
	"sync"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/squash"
)

const (
	minWorkers = 4
	maxWorkers = 32
)

// A connection is the kernel's side of the mounted image.
type connection struct {
	device kernel.FD
	image  *image
	limit  int // of workers

	mu      sync.Mutex
	ended   sync.WaitGroup
	workers int
	idle    int // workers that wait for a request
	storing int // workers that store pages, which may wait for other requests to be answered
}

// serve answers the kernel's requests until the image is unmounted.
func serve(device kernel.FD, i *image) {
	c := &connection{
		device: device, image: i,
		// More than there are processors, as some wait for the storage that the image is on.
		limit: min(max(minWorkers, 2*runtime.GOMAXPROCS(0)), maxWorkers),
	}
	// A worker that waits for a request keeps its place among those that run Go code. There must be one for
	// each: else a worker that gets a request would wait until the runtime's monitor takes somebody's
	// place away, which can be milliseconds.
	runtime.GOMAXPROCS(c.limit + runtime.GOMAXPROCS(0))
	c.mu.Lock()
	c.start()
	c.mu.Unlock()
	c.ended.Wait()
}

// start starts a worker; the lock is held.
func (c *connection) start() {
	c.workers++
	c.idle++
	c.ended.Add(1)
	go func() {
		defer c.ended.Done()
		(&worker{connection: c, buffer: make([]byte, minReadBuffer)}).run()
	}()
}

// busy notes that a worker has something to do. If no other one waits for requests a new one does from
// now on, so that there are as many as there ever was work for at the same time.
func (c *connection) busy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle--
	if c.idle == 0 && c.workers < c.limit {
		c.start()
	}
}

func (c *connection) free() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle++
}

// mayStore says whether one more worker may store pages. Half of them must not: a page that another
// request is about to fill is locked until somebody has answered that request.
func (c *connection) mayStore() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.storing >= c.limit/2 {
		return false
	}
	c.storing++
	return true
}

func (c *connection) stored() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storing--
}

// A worker answers one request at a time.
type worker struct {
	*connection
	buffer []byte      // for the request
	reply  []byte      // for the answer, its header included
	data   squash.Data // for the answer to READ
	vector [][]byte    // the answer: reply, and then what is sent from where it is
}

func (w *worker) run() {
	for {
		n, err := w.device.Read(w.buffer)
		switch {
		case errors.Is(err, syscall.ENOENT): // the request was taken back
			continue
		case err != nil: // ENODEV: unmounted
			return
		}
		w.busy()
		if r, ok := parseRequest(w.buffer[:n]); ok {
			w.answer(r)
		}
		w.free()
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
