package squash

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ch-run/internal/squash/mutant"
)

const all = 1<<64 - 1 // in a field of any width

// TestRefused opens images of which the superblock says that they are none.
func TestRefused(t *testing.T) {
	sound := mutant.Parse(mutant.Make(t, mutant.Uncompressed...))
	size := uint64(len(sound.Data))
	set := func(field string, value uint64) func(*mutant.Image) {
		return func(m *mutant.Image) { m.Set("superblock: "+field, value) }
	}
	move := func(field string, to string, by int) func(*mutant.Image) {
		return func(m *mutant.Image) { m.Set("superblock: "+field, m.Get("superblock: "+to)+uint64(by)) }
	}
	for _, c := range []struct {
		name   string
		change func(m *mutant.Image)
		want   string
	}{
		{"bad magic", set("magic", 0x68737174), `the magic number is 74 71 73 68`},
		{"version 3.1", func(m *mutant.Image) { m.Set("superblock: major", 3).Set("superblock: minor", 1) }, "version 3.1, only 4.0"},
		{"compressor 0", set("compressor", 0), "unknown (0)"},
		{"compressor 99", set("compressor", 99), "unknown (99)"},
		{"LZ4 without options", set("compressor", 5), "options of lz4 are missing"},
		{"compressor options are missing", set("flags", 1<<10), "corrupt compressor options at byte 96"},
		{"compressor options are short", func(m *mutant.Image) {
			m.Set("superblock: flags", 1<<10)
			copy(m.Data[96:], []byte{4, 0x80, 1, 0, 0, 0})
		}, "options of gzip are 4 bytes"},
		{"compressor options are long", func(m *mutant.Image) {
			m.Set("superblock: flags", 1<<10)
			copy(m.Data[96:], []byte{0xff, 0xff})
		}, "corrupt compressor options at byte 96"},
		{"compressor options end with the file", func(m *mutant.Image) { m.Set("superblock: flags", 1<<10); m.Data = m.Data[:97] }, "truncated"},
		{"block size 0", set("block-size", 0), "block size 0"},
		{"block size 3000", set("block-size", 3000), "block size 3000"},
		{"block size 2 MiB", func(m *mutant.Image) { m.Set("superblock: block-size", 2<<20).Set("superblock: block-log", 21) }, "block size 2097152"},
		{"block size 4 GiB", set("block-size", all), "block size 4294967295"},
		{"block size and its logarithm", set("block-log", 17), "is not 2 to the power of 17"},
		{"the file is empty", func(m *mutant.Image) { m.Data = nil }, "the file ends after 0 of 96 bytes"},
		{"the file ends in the superblock", func(m *mutant.Image) { m.Data = m.Data[:95] }, "the file ends after 95 of 96 bytes"},
		{"the file is a byte too short", func(m *mutant.Image) { m.Data = m.Data[:size-1] }, fmt.Sprintf("truncated: 1 bytes are missing of %d", size)},
		{"the image claims 2^63-1 bytes", set("bytes-used", 1<<63-1), "truncated"},
		{"the image claims 2^64-1 bytes", set("bytes-used", all), "-1 bytes in all"},
		{"the image claims to end before its tables", set("bytes-used", 200), "between the directory table"},
		{"the image claims to end in the superblock", set("bytes-used", 95), "95 bytes in all"},
		{"no ID table", set("id-table", all), "ID table at byte -1"},
		{"the ID table is behind the end", set("id-table", size), "ID table"},
		{"no inode table", set("inode-table", all), "inode table at byte -1"},
		{"the inode table is in the superblock", set("inode-table", 95), "inode table at byte 95"},
		{"no directory table", set("directory-table", all), "directory table at byte -1"},
		{"the directory table is the inode table", move("directory-table", "inode-table", 0), "inode table at byte"},
		{"the directory table is behind the end", set("directory-table", size+1), "between the directory table"},
		{"no fragment table", set("fragment-table", all), "fragment table at byte -1"},
		{"the fragment table is the directory table", move("fragment-table", "directory-table", 0), "fragment table at byte"},
		{"the fragment table is in the inode table", move("fragment-table", "inode-table", 5), "fragment table at byte"},
		{"the export table is in the superblock", set("export-table", 8), "export table at byte 8"},
		{"the xattr table is in the data", set("xattr-table", 100), "xattr table at byte 100"},
		{"the xattr table is 2^63", set("xattr-table", 1<<63), "xattr table at byte -9223372036854775808"},
		{"2^32-1 fragments", set("fragments", all), "no room for 4294967295 fragments"},
		{"2^32-1 attribute sets", func(m *mutant.Image) { m.Set("xattr table: sets", all) }, "no room for 4294967295 sets"},
		{"the attributes are behind their table", func(m *mutant.Image) { m.Set("xattr table: start", size) }, "the attributes would begin"},
		{"the attributes are in the superblock", func(m *mutant.Image) { m.Set("xattr table: start", 3) }, "the attributes would begin"},
		{"the xattr table ends with the image", func(m *mutant.Image) { m.Set("superblock: xattr-table", size-8) }, "corrupt xattr table"},
		{"the root is behind the inode table", set("root", 1<<40), "root inode 16777216:0"},
		{"the root is 2^64-1", set("root", all), "root inode"},
	} {
		m := sound.Copy()
		c.change(m)
		_, err := Open(bytes.NewReader(m.Data), int64(len(m.Data)), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want: %s", c.name, err, c.want)
			continue
		}
		checkError(t, err)
	}
}

// TestDamaged has one thing wrong in an image that can be opened. That is an error for whoever uses it, and for nobody else.
func TestDamaged(t *testing.T) {
	sound := mutant.Parse(mutant.Make(t, mutant.Uncompressed...))
	root := sound.Get("superblock: root")
	set := func(field string, value uint64) func(*mutant.Image) {
		return func(m *mutant.Image) { m.Set(field, value) }
	}
	name := func(text string) func(*mutant.Image) {
		return func(m *mutant.Image) { m.SetText("directory /a: entry blocks: name", text) }
	}
	fragment := func(of string, value uint64) func(*mutant.Image) {
		return set(fmt.Sprintf("fragment %d: %s", sound.Get("inode /a/blocks: fragment"), of), value)
	}
	number := sound.Get("inode /a/xattrs: xattr")
	xattrs := fmt.Sprintf("xattr set %d: ", number)
	xattr := func(of string, value uint64) func(*mutant.Image) {
		return set(fmt.Sprintf("xattr 0 of set %d: %s", number, of), value)
	}
	shape := func(kind uint64) func(*mutant.Image) { return set("inode /a/blocks: type", kind) }
	for _, c := range []struct {
		name   string
		change func(m *mutant.Image)
		path   string
		want   string // "" if it is no damage as far as can be known, "?" if it depends
	}{
		{"2^32-1 inodes", set("superblock: inodes", all), "/a/blocks", ""},
		{"65535 IDs", func(m *mutant.Image) { m.Set("superblock: ids", all).Set("inode /a/blocks: uid", 60000) }, "/a/blocks", "corrupt ID table"},
		{"an ID that is not there", set("inode /a/blocks: gid", 1000), "/a/blocks", "no ID 1000, there are"},
		{"unknown type", shape(15), "/a/blocks", "unknown type 15"},
		{"type 0", shape(0), "/a/blocks", "unknown type 0"},
		{"type 65535", shape(all), "/a/blocks", "unknown type 65535"},
		{"fragment 2^32-2", set("inode /a/blocks: fragment", 1<<32-2), "/a/blocks", "fragment 4294967294 of"},
		{"offset in a fragment block", set("inode /a/blocks: fragment-offset", all), "/a/blocks", "at 4294967295 of a fragment block"},
		{"fragment block in the superblock", fragment("start", 0), "/a/blocks", "corrupt fragment table"},
		{"fragment block at 2^63", fragment("start", 1<<63), "/a/blocks", "at byte 9223372036854775808"},
		{"fragment block of 4 GiB", fragment("size", all), "/a/blocks", "in an image of blocks of 4096"},
		{"fragment block of no bytes", fragment("size", 0), "/a/blocks", "a block of 0 bytes"},
		{"index of fragments", set("fragment index: block 0", all), "/a/blocks", "a block at byte -1, before the index"},
		{"index of fragments that points to itself", func(m *mutant.Image) {
			m.Set("fragment index: block 0", m.Get("superblock: fragment-table"))
		}, "/a/blocks", "before the index"},
		{"data block of 4 GiB", set("inode /a/blocks: block-0", all), "/a/blocks", "a block of"},
		{"data block of 4097 bytes", set("inode /a/blocks: block-0", 4097|blockUncompressed), "/a/blocks", "a block of 4097 bytes"},
		{"data block that is short", set("inode /a/blocks: block-0", 4095|blockUncompressed), "/a/blocks", "a block of 4095 bytes, 4096 expected"},
		{"data behind the image", set("inode /a/blocks: start", 1<<40), "/a/blocks", "not in the image"},
		{"data at 2^64-1", set("inode /a/blocks: start", all), "/a/blocks", "at byte 18446744073709551615"},
		{"data in the superblock", set("inode /a/blocks: start", 0), "/a/blocks", "not in the image"},
		{"file of 2^62 bytes", set("inode /a/sparse: size", 1<<62), "/a/sparse", "corrupt inode table"},
		{"file of 2^63 bytes", set("inode /a/sparse: size", 1<<63), "/a/sparse", "a file of 9223372036854775808 bytes"},
		{"file of 2^63-1 bytes", set("inode /a/sparse: size", 1<<63-1), "/a/sparse", "a file of 9223372036854775807 bytes"},
		{"more holes than file", set("inode /a/sparse: sparse", 1<<62), "/a/sparse", ""},
		{"symlink of 4 GiB", set("inode /a/short: size", all), "/a/short", "a symbolic link of 4294967295 bytes"},
		{"symlink of 4097 bytes", set("inode /a/short: size", 4097), "/a/short", "a symbolic link of 4097 bytes"},
		{"xattr value of 4 GiB", xattr("size", all), "/a/xattrs", "a value of 4294967295 bytes"},
		{"xattr value of 64 KiB", xattr("size", 1<<16), "/a/xattrs", "corrupt xattr table"},
		{"xattr of no name", xattr("length", 0), "/a/xattrs", "a name of 0 bytes"},
		{"xattr with a long name", xattr("length", all), "/a/xattrs", "a name of 65535 bytes"},
		{"xattr of another namespace", xattr("type", 3), "/a/xattrs", "an attribute of type 0x3"},
		{"xattr set 2^32-2", set("inode /a/xattrs: xattr", 1<<32-2), "/a/xattrs", "set 4294967294 of"},
		{"2^32-1 xattrs", set(xattrs+"count", all), "/a/xattrs", "corrupt xattr table"},
		{"xattrs behind the table", set(xattrs+"ref", 1<<40), "/a/xattrs", "there is no position 16777216:0"},
		{"names with a slash", name("a/b"), "/a", `a file cannot be named "a/bcks"`},
		{"names with NUL", name("a\x00b"), "/a", `a file cannot be named "a\x00bcks"`},
		{"..", func(m *mutant.Image) { m.SetText("directory /a/b: entry c: name", ".") }, "/a/b", `a file cannot be named "."`},
		{"name of 256 bytes", set("directory /a: entry blocks: length", 255), "/a", "a name of 256 bytes"},
		{"name of 65536 bytes", set("directory /a: entry blocks: length", all), "/a", "a name of 65536 bytes"},
		{"2^32 entries", set("directory /a: header 0: count", all), "/a", "0 entries after a header"},
		{"257 entries", set("directory /a: header 0: count", 256), "/a", "257 entries after a header"},
		{"256 entries", set("directory /a: header 0: count", 255), "/a", "ends in the middle of an entry"},
		{"inode block 2^32-1", set("directory /a: header 0: start", all), "/a/blocks", "there is no position 4294967295"},
		{"inode offset", set("directory /a: entry blocks: offset", 8192), "/a/blocks", "there is no position"},
		{"directory of 65535 bytes", set("inode /a/b: size", all), "/a/b", "corrupt directory table"},
		{"directory of 4 GiB", set("inode /large: size", all), "/large", "corrupt directory table"},
		{"directory of 3 bytes less", func(m *mutant.Image) { m.Set("inode /a: size", m.Get("inode /a: size")-3) }, "/a", "ends in the middle of an entry"},
		{"directory behind the table", set("inode /a: start", all), "/a", "there is no position 4294967295"},
		{"index of 65535 entries", set("inode /large: indexes", all), "/large", "?"},
		{"index that points behind the end", set("inode /large: index 0: index", all), "/large", "points behind its end"},
		{"index that points to no block", set("inode /large: index 0: start", all), "/large", "there is no position 4294967295"},
		{"index with a name of 4 GiB", set("inode /large: index 0: size", 1<<32-1), "/large", "a name of 4294967296 bytes in the index"},
		{"metadata block of no bytes", set("directory table: header of block 0", 1<<15), "", "a metadata block of 0 bytes"},
		{"metadata block of 32767 bytes", set("directory table: header of block 0", 1<<15-1), "", "a metadata block of 32767 bytes"},
		{"metadata that is not compressed", set("directory table: header of block 0", 8192), "", "can't decompress metadata block"},
		{"metadata block that is longer than its table", func(m *mutant.Image) {
			m.Set("superblock: directory-table", m.Get("superblock: directory-table")-1)
		}, "", "corrupt"},
		{"root that is a file", func(m *mutant.Image) {
			m.Set("superblock: root", m.Get("directory /etc: header 0: start")<<16|m.Get("directory /etc: entry group: offset"))
		}, "", "not a directory"},
		{"root in the middle of something", set("superblock: root", root+2), "", "corrupt inode table"},
		{"root at the end of a block", set("superblock: root", 8191), "", "?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := sound.Copy()
			c.change(m)
			walkImage(t, m.Data, walkBudget)
			err := use(m.Data, c.path)
			switch {
			case c.want == "?":
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want: %s", err, c.want)
			}
			if c.path != "" && c.path != "/a" {
				if err := use(m.Data, "/etc/passwd"); err != nil && !strings.HasPrefix(c.name, "fragment block") && !strings.HasPrefix(c.name, "index of fragments") {
					t.Errorf("other files are damaged as well: %v", err)
				}
			}
		})
	}
}

// use does everything with the file at path, or if that is "" with all.
func use(image []byte, path string) error {
	r, err := Open(bytes.NewReader(image), int64(len(image)), Options{})
	if err != nil {
		return err
	}
	ref := r.Root()
	var i *Inode
	for name := range strings.SplitSeq(path, "/") {
		if name != "" {
			if ref, err = r.Lookup(i, name); err != nil {
				return err
			}
		}
		if i, err = r.Inode(ref); err != nil {
			return err
		}
	}
	seen := map[Ref]bool{}
	var visit func(i *Inode) error
	visit = func(i *Inode) error {
		if seen[i.Ref] {
			return nil
		}
		seen[i.Ref] = true
		if _, _, err := r.Owner(i); err != nil {
			return err
		}
		list, err := r.Xattrs(i)
		if err != nil {
			return err
		}
		for _, x := range list {
			if _, err := x.Value(); err != nil {
				return err
			}
		}
		switch i.Type {
		case Regular:
			for _, offset := range []int64{0, 4096, 8192, i.Size - 1} {
				if _, err := r.ReadAt(i, make([]byte, 4096), offset); err != nil && err != io.EOF {
					return err
				}
			}
		case Directory:
			var below []Ref
			if err := r.ReadDir(i, 0, func(e Entry) bool { below = append(below, e.Ref); return true }); err != nil {
				return err
			}
			if _, err := r.Lookup(i, "zzz"); err != nil && err != ErrNotFound {
				return err
			}
			if path != "" {
				break
			}
			for _, ref := range below {
				i, err := r.Inode(ref)
				if err == nil {
					err = visit(i)
				}
				if err != nil {
					return err
				}
			}
		case Symlink:
			_, err = r.Readlink(i)
		}
		return err
	}
	if path == "" && i.Type != Directory {
		return ErrNotDirectory
	}
	return visit(i)
}

// TestLoops has directories that hold themselves, and what is above them.
func TestLoops(t *testing.T) {
	m := mutant.Parse(mutant.Make(t, mutant.Uncompressed...))
	// Inode numbers of directories, so that entries keep the type that they claim.
	place := func(directory, entry string) (block, offset uint64) {
		return m.Get("directory " + directory + ": header 0: start"), m.Get("directory " + directory + ": entry " + entry + ": offset")
	}
	point := func(directory, entry string, block, offset uint64) {
		m.Set("directory "+directory+": header 0: start", block).Set("directory "+directory+": entry "+entry+": offset", offset)
	}
	block, offset := place("/", "a")
	point("/a/b/c", "d", block, offset) // /a/b/c/d is /a
	r, err := Open(bytes.NewReader(m.Data), int64(len(m.Data)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := r.Inode(r.Root())
	for n := range 4000 {
		if err != nil {
			t.Fatal(err)
		}
		var ref Ref
		if ref, err = r.Lookup(i, []string{"a", "b", "c", "d"}[min(n, 1+(n-1)%3)]); err == nil {
			i, err = r.Inode(ref)
		}
	}
	if found := walkImage(t, m.Data, 100000); len(found) > 0 {
		t.Error(found)
	}
	point("/a/b/c", "d", m.Get("superblock: root")>>16, m.Get("superblock: root")&0xffff) // and now it is the root
	if found := walkImage(t, m.Data, 100000); len(found) > 0 {
		t.Error(found)
	}
	block, offset = place("/a/b", "c")
	point("/a/b/c", "d", block, offset) // and now itself
	if found := walkImage(t, m.Data, 100000); len(found) > 0 {
		t.Error(found)
	}
}

// TestXattrLoop has values out of line that are themselves out of line, or the very reference to them.
func TestXattrLoop(t *testing.T) {
	m := mutant.Parse(mutant.Make(t, mutant.Uncompressed...))
	references := m.Names(": value-ref")
	if len(references) == 0 {
		t.Fatal("no value is out of line")
	}
	for _, name := range references {
		own := m.Get(name)
		for to := own - 30; to != own+30; to++ {
			walkImage(t, m.Copy().Set(name, to).Data, walkBudget)
		}
	}
}

// TestOverlap has each table begin where any other does, and be found through the indexes of others.
func TestOverlap(t *testing.T) {
	m := mutant.Parse(mutant.Make(t, mutant.Uncompressed...))
	var fields []string
	for _, name := range append(m.Names("superblock: "), m.Names(" index: block")...) {
		if strings.Contains(name, "-table") || strings.Contains(name, " index: ") {
			fields = append(fields, name)
		}
	}
	fields = append(fields, "xattr table: start", "fragment 0: start", "superblock: bytes-used")
	for _, a := range fields {
		for _, b := range fields {
			for by := range uint64(5) {
				walkImage(t, m.Copy().Set(a, m.Get(b)+by-2).Data, walkBudget)
			}
		}
	}
}

// TestTruncation cuts images off everywhere; the image says so, or does not.
func TestTruncation(t *testing.T) {
	for _, image := range images(t, mutant.Make) {
		for size := 0; size < len(image); size += 1 + len(image)/100 {
			for _, says := range []bool{false, true} {
				cut := slices.Clone(image[:size])
				if says && size >= superblockSize {
					binary.LittleEndian.PutUint64(cut[40:], uint64(size))
				}
				if found := walkImage(t, cut, walkBudget); len(found) == 0 {
					t.Errorf("%d of %d bytes are enough", size, len(image))
				}
			}
		}
	}
}

func deflated(content []byte) []byte {
	var b bytes.Buffer
	w, _ := zlib.NewWriterLevel(&b, zlib.BestCompression)
	_, _ = w.Write(content) // to memory
	_ = w.Close()
	return b.Bytes()
}

// file returns an inode table of a directory and a file with that list of blocks, and the directory table.
func file(size, fragment uint64, list []byte) (inodes, directories []byte) {
	directories = mutant.Directory(mutant.Entry{Name: "file", Kind: 2, Inode: 32})
	inodes = mutant.Inode(1, 1, map[string]uint64{"size": uint64(len(directories) + 3), "parent": 3})
	inodes = append(inodes, mutant.Inode(9, 2, map[string]uint64{"start": 96, "size": size, "fragment": fragment})...)
	return append(inodes, list...), directories
}

// TestBombs has blocks that decompress to far more than they may.
func TestBombs(t *testing.T) {
	bomb := deflated(make([]byte, 3<<20)) // 3 KiB
	block := make([]byte, 4)
	binary.LittleEndian.PutUint32(block, uint32(len(bomb)))
	fragment := append([]byte{96, 0, 0, 0, 0, 0, 0, 0}, append(block, 0, 0, 0, 0)...)
	for _, c := range []struct {
		name string
		plan mutant.Plan
		file bool
		want string
	}{
		{"data", mutant.Plan{Data: bomb}, true, "corrupt data at byte 96"},
		{"fragment", mutant.Plan{Data: bomb, Fragments: fragment}, true, "at byte 96"},
		{"metadata", mutant.Plan{Split: 1 << 20, Inodes: make([]byte, 1<<20)}, false, "can't decompress metadata block"},
	} {
		p := c.plan
		if c.file {
			list, number := block, uint64(all)
			if p.Fragments != nil {
				list, number = nil, 0
			}
			if p.Inodes, p.Directories = file(4096, number, list); number == 0 {
				p.Inodes, p.Directories = file(4095, number, list)
			}
		} else {
			_, p.Directories = file(0, all, nil)
		}
		path := ""
		if c.file {
			path = "/file"
		}
		err := use(p.Build(), path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "more than there is room for") {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		checkError(t, err)
	}
}

// TestExpensive has images of a megabyte or so that are made to be slow, and to need memory: what is in them is what they say,
// there is only a lot of it, and it compresses well.
func TestExpensive(t *testing.T) {
	const lots = 32 << 20
	zeros := func() []byte { return make([]byte, lots) } // not kept, so that they are nothing to the garbage collector
	measure := func(t *testing.T, p *mutant.Plan, do func(r *Reader, i *Inode) error, want string) {
		t.Helper()
		image := p.Build()
		*p = mutant.Plan{}
		r, err := Open(bytes.NewReader(image), int64(len(image)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		root, err := r.Inode(r.Root())
		if err != nil {
			t.Fatal(err)
		}
		debug.FreeOSMemory()
		resetPeak(t)
		before, start := peakMemory(t), processorTime()
		err = do(r, root)
		used, memory := processorTime()-start, peakMemory(t)-before
		t.Logf("an image of %d KiB: %v, %d MiB, %v", len(image)>>10, used.Round(time.Millisecond), memory>>20, err)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want: %s", err, want)
		}
		if used > mostTime {
			t.Errorf("an image of %d KiB: it took %v", len(image)>>10, used)
		}
		if memory > mostMemory {
			t.Errorf("an image of %d KiB: it took %d MiB", len(image)>>10, memory>>20)
		}
	}
	readAt := func(offset int64) func(r *Reader, root *Inode) error {
		return func(r *Reader, root *Inode) error {
			ref, err := r.Lookup(root, "file")
			if err != nil {
				return err
			}
			i, err := r.Inode(ref)
			if err != nil {
				return err
			}
			var d Data
			if err := r.Read(i, offset, 4096, &d); err != nil {
				return err
			}
			d.Release(false)
			return nil
		}
	}

	t.Run("end of a file of 2^62 bytes", func(t *testing.T) {
		var p mutant.Plan
		p.Inodes, p.Directories = file(1<<62, all, zeros())
		measure(t, &p, readAt(1<<62-1), "corrupt inode table")
	})
	t.Run("end of a file with a long list", func(t *testing.T) {
		var p mutant.Plan
		p.Inodes, p.Directories = file(uint64(lots)/4*4096, all, zeros())
		measure(t, &p, readAt(int64(lots)/4*4096-1), "")
	})
	t.Run("list in blocks of a byte", func(t *testing.T) {
		p := mutant.Plan{Plain: true, Split: 1, Root: 0}
		p.Inodes, p.Directories = file(300<<10/4*4096, all, make([]byte, 300<<10))
		p.Directories = mutant.Directory(mutant.Entry{Name: "file", Kind: 2, Inode: 0})
		// With blocks of a byte, the file's inode begins in block 32, of 3 bytes each.
		binary.LittleEndian.PutUint32(p.Directories[4:], 32*3)
		measure(t, &p, readAt(300<<10/4*4096-1), "")
	})
	t.Run("directory without an index", func(t *testing.T) {
		var p mutant.Plan
		entry := mutant.Directory(slices.Repeat([]mutant.Entry{{Name: "a", Kind: 2, Inode: 32}}, 256)...)
		p.Directories = bytes.Repeat(entry, (maxSearch+1<<20)/len(entry))
		p.Inodes = mutant.Inode(8, 1, map[string]uint64{"size": uint64(len(p.Directories) + 3), "xattr": all})
		measure(t, &p, func(r *Reader, root *Inode) error {
			_, err := r.Lookup(root, "b")
			return err
		}, "has no index")
	})
	t.Run("large index", func(t *testing.T) {
		var p mutant.Plan
		p.Directories = mutant.Directory(mutant.Entry{Name: "b", Kind: 2, Inode: 0})
		p.Inodes = mutant.Inode(8, 1, map[string]uint64{"size": uint64(len(p.Directories) + 3), "indexes": all, "xattr": all})
		index := append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 254, 0, 0, 0}, bytes.Repeat([]byte("a"), 255)...)
		p.Inodes = append(p.Inodes, bytes.Repeat(index, 65535)...)
		measure(t, &p, func(r *Reader, root *Inode) error { _, err := r.Lookup(root, "b"); return err }, "")
	})
	t.Run("values of attributes", func(t *testing.T) {
		var p mutant.Plan
		const count = 1000
		p.Directories = mutant.Directory(mutant.Entry{Name: "b", Kind: 2, Inode: 0})
		p.Inodes = mutant.Inode(8, 1, map[string]uint64{"size": uint64(len(p.Directories) + 3), "xattr": 0})
		const value = 64 << 10
		one := append([]byte{0, 0, 1, 0, 'x'}, binary.LittleEndian.AppendUint32(nil, uint32(value))...)
		one = append(one, make([]byte, value)...)
		for range count {
			p.Xattrs = append(p.Xattrs, one...)
		}
		p.Sets = append(make([]byte, 8), 0xe8, 3, 0, 0, 0, 0, 0, 0)
		measure(t, &p, func(r *Reader, root *Inode) error {
			var group sync.WaitGroup
			errs := make([]error, 4)
			for n := range errs { // as many as there are workers
				group.Go(func() {
					list, err := r.Xattrs(root)
					runtime.KeepAlive(list)
					errs[n] = err
				})
			}
			group.Wait()
			return errs[0]
		}, "the values of a file's attributes take more than")
	})
	t.Run("values of attributes in a block each", func(t *testing.T) {
		var p mutant.Plan
		const count = 9000 // names of seven bytes each, which is just what there may be
		p.Directories = mutant.Directory(mutant.Entry{Name: "b", Kind: 2, Inode: 0})
		p.Inodes = mutant.Inode(8, 1, map[string]uint64{"size": uint64(len(p.Directories) + 3), "xattr": 0})
		// The values are empty, out of line, and each in a metadata block of its own.
		value := deflated(make([]byte, metadataSize))
		block := uint64(2 + len(value))
		const each = 5 + 4 + 8
		first := (count*each + metadataSize - 1) / metadataSize
		// How long the blocks of references are, compressed, is not known before, so they are not.
		for n := range count {
			at := uint64(first)*(2+metadataSize) + uint64(n)*block
			p.Xattrs = append(p.Xattrs, 0, 1, 1, 0, 'x', 8, 0, 0, 0)
			p.Xattrs = binary.LittleEndian.AppendUint64(p.Xattrs, at<<16)
		}
		p.Raw = first
		p.Xattrs = append(p.Xattrs, make([]byte, first*metadataSize-len(p.Xattrs)+count*metadataSize)...)
		p.Sets = append(make([]byte, 8), 0x28, 0x23, 0, 0, 0, 0, 0, 0) // 9000
		measure(t, &p, func(r *Reader, root *Inode) error {
			lists := make([][]Xattr, 2) // of different workers
			for n := range lists {
				var err error
				if lists[n], err = r.Xattrs(root); err != nil {
					return err
				}
			}
			runtime.GC()
			runtime.KeepAlive(lists)
			return nil
		}, "")
	})
	t.Run("parallel readers of large blocks", func(t *testing.T) {
		p := mutant.Plan{BlockSize: 1 << 20}
		block := deflated(make([]byte, 1<<20))
		var list []byte
		for range 200 {
			p.Data = append(p.Data, block...)
			list = binary.LittleEndian.AppendUint32(list, uint32(len(block)))
		}
		p.Inodes, p.Directories = file(200<<20, all, list)
		measure(t, &p, func(r *Reader, root *Inode) error {
			ref, err := r.Lookup(root, "file")
			if err != nil {
				return err
			}
			i, err := r.Inode(ref)
			if err != nil {
				return err
			}
			// As many as a server has workers with such blocks. Each needs two at a time, and all keep what they have
			// until the last one has it.
			const readers = 10
			var group, ready sync.WaitGroup
			ready.Add(readers)
			errs := make([]error, readers)
			for n := range errs {
				group.Go(func() {
					for round := range int64(10) {
						var d Data
						err := r.Read(i, (20*int64(n)+2*round+1)<<20-4096, 8192, &d)
						errs[n] = errors.Join(errs[n], err)
						if round == 0 {
							ready.Done()
							ready.Wait()
						}
						d.Release(round%2 == 0)
					}
				})
			}
			group.Wait()
			return errors.Join(errs...)
		}, "")
	})
}

// TestParallel has several goroutines visit the same damaged image, with helpers that begin at once, late or not at all.
// Nothing that they use gets lost, or is used twice.
func TestParallel(t *testing.T) {
	whole := mutant.Parse(mutant.Make(t, mutant.Uncompressed...))
	series := mutant.Choose(t, 200)
	var helped atomic.Int32
	series.All(whole, images(t, mutant.MakeSmall), func(_ int, image []byte, what string) {
		var helpers sync.WaitGroup
		share := func(work func()) bool {
			choice := rand.N(3)
			if choice == 0 {
				return false
			}
			helped.Add(1)
			helpers.Go(func() {
				time.Sleep(time.Duration(choice-1) * rand.N(time.Millisecond))
				work()
			})
			return true
		}
		r, err := Open(bytes.NewReader(image), int64(len(image)), Options{Share: share})
		if err != nil {
			return
		}
		r.pace.Store(int64(time.Hour))
		walks := make([]*walk, 4)
		var group sync.WaitGroup
		for n := range walks {
			walks[n] = &walk{t: t, r: r, left: 1000, seen: map[Ref]bool{}, shared: true}
			group.Go(func() { walks[n].inode(r.Root()) })
		}
		group.Wait()
		helpers.Wait()
		walks[0].closeReader()
		for _, w := range walks[1:] {
			if fmt.Sprint(w.found) != fmt.Sprint(walks[0].found) {
				t.Errorf("%v, and %v", walks[0].found, w.found)
			}
		}
		if t.Failed() {
			t.Fatal(what)
		}
	})
	if helped.Load() == 0 {
		t.Error("nobody was asked to help")
	}
}

// Who helps loads a block that the one who asked needs, and only where that takes its time.
func TestShare(t *testing.T) {
	image := mutant.Make(t, mutant.Uncompressed...)
	for _, pace := range []time.Duration{Slow / 2, time.Hour} {
		var r *Reader
		loaded := func() (n int) {
			for _, b := range r.blocks.blocks {
				if b.loaded.Load() {
					n++
				}
			}
			return n
		}
		helped := 0
		r, err := Open(bytes.NewReader(image), int64(len(image)), Options{Share: func(work func()) bool {
			before := loaded()
			work()
			if loaded() != before+1 {
				t.Error("nothing has been loaded")
			}
			helped++
			return true
		}})
		if err != nil {
			t.Fatal(err)
		}
		w := &walk{t: t, r: r, left: 1000, seen: map[Ref]bool{}}
		for range 100 {
			r.pace.Store(int64(pace))
			w.inode(r.Root())
			if helped > 0 {
				break
			}
		}
		w.closeReader()
		if (helped > 0) != (pace > Slow) {
			t.Errorf("%d blocks were loaded by others where one takes %v", helped, pace)
		}
	}
}
