package squash

import (
	"encoding/binary"
	"math/bits"

	"ch-run/internal/squash/decompress"
)

const (
	// Magic is how an image begins.
	Magic = "hsqs"

	superblockSize = 96
	// headSize is read at once to begin with: the superblock, and the compressor's options after it.
	headSize = 512

	minBlockSize = 4 << 10
	maxBlockSize = 1 << 20

	// absent is the start of a table that the image does not have.
	absent = -1

	flagCompressorOptions = 1 << 10
)

// A Superblock is what an image says about itself. Positions are in bytes from its start.
type Superblock struct {
	Inodes      uint32
	ModTime     uint32 // when the image was made, in seconds since 1970
	BlockSize   uint32 // of data, in bytes
	Fragments   uint32
	Compression decompress.Method
	Flags       uint16
	IDs         uint16
	Root        Ref
	BytesUsed   int64 // the size of the image without padding

	idTable, xattrTable, inodeTable, directoryTable, fragmentTable, exportTable int64
	directoryEnd                                                                int64
}

// parseSuperblock believes the superblock in head, the start of an image of size bytes, as far as it is
// consistent.
func parseSuperblock(head []byte, size int64) (s Superblock, err error) {
	fail := func(format string, args ...any) (Superblock, error) {
		return s, corrupt("superblock", 0, format, args...)
	}
	if len(head) < superblockSize {
		return fail("the file ends after %d of %d bytes", len(head), superblockSize)
	}
	if string(head[:4]) != Magic {
		return fail("the magic number is % x", head[:4])
	}
	le := binary.LittleEndian
	u64 := func(at int) int64 { return int64(le.Uint64(head[at:])) }
	s = Superblock{
		Inodes:      le.Uint32(head[4:]),
		ModTime:     le.Uint32(head[8:]),
		BlockSize:   le.Uint32(head[12:]),
		Fragments:   le.Uint32(head[16:]),
		Compression: decompress.Method(le.Uint16(head[20:])),
		Flags:       le.Uint16(head[24:]),
		IDs:         le.Uint16(head[26:]),
		Root:        Ref(le.Uint64(head[32:])),
		BytesUsed:   u64(40),

		idTable: u64(48), xattrTable: u64(56), inodeTable: u64(64),
		directoryTable: u64(72), fragmentTable: u64(80), exportTable: u64(88),
	}
	if major, minor := le.Uint16(head[28:]), le.Uint16(head[30:]); major != 4 || minor != 0 {
		return fail("version %d.%d, only 4.0 is supported", major, minor)
	}
	if s.BlockSize < minBlockSize || s.BlockSize > maxBlockSize || s.BlockSize&(s.BlockSize-1) != 0 {
		return fail("block size %d", s.BlockSize)
	}
	if log := le.Uint16(head[22:]); int(log) != bits.TrailingZeros32(s.BlockSize) {
		return fail("block size %d is not 2 to the power of %d", s.BlockSize, log)
	}
	if s.BytesUsed < superblockSize {
		return fail("%d bytes in all", s.BytesUsed)
	}
	if s.BytesUsed > size {
		return fail("truncated: %d bytes are missing of %d", s.BytesUsed-size, s.BytesUsed)
	}

	// The tables follow each other in this order, those left out that the image does not have.
	if s.Fragments == 0 {
		s.fragmentTable = absent
	}
	if s.inodeTable < superblockSize || s.directoryTable <= s.inodeTable {
		return fail("inode table at byte %d, directory table at byte %d", s.inodeTable, s.directoryTable)
	}
	s.directoryEnd = s.BytesUsed
	for _, table := range []struct {
		name  string
		start int64
	}{{"fragment", s.fragmentTable}, {"export", s.exportTable}, {"ID", s.idTable}, {"xattr", s.xattrTable}} {
		if table.start == absent && table.name != "ID" && (table.name != "fragment" || s.Fragments == 0) {
			continue
		}
		if table.start <= s.directoryTable || table.start >= s.BytesUsed {
			return fail("%s table at byte %d, between the directory table at %d and the end at %d expected",
				table.name, table.start, s.directoryTable, s.BytesUsed)
		}
		s.directoryEnd = min(s.directoryEnd, table.start)
	}
	if s.fragmentTable != absent && s.fragmentTable+8*((int64(s.Fragments)+fragmentsPerBlock-1)/fragmentsPerBlock) > s.BytesUsed {
		return fail("there is no room for %d fragments", s.Fragments)
	}
	if s.Root.block() >= s.directoryTable-s.inodeTable {
		return fail("root inode %v is not in the inode table", s.Root)
	}
	return s, nil
}

// compressorOptions returns the content of the metadata block after the superblock if there is one; head
// is the start of the image.
func (r *Reader) compressorOptions(head []byte) ([]byte, error) {
	if r.super.Flags&flagCompressorOptions == 0 {
		return nil, nil
	}
	if len(head) < superblockSize+2 {
		return nil, corrupt("compressor options", superblockSize, "the image ends here")
	}
	header := binary.LittleEndian.Uint16(head[superblockSize:])
	size := int(header &^ metadataUncompressed)
	options := head[superblockSize+2:]
	// They are never compressed: what to decompress them with is what they say.
	if header&metadataUncompressed == 0 || size > len(options) {
		return nil, corrupt("compressor options", superblockSize, "header %#04x", header)
	}
	return options[:size], nil
}
