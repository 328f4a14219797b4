package mutant

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
)

// A Plan is what to build an image of that no compressor would make: tables of any content and size. The zero values
// are those of a sound image.
type Plan struct {
	BlockSize   int    // 4 KiB
	Data        []byte // from byte 96 on
	Inodes      []byte // the inode table, decompressed
	Root        uint64 // where in it the root directory is
	Directories []byte // the directory table, decompressed
	Fragments   []byte // the entries, 16 bytes each
	Xattrs      []byte // the attributes
	Raw         int    // how many of the blocks of attributes are not compressed
	Sets        []byte // the entries of attribute sets, 16 bytes each
	Plain       bool   // metadata are not compressed
	Split       int    // the length of metadata blocks if not 8 KiB
}

// Build makes the image. Metadata are compressed as well as gzip can.
func (p Plan) Build() []byte {
	if p.BlockSize == 0 {
		p.BlockSize = 4096
	}
	le := binary.LittleEndian
	image := append(make([]byte, superblockSize), p.Data...)
	var last, small []byte // equal blocks are compressed once
	metadata := func(content []byte, raw int) (positions []uint64) {
		size := metadataSize
		if p.Split != 0 {
			size = p.Split
		}
		for len(content) > 0 {
			block := content[:min(size, len(content))]
			content = content[len(block):]
			positions = append(positions, uint64(len(image)))
			if !p.Plain && !bytes.Equal(block, last) {
				var b bytes.Buffer
				w, _ := zlib.NewWriterLevel(&b, zlib.BestCompression)
				_, _ = w.Write(block) // to memory
				_ = w.Close()
				small = b.Bytes()
				last = block
			}
			if p.Plain || len(positions) <= raw || len(small) >= len(block) {
				image = le.AppendUint16(image, uint16(len(block))|uncompressed)
				image = append(image, block...)
				continue
			}
			image = le.AppendUint16(image, uint16(len(small)))
			image = append(image, small...)
		}
		return positions
	}
	indexed := func(content, before []byte) (index int) {
		positions := metadata(content, 0)
		index = len(image)
		image = append(image, before...)
		for _, at := range positions {
			image = le.AppendUint64(image, at)
		}
		return index
	}

	// The first block of a root that is further behind is not compressed differently, so its position can be found.
	inodes := len(image)
	blocks := metadata(p.Inodes, 0)
	root := (blocks[p.Root/metadataSize]-uint64(inodes))<<16 | p.Root%metadataSize
	directories := len(image)
	metadata(p.Directories, 0)
	fragments := absent
	if len(p.Fragments) > 0 {
		fragments = uint64(indexed(p.Fragments, nil))
	}
	id := indexed(make([]byte, 4), nil)
	xattrs := absent
	if len(p.Sets) > 0 {
		start := uint64(len(image))
		metadata(p.Xattrs, p.Raw)
		head := le.AppendUint64(nil, start)
		head = le.AppendUint64(head, uint64(len(p.Sets)/16))
		xattrs = uint64(indexed(p.Sets, head))
	}

	s := append([]byte("hsqs"), le.AppendUint32(nil, 3)...)
	for _, v := range []int{0, p.BlockSize, len(p.Fragments) / 16} {
		s = le.AppendUint32(s, uint32(v))
	}
	log := 0
	for 1<<log < p.BlockSize {
		log++
	}
	for _, v := range []int{1, log, 0, 1, 4, 0} {
		s = le.AppendUint16(s, uint16(v))
	}
	for _, v := range []uint64{root, uint64(len(image)), uint64(id), xattrs, uint64(inodes), uint64(directories), fragments, absent} {
		s = le.AppendUint64(s, v)
	}
	copy(image, s)
	return image
}

// Inode returns an inode's bytes: what all have, and then the values of the layout, see "size:4".
func Inode(kind, number int, values map[string]uint64) []byte {
	b := []byte{byte(kind), 0, 0o355, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.LittleEndian.PutUint32(b[12:], uint32(number))
	for name, width := range layout(inodeLayouts[kind]) {
		var v [8]byte
		value, ok := values[name]
		if !ok {
			switch name {
			case "nlink":
				value = 1
			case "fragment", "xattr":
				value = absent
			}
		}
		binary.LittleEndian.PutUint64(v[:], value)
		b = append(b, v[:width]...)
	}
	return b
}

// An Entry is one to be put into a directory.
type Entry struct {
	Name  string
	Kind  int
	Inode int // where in the first metadata block of the inode table
}

// Directory returns a directory's bytes for the directory table, its size is three more.
func Directory(entries ...Entry) []byte {
	le := binary.LittleEndian
	var b []byte
	for len(entries) > 0 {
		run := entries[:min(256, len(entries))]
		entries = entries[len(run):]
		b = le.AppendUint32(b, uint32(len(run)-1))
		b = append(b, make([]byte, 8)...)
		for _, e := range run {
			b = le.AppendUint16(b, uint16(e.Inode))
			b = le.AppendUint16(b, 2)
			b = le.AppendUint16(b, uint16(e.Kind))
			b = le.AppendUint16(b, uint16(len(e.Name)-1))
			b = append(b, e.Name...)
		}
	}
	return b
}
