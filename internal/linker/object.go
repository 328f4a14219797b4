// Package linker knows what the dynamic linker of an image looks at: the objects that it loads, and the cache in
// which it finds them (ld.so(8)).
package linker

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

// An Object is what an ELF file says to the dynamic linker.
type Object struct {
	Machine  elf.Machine
	Class    elf.Class
	Name     string    // its own, DT_SONAME; "" if it has none
	Versions []Version // what it needs
	Offers   []string  // the versions that it defines
}

// A Version is a symbol version that an object needs of another.
type Version struct{ Object, Name string }

// ErrNotObject is returned for what is no ELF file of a known form.
var ErrNotObject = errors.New("not an ELF object")

// maxTable is the longest table that is read, in bytes.
const maxTable = 1 << 20

// ReadObject reads the dynamic section and what it refers to (elf(5), and "Symbol Versioning" in the Linux Standard
// Base, Core, 10.7), by as few reads as it takes: package debug/elf goes by the section headers, reads all of the
// string table for each name, and needs 160 µs an object, of which a launch may inject more than a hundred. An
// object that is linked statically has a machine only.
func ReadObject(file io.ReaderAt) (*Object, error) {
	r := reader{file: file}
	var start [1024]byte
	n, err := file.ReadAt(start[:], 0)
	if n < elf.EI_NIDENT {
		if err == nil || errors.Is(err, io.EOF) {
			err = ErrNotObject
		}
		return nil, err
	}
	object, headers, err := r.header(start[:n])
	if err != nil {
		return nil, err
	}
	return object, r.dynamic(object, headers)
}

type reader struct {
	file  io.ReaderAt
	order binary.ByteOrder
	wide  bool // 64-bit
	loads []segment
}

// A segment is a program header.
type segment struct{ kind, offset, address, size uint64 }

func (r *reader) header(start []byte) (*Object, []segment, error) {
	ident := start[:elf.EI_NIDENT]
	if string(ident[:4]) != elf.ELFMAG {
		return nil, nil, ErrNotObject
	}
	switch elf.Data(ident[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		r.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		r.order = binary.BigEndian
	default:
		return nil, nil, ErrNotObject
	}
	class := elf.Class(ident[elf.EI_CLASS])
	r.wide = class == elf.ELFCLASS64
	if !r.wide && class != elf.ELFCLASS32 {
		return nil, nil, ErrNotObject
	}
	// Of Elf32_Ehdr and Elf64_Ehdr: where the program headers are, and how many of which size.
	at, sizes := 28, 42
	if r.wide {
		at, sizes = 32, 54
	}
	if len(start) < sizes+4 {
		return nil, nil, ErrNotObject
	}
	object := &Object{Machine: elf.Machine(r.order.Uint16(start[18:])), Class: class}
	offset, size, count := r.word(start[at:]), uint64(r.order.Uint16(start[sizes:])), uint64(r.order.Uint16(start[sizes+2:]))
	if count > 0 && size < r.either(32, 56) {
		return nil, nil, ErrNotObject
	}
	table := start
	if offset > uint64(len(start)) || size*count > uint64(len(start))-offset {
		var err error
		if table, err = r.read(offset, size*count); err != nil {
			return nil, nil, err
		}
		offset = 0
	}
	segments := make([]segment, 0, count)
	for i := range count {
		s := r.segment(table[offset+i*size:])
		segments = append(segments, s)
		if s.kind == uint64(elf.PT_LOAD) {
			r.loads = append(r.loads, s)
		}
	}
	return object, segments, nil
}

func (r *reader) either(narrow, wide uint64) uint64 {
	if r.wide {
		return wide
	}
	return narrow
}

// word reads an address or an offset.
func (r *reader) word(b []byte) uint64 {
	if r.wide {
		return r.order.Uint64(b)
	}
	return uint64(r.order.Uint32(b))
}

// segment reads an Elf32_Phdr or Elf64_Phdr.
func (r *reader) segment(b []byte) segment {
	s := segment{kind: uint64(r.order.Uint32(b))}
	if r.wide {
		s.offset, s.address, s.size = r.order.Uint64(b[8:]), r.order.Uint64(b[16:]), r.order.Uint64(b[32:])
	} else {
		s.offset, s.address, s.size = r.word(b[4:]), r.word(b[8:]), r.word(b[16:])
	}
	return s
}

func (r *reader) read(offset, size uint64) ([]byte, error) {
	if size > maxTable || offset > 1<<62 {
		return nil, ErrNotObject
	}
	b := make([]byte, size)
	if _, err := r.file.ReadAt(b, int64(offset)); err != nil {
		if errors.Is(err, io.EOF) {
			err = ErrNotObject
		}
		return nil, err
	}
	return b, nil
}

// at returns the file's content at an address of the loaded object, size bytes of it or, if that is more, all that there
// is.
func (r *reader) at(address, size uint64) ([]byte, error) {
	for _, s := range r.loads {
		if address < s.address || address-s.address >= s.size {
			continue
		}
		return r.read(s.offset+(address-s.address), min(size, s.size-(address-s.address)))
	}
	return nil, ErrNotObject
}

// dynamic reads what the dynamic section says.
func (r *reader) dynamic(object *Object, segments []segment) error {
	var tags map[elf.DynTag]uint64
	for _, s := range segments {
		if s.kind != uint64(elf.PT_DYNAMIC) {
			continue
		}
		table, err := r.read(s.offset, s.size)
		if err != nil {
			return err
		}
		size := int(r.either(8, 16))
		tags = make(map[elf.DynTag]uint64, 8)
		for ; len(table) >= size; table = table[size:] {
			tag := elf.DynTag(r.word(table))
			if tag == elf.DT_NULL {
				break
			}
			tags[tag] = r.word(table[size/2:])
		}
	}
	if tags == nil {
		return nil
	}
	texts := &texts{reader: r, address: tags[elf.DT_STRTAB], size: tags[elf.DT_STRSZ]}
	var err error
	if name, ok := tags[elf.DT_SONAME]; ok {
		object.Name = texts.at(name)
	}
	if object.Versions, err = r.needs(tags, texts); err != nil {
		return err
	}
	if object.Offers, err = r.offers(tags, texts); err != nil {
		return err
	}
	return texts.err
}

// texts is a string table, of which only those parts are read that are looked at: a large library has half a megabyte.
type texts struct {
	reader        *reader
	address, size uint64
	part          []byte // what was read last
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
	if s := text(t.part, offset-t.begin); s != "" && offset >= t.begin {
		return s
	}
	// The names of versions are at the end of the table, close to each other.
	t.begin = 0
	if t.size > partSize {
		t.begin = min(offset, max(offset+longestText, partSize)-partSize)
	}
	if t.part, t.err = t.reader.at(t.address+t.begin, min(partSize, t.size-t.begin)); t.err != nil {
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
func (r *reader) needs(tags map[elf.DynTag]uint64, texts *texts) (needs []Version, err error) {
	if tags[elf.DT_VERNEEDNUM] == 0 {
		return nil, nil
	}
	table, err := r.at(tags[elf.DT_VERNEED], min(versionTable, tags[elf.DT_VERNEEDNUM]*1024))
	if err != nil {
		return nil, err
	}
	at := uint64(0)
	for range min(tags[elf.DT_VERNEEDNUM], maxVersions) {
		if at+16 > uint64(len(table)) {
			break
		}
		entry := table[at:]
		count, of := r.order.Uint16(entry[2:]), texts.at(uint64(r.order.Uint32(entry[4:])))
		for aux := at + uint64(r.order.Uint32(entry[8:])); count > 0 && len(needs) < maxVersions && aux+16 <= uint64(len(table)); count-- {
			needs = append(needs, Version{of, texts.at(uint64(r.order.Uint32(table[aux+8:])))})
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
	return needs, nil
}

// offers reads the list of Elf_Verdef, each with its name in the first of its Elf_Verdaux.
func (r *reader) offers(tags map[elf.DynTag]uint64, texts *texts) (offers []string, err error) {
	if tags[elf.DT_VERDEFNUM] == 0 {
		return nil, nil
	}
	table, err := r.at(tags[elf.DT_VERDEF], min(versionTable, tags[elf.DT_VERDEFNUM]*64))
	if err != nil {
		return nil, err
	}
	at := uint64(0)
	for range min(tags[elf.DT_VERDEFNUM], maxVersions) {
		if at+20 > uint64(len(table)) {
			break
		}
		entry := table[at:]
		if aux := at + uint64(r.order.Uint32(entry[12:])); aux+8 <= uint64(len(table)) {
			offers = append(offers, texts.at(uint64(r.order.Uint32(table[aux:]))))
		}
		next := uint64(r.order.Uint32(entry[16:]))
		if next == 0 {
			break
		}
		at += next
	}
	return offers, nil
}

// Companion says whether the image's processor also runs objects of the machine: its own, or the 32-bit one of the
// same family.
func Companion(machine, ofImage elf.Machine) bool {
	return machine == ofImage || machine == elf.EM_386 && ofImage == elf.EM_X86_64 || machine == elf.EM_ARM && ofImage == elf.EM_AARCH64
}

// MachineName names a machine as uname(1) does.
func MachineName(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86_64"
	case elf.EM_AARCH64:
		return "aarch64"
	case elf.EM_386:
		return "i386"
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}
