// Package mutant makes damaged SquashFS images out of sound ones, for tests.
//
// Bytes changed at random mostly hit file contents, or check sums of compressed blocks. So an image whose
// metadata are not compressed is taken apart into its fields, each of which can be changed by itself: what a
// compressor would then make of it is not a question for the code that reads fields.
//
// It is in testdata, as only tests need it, those of two packages.
package mutant

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// The sizes and bits of the format, see package squash.
const (
	superblockSize = 96
	metadataSize   = 8192
	uncompressed   = 1 << 15
	absent         = ^uint64(0)
)

// An Image is one with uncompressed metadata, and where its fields are.
type Image struct {
	Data   []byte
	fields []field
	byName map[string]int // in fields
	starts []table
}

// A field is a number of 2, 4 or 8 bytes, or text. Its bytes need not be neighbours: there may be the header of a metadata
// block between them.
type field struct {
	name string
	at   []int
}

// A table is where a part of the image begins.
type table struct {
	name  string
	start int
}

// Copy returns a copy that can be changed.
func (m *Image) Copy() *Image {
	n := *m
	n.Data = slices.Clone(m.Data)
	return &n
}

// Get returns the number in the field, "superblock: inodes" or "inode /a/b: size".
func (m *Image) Get(name string) uint64 {
	f := m.field(name)
	var b [8]byte
	for i, at := range f.at[:min(len(f.at), len(b))] {
		b[i] = m.Data[at]
	}
	return binary.LittleEndian.Uint64(b[:])
}

// Set changes the field and returns the image.
func (m *Image) Set(name string, value uint64) *Image {
	m.set(m.field(name), value)
	return m
}

// SetText overwrites the start of a text.
func (m *Image) SetText(name, text string) *Image {
	for i, at := range m.field(name).at[:len(text)] {
		m.Data[at] = text[i]
	}
	return m
}

// At returns where in the image the field is.
func (m *Image) At(name string) int { return m.field(name).at[0] }

// Names returns the names of the fields that contain text.
func (m *Image) Names(text string) (names []string) {
	for _, f := range m.fields {
		if strings.Contains(f.name, text) {
			names = append(names, f.name)
		}
	}
	return names
}

func (m *Image) field(name string) field {
	i, ok := m.byName[name]
	if !ok {
		panic("mutant: no field " + name)
	}
	return m.fields[i]
}

func (m *Image) set(f field, value uint64) {
	for i, at := range f.at[:min(len(f.at), 8)] {
		m.Data[at] = byte(value >> (8 * i))
	}
}

func (m *Image) add(name string, at []int) {
	if _, ok := m.byName[name]; ok {
		name = fmt.Sprintf("%s at %d", name, at[0])
	}
	m.byName[name] = len(m.fields)
	m.fields = append(m.fields, field{name, at})
}

// A stream is a table as its metadata blocks say, and where each byte of that is in the image.
type stream struct {
	data   []byte
	at     []int
	blocks map[uint64]int // from the position of a block to where its content begins
}

// part returns what the stream has from on.
func (s stream) part(from, n int) ([]byte, []int) { return s.data[from : from+n], s.at[from : from+n] }

// place returns where in the stream something is: the position of its block, and 16 bits of place in it.
func (s stream) place(ref uint64) int { return s.blocks[ref>>16] + int(ref&0xffff) }

// metadata reads blocks from start to end, and makes fields of their headers.
func (m *Image) metadata(name string, start, end uint64) stream {
	s := stream{blocks: map[uint64]int{}}
	for at := start; at < end; {
		header := binary.LittleEndian.Uint16(m.Data[at:])
		if header&uncompressed == 0 {
			panic("mutant: " + name + " is compressed")
		}
		m.add(fmt.Sprintf("%s: header of block %d", name, len(s.blocks)), []int{int(at), int(at) + 1})
		s.blocks[at-start] = len(s.data)
		size := uint64(header &^ uncompressed)
		for i := range size {
			s.data = append(s.data, m.Data[at+2+i])
			s.at = append(s.at, int(at+2+i))
		}
		at += 2 + size
	}
	return s
}

// fieldsOf makes fields of what the stream has from on, a layout being text. It returns their values, and
// what comes after.
func (m *Image) fieldsOf(prefix string, s stream, from int, text string) (map[string]uint64, int) {
	values := map[string]uint64{}
	for name, n := range layout(text) {
		data, at := s.part(from, n)
		m.add(prefix+": "+name, at)
		values[name] = number(data)
		from += n
	}
	return values, from
}

// layout goes through the names and widths, in bytes, of fields: "size:4 offset:2".
func layout(text string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for word := range strings.FieldsSeq(text) {
			if name, width, _ := strings.Cut(word, ":"); !yield(name, int(width[0]-'0')) {
				return
			}
		}
	}
}

func number(data []byte) uint64 {
	var b [8]byte
	copy(b[:], data)
	return binary.LittleEndian.Uint64(b[:])
}

// Layouts of inodes after what all have, by their type.
var inodeLayouts = [...]string{
	1:  "start:4 nlink:4 size:2 offset:2 parent:4",
	2:  "start:4 fragment:4 fragment-offset:4 size:4",
	3:  "nlink:4 size:4",
	4:  "nlink:4 device:4",
	5:  "nlink:4 device:4",
	6:  "nlink:4",
	7:  "nlink:4",
	8:  "nlink:4 size:4 start:4 parent:4 indexes:2 offset:2 xattr:4",
	9:  "start:8 size:8 sparse:8 nlink:4 fragment:4 fragment-offset:4 xattr:4",
	10: "nlink:4 size:4",
	11: "nlink:4 device:4 xattr:4",
	12: "nlink:4 device:4 xattr:4",
	13: "nlink:4 xattr:4",
	14: "nlink:4 xattr:4",
}

// Parse takes an image apart. It panics if the image is damaged or its metadata are compressed.
func Parse(data []byte) *Image {
	m := &Image{Data: data, byName: map[string]int{}}
	super := map[string]uint64{}
	at := 0
	for name, n := range layout("magic:4 inodes:4 time:4 block-size:4 fragments:4 compressor:2 block-log:2 flags:2 ids:2 " +
		"major:2 minor:2 root:8 bytes-used:8 id-table:8 xattr-table:8 inode-table:8 directory-table:8 fragment-table:8 export-table:8") {
		m.add("superblock: "+name, sequence(at, n))
		super[name] = number(data[at : at+n])
		at += n
	}
	for _, name := range []string{"inode-table", "directory-table", "fragment-table", "export-table", "id-table", "xattr-table", "bytes-used"} {
		if super[name] != absent {
			m.starts = append(m.starts, table{name, int(super[name])})
		}
	}
	slices.SortFunc(m.starts, func(a, b table) int { return a.start - b.start })

	// Each of these has an index behind its blocks; the first of these blocks is the end of the table before.
	end := super["bytes-used"]
	first := func(index uint64) uint64 { return number(data[index : index+8]) }
	indexed := func(name string, end, index, entries uint64, text string) {
		width := 0
		for _, n := range layout(text) {
			width += n
		}
		blocks := (entries*uint64(width) + metadataSize - 1) / metadataSize
		for i := range blocks {
			m.add(fmt.Sprintf("%s index: block %d", name, i), sequence(int(index+8*i), 8))
		}
		s := m.metadata(name, first(index), end)
		from := 0
		for i := range entries {
			_, from = m.fieldsOf(fmt.Sprintf("%s %d", name, i), s, from, text)
		}
	}
	if at := super["xattr-table"]; at != absent {
		for i, name := range []string{"start", "", "sets"} {
			if name != "" {
				m.add("xattr table: "+name, sequence(int(at)+4*i, []int{8, 0, 4}[i]))
			}
		}
		sets := number(data[at+8 : at+12])
		indexed("xattr set", at, at+16, sets, "ref:8 count:4 size:4")
		s := m.metadata("xattrs", number(data[at:at+8]), first(at+16))
		for i := range sets {
			set := fmt.Sprintf("xattr set %d", i)
			from := s.place(m.Get(set + ": ref"))
			for j := range m.Get(set + ": count") {
				prefix := fmt.Sprintf("xattr %d of set %d", j, i)
				var v map[string]uint64
				v, from = m.fieldsOf(prefix, s, from, "type:2 length:2")
				_, where := s.part(from, int(v["length"]))
				m.add(prefix+": name", where)
				var size map[string]uint64
				size, from = m.fieldsOf(prefix, s, from+int(v["length"]), "size:4")
				if v["type"]&0x100 != 0 {
					ref, _ := m.fieldsOf(prefix, s, from, "value-ref:8")
					m.fieldsOf(prefix, s, s.place(ref["value-ref"]), "value-size:4")
				}
				from += int(size["size"])
			}
		}
		end = min(end, number(data[at:at+8]))
	}
	indexed("ID", super["id-table"], super["id-table"], super["ids"], "id:4")
	end = min(end, first(super["id-table"]))
	if at := super["export-table"]; at != absent {
		indexed("export", at, at, super["inodes"], "ref:8")
		end = min(end, first(at))
	}
	if at := super["fragment-table"]; super["fragments"] > 0 {
		indexed("fragment", at, at, super["fragments"], "start:8 size:4 unused:4")
		end = min(end, first(at))
	}

	inodes := m.metadata("inode table", super["inode-table"], super["directory-table"])
	directories := m.metadata("directory table", super["directory-table"], end)
	m.tree("/", super, inodes, directories, super["root"], map[uint64]bool{})
	return m
}

// tree makes fields of the inode at ref, which is called path, and of what is below it.
func (m *Image) tree(path string, super map[string]uint64, inodes, directories stream, ref uint64, seen map[uint64]bool) {
	if seen[ref] { // a hard link
		return
	}
	seen[ref] = true
	prefix := "inode " + path
	v, from := m.fieldsOf(prefix, inodes, inodes.place(ref), "type:2 mode:2 uid:2 gid:2 time:4 number:4")
	kind := v["type"]
	v, from = m.fieldsOf(prefix, inodes, from, inodeLayouts[kind])
	switch kind {
	case 2, 9:
		blocks := v["size"] / super["block-size"]
		if v["fragment"] == 0xffffffff {
			blocks = (v["size"] + super["block-size"] - 1) / super["block-size"]
		}
		for i := range blocks {
			_, from = m.fieldsOf(prefix, inodes, from, fmt.Sprintf("block-%d:4", i))
		}
	case 3, 10:
		_, at := inodes.part(from, int(v["size"]))
		m.add(prefix+": target", at)
		if kind == 10 {
			m.fieldsOf(prefix, inodes, from+int(v["size"]), "xattr:4")
		}
	case 8:
		for i := range v["indexes"] {
			var entry map[string]uint64
			p := fmt.Sprintf("%s: index %d", prefix, i)
			entry, from = m.fieldsOf(p, inodes, from, "index:4 start:4 size:4")
			_, at := inodes.part(from, int(entry["size"])+1)
			m.add(p+": name", at)
			from += len(at)
		}
	}
	if kind != 1 && kind != 8 {
		return
	}
	if v["size"] <= 3 {
		return
	}
	prefix = "directory " + path
	at := directories.blocks[v["start"]] + int(v["offset"])
	for end, h := at+int(v["size"])-3, 0; at < end; h++ {
		var header map[string]uint64
		header, at = m.fieldsOf(fmt.Sprintf("%s: header %d", prefix, h), directories, at, "count:4 start:4 number:4")
		for range header["count"] + 1 {
			data, _ := directories.part(at, 8)
			length := int(binary.LittleEndian.Uint16(data[6:])) + 1
			name, where := directories.part(at+8, length)
			var entry map[string]uint64
			entry, at = m.fieldsOf(prefix+": entry "+string(name), directories, at, "offset:2 number:2 type:2 length:2")
			m.add(prefix+": entry "+string(name)+": name", where)
			at += length
			m.tree(strings.TrimSuffix(path, "/")+"/"+string(name), super, inodes, directories, header["start"]<<16|entry["offset"], seen)
		}
	}
}

func sequence(from, n int) []int {
	at := make([]int, n)
	for i := range at {
		at[i] = from + i
	}
	return at
}
