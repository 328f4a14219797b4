// Package linker knows what the dynamic linker of an image looks at: the objects that it loads, and the cache in
// which it finds them (ld.so(8)).
package linker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// An Object is what an ELF file says to the dynamic linker.
type Object struct {
	Machine  Machine
	Wide     bool      // 64-bit
	Name     string    // its own, DT_SONAME; "" if it has none
	Versions []Version // what it needs
	Offers   []string  // the versions that it defines
}

// A Version is a symbol version that an object needs of another.
type Version struct{ Object, Name string }

// ErrNotObject is returned for what is no ELF file, and ErrDamaged for one that is not whole, or has an unknown form.
var (
	ErrNotObject = errors.New("not an ELF object")
	ErrDamaged   = errors.New("damaged ELF object")
)

// maxTable is the longest table that is read, in bytes.
const maxTable = 1 << 20

// A Reader reads objects. It can be used for many, one at a time: fresh memory for each would take longer than
// reading it. The zero value is ready for use.
type Reader struct {
	file  io.ReaderAt
	order binary.ByteOrder
	wide  bool // 64-bit
	loads []segment

	start, table []byte
	texts        texts
}

// Read reads the dynamic section and what it refers to (elf(5), and "Symbol Versioning" in the Linux Standard
// Base, Core, 10.7), by as few reads as it takes: package debug/elf goes by the section headers, reads all of the
// string table for each name, and needs 160 µs an object, of which a launch may inject more than a hundred. An
// object that is linked statically has a machine only. length is that of the file, in bytes.
func (r *Reader) Read(file io.ReaderAt, length int64) (*Object, error) {
	if r.start == nil {
		r.start, r.table = make([]byte, 1024), make([]byte, 4096)
		r.texts.room = make([]byte, partSize)
	}
	r.file, r.loads = file, r.loads[:0]
	n, err := file.ReadAt(r.start, 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case n > 0 && !bytes.HasPrefix(r.start[:n], []byte(elfMagic)):
		return nil, ErrNotObject
	case n < identSize:
		return nil, ErrDamaged
	}
	object, dynamic, err := r.header(r.start[:n])
	if err != nil {
		return nil, err
	}
	if !r.isWhole(uint64(length)) {
		return nil, ErrDamaged
	}
	return object, r.dynamic(object, dynamic)
}

// isWhole says whether a file of that length has all of what is loaded of it.
func (r *Reader) isWhole(length uint64) bool {
	for _, s := range r.loads {
		if s.size > 0 && (s.offset > length || s.size > length-s.offset) {
			return false
		}
	}
	return true
}

// A segment is a program header.
type segment struct {
	kind                  uint32
	offset, address, size uint64
}

// header reads the ELF header and the program headers, and returns what the former says and where the dynamic section
// is.
func (r *Reader) header(start []byte) (object *Object, dynamic segment, err error) {
	ident := start[:identSize]
	switch ident[identData] {
	case dataLSB:
		r.order = binary.LittleEndian
	case dataMSB:
		r.order = binary.BigEndian
	default:
		return nil, dynamic, ErrDamaged
	}
	class := ident[identClass]
	r.wide = class == class64
	if !r.wide && class != class32 {
		return nil, dynamic, ErrDamaged
	}
	// Of Elf32_Ehdr and Elf64_Ehdr: where the program headers are, and how many of which size.
	at, sizes := 28, 42
	if r.wide {
		at, sizes = 32, 54
	}
	if len(start) < sizes+4 {
		return nil, dynamic, ErrDamaged
	}
	object = &Object{Machine: Machine(r.order.Uint16(start[18:])), Wide: r.wide}
	offset, size, count := r.word(start[at:]), uint64(r.order.Uint16(start[sizes:])), uint64(r.order.Uint16(start[sizes+2:]))
	if count > 0 && size < r.either(32, 56) {
		return nil, dynamic, ErrDamaged
	}
	table := start
	if offset > uint64(len(start)) || size*count > uint64(len(start))-offset {
		if table, err = r.read(offset, size*count); err != nil {
			return nil, dynamic, err
		}
		offset = 0
	}
	for i := range count {
		s := r.segment(table[offset+i*size:])
		switch s.kind {
		case typeLoad:
			r.loads = append(r.loads, s)
		case typeDynamic:
			dynamic = s
		}
	}
	return object, dynamic, nil
}

func (r *Reader) either(narrow, wide uint64) uint64 {
	if r.wide {
		return wide
	}
	return narrow
}

// word reads an address or an offset.
func (r *Reader) word(b []byte) uint64 {
	if r.wide {
		return r.order.Uint64(b)
	}
	return uint64(r.order.Uint32(b))
}

// segment reads an Elf32_Phdr or Elf64_Phdr.
func (r *Reader) segment(b []byte) segment {
	s := segment{kind: r.order.Uint32(b)}
	if r.wide {
		s.offset, s.address, s.size = r.order.Uint64(b[8:]), r.order.Uint64(b[16:]), r.order.Uint64(b[32:])
	} else {
		s.offset, s.address, s.size = r.word(b[4:]), r.word(b[8:]), r.word(b[16:])
	}
	return s
}

// read reads a table. It is valid until the next one is read.
func (r *Reader) read(offset, size uint64) ([]byte, error) {
	if size > maxTable {
		return nil, ErrDamaged
	}
	if size > uint64(len(r.table)) {
		r.table = make([]byte, size)
	}
	return r.table[:size], r.fill(r.table[:size], offset)
}

func (r *Reader) fill(b []byte, offset uint64) error {
	if offset > 1<<62 {
		return ErrDamaged
	}
	_, err := r.file.ReadAt(b, int64(offset))
	if errors.Is(err, io.EOF) {
		return ErrDamaged
	}
	return err
}

// place returns where in the file an address of the loaded object is, and how many bytes there are from there.
func (r *Reader) place(address uint64) (offset, size uint64, err error) {
	for _, s := range r.loads {
		if address >= s.address && address-s.address < s.size {
			return s.offset + (address - s.address), s.size - (address - s.address), nil
		}
	}
	return 0, 0, ErrDamaged
}

// at reads a table at an address: size bytes of it or, if that is more, all that there is.
func (r *Reader) at(address, size uint64) ([]byte, error) {
	offset, all, err := r.place(address)
	if err != nil {
		return nil, err
	}
	return r.read(offset, min(size, all))
}

// dynamic reads what the dynamic section says, if there is one.
func (r *Reader) dynamic(object *Object, dynamic segment) error {
	if dynamic.size == 0 {
		return nil
	}
	table, err := r.read(dynamic.offset, dynamic.size)
	if err != nil {
		return err
	}
	var name, needs, needCount, offers, offerCount uint64
	named := false
	r.texts = texts{reader: r, room: r.texts.room}
	size := int(r.either(8, 16))
	for ; len(table) >= size; table = table[size:] {
		tag, value := r.word(table), r.word(table[size/2:])
		switch tag {
		case tagTexts:
			r.texts.address = value
		case tagTextsSize:
			r.texts.size = value
		case tagName:
			name, named = value, true
		case tagVersions:
			needs = value
		case tagVersionsNumber:
			needCount = min(value, maxVersions)
		case tagOffers:
			offers = value
		case tagOffersNumber:
			offerCount = min(value, maxVersions)
		}
		if tag == tagNull {
			break
		}
	}
	if named {
		object.Name = r.texts.at(name)
	}
	if err := r.needs(object, needs, needCount); err != nil {
		return err
	}
	if err := r.offers(object, offers, offerCount); err != nil {
		return err
	}
	return r.texts.err
}

// texts is a string table, of which only those parts are read that are looked at: a large library has half a megabyte.
type texts struct {
	reader        *Reader
	address, size uint64
	room, part    []byte // part is what was read last
	begin         uint64 // where it begins in the table
	err           error
}

// partSize is how much is read at a time, in bytes, and longestText how long a string can be.
const (
	partSize    = 4096
	longestText = 1024
)

// at returns the string at an offset of the table; "" if there is none.
func (t *texts) at(offset uint64) string {
	if offset >= t.size || t.err != nil {
		return ""
	}
	if offset >= t.begin {
		if s := text(t.part, offset-t.begin); s != "" {
			return s
		}
	}
	// The names of versions are at the end of the table, close to each other.
	t.begin = 0
	if t.size > partSize {
		t.begin = min(offset, max(offset+longestText, partSize)-partSize)
	}
	place, all, err := t.reader.place(t.address + t.begin)
	if err == nil {
		t.part = t.room[:min(partSize, t.size-t.begin, all)]
		err = t.reader.fill(t.part, place)
	}
	if t.err = err; err != nil {
		return ""
	}
	return text(t.part, offset-t.begin)
}

// text returns the string at an offset of a string table; "" if there is none.
func text(table []byte, offset uint64) string {
	if offset >= uint64(len(table)) {
		return ""
	}
	s, _, ok := bytes.Cut(table[offset:], []byte{0})
	if !ok {
		return ""
	}
	return string(s)
}

// maxVersions is how many versions of an object are read, and of how many others it may need some.
const maxVersions = 4096

// versionTable is how much is read of a table of versions, in bytes. Their sizes are given nowhere, only their numbers.
const versionTable = 64 << 10

// needs reads the list of Elf_Verneed, each with its list of Elf_Vernaux.
func (r *Reader) needs(object *Object, address, count uint64) error {
	if count == 0 {
		return nil
	}
	table, err := r.at(address, min(versionTable, count*1024))
	if err != nil {
		return err
	}
	at := uint64(0)
	for ; count > 0 && at+16 <= uint64(len(table)); count-- {
		entry := table[at:]
		of := r.texts.at(uint64(r.order.Uint32(entry[4:])))
		aux := at + uint64(r.order.Uint32(entry[8:]))
		object.Versions = slices.Grow(object.Versions, int(min(r.order.Uint16(entry[2:]), 16)))
		for left := r.order.Uint16(entry[2:]); left > 0 && len(object.Versions) < maxVersions && aux+16 <= uint64(len(table)); left-- {
			object.Versions = append(object.Versions, Version{of, r.texts.at(uint64(r.order.Uint32(table[aux+8:])))})
			next := uint64(r.order.Uint32(table[aux+12:]))
			if next == 0 {
				break
			}
			aux += next
		}
		next := uint64(r.order.Uint32(entry[12:]))
		if next == 0 {
			break
		}
		at += next
	}
	return nil
}

// offers reads the list of Elf_Verdef, each with its name in the first of its Elf_Verdaux.
func (r *Reader) offers(object *Object, address, count uint64) error {
	if count == 0 {
		return nil
	}
	table, err := r.at(address, min(versionTable, count*64))
	if err != nil {
		return err
	}
	at := uint64(0)
	for ; count > 0 && at+20 <= uint64(len(table)); count-- {
		entry := table[at:]
		if aux := at + uint64(r.order.Uint32(entry[12:])); aux+8 <= uint64(len(table)) {
			object.Offers = append(object.Offers, r.texts.at(uint64(r.order.Uint32(table[aux:]))))
		}
		next := uint64(r.order.Uint32(entry[16:]))
		if next == 0 {
			break
		}
		at += next
	}
	return nil
}
