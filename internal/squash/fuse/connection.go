package fuse

import (
	"runtime"
	"sync"
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

	mu      sync.Mutex
	workers int
	storing map[uint64]bool // nodes of which a worker stores pages
}

// newConnection makes what is needed to answer requests.
func newConnection(load kernel.FD) (*connection, error) {
	l, err := newListening(load)
	return &connection{
		// More than there are processors, as some wait for the storage that the image is on.
		limit:     min(max(minWorkers, 2*runtime.NumCPU()), maxWorkers),
		listening: l,
		storing:   map[uint64]bool{},
	}, err
}

// serve answers the kernel's requests until the image is unmounted. ready is called once there are all threads that
// can ever be needed.
func (c *connection) serve(device kernel.FD, i *image, ready func()) {
	c.device, c.image = device, i
	c.limit = min(c.limit, max(minWorkers, maxInUse/(3*int(i.Superblock().BlockSize))))
	go func() {
		c.hire()
		ready()
	}()
	c.newWorker().run()
}

// hire starts the other workers and creates all threads, while the launch goes on with the first worker. Once
// there is a command there may be no room for them: its processes count towards the same limit, and an
// answer that waits for a thread may be what they wait for.
func (c *connection) hire() {
	c.makeRoom()
	var started sync.WaitGroup
	for range c.limit - 1 {
		started.Add(1)
		go func() {
			started.Done()
			c.newWorker().run()
		}()
	}
	started.Wait()
	reserve(reserved)
}

// makeRoom has the Go runtime run more threads at a time. A worker that waits keeps its place among those that
// run Go code. There must be one for each: else a worker that gets something to do would wait until the
// runtime's monitor takes somebody's place away, which can be milliseconds.
func (c *connection) makeRoom() {
	if places := c.limit + min(runtime.NumCPU(), reserved); runtime.GOMAXPROCS(0) < places {
		runtime.GOMAXPROCS(places)
	}
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

// mayStore says whether a worker may now store pages of the file with a node number, while the request that
// it has is not answered. The pages of that request are locked meanwhile, and the worker waits for
// those that it stores, should they belong to another request. So that nobody waits in a circle only
// one worker at a time may do so with one file: who has the other request answers without storing. And
// there must be workers left to answer it, and room for the kernel to send it.
func (c *connection) mayStore(node uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.storing[node] || len(c.storing) >= min(maxStoring, c.workers-1) {
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
			w.listening.letAll(1)
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
