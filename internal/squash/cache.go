package squash

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// cachedData is how much decompressed data is kept, in bytes: with 16 blocks of the usual size nothing is
	// decompressed twice that parallel readers of neighbouring pages want. More gains nothing,
	// since the kernel caches pages.
	cachedData = 2 << 20
	// minCachedBlocks is how many are kept of large blocks.
	minCachedBlocks = 8
	// maxCachedBlocks is how many are kept of small blocks.
	maxCachedBlocks = 256
)

// A blockKey identifies a data or fragment block: where it is in the image, and how long with the flag of
// an uncompressed one. An image that gives a position two different lengths gets two blocks.
type blockKey struct {
	position int64
	word     uint32
}

// A block is a decompressed data or fragment block. It stays as it is as long as it is used.
type block struct {
	cache  *blockCache
	key    blockKey
	shared bool // by several files: a fragment block
	load   sync.Once
	loaded atomic.Bool
	data   []byte // as long as the image's block size
	length int    // of the content
	err    error

	users int           // guarded by the cache's lock
	place *list.Element // in the cache's order, likewise; nil once it has left the cache
}

// The blockCache keeps the blocks that were used last and hands them out to several users at the same
// time. The memory of blocks that are no longer used is used again, and is not the garbage collector's,
// which would run several times in a launch because of them.
type blockCache struct {
	buffers  *buffers
	capacity int // in blocks; more only while all are in use

	mu     sync.Mutex
	blocks map[blockKey]*block
	order  list.List // of *block, the one used last in front
}

func newBlockCache(b *buffers) *blockCache {
	return &blockCache{
		buffers:  b,
		capacity: min(max(cachedData/b.size, minCachedBlocks), maxCachedBlocks),
		blocks:   map[blockKey]*block{},
	}
}

// get returns the block, to be released. A new one is without content.
func (c *blockCache) get(key blockKey, shared bool) *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.blocks[key]; ok {
		b.users++
		c.order.MoveToFront(b.place)
		return b
	}
	b := &block{cache: c, key: key, shared: shared, users: 1}
	b.place = c.order.PushFront(b)
	c.blocks[key] = b
	c.shrink()
	return b
}

// shrink must be called with the lock held.
func (c *blockCache) shrink() {
	for e := c.order.Back(); e != nil && c.order.Len() > c.capacity; {
		b := e.Value.(*block)
		e = e.Prev()
		if b.users == 0 {
			c.remove(b)
		}
	}
}

// remove must be called with the lock held.
func (c *blockCache) remove(b *block) {
	if b.place != nil {
		c.order.Remove(b.place)
		delete(c.blocks, b.key)
		b.place = nil
	}
	if b.users == 0 && b.data != nil {
		c.buffers.put(b.data)
		b.data = nil
	}
}

// use notes one more user of a block that has some.
func (c *blockCache) use(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.users++
}

// release ends the use of a block. One that is done with, because nobody is likely to want it again, gives
// way to the next one at once: its memory is known to the kernel, and in the processor's cache.
func (c *blockCache) release(b *block, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.users--
	if b.users == 0 && (done || b.place == nil) {
		c.remove(b)
	}
	c.shrink()
}

// load sees to it that the block has content, or returns why it has none. Of several goroutines that want
// the same block one decompresses it.
func (r *Reader) load(b *block) error {
	b.load.Do(func() {
		if b.data, b.err = r.buffers.get(); b.err == nil {
			start := time.Now()
			b.length, b.err = r.readBlock(b.data, b.key)
			r.keepPace(time.Since(start))
		}
		if b.err != nil {
			// The storage may have recovered when it is next asked for.
			b.cache.mu.Lock()
			b.cache.remove(b)
			b.cache.mu.Unlock()
		}
		b.loaded.Store(true)
	})
	return b.err
}

// Slow is how long a block takes to load for which it is worth to wake a thread: twice what it takes to wake one, and to
// wait for it.
const Slow = 100 * time.Microsecond

// Pace returns how long blocks take to load, the last ones most.
func (r *Reader) Pace() time.Duration { return time.Duration(r.pace.Load()) }

func (r *Reader) keepPace(took time.Duration) {
	if before := r.Pace(); before != 0 {
		took = (3*before + took) / 4
	}
	r.pace.Store(int64(took))
}

// shareLoads has others load all blocks but the first, nil ones excepted, if they take their time: a request at a time
// is all that an application has that waits for its pages, so there may be a processor with nothing to do.
func (r *Reader) shareLoads(blocks []*block) {
	if r.share == nil || r.Pace() <= Slow {
		return
	}
	mine := true // the first one
	for _, b := range blocks {
		if b == nil || b.loaded.Load() {
			continue
		}
		if !mine && !r.shareLoad(b) {
			return
		}
		mine = false
	}
}

// shareLoad has somebody else load the block, or says that nobody has time. Who does that may come to it only when nobody
// else uses the block any more.
func (r *Reader) shareLoad(b *block) bool {
	b.cache.use(b)
	shared := r.share(func() {
		_ = r.load(b) // who uses it sees the error
		b.cache.release(b, false)
	})
	if !shared {
		b.cache.release(b, false)
	}
	return shared
}

func (r *Reader) readBlock(data []byte, key blockKey) (int, error) {
	const part = "data"
	size := int(key.word &^ blockUncompressed)
	if size <= 0 || size > int(r.super.BlockSize) {
		return 0, corrupt(part, key.position, "a block of %d bytes in an image of blocks of %d", size, r.super.BlockSize)
	}
	if key.position < superblockSize || key.position > r.super.BytesUsed-int64(size) {
		return 0, corrupt(part, key.position, "a block of %d bytes is not in the image, which has %d", size, r.super.BytesUsed)
	}
	if key.word&blockUncompressed != 0 {
		return size, r.readAt(data[:size], key.position, part)
	}
	buffer, err := r.buffers.get()
	if err != nil {
		return 0, err
	}
	defer r.buffers.put(buffer)
	raw := buffer[:size]
	if err := r.readAt(raw, key.position, part); err != nil {
		return 0, err
	}
	n, err := r.decompressor.Decompress(data, raw)
	if err != nil {
		return 0, &CorruptError{Part: part, Offset: key.position, Text: "can't decompress", Err: err}
	}
	return n, nil
}
