package squash

import (
	"bytes"
	"encoding/binary"
	"sync"
)

const (
	// sizeOfEmpty is the size that SquashFS gives a directory without entries.
	sizeOfEmpty = 3
	// maxRun is how many entries can follow a header.
	maxRun = 256
	// maxName is the longest name, in bytes.
	maxName = 255
	// maxSearch limits how far a name is searched for, in bytes of the directory. Directories of more than
	// a metadata block or two have an index, after which one such block is enough.
	maxSearch = 16 << 20
)

// An Entry is a name in a directory.
type Entry struct {
	Name   []byte // valid until the next one
	Ref    Ref
	Number uint32 // of the inode
	Type   Type
	Next   Cookie // where to go on after it
}

// A Cookie is a place in a directory, to go on with listing it. The zero value is its start.
type Cookie uint64

// A listing goes through a directory: header, run of entries that share what the header says, header…
type listing struct {
	cursor
	left   int64 // bytes of the directory
	run    uint32
	number uint32
	block  uint32
	taken  uint32 // entries of this run
	header int64  // where in the directory this run's header begins, in bytes
	start  cursor // there
	size   int64  // of the directory's entries, in bytes
	name   [maxName + 1]byte
}

// begin goes to the directory's first entry.
func (l *listing) begin(r *Reader, d *Inode) (err error) {
	if d.Type != Directory {
		return ErrNotDirectory
	}
	l.size = max(0, d.Size-sizeOfEmpty)
	if l.left = l.size; l.size > 0 {
		l.cursor, err = r.cursor("directory table", r.super.directoryTable, r.super.directoryEnd, int64(d.block), int(d.offset))
	}
	return err
}

// next returns the next entry, or ok false at the end.
func (l *listing) next() (e Entry, ok bool, err error) {
	le := binary.LittleEndian
	if l.taken == l.run {
		if l.left == 0 {
			return e, false, nil
		}
		l.header, l.start = l.size-l.left, l.cursor
		var h [12]byte
		if err := l.take(h[:]); err != nil {
			return e, false, err
		}
		l.run, l.taken = le.Uint32(h[:])+1, 0
		l.block, l.number = le.Uint32(h[4:]), le.Uint32(h[8:])
		if l.run > maxRun || l.run == 0 {
			return e, false, corrupt(l.part, l.position, "%d entries after a header", l.run)
		}
	}
	var h [8]byte
	if err := l.take(h[:]); err != nil {
		return e, false, err
	}
	length := int(le.Uint16(h[6:])) + 1
	if length > maxName {
		return e, false, corrupt(l.part, l.position, "a name of %d bytes", length)
	}
	name := l.name[:length]
	if err := l.take(name); err != nil {
		return e, false, err
	}
	if bytes.IndexByte(name, '/') >= 0 || bytes.IndexByte(name, 0) >= 0 || string(name) == "." || string(name) == ".." {
		return e, false, corrupt(l.part, l.position, "a file cannot be named %q", string(name))
	}
	l.taken++
	e = Entry{
		Name: name, Type: Type(le.Uint16(h[4:])),
		Number: l.number + uint32(int32(int16(le.Uint16(h[2:])))),
		Ref:    Ref(l.block)<<16 | Ref(le.Uint16(h[:])),
		Next:   Cookie(l.header)<<9 | Cookie(l.taken),
	}
	if l.taken == l.run {
		e.Next = Cookie(l.size-l.left) << 9
	}
	return e, true, nil
}

// take reads p, which must be within the directory.
func (l *listing) take(p []byte) error {
	if l.left < int64(len(p)) {
		return corrupt(l.part, l.position, "a directory ends in the middle of an entry")
	}
	l.left -= int64(len(p))
	return l.read(p)
}

// Lookup returns where the inode of the file called name in the directory is, or ErrNotFound.
func (r *Reader) Lookup(d *Inode, name string) (Ref, error) {
	var l listing
	if err := l.begin(r, d); err != nil {
		return 0, err
	}
	if len(name) > maxName || name == "" {
		return 0, ErrNotFound
	}
	if err := l.skipByIndex(d, name); err != nil {
		return 0, err
	}
	for begin := l.left; ; {
		e, ok, err := l.next()
		switch {
		case err != nil:
			return 0, err
		case begin-l.left > maxSearch:
			return 0, corrupt(l.part, l.position, "directory %v has no index", d.Ref)
		case !ok, e.Name[0] > name[0]: // they are sorted
			return 0, ErrNotFound
		case string(e.Name) == name:
			return e.Ref, nil
		}
	}
}

// skipByIndex goes to the last header of which the directory's index knows that the first name after it
// is not beyond name. Large directories have an entry in the index for each of their metadata blocks.
func (l *listing) skipByIndex(d *Inode, name string) error {
	index := d.rest
	le := binary.LittleEndian
	var buffer [maxName + 1]byte
	found := false
	var skipped, block int64
	for range d.indexes {
		var h [12]byte
		if err := index.read(h[:]); err != nil {
			return err
		}
		length := int64(le.Uint32(h[8:])) + 1
		if length > maxName {
			return corrupt(index.part, index.position, "a name of %d bytes in the index of directory %v", length, d.Ref)
		}
		if err := index.read(buffer[:length]); err != nil {
			return err
		}
		if string(buffer[:length]) > name {
			break
		}
		found = true
		skipped, block = int64(le.Uint32(h[:])), int64(le.Uint32(h[4:]))
	}
	if !found {
		return nil
	}
	if skipped >= l.size {
		return corrupt(index.part, index.position, "the index of directory %v points behind its end", d.Ref)
	}
	c, err := l.r.cursor(l.part, l.r.super.directoryTable, l.end, block, int((int64(d.offset)+skipped)%metadataSize))
	if err != nil {
		return err
	}
	l.cursor, l.left = c, l.size-skipped
	return nil
}

// ReadDir calls yield for the entries of the directory from a cookie on, until it returns false.
// The entries "." and ".." are not among them.
func (r *Reader) ReadDir(d *Inode, from Cookie, yield func(Entry) bool) error {
	var l listing
	if err := l.begin(r, d); err != nil {
		return err
	}
	if err := l.seek(d, from); err != nil {
		return err
	}
	for {
		e, ok, err := l.next()
		if err != nil || !ok {
			return err
		}
		if !yield(e) {
			r.places.put(place{d.Ref, l.header, l.start})
			return nil
		}
	}
}

// seek goes to the entry that a cookie stands for, or if there is none to the directory's end.
func (l *listing) seek(d *Inode, to Cookie) error {
	header, taken := int64(to>>9), uint32(to&0x1ff)
	if header >= l.size {
		l.left = 0
		return nil
	}
	if c, ok := l.placeOf(d, header); ok {
		l.cursor, l.left = c, l.size-header
	}
	for l.size-l.left < header || l.taken < l.run { // from the start, as only a header says where the next one is
		if _, ok, err := l.next(); err != nil || !ok {
			return err
		}
	}
	if l.size-l.left > header {
		l.left = 0
		return nil
	}
	for range taken {
		if _, ok, err := l.next(); err != nil || !ok {
			return err
		}
	}
	return nil
}

func (l *listing) placeOf(d *Inode, header int64) (cursor, bool) {
	if l.r == nil || header == 0 {
		return cursor{}, false
	}
	return l.r.places.get(d.Ref, header)
}

// A place is where in the directory table a header of a directory is.
type place struct {
	directory Ref
	header    int64
	cursor    cursor
}

// The placeCache remembers where listings of directories stopped, as the kernel asks for a page of
// entries at a time: without it a large directory would be walked from its start for each of them.
type placeCache struct {
	mu     sync.Mutex
	recent [32]place
	next   int
}

func (c *placeCache) put(p place) {
	p.cursor.block = nil // the block may be evicted
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent[c.next] = p
	c.next = (c.next + 1) % len(c.recent)
}

func (c *placeCache) get(directory Ref, header int64) (cursor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.recent {
		if p.directory == directory && p.header == header && p.cursor.r != nil {
			return p.cursor, true
		}
	}
	return cursor{}, false
}
