package decompress

import (
	"bytes"
	"encoding/binary"
	"sync"
)

// newXZ has d decompress xz streams of one block, which is what the encoder's function for data in memory
// makes: LZMA2, behind at most one filter for executable code, with CRC32 or no check sum. The kernel
// supports no other check sums either.
func newXZ(d *Decompressor) {
	states := newContexts[*lzma]()
	d.decode = func(dst, src []byte) (int, error) {
		l := states.take()
		if l == nil {
			l = &lzma{}
		}
		defer func() { states.put(l) }()
		defer l.forget()
		x := xz{src: src}
		return x.decode(l, dst)
	}
}

const (
	badCheck   damage = "the kind of its check sum is not supported"
	badFilters damage = "its filters are not supported"
)

// An xz is the rest of a stream.
type xz struct {
	src []byte
	in  int
}

// decode decompresses a stream. Of what stands twice, in block and index or header and footer, both are the
// same, or else it is damaged.
func (x *xz) decode(l *lzma, dst []byte) (int, error) {
	checkSize, err := x.streamHeader()
	if err != nil {
		return 0, err
	}
	flags := x.src[6:8]

	start := x.in
	b, err := x.blockHeader()
	if err != nil {
		return 0, err
	}
	packed := x.in
	n, err := l.decodeLZMA2(dst, x)
	if err != nil {
		return 0, err
	}
	if b.packed != unknown && b.packed != uint64(x.in-packed) || b.size != unknown && b.size != uint64(n) {
		return 0, badHeader
	}
	unpadded := x.in - start + checkSize
	if err := x.padding(start); err != nil {
		return 0, err
	}
	if b.filter != nil {
		b.filter(dst[:n])
	}
	if checkSize > 0 {
		if sum, err := x.uint32(); err != nil {
			return 0, err
		} else if sum != crc32(dst[:n]) {
			return 0, badChecksum
		}
	}

	start = x.in
	if err := x.index(unpadded, n); err != nil {
		return 0, err
	}
	return n, x.footer(x.in-start, flags)
}

// streamHeader reads the header and returns the size of the check sum.
func (x *xz) streamHeader() (int, error) {
	header, err := x.bytes(12)
	if err != nil {
		return 0, err
	}
	if string(header[:7]) != "\xfd7zXZ\x00\x00" {
		return 0, badHeader
	}
	if binary.LittleEndian.Uint32(header[8:]) != crc32(header[6:8]) {
		return 0, badHeader
	}
	switch header[7] {
	case 0:
		return 0, nil
	case 1:
		return 4, nil
	}
	return 0, badCheck
}

// An xzBlock is what a block's header says.
type xzBlock struct {
	packed, size uint64 // or unknown
	filter       func(code []byte)
}

const unknown = 1<<64 - 1

func (x *xz) blockHeader() (b xzBlock, err error) {
	first, err := x.bytes(1)
	if err != nil {
		return b, err
	}
	size := (int(first[0]) + 1) * 4
	if size == 4 { // an index, of a stream without blocks
		return b, badHeader
	}
	x.in--
	all, err := x.bytes(size)
	if err != nil {
		return b, err
	}
	if binary.LittleEndian.Uint32(all[size-4:]) != crc32(all[:size-4]) {
		return b, badHeader
	}
	// What is too short for its content is no more complete with what comes after it.
	h := xz{src: all[:size-4], in: 2}
	flags := all[1]
	if flags&0x3e != 0 {
		return b, badFilters
	}
	b.packed, b.size = unknown, unknown
	if flags&0x40 != 0 {
		if b.packed, err = h.number(); err != nil {
			return b, badHeader
		}
	}
	if flags&0x80 != 0 {
		if b.size, err = h.number(); err != nil {
			return b, badHeader
		}
	}
	if flags&1 != 0 {
		id, properties, err := h.filter()
		if err != nil {
			return b, badHeader
		}
		if b.filter = codeFilter(id); b.filter == nil {
			return b, badFilters
		}
		if len(properties) != 0 { // another address of the code than 0
			return b, badFilters
		}
	}
	const lzma2 = 0x21
	id, properties, err := h.filter()
	if err != nil {
		return b, badHeader
	}
	if id != lzma2 {
		return b, badFilters
	}
	if len(properties) != 1 { // the size of the dictionary
		return b, badHeader
	}
	for _, zero := range h.src[h.in:] {
		if zero != 0 {
			return b, badHeader
		}
	}
	return b, nil
}

func (x *xz) filter() (id uint64, properties []byte, err error) {
	if id, err = x.number(); err != nil {
		return 0, nil, err
	}
	size, err := x.number()
	if err != nil {
		return 0, nil, err
	}
	if size > uint64(len(x.src)-x.in) {
		return 0, nil, truncated
	}
	properties, err = x.bytes(int(size))
	return id, properties, err
}

// index reads the index, which is to be that of one block with those sizes.
func (x *xz) index(unpadded, size int) error {
	start := x.in
	for _, want := range []uint64{0, 1, uint64(unpadded), uint64(size)} { // 0 is not a block's header
		if got, err := x.number(); err != nil {
			return err
		} else if got != want {
			return invalid
		}
	}
	if err := x.padding(start); err != nil {
		return err
	}
	end := x.in
	if sum, err := x.uint32(); err != nil {
		return err
	} else if sum != crc32(x.src[start:end]) {
		return badChecksum
	}
	return nil
}

func (x *xz) footer(indexSize int, flags []byte) error {
	footer, err := x.bytes(12)
	switch {
	case err != nil:
		return err
	case string(footer[10:]) != "YZ" || !bytes.Equal(footer[8:10], flags) ||
		binary.LittleEndian.Uint32(footer[4:]) != uint32(indexSize/4-1):
		return invalid
	case binary.LittleEndian.Uint32(footer) != crc32(footer[4:10]):
		return badChecksum
	case x.in != len(x.src):
		return trailing
	}
	return nil
}

// decodeLZMA2 decompresses chunks, each with a header that says how to go on.
func (l *lzma) decodeLZMA2(dst []byte, x *xz) (int, error) {
	const (
		end               = 0
		copiedFromStart   = 1 // with a new dictionary
		copied            = 2
		compressed        = 0x80 // or more
		withReset         = 0xa0
		withProperties    = 0xc0
		withNewDictionary = 0xe0
	)
	l.dst, l.base, l.at = dst, 0, 0
	lowest := copiedFromStart // of what may come: first a dictionary, then properties
	dictionary := false
	for {
		header, err := x.bytes(1)
		if err != nil {
			return 0, err
		}
		control := int(header[0])
		if control == end {
			return l.at, nil
		}
		if control > copied && control < compressed {
			return 0, invalid
		}
		if control == copiedFromStart || control >= withNewDictionary {
			l.base, dictionary = l.at, true
			lowest = max(lowest, withProperties)
		}
		if !dictionary {
			return 0, invalid
		}

		if control < compressed {
			size, err := x.bytes(2)
			if err != nil {
				return 0, err
			}
			data, err := x.bytes(int(binary.BigEndian.Uint16(size)) + 1)
			if err != nil {
				return 0, err
			}
			if len(data) > len(dst)-l.at {
				return 0, tooLong
			}
			l.at += copy(dst[l.at:], data)
			continue
		}

		if control < lowest {
			return 0, invalid
		}
		sizes, err := x.bytes(4)
		if err != nil {
			return 0, err
		}
		if control >= withProperties {
			properties, err := x.bytes(1)
			if err != nil {
				return 0, err
			}
			if !l.setProperties(properties[0]) {
				return 0, invalid
			}
		}
		if control >= withReset {
			l.reset()
		}
		lowest = compressed
		size := control&0x1f<<16 + int(binary.BigEndian.Uint16(sizes)) + 1
		if size > len(dst)-l.at {
			return 0, tooLong
		}
		data, err := x.bytes(int(binary.BigEndian.Uint16(sizes[2:])) + 1)
		if err != nil {
			return 0, err
		}
		if err := l.start(data); err != nil {
			return 0, err
		}
		if err := l.decode(l.at+size, false); err != nil {
			return 0, err
		}
		if !l.rc.atEnd() {
			return 0, invalid
		}
	}
}

// bytes returns the next n bytes.
func (x *xz) bytes(n int) ([]byte, error) {
	if n > len(x.src)-x.in {
		return nil, truncated
	}
	x.in += n
	return x.src[x.in-n : x.in], nil
}

// padding skips the zeros that make what begins at start a multiple of four bytes.
func (x *xz) padding(start int) error {
	zeros, err := x.bytes((start - x.in) & 3)
	for _, zero := range zeros {
		if zero != 0 {
			return invalid
		}
	}
	return err
}

func (x *xz) uint32() (uint32, error) {
	b, err := x.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// number returns a number of up to 63 bits, seven in each byte, lowest first.
func (x *xz) number() (uint64, error) {
	var n uint64
	for shift := uint(0); shift < 63; shift += 7 {
		b, err := x.bytes(1)
		if err != nil {
			return 0, err
		}
		n |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if b[0] == 0 && shift > 0 {
				return 0, invalid // there is a shorter way to write it
			}
			return n, nil
		}
	}
	return 0, invalid
}

// crcTables has the check sums of single bytes, followed by zero to three bytes of zero. It is made when first
// used: hash/crc32 makes its own whenever a program starts.
var crcTables = sync.OnceValue(func() *[4][256]uint32 {
	const polynomial = 0xedb88320
	var t [4][256]uint32
	for i := range t[0] {
		sum := uint32(i)
		for range 8 {
			sum = sum>>1 ^ polynomial&-(sum&1)
		}
		t[0][i] = sum
	}
	for i := range t[0] {
		for k := 1; k < len(t); k++ {
			before := t[k-1][i]
			t[k][i] = before>>8 ^ t[0][byte(before)]
		}
	}
	return &t
})

// crc32 returns the check sum that hash/crc32 calls IEEE.
func crc32(data []byte) uint32 {
	t := crcTables()
	sum := ^uint32(0)
	for ; len(data) >= 4; data = data[4:] {
		sum ^= binary.LittleEndian.Uint32(data)
		sum = t[3][byte(sum)] ^ t[2][byte(sum>>8)] ^ t[1][byte(sum>>16)] ^ t[0][sum>>24]
	}
	for _, b := range data {
		sum = sum>>8 ^ t[0][byte(sum)^b]
	}
	return ^sum
}
