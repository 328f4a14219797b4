// Package decompress decompresses the blocks of SquashFS 4.0 images.
//
// Images may be hostile. Whatever a block holds, decompressing it takes time and memory that are bounded by
// the size of the block and of the destination, writes nowhere else, and does not panic. Sizes that a block
// claims, of dictionaries and windows, are ignored or refused, never allocated: a block is decompressed at
// once, so that the destination is all the dictionary that there is to be.
//
// Most images are compressed with gzip, zstd or LZ4. C does those, libdeflate, libzstd and liblz4, up to several
// times as fast as Go; the build tags nolibdeflate, nolibzstd and noliblz4 choose Go in their place. The other
// methods are decoders of our own: libraries cost every launch of ch-run tens of microseconds to initialise, used
// or not, and need dictionaries besides the destination, and limits and recovery around them.
package decompress

import (
	"errors"
	"fmt"
	"runtime"
)

// A Method is a compression method, by its number in the superblock.
type Method uint16

// The methods of SquashFS 4.0. The kernel supports all but LZMA.
const (
	Gzip Method = 1 // zlib's format
	LZMA Method = 2 // the format of lzma_alone
	LZO  Method = 3 // LZO1X
	XZ   Method = 4
	LZ4  Method = 5 // without frame
	Zstd Method = 6
)

func (m Method) String() string {
	switch m {
	case Gzip:
		return "gzip"
	case LZMA:
		return "lzma"
	case LZO:
		return "lzo"
	case XZ:
		return "xz"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("unknown (%d)", uint16(m))
}

// The sizes of blocks, decompressed. Metadata blocks are small also where data blocks are smaller yet.
const (
	minBlockSize  = 4 << 10
	maxBlockSize  = 1 << 20
	metadataBlock = 8 << 10
)

// A Decompressor decompresses the blocks of an image. It is safe for concurrent use.
type Decompressor struct {
	method Method
	decode func(dst, src []byte) (int, error)
}

// New returns a decompressor for blocks of at most blockSize bytes, decompressed, or metadata blocks. options
// is the content of the image's compressor options, nil where it has none.
func New(m Method, options []byte, blockSize int) (*Decompressor, error) {
	if blockSize < minBlockSize || blockSize > maxBlockSize {
		return nil, fmt.Errorf("block size %d is not between %d and %d", blockSize, minBlockSize, maxBlockSize)
	}
	if err := checkOptions(m, options); err != nil {
		return nil, err
	}
	d := &Decompressor{method: m}
	switch m {
	case Gzip:
		newGzip(d)
	case LZMA:
		newLZMA(d)
	case LZO:
		d.decode = decodeLZO
	case XZ:
		newXZ(d)
	case LZ4:
		d.decode = decodeLZ4
	case Zstd:
		newZstd(d, max(blockSize, metadataBlock))
	}
	return d, nil
}

// Decompress decompresses src, one whole block, into dst and returns the length of the result. What dst holds
// after that, and after an error, is undefined.
//
// The error is a *CorruptError if src is damaged or truncated or decompresses to more than len(dst) bytes.
// Damage in content goes unnoticed in formats that have no check sum: lz4, lzo, lzma, and zstd as mksquashfs
// writes it.
func (d *Decompressor) Decompress(dst, src []byte) (int, error) {
	if len(src) == 0 {
		return 0, &CorruptError{d.method, truncated}
	}
	if len(dst) == 0 { // no block is compressed to nothing
		return 0, &CorruptError{d.method, tooLong}
	}
	n, err := d.decode(dst, src)
	runtime.KeepAlive(d) // and its contexts
	if err != nil {
		return 0, d.failure(err)
	}
	return n, nil
}

func (d *Decompressor) failure(err error) error {
	var found damage
	if errors.As(err, &found) {
		return &CorruptError{d.method, found}
	}
	return fmt.Errorf("cannot decompress a block with %v: %w", d.method, err)
}

// A CorruptError says that a block is not what its method's compressor wrote, or not for such a place.
type CorruptError struct {
	Method Method
	Reason error
}

func (e *CorruptError) Error() string { return fmt.Sprintf("damaged %v block: %v", e.Method, e.Reason) }
func (e *CorruptError) Unwrap() error { return e.Reason }

// A damage is what the decoders find. It is a constant, for package initialisation to cost nothing.
type damage string

func (d damage) Error() string { return string(d) }

const (
	truncated   damage = "it is truncated"
	tooLong     damage = "it decompresses to more than there is room for"
	invalid     damage = "its content is invalid"
	badDistance damage = "it refers to what is before its start"
	trailing    damage = "something follows its end"
	badChecksum damage = "its check sum is wrong"
	badHeader   damage = "its header is invalid"
)
