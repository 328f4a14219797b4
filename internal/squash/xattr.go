package squash

import "encoding/binary"

const (
	// Limits of the kernel, in bytes (xattr(7)).
	maxXattrValue = 64 << 10
	maxXattrNames = 64 << 10
	// maxXattrs is how much the values of one file take, in bytes: more than file systems have room for.
	maxXattrs = 4 << 20

	xattrOutOfLine = 1 << 8 // in the type: the value is a reference to the value
)

// xattrPrefixes are the namespaces, by the number in a type.
var xattrPrefixes = [...]string{"user.", "trusted.", "security."}

// The xattrTable is what the image says about extended attributes.
type xattrTable struct {
	index int64 // of the table of attribute sets
	start int64 // of the attributes
	sets  uint32
}

// An Xattr is an extended attribute of a file.
type Xattr struct {
	Name  string
	Size  int // of the value, in bytes
	value cursor
}

// HasXattrs says whether any file of the image can have extended attributes.
func (r *Reader) HasXattrs() bool { return r.xattrs.sets > 0 }

func (r *Reader) openXattrs() error {
	at := r.super.xattrTable
	if at == absent {
		return nil
	}
	var b [16]byte
	if err := r.readAt(b[:], at, "xattr table"); err != nil {
		return err
	}
	t := xattrTable{
		index: at + int64(len(b)),
		start: int64(binary.LittleEndian.Uint64(b[:])),
		sets:  binary.LittleEndian.Uint32(b[8:]),
	}
	if t.index+8*((int64(t.sets)+xattrIDsPerBlock-1)/xattrIDsPerBlock) > r.super.BytesUsed {
		return corrupt("xattr table", at, "there is no room for %d sets of attributes", t.sets)
	}
	if t.sets > 0 && (t.start < superblockSize || t.start >= at) {
		return corrupt("xattr table", at, "the attributes would begin at byte %d", t.start)
	}
	r.xattrs = t
	return nil
}

// Xattrs returns the extended attributes of the file, trusted.* included.
func (r *Reader) Xattrs(i *Inode) ([]Xattr, error) {
	if i.xattr == noXattr || !r.HasXattrs() {
		return nil, nil
	}
	t := r.xattrs
	if i.xattr >= t.sets {
		return nil, corrupt("inode table", r.super.inodeTable, "inode %v: set %d of %d of attributes", i.Ref, i.xattr, t.sets)
	}
	var set [16]byte
	if err := r.entry("xattr table", t.index, i.xattr, set[:]); err != nil {
		return nil, err
	}
	c, err := r.xattrCursor(binary.LittleEndian.Uint64(set[:]))
	if err != nil {
		return nil, err
	}
	var list []Xattr
	names, values := 0, 0
	for range binary.LittleEndian.Uint32(set[8:]) {
		x, err := r.nextXattr(&c)
		if err != nil {
			return nil, err
		}
		if names += len(x.Name) + 1; names > maxXattrNames {
			return nil, corrupt(c.part, c.position, "the names of a file's attributes take more than %d bytes", maxXattrNames)
		}
		if values += x.Size; values > maxXattrs {
			return nil, corrupt(c.part, c.position, "the values of a file's attributes take more than %d bytes", maxXattrs)
		}
		list = append(list, x)
	}
	return list, nil
}

// xattrCursor returns a cursor at a reference into the attributes, which is like a [Ref].
func (r *Reader) xattrCursor(ref uint64) (cursor, error) {
	end := r.super.xattrTable
	return r.cursor("xattr table", r.xattrs.start, end, int64(ref>>16), int(ref&0xffff))
}

// nextXattr reads one attribute and goes behind it.
func (r *Reader) nextXattr(c *cursor) (x Xattr, err error) {
	var head [4]byte
	if err := c.read(head[:]); err != nil {
		return x, err
	}
	kind, length := binary.LittleEndian.Uint16(head[:]), binary.LittleEndian.Uint16(head[2:])
	prefix := int(kind &^ xattrOutOfLine)
	if prefix >= len(xattrPrefixes) || length == 0 || length > maxName {
		return x, corrupt(c.part, c.position, "an attribute of type %#x with a name of %d bytes", kind, length)
	}
	name := make([]byte, length)
	if err := c.read(name); err != nil {
		return x, err
	}
	size, err := c.uint32()
	if err != nil {
		return x, err
	}
	x = Xattr{Name: xattrPrefixes[prefix] + string(name), value: *c}
	if size > maxXattrValue {
		return x, corrupt(c.part, c.position, "a value of %d bytes of %q", size, x.Name)
	}
	if err := c.skip(int64(size)); err != nil {
		return x, err
	}
	if kind&xattrOutOfLine != 0 {
		var ref [8]byte
		if size != uint32(len(ref)) {
			return x, corrupt(c.part, c.position, "a reference of %d bytes to the value of %q", size, x.Name)
		}
		if err := x.value.read(ref[:]); err != nil {
			return x, err
		}
		if x.value, err = r.xattrCursor(binary.LittleEndian.Uint64(ref[:])); err != nil {
			return x, err
		}
		if size, err = x.value.uint32(); err != nil {
			return x, err
		}
	}
	if size > maxXattrValue {
		return x, corrupt(c.part, c.position, "a value of %d bytes of %q", size, x.Name)
	}
	x.Size = int(size)
	x.value.block = nil // or there would be as many blocks in memory as attributes
	return x, nil
}

// Value returns the attribute's value.
func (x Xattr) Value() ([]byte, error) {
	value := make([]byte, x.Size)
	err := x.value.read(value)
	return value, err
}
