package squash

import (
	"container/list"
	"encoding/binary"
	"sync"
)

const (
	metadataSize         = 8 << 10 // of a metadata block, decompressed, in bytes
	metadataUncompressed = 1 << 15 // in a metadata block's header
	cachedMetadata       = 192     // blocks, so at most 1.5 MiB
)

// A metadataBlock is one metadata block, decompressed.
type metadataBlock struct {
	position int64
	load     sync.Once
	data     []byte
	next     int64 // the position of the block after it
	err      error
	place    *list.Element // in the cache's order
}

// The metadataCache keeps the metadata blocks that were used last. Without it every inode would cost the
// decompression of the block that it is in. Blocks that have left the cache are the garbage
// collector's, since a cursor may still be in one.
type metadataCache struct {
	mu     sync.Mutex
	blocks map[int64]*metadataBlock
	order  list.List // of *metadataBlock, the one used last in front
}

func newMetadataCache() *metadataCache {
	return &metadataCache{blocks: map[int64]*metadataBlock{}}
}

// metadataBlock returns the metadata block at position, of the part of the image that ends at end. Of
// several goroutines that want the same block one decompresses it.
func (r *Reader) metadataBlock(position, end int64, part string) (*metadataBlock, error) {
	c := r.metadata
	c.mu.Lock()
	b, ok := c.blocks[position]
	if ok {
		c.order.MoveToFront(b.place)
	} else {
		b = &metadataBlock{position: position}
		b.place = c.order.PushFront(b)
		c.blocks[position] = b
		if c.order.Len() > cachedMetadata {
			c.remove(c.order.Back().Value.(*metadataBlock))
		}
	}
	c.mu.Unlock()

	b.load.Do(func() { b.data, b.next, b.err = r.readMetadata(position, part) })
	if b.err != nil {
		c.mu.Lock() // the storage may have recovered when it is next asked for
		if c.blocks[position] == b {
			c.remove(b)
		}
		c.mu.Unlock()
		return nil, b.err
	}
	if b.next > end {
		return nil, corrupt(part, position, "a metadata block goes beyond the table's end at byte %d", end)
	}
	return b, nil
}

// remove must be called with the lock held.
func (c *metadataCache) remove(b *metadataBlock) {
	c.order.Remove(b.place)
	delete(c.blocks, b.position)
}

func (r *Reader) readMetadata(position int64, part string) (data []byte, next int64, err error) {
	// Header and data in one read. What is read too much is the start of the next block.
	buffer, err := r.buffers.get()
	if err != nil {
		return nil, 0, err
	}
	defer r.buffers.put(buffer)
	raw := buffer[:min(int64(len(buffer)), 2+metadataSize, r.super.BytesUsed-position)]
	if len(raw) < 2 {
		return nil, 0, corrupt(part, position, "the image ends here")
	}
	if err := r.readAt(raw, position, part); err != nil {
		return nil, 0, err
	}
	header := binary.LittleEndian.Uint16(raw)
	size := int(header &^ metadataUncompressed)
	if size == 0 || size > metadataSize {
		return nil, 0, corrupt(part, position, "a metadata block of %d bytes", size)
	}
	if position+2+int64(size) > r.super.BytesUsed {
		return nil, 0, corrupt(part, position, "a metadata block of %d bytes goes beyond the image's end", size)
	}
	if 2+size > len(raw) { // the image's block size is 4 KiB
		rest := make([]byte, 2+size)
		if err := r.readAt(rest, position, part); err != nil {
			return nil, 0, err
		}
		raw = rest
	}
	next = position + 2 + int64(size)
	if header&metadataUncompressed != 0 {
		return append([]byte(nil), raw[2:2+size]...), next, nil
	}
	data = make([]byte, metadataSize)
	n, err := r.decompressor.Decompress(data, raw[2:2+size])
	if err != nil {
		return nil, 0, &CorruptError{Part: part, Offset: position, Text: "can't decompress metadata block", Err: err}
	}
	if n == 0 {
		return nil, 0, corrupt(part, position, "a metadata block without content")
	}
	return data[:n], next, nil
}

// A cursor reads metadata in sequence, from one block to the next.
type cursor struct {
	r        *Reader
	part     string // for errors
	end      int64  // of the table, where no block begins any more
	position int64  // of the block
	offset   int    // in it, decompressed
	block    *metadataBlock
}

// cursor returns a cursor for the table from start to end, at offset in the block that begins at
// start+block.
func (r *Reader) cursor(part string, start, end, block int64, offset int) (cursor, error) {
	if block < 0 || block >= end-start || offset < 0 || offset >= metadataSize {
		return cursor{}, corrupt(part, start, "there is no position %d:%d in it", block, offset)
	}
	return cursor{r: r, part: part, end: end, position: start + block, offset: offset}, nil
}

// chunk returns what is left of the current block, at least one byte. It belongs to the cache.
func (c *cursor) chunk() ([]byte, error) {
	for {
		if c.block == nil {
			if c.position >= c.end {
				return nil, corrupt(c.part, c.position, "the table ends in the middle of something")
			}
			b, err := c.r.metadataBlock(c.position, c.end, c.part)
			if err != nil {
				return nil, err
			}
			c.block = b
		}
		switch size := len(c.block.data); {
		case c.offset < size:
			return c.block.data[c.offset:], nil
		case c.offset > size:
			return nil, corrupt(c.part, c.position, "there is no offset %d in a metadata block of %d bytes", c.offset, size)
		}
		c.position, c.offset, c.block = c.block.next, 0, nil
	}
}

// read fills p.
func (c *cursor) read(p []byte) error {
	for len(p) > 0 {
		chunk, err := c.chunk()
		if err != nil {
			return err
		}
		n := copy(p, chunk)
		p = p[n:]
		c.offset += n
	}
	return nil
}

// skip goes n bytes ahead.
func (c *cursor) skip(n int64) error {
	for n > 0 {
		chunk, err := c.chunk()
		if err != nil {
			return err
		}
		step := min(n, int64(len(chunk)))
		n -= step
		c.offset += int(step)
	}
	return nil
}

func (c *cursor) uint32() (uint32, error) {
	if c.block != nil && c.offset+4 <= len(c.block.data) {
		v := binary.LittleEndian.Uint32(c.block.data[c.offset:])
		c.offset += 4
		return v, nil
	}
	var b [4]byte
	err := c.read(b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}
