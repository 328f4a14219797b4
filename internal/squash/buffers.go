package squash

import (
	"sync"

	"ch-run/internal/kernel"
)

// Buffers are pieces of memory of the same size, a block each, which are used again and again.
type buffers struct {
	size int // in bytes

	mu   sync.Mutex
	free [][]byte
}

// maxFree is how much is kept that nobody uses, in bytes, if it is more than one buffer.
const maxFree = 2 << 20

func (b *buffers) get() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		buffer := b.free[n-1]
		b.free = b.free[:n-1]
		return buffer, nil
	}
	return kernel.Memory(b.size)
}

// Prepare gets memory for one more block. It takes the kernel about as long as to decompress it; so who has to wait
// for something else can do it before the first block is needed.
func (r *Reader) Prepare() {
	if buffer, err := kernel.Memory(r.buffers.size); err == nil {
		r.buffers.put(buffer)
	}
}

func (b *buffers) put(buffer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) == 0 || (len(b.free)+1)*b.size <= maxFree {
		b.free = append(b.free, buffer)
		return
	}
	kernel.FreeMemory(buffer)
}
