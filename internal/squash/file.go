package squash

import (
	"container/list"
	"io"
	"sync"
)

const (
	blockUncompressed = 1 << 24 // in the size of a block
	// checkpointStride is how many blocks of a file one place is remembered for, at least.
	checkpointStride = 64
	// maxCheckpoints is how many places in one file are remembered, at most.
	maxCheckpoints = 4096
	cachedLayouts  = 16
)

// Data are a piece of a file's content. They belong to the cache until Release.
type Data struct {
	Parts  []Part
	Length int // of all parts together, in bytes
	blocks []*block
}

// A Part is what a piece of content has from one block.
type Part struct {
	Bytes []byte
	// Block is all that the file has in that block, which has been decompressed anyway, and Offset
	// where in the file it begins; nil for a hole.
	Block  []byte
	Offset int64
}

// Release gives the parts back. The Data can be used again. If done is set, all that the file has in these
// blocks is known to who asked for it, and will not be asked for soon.
func (d *Data) Release(done bool) {
	for i, b := range d.blocks {
		if b != nil {
			b.cache.release(b, done && !b.shared)
		}
		d.blocks[i] = nil
	}
	clear(d.Parts)
	d.Parts, d.blocks, d.Length = d.Parts[:0], d.blocks[:0], 0
}

// add appends the bytes from and to of a block that begins at offset in the file.
func (d *Data) add(block []byte, offset int64, from, to int) {
	d.Parts = append(d.Parts, Part{Bytes: block[from:to], Block: block, Offset: offset})
	d.Length += to - from
}

// zeros is what holes are made of. Nobody writes to it, so it takes no memory.
var zeros [maxBlockSize]byte

// Read adds to d the content of the regular file from offset on, at most length bytes, fewer only at
// the end of the file. After an error nothing has been added, and there is nothing to release.
func (r *Reader) Read(i *Inode, offset int64, length int, d *Data) error {
	if i.Type != Regular {
		return ErrNotRegular
	}
	if offset < 0 || offset >= i.Size {
		return nil
	}
	end := offset + min(int64(length), i.Size-offset)
	if err := r.read(i, offset, end, d); err != nil {
		d.Release(false)
		return err
	}
	return nil
}

func (r *Reader) read(i *Inode, offset, end int64, d *Data) error {
	size := int64(r.super.BlockSize)
	full := i.Size / size // blocks in the list
	if i.fragment == noFragment {
		full = (i.Size + size - 1) / size
	}
	at, err := r.locate(i, min(offset/size, full))
	if err != nil {
		return err
	}
	// Which blocks, before the content of any.
	first := len(d.blocks)
	for start := offset / size * size; start < end; start += size {
		b, err := r.blockAt(i, start/size >= full, &at)
		if err != nil {
			return err
		}
		d.blocks = append(d.blocks, b)
	}
	blocks := d.blocks[first:]
	r.shareLoads(blocks)
	for _, b := range blocks {
		start := offset / size * size
		want := int(min(size, i.Size-start)) // bytes of this block
		from, to := int(offset-start), int(min(int64(want), end-start))
		offset += int64(to - from)
		switch {
		case b == nil: // a hole
			d.Parts = append(d.Parts, Part{Bytes: zeros[from:to]})
			d.Length += to - from
			continue
		case r.load(b) != nil:
			return r.load(b)
		}
		content := b.data[:b.length]
		if start/size >= full {
			if int64(i.fragmentOffset)+int64(want) > int64(len(content)) {
				return corrupt("inode table", r.super.inodeTable, "inode %v: %d bytes at %d of a fragment block of %d",
					i.Ref, want, i.fragmentOffset, len(content))
			}
			content = content[i.fragmentOffset:][:want]
		}
		if len(content) != want {
			return corrupt("data", b.key.position, "a block of %d bytes, %d expected", len(content), want)
		}
		d.add(content, start, from, to)
	}
	return nil
}

// blockAt returns the block that the walk comes to next, or the fragment block if that is where the rest of
// the file is; nil for a hole. It may not be loaded yet.
func (r *Reader) blockAt(i *Inode, isFragment bool, at *blockWalk) (*block, error) {
	if isFragment {
		f, err := r.fragment(i.fragment)
		if err != nil {
			return nil, err
		}
		return r.blocks.get(blockKey{f.position, f.size}, true), nil
	}
	position, word, err := at.next()
	if err != nil || word == 0 {
		return nil, err
	}
	return r.blocks.get(blockKey{position, word}, false), nil
}

// ReadAt fills p from the file, as [io.ReaderAt] does.
func (r *Reader) ReadAt(i *Inode, p []byte, offset int64) (int, error) {
	var d Data
	if err := r.Read(i, offset, len(p), &d); err != nil {
		return 0, err
	}
	defer d.Release(false)
	n := 0
	for _, part := range d.Parts {
		n += copy(p[n:], part.Bytes)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// A blockWalk goes along a file's list of blocks.
type blockWalk struct {
	list     cursor
	position int64 // of the next block in the image
}

// next returns where the next block is, and its size with the flag of an uncompressed one; 0 is a hole.
func (w *blockWalk) next() (position int64, word uint32, err error) {
	word, err = w.list.uint32()
	if err != nil {
		return 0, 0, err
	}
	position = w.position
	w.position += int64(word &^ blockUncompressed)
	if w.position < 0 {
		return 0, 0, corrupt(w.list.part, w.list.position, "the blocks of a file go beyond all bounds")
	}
	return position, word, nil
}

// locate returns a walk that begins at the file's block with the given number. An inode lists the sizes of the
// blocks, so their positions are sums; for files with many blocks some of these are remembered.
func (r *Reader) locate(i *Inode, number int64) (blockWalk, error) {
	w := blockWalk{list: i.rest, position: i.start}
	passed := int64(0)
	if number > 2*checkpointStride {
		l := r.layouts.get(i.Ref)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.walks == nil {
			l.stride = checkpointStride
			for blocks := i.Size / int64(r.super.BlockSize); blocks/l.stride >= maxCheckpoints; {
				l.stride *= 2
			}
			l.walks = []blockWalk{w}
		}
		known := min(number/l.stride, int64(len(l.walks)-1))
		w, passed = l.walks[known], known*l.stride
		for passed+l.stride <= number {
			if err := w.pass(l.stride); err != nil {
				return w, err
			}
			passed += l.stride
			checkpoint := w
			checkpoint.list.block = nil // the block may be evicted
			l.walks = append(l.walks, checkpoint)
		}
	}
	return w, w.pass(number - passed)
}

// pass goes over n blocks.
func (w *blockWalk) pass(n int64) error {
	for range n {
		if _, _, err := w.next(); err != nil {
			return err
		}
	}
	return nil
}

// A layout remembers where in a large file some of its blocks are.
type layout struct {
	ref    Ref
	mu     sync.Mutex
	stride int64       // in blocks
	walks  []blockWalk // at block 0, stride, 2×stride, …
}

// The layoutCache keeps the layouts of the large files that were read last.
type layoutCache struct {
	mu    sync.Mutex
	order list.List // of *layout, the one used last in front
}

func (c *layoutCache) get(ref Ref) *layout {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Front(); e != nil; e = e.Next() {
		if l := e.Value.(*layout); l.ref == ref {
			c.order.MoveToFront(e)
			return l
		}
	}
	if c.order.Len() == cachedLayouts {
		c.order.Remove(c.order.Back())
	}
	l := &layout{ref: ref}
	c.order.PushFront(l)
	return l
}
