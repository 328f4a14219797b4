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
	maxWorkers = 16
	// maxStoring is how many workers may store pages at a time: fewer than there are workers, and than
	// requests that the kernel has on the way at a time (12 by default), see mayStore.
	maxStoring = minWorkers - 1
	// maxInUse limits the memory that workers use at a time, in bytes: each has up to two blocks, and a third
	// one as it is in the image.
	maxInUse = 32 << 20
)

// A connection is the kernel's side of the mounted image.
type connection struct {
	device kernel.FD
	image  *image
	limit  int // of workers

	ended   sync.WaitGroup
	mu      sync.Mutex
	workers int
	idle    int             // workers that wait for a request
	storing map[uint64]bool // nodes of which a worker stores pages
}

// newConnection makes what is needed to answer requests.
func newConnection() *connection {
	c := &connection{
		// More than there are processors, as some wait for the storage that the image is on.
		limit:   min(max(minWorkers, 2*runtime.NumCPU()), maxWorkers),
		storing: map[uint64]bool{},
	}
	// A worker that waits for a request keeps its place among those that run Go code. There must be one for
	// each: else a worker that gets a request would wait until the runtime's monitor takes somebody's
	// place away, which can be milliseconds. Package early has seen to it, if there was a way.
	if places := c.limit + runtime.NumCPU(); runtime.GOMAXPROCS(0) < places {
		runtime.GOMAXPROCS(places)
	}
	return c
}

// serve answers the kernel's requests until the image is unmounted.
func (c *connection) serve(device kernel.FD, i *image) {
	c.device, c.image = device, i
	c.limit = min(c.limit, max(minWorkers, maxInUse/(3*int(i.Superblock().BlockSize))))
	c.start()
	c.start() // the first to be busy need not start it
	// All threads that can ever be needed are created now, while the launch goes on with the first two
	// workers. Once there is a command there may be no room for them: its processes count towards the same
	// limit, and an answer that waits for a thread may be what they wait for.
	go func() {
		reserve(reserved)
		for c.start() {
		}
	}()
	c.ended.Wait()
}

// reserved is how many threads there are besides the workers': for blocks that are decompressed at the same
// time, and for the garbage collector.
const reserved = 6

// reserve has the runtime create threads, which it keeps.
func reserve(threads int) {
	var all sync.WaitGroup
	all.Add(threads)
	for range threads {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		}()
	}
	all.Wait()
}

// start starts a worker, unless there are enough. The lock is not held meanwhile: it may take a thread, which
// may take its time.
func (c *connection) start() bool {
	c.mu.Lock()
	ok := c.workers < c.limit
	if ok {
		c.workers++
		c.idle++
		c.ended.Add(1)
	}
	c.mu.Unlock()
	if ok {
		go func() {
			defer c.ended.Done()
			(&worker{connection: c, buffer: make([]byte, minReadBuffer)}).run()
			c.mu.Lock()
			c.limit = 0 // unmounted: nobody is to start another one
			c.mu.Unlock()
		}()
	}
	return ok
}

// busy notes that a worker has something to do. If no other one waits for requests a new one does from
// now on.
func (c *connection) busy() {
	c.mu.Lock()
	c.idle--
	last := c.idle == 0
	c.mu.Unlock()
	if last {
		c.start()
	}
}

func (c *connection) free() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle++
}

// mayStore says whether a worker may now store pages of the file with a node number, while the request that
// it has is not answered. The pages of that request are locked meanwhile, and the worker waits for
// those that it stores, should they belong to another request. So that nobody waits in a circle only
// one worker at a time may do so with one file: who has the other request answers without storing. And
// there must be workers left to answer it, and room for the kernel to send it.
func (c *connection) mayStore(node uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.storing[node] || len(c.storing) >= maxStoring {
		return false
	}
	c.storing[node] = true
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
