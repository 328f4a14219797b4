package squash

import "encoding/binary"

const (
	fragmentsPerBlock = metadataSize / 16
	idsPerBlock       = metadataSize / 4
	xattrIDsPerBlock  = metadataSize / 16
)

// entry reads the entry with number i of a table of metadata blocks that is found through an index: at
// index there is the position of each block, 8 bytes each. The caller has checked that there are
// that many entries.
func (r *Reader) entry(part string, index int64, i uint32, p []byte) error {
	perBlock := metadataSize / uint32(len(p))
	at := index + 8*int64(i/perBlock)
	if at+8 > r.super.BytesUsed {
		return corrupt(part, index, "its index goes beyond the image's end")
	}
	var pointer [8]byte
	if err := r.readAt(pointer[:], at, part); err != nil {
		return err
	}
	position := int64(binary.LittleEndian.Uint64(pointer[:]))
	if position < superblockSize || position >= index {
		return corrupt(part, at, "a block at byte %d, before the index at %d expected", position, index)
	}
	c, err := r.cursor(part, position, index, 0, int(i%perBlock)*len(p))
	if err != nil {
		return err
	}
	return c.read(p)
}

// A fragment is a block that the ends of several files share.
type fragment struct {
	position int64
	size     uint32 // as in a list of blocks
}

func (r *Reader) fragment(number uint32) (fragment, error) {
	if number >= r.super.Fragments {
		return fragment{}, corrupt("fragment table", r.super.fragmentTable, "no fragment %d, there are %d", number, r.super.Fragments)
	}
	var b [16]byte
	if err := r.entry("fragment table", r.super.fragmentTable, number, b[:]); err != nil {
		return fragment{}, err
	}
	f := fragment{int64(binary.LittleEndian.Uint64(b[:])), binary.LittleEndian.Uint32(b[8:])}
	if f.position < superblockSize || f.position >= r.super.BytesUsed {
		return f, corrupt("fragment table", r.super.fragmentTable, "fragment %d at byte %d of %d", number, uint64(f.position), r.super.BytesUsed)
	}
	return f, nil
}

// id returns a user or group ID by its number in the table of them.
func (r *Reader) id(number uint16) (uint32, error) {
	if number >= r.super.IDs {
		return 0, corrupt("ID table", r.super.idTable, "no ID %d, there are %d", number, r.super.IDs)
	}
	var b [4]byte
	err := r.entry("ID table", r.super.idTable, uint32(number), b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}
