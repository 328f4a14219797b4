package squash

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ch-run/internal/kernel"
	"ch-run/internal/squash/decompress"
)

// A walk visits all that an image offers, as far as its budget goes, and looks whether the answers fit together. What is
// damaged must be found in the way that the package promises.
type walk struct {
	t     testing.TB
	r     *Reader
	left  int          // operations
	seen  map[Ref]bool // inodes
	found []error

	shared bool // the reader is used by others at the same time
}

// walkImage opens the image and visits it. The errors that are found are returned.
func walkImage(t testing.TB, image []byte, budget int) []error {
	t.Helper()
	w := &walk{t: t, left: budget, seen: map[Ref]bool{}}
	r, err := Open(bytes.NewReader(image), int64(len(image)), Options{})
	if err != nil {
		w.note(err)
		return w.found
	}
	w.r = r
	w.inode(r.Root())
	w.closeReader()
	return w.found
}

// closeReader frees what a reader has outside the heap. Everything must have been given back.
func (w *walk) closeReader() {
	for _, b := range w.r.blocks.blocks {
		if b.users != 0 {
			w.t.Errorf("block %v has %d users", b.key, b.users)
		}
		if b.data != nil {
			w.r.buffers.put(b.data)
		}
	}
	for _, b := range w.r.buffers.free {
		kernel.FreeMemory(b)
	}
}

// note looks whether an error says what is wrong, and where.
func (w *walk) note(err error) {
	w.t.Helper()
	if err == nil || len(w.found) > 100 {
		return
	}
	for _, known := range w.found {
		if known.Error() == err.Error() {
			return
		}
	}
	w.found = append(w.found, err)
	checkError(w.t, err)
}

func checkError(t testing.TB, err error) {
	t.Helper()
	var c *CorruptError
	var d *decompress.CorruptError
	switch {
	case !errors.As(err, &c):
		t.Errorf("%T: %v", err, err)
	case c.Part == "" || c.Text == "" || c.Offset < 0:
		t.Errorf("%q does not say what is wrong, or where", err)
	case !strings.Contains(err.Error(), c.Part) || !strings.Contains(err.Error(), strconv.FormatInt(c.Offset, 10)):
		t.Errorf("%q does not name %q and %d", err, c.Part, c.Offset)
	case strings.ContainsAny(err.Error(), "\n\x00\x1b"):
		t.Errorf("%q is more than a line of text", err)
	case c.Err != nil && c.Part != "superblock" && !errors.As(c.Err, &d):
		t.Errorf("%q: the reason is a %T", err, c.Err)
	}
}

func (w *walk) spend() bool {
	w.left--
	return w.left >= 0
}

func (w *walk) inode(ref Ref) {
	if w.seen[ref] || !w.spend() {
		return
	}
	w.seen[ref] = true
	i, err := w.r.Inode(ref)
	if err != nil {
		w.note(err)
		return
	}
	if i.Ref != ref || i.Type < Directory || i.Type > Socket || i.Mode&^0o7777 != 0 || i.Size < 0 || i.Blocks < 0 {
		w.t.Errorf("inode %v: %+v", ref, i)
	}
	_, _, err = w.r.Owner(i)
	w.note(err)
	w.xattrs(i)
	w.file(i)
	w.link(i)
	w.directory(i)
}

func (w *walk) link(i *Inode) {
	target, err := w.r.Readlink(i)
	switch {
	case i.Type != Symlink:
		if err != ErrNotSymlink {
			w.t.Errorf("inode %v: Readlink: %v", i.Ref, err)
		}
	case err != nil:
		w.note(err)
	case int64(len(target)) != i.Size || len(target) > maxSymlink:
		w.t.Errorf("inode %v: target of %d bytes, %d", i.Ref, len(target), i.Size)
	}
}

func (w *walk) xattrs(i *Inode) {
	list, err := w.r.Xattrs(i)
	w.note(err)
	for _, x := range list {
		if !w.spend() {
			return
		}
		if x.Size < 0 || x.Size > maxXattrValue || !strings.Contains(x.Name, ".") {
			w.t.Errorf("inode %v: attribute %q of %d bytes", i.Ref, x.Name, x.Size)
		}
		value, err := x.Value()
		w.note(err)
		if err == nil && len(value) != x.Size {
			w.t.Errorf("inode %v: attribute %q has %d bytes, not %d", i.Ref, x.Name, len(value), x.Size)
		}
	}
}

// file reads at the start, the end, and around; small files as a whole.
func (w *walk) file(i *Inode) {
	block := int64(w.r.super.BlockSize)
	if i.Type != Regular {
		var d Data
		if err := w.r.Read(i, 0, 1, &d); err != ErrNotRegular {
			w.t.Errorf("inode %v: Read: %v", i.Ref, err)
		}
		return
	}
	var whole []byte
	if i.Size <= 16*block && i.Size <= 256<<10 {
		whole = make([]byte, i.Size)
		n, err := w.r.ReadAt(i, whole, 0)
		if err != nil {
			w.note(err)
			whole = nil
		} else if int64(n) != i.Size {
			w.t.Errorf("inode %v: %d of %d bytes without an error", i.Ref, n, i.Size)
		}
	}
	for _, offset := range []int64{0, 1, block - 1, block, 3*block + 5, i.Size / 2, i.Size - block - 1, i.Size - 1, i.Size, i.Size + 1, 1 << 62, -1} {
		for _, length := range []int{1, 5000} {
			if !w.spend() {
				return
			}
			var d Data
			err := w.r.Read(i, offset, length, &d)
			if err != nil {
				w.note(err)
				if len(d.blocks) != 0 || len(d.Parts) != 0 || d.Length != 0 {
					w.t.Errorf("inode %v: after an error there is something left to release", i.Ref)
				}
				continue
			}
			want := 0
			if offset >= 0 && offset < i.Size {
				want = int(min(i.Size-offset, int64(length)))
			}
			content, at := []byte(nil), offset
			for _, p := range d.Parts {
				content = append(content, p.Bytes...)
				if p.Block != nil && (at < p.Offset || at+int64(len(p.Bytes)) > p.Offset+int64(len(p.Block)) ||
					p.Offset+int64(len(p.Block)) > i.Size || !bytes.Equal(p.Block[at-p.Offset:][:len(p.Bytes)], p.Bytes)) {
					w.t.Errorf("inode %v: a part at %d of %d bytes in a block at %d of %d", i.Ref, at, len(p.Bytes), p.Offset, len(p.Block))
				}
				at += int64(len(p.Bytes))
			}
			if len(content) != want || d.Length != want {
				w.t.Errorf("inode %v: %d bytes (%d) at %d of %d, want %d", i.Ref, len(content), d.Length, offset, i.Size, want)
			} else if whole != nil && want > 0 && !bytes.Equal(content, whole[offset:][:want]) {
				w.t.Errorf("inode %v: other content at %d than in the whole", i.Ref, offset)
			}
			d.Release(false)
		}
	}
}

func (w *walk) directory(i *Inode) {
	if i.Type != Directory {
		if _, err := w.r.Lookup(i, "x"); err != ErrNotDirectory {
			w.t.Errorf("inode %v: Lookup: %v", i.Ref, err)
		}
		if err := w.r.ReadDir(i, 0, nil); err != ErrNotDirectory {
			w.t.Errorf("inode %v: ReadDir: %v", i.Ref, err)
		}
		return
	}
	type entry struct {
		name string
		ref  Ref
		next Cookie
	}
	var list []entry
	err := w.r.ReadDir(i, 0, func(e Entry) bool {
		if len(e.Name) == 0 || len(e.Name) > maxName || bytes.ContainsAny(e.Name, "/\x00") || string(e.Name) == "." || string(e.Name) == ".." {
			w.t.Errorf("inode %v: an entry %q", i.Ref, e.Name)
		}
		list = append(list, entry{string(e.Name), e.Ref, e.Next})
		return w.spend()
	})
	w.note(err)
	complete := err == nil && w.left > 0

	// Listing goes on after each entry, with the places of stops remembered and not.
	for n, e := range list {
		if n%7 > 1 && n < len(list)-2 {
			continue
		}
		if !w.spend() {
			break
		}
		if n%2 == 0 && !w.shared {
			w.r.places = placeCache{}
		}
		rest := list[n+1:]
		err := w.r.ReadDir(i, e.next, func(e Entry) bool {
			if len(rest) == 0 {
				if complete {
					w.t.Errorf("inode %v: after %q comes %q, which was not there before", i.Ref, list[n].name, e.Name)
				}
				return false
			}
			if got := (entry{string(e.Name), e.Ref, e.Next}); got != rest[0] {
				w.t.Errorf("inode %v: after %q comes %v, not %v", i.Ref, list[n].name, got, rest[0])
			}
			rest = rest[1:]
			return len(rest) > len(list)-n-4
		})
		if complete {
			if err != nil {
				w.t.Errorf("inode %v: after %q: %v", i.Ref, list[n].name, err)
			}
		} else {
			w.note(err)
		}
	}
	for _, cookie := range []Cookie{1, 511, 1 << 9, 1<<9 | 3, 1 << 20, 1 << 40, 1 << 63, 1<<64 - 1} {
		// Nobody was given these. An application can make them up, seekdir(3), and then gets no entry that is not there.
		err := w.r.ReadDir(i, cookie, func(e Entry) bool {
			if complete && !slices.ContainsFunc(list, func(l entry) bool { return l.name == string(e.Name) && l.ref == e.Ref && l.next == e.Next }) {
				w.t.Errorf("inode %v: %q is not in it, at a place that there is not, %d", i.Ref, e.Name, cookie)
			}
			return w.spend()
		})
		if complete && err != nil {
			w.t.Errorf("inode %v: at a place that there is not, %d: %v", i.Ref, cookie, err)
		}
	}

	for n, e := range list {
		if n > 20 && n%10 != 0 {
			continue
		}
		if !w.spend() {
			return
		}
		_, err := w.r.Lookup(i, e.name)
		if err != ErrNotFound { // in a damaged directory, where names are not in order
			w.note(err)
		}
		_, err = w.r.Lookup(i, e.name+"\x01")
		if err != ErrNotFound {
			w.note(err)
		}
	}
	for _, name := range []string{"", ".", "..", "\x00", "none", "\xff\xff", strings.Repeat("z", maxName), strings.Repeat("z", 70000)} {
		if _, err := w.r.Lookup(i, name); err != ErrNotFound {
			w.note(err)
		}
	}
	for _, e := range list {
		w.inode(e.ref)
	}
}

// processorTime is what the test has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory returns the most physical memory that the process has had since the last call of resetPeak, in bytes.
func peakMemory(t testing.TB) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

func resetPeak(t testing.TB) {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}
