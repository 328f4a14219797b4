package squash

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A Ref says where an inode is: the position of its metadata block in the inode table, and the offset
// in that block. Each file of an image has one, hard links included.
type Ref uint64

func (f Ref) block() int64 { return int64(f >> 16) }
func (f Ref) offset() int  { return int(f & 0xffff) }

func (f Ref) String() string { return fmt.Sprintf("%d:%d", f.block(), f.offset()) }

// Type is the type of a file.
type Type uint16

// The types, as they are in inodes and directories. In an inode the extended form of each is one more
// than the number of types.
const (
	Directory Type = 1 + iota
	Regular
	Symlink
	BlockDevice
	CharDevice
	FIFO
	Socket

	types = Socket
)

const (
	noFragment = math.MaxUint32
	noXattr    = math.MaxUint32
	maxSymlink = 4096 // bytes, as in the kernel
	// maxBlocks limits the time that it takes to find a file's last block. With blocks of 128 KiB it is a file
	// of 16 TiB.
	maxBlocks = 1 << 27
)

// An Inode is what there is to know of a file.
type Inode struct {
	Ref    Ref
	Type   Type
	Mode   uint16 // permissions, set-ID and sticky bits
	Number uint32
	MTime  uint32 // in seconds since 1970
	Links  uint32
	Size   int64  // in bytes; of a symbolic link its length; of a directory what SquashFS calls it
	Blocks int64  // in units of 512 bytes
	Device uint32 // of devices, as the kernel encodes it (new_encode_dev)
	Parent uint32 // of directories: the number of the parent directory's inode

	uid, gid uint16 // numbers in the ID table
	xattr    uint32 // number in the table of attribute sets

	// Of files: where the first block is, and what follows the blocks.
	start          int64
	fragment       uint32
	fragmentOffset uint32
	// Of directories: where its entries begin in the directory table, and how many index entries follow.
	block   uint32
	offset  uint16
	indexes uint16

	rest cursor // what follows in the inode table: list of blocks, directory index, or target
}

// Inode reads the inode at ref. It is inlined, so that who needs the inode for no longer than a call has it on the stack.
func (r *Reader) Inode(ref Ref) (*Inode, error) {
	i := new(Inode)
	if err := i.read(r, ref); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *Inode) read(r *Reader, ref Ref) error {
	c, err := r.cursor("inode table", r.super.inodeTable, r.super.directoryTable, ref.block(), ref.offset())
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	var b [40]byte // the longest inode has so much after the common part
	common := b[:16]
	if err := c.read(common); err != nil {
		return err
	}
	kind := Type(le.Uint16(common))
	*i = Inode{
		Ref: ref, Type: kind, Links: 1, xattr: noXattr, fragment: noFragment,
		Mode: le.Uint16(common[2:]) & 0o7777, uid: le.Uint16(common[4:]), gid: le.Uint16(common[6:]),
		MTime: le.Uint32(common[8:]), Number: le.Uint32(common[12:]),
	}
	fail := func(format string, args ...any) error {
		return corrupt("inode table", r.super.inodeTable, "inode %v: %s", ref, fmt.Sprintf(format, args...))
	}
	extended := kind > types
	if extended {
		i.Type -= types
	}
	if i.Type < Directory || i.Type > types {
		return fail("unknown type %d", kind)
	}

	lengths := [...]int{Directory: 16, Regular: 16, Symlink: 8, BlockDevice: 8, CharDevice: 8, FIFO: 4, Socket: 4}
	if extended {
		lengths = [...]int{Directory: 24, Regular: 40, Symlink: 8, BlockDevice: 12, CharDevice: 12, FIFO: 8, Socket: 8}
	}
	p := b[:lengths[i.Type]]
	if err := c.read(p); err != nil {
		return err
	}
	switch {
	case i.Type == Directory && !extended:
		i.block, i.Links, i.Size = le.Uint32(p), le.Uint32(p[4:]), int64(le.Uint16(p[8:]))
		i.offset, i.Parent = le.Uint16(p[10:]), le.Uint32(p[12:])
	case i.Type == Directory:
		i.Links, i.Size, i.block = le.Uint32(p), int64(le.Uint32(p[4:])), le.Uint32(p[8:])
		i.Parent, i.indexes, i.offset, i.xattr = le.Uint32(p[12:]), le.Uint16(p[16:]), le.Uint16(p[18:]), le.Uint32(p[20:])
	case i.Type == Regular && !extended:
		i.start, i.fragment, i.fragmentOffset = int64(le.Uint32(p)), le.Uint32(p[4:]), le.Uint32(p[8:])
		i.Size = int64(le.Uint32(p[12:]))
		i.Blocks = (i.Size + 511) / 512
	case i.Type == Regular:
		i.start, i.Size = int64(le.Uint64(p)), int64(le.Uint64(p[8:]))
		sparse := int64(le.Uint64(p[16:]))
		i.Links, i.fragment, i.fragmentOffset, i.xattr = le.Uint32(p[24:]), le.Uint32(p[28:]), le.Uint32(p[32:]), le.Uint32(p[36:])
		if i.Size < 0 || i.Size > math.MaxInt64-maxBlockSize || i.start < 0 || sparse < 0 {
			return fail("a file of %d bytes, %d of them in holes, at byte %d", uint64(i.Size), uint64(sparse), uint64(i.start))
		}
		i.Blocks = (max(0, i.Size-sparse) + 511) / 512
	case i.Type == Symlink:
		i.Links, i.Size = le.Uint32(p), int64(le.Uint32(p[4:]))
		if i.Size > maxSymlink {
			return fail("a symbolic link of %d bytes", i.Size)
		}
		if extended {
			after := c
			if err := after.skip(i.Size); err != nil {
				return err
			}
			if i.xattr, err = after.uint32(); err != nil {
				return err
			}
		}
	case i.Type == BlockDevice, i.Type == CharDevice:
		i.Links, i.Device = le.Uint32(p), le.Uint32(p[4:])
		if extended {
			i.xattr = le.Uint32(p[8:])
		}
	default:
		i.Links = le.Uint32(p)
		if extended {
			i.xattr = le.Uint32(p[4:])
		}
	}
	if i.Type == Regular && i.Size/int64(r.super.BlockSize) > maxBlocks {
		return fail("a file of %d bytes in blocks of %d", i.Size, r.super.BlockSize)
	}
	// What is left of the table, if all of its blocks were as small as can be.
	if room := (r.super.directoryTable - r.super.inodeTable - ref.block()) / 3 * metadataSize; i.Size/int64(r.super.BlockSize)*4 > room && i.Type == Regular {
		return fail("there is no room for the list of the blocks of %d bytes", i.Size)
	}
	if i.fragment != noFragment && i.fragment >= r.super.Fragments {
		return fail("fragment %d of %d", i.fragment, r.super.Fragments)
	}
	i.rest = c
	return nil
}

// Owner returns the IDs of the user and the group that the image says the file belongs to.
func (r *Reader) Owner(i *Inode) (uid, gid uint32, err error) {
	if uid, err = r.id(i.uid); err != nil {
		return 0, 0, err
	}
	gid, err = r.id(i.gid)
	return uid, gid, err
}

// Readlink returns the target of a symbolic link.
func (r *Reader) Readlink(i *Inode) ([]byte, error) {
	if i.Type != Symlink {
		return nil, ErrNotSymlink
	}
	target := make([]byte, i.Size)
	c := i.rest
	err := c.read(target)
	return target, err
}
