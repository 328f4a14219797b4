// Command lister prints all that a process can see of directory trees, one line a file, so that two
// views of the same tree can be compared: through one file system and another, through a container and
// without. On the way it tries what a file system may get wrong without it showing in such a list: reading
// at random offsets and through mmap(2) before reading in order, seeking in directories, looking up names
// that do not exist, buffers that are too small. What is inconsistent is a line that begins with "problem".
//
//	lister PATH...
//	lister lookup < PATHS
//	lister stress READERS SECONDS PATH...
//
// The second form looks up paths without reading a directory before, from which the kernel would know them.
// The third has many readers read files in random order, around the page cache as far as possible,
// and compares what they read.
//
// What is mounted within a tree is left out.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 4 && os.Args[1] == "stress" {
		if err := stress(os.Args[2], os.Args[3], os.Args[4:]); err != nil {
			fmt.Fprintln(os.Stderr, "lister:", err)
			os.Exit(1)
		}
		return
	}
	l := lister{out: bufio.NewWriter(os.Stdout)}
	if len(os.Args) == 2 && os.Args[1] == "lookup" {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			path, err := strconv.Unquote(in.Text())
			var st unix.Stat_t
			if err == nil {
				err = unix.Lstat(path, &st)
			}
			if err != nil {
				l.printf("%q stat=%s\n", path, name(err))
				continue
			}
			l.printf("%q mode=%04o ino=%d nlink=%d mtime=%d.%d\n", path, st.Mode&^unix.S_IFMT, st.Ino, st.Nlink, st.Mtim.Sec, st.Mtim.Nsec)
		}
		if err := l.out.Flush(); err != nil {
			os.Exit(1)
		}
		return
	}
	for _, path := range os.Args[1:] {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			fmt.Fprintln(os.Stderr, "lister:", err)
			os.Exit(1)
		}
		l.device = st.Dev
		l.file(path, nil)
	}
	if err := l.out.Flush(); err != nil {
		os.Exit(1)
	}
}

type lister struct {
	out    *bufio.Writer
	device uint64
}

// printf prints a part of a line. Whether that was possible shows when the writer is flushed.
func (l *lister) printf(format string, args ...any) { _, _ = fmt.Fprintf(l.out, format, args...) }

func (l *lister) problem(path, format string, args ...any) {
	l.printf("problem %q %s\n", path, fmt.Sprintf(format, args...))
}

// name returns the symbolic name of an error number, which does not vary as texts do.
func name(err error) string {
	var e unix.Errno
	if errors.As(err, &e) {
		return unix.ErrnoName(e)
	}
	return err.Error()
}

// file lists the file at path and what is below it. entry is what its directory said about it.
func (l *lister) file(path string, entry *dirent) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		l.printf("%q stat=%s\n", path, name(err))
		return
	}
	if st.Dev != l.device {
		return
	}
	kind := st.Mode & unix.S_IFMT
	if entry != nil && (uint32(entry.kind)<<12 != kind || entry.inode != st.Ino) {
		l.problem(path, "directory entry has type %d, inode %d; the file has %d, %d", entry.kind, entry.inode, kind>>12, st.Ino)
	}
	l.printf("%q type=%s mode=%04o nlink=%d uid=%d gid=%d size=%d blocks=%d ino=%d mtime=%d.%d rdev=%d:%d access=%s",
		path, map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "directory", unix.S_IFLNK: "link", unix.S_IFIFO: "fifo",
			unix.S_IFSOCK: "socket", unix.S_IFBLK: "block", unix.S_IFCHR: "character"}[kind],
		st.Mode&^unix.S_IFMT, st.Nlink, st.Uid, st.Gid, st.Size, st.Blocks, st.Ino, st.Mtim.Sec, st.Mtim.Nsec,
		unix.Major(st.Rdev), unix.Minor(st.Rdev), access(path, kind))
	var entries []dirent
	switch kind {
	case unix.S_IFREG:
		l.content(path, st.Size)
	case unix.S_IFDIR:
		entries = l.entries(path)
	case unix.S_IFLNK:
		buffer := make([]byte, 8192)
		n, err := unix.Readlink(path, buffer)
		if err != nil {
			l.printf(" readlink=%s", name(err))
			break
		}
		l.printf(" target=%q", buffer[:n])
	}
	l.attributes(path, kind)
	l.printf("\n")
	l.checkEntries(path, entries)
	for _, e := range entries {
		if e.name != "." && e.name != ".." {
			l.file(filepath.Join(path, e.name), &e)
		}
	}
}

// access returns what the process may do with a file.
func access(path string, kind uint32) (can string) {
	if kind == unix.S_IFLNK {
		return "-"
	}
	for _, a := range []struct {
		mode uint32
		name string
	}{{unix.R_OK, "r"}, {unix.W_OK, "w"}, {unix.X_OK, "x"}} {
		if unix.Access(path, a.mode) == nil {
			can += a.name
		} else {
			can += "-"
		}
	}
	return can
}

// random returns random numbers that are the same for the same path, through whatever it is seen.
func random(path string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(path))
	return rand.New(rand.NewPCG(h.Sum64(), 1))
}

// A sample is part of a file that has been read otherwise than in order.
type sample struct {
	how    string
	offset int64
	data   []byte
}

func (l *lister) content(path string, size int64) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		l.printf(" open=%s", name(err))
		return
	}
	defer func() { _ = unix.Close(fd) }()
	var problems []string // this is in the middle of a line
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	samples, err := sampled(fd, size, random(path), problem)
	if err != nil {
		l.printf(" pread=%s", name(err))
	}
	hash, offset, buffer := sha256.New(), int64(0), make([]byte, min(1<<20, size+1))
	for {
		n, err := unix.Read(fd, buffer)
		if err != nil {
			l.printf(" read=%s@%d", name(err), offset)
			break
		}
		if n == 0 {
			l.printf(" sha256=%x", hash.Sum(nil))
			break
		}
		chunk := buffer[:n]
		hash.Write(chunk)
		for _, s := range samples {
			start, end := max(s.offset, offset), min(s.offset+int64(len(s.data)), offset+int64(n))
			if start < end && !bytes.Equal(s.data[start-s.offset:end-s.offset], chunk[start-offset:end-offset]) {
				problem("%s of %d bytes at %d differs from the content read in order", s.how, len(s.data), s.offset)
			}
		}
		offset += int64(n)
	}
	if offset != size {
		problem("has %d bytes, its size is %d", offset, size)
	}
	for _, at := range []int64{size, size + 1, size + 1<<20} {
		if n, err := unix.Pread(fd, buffer, at); n != 0 || err != nil {
			problem("read at %d, beyond the end: %d bytes, %v", at, n, err)
		}
	}
	for _, p := range problems {
		l.printf(" problem=%q", p)
	}
}

// sampled reads parts of a file in random order, and some files through mmap(2) from the end to the start.
func sampled(fd int, size int64, r *rand.Rand, problem func(string, ...any)) (samples []sample, err error) {
	if size == 0 {
		return nil, nil
	}
	if page := int64(4096); size <= 4<<20 && r.IntN(2) == 0 {
		mapped, err := unix.Mmap(fd, 0, int((size+page-1)/page*page), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return nil, err
		}
		data := make([]byte, len(mapped))
		if err := copyBackwards(data, mapped, page); err != nil {
			_ = unix.Munmap(mapped)
			return nil, err
		}
		if len(bytes.Trim(data[size:], "\x00")) > 0 {
			problem("mapped memory beyond the end is not zero")
		}
		return []sample{{"mmap", 0, data[:size]}}, unix.Munmap(mapped)
	}
	for range 6 {
		// Around a boundary of some block size, and anywhere.
		offset, length := r.Int64N(size), 1+r.IntN(5000)
		if block := int64(4096) << r.IntN(9); r.IntN(2) == 0 && size > block {
			offset = max(0, r.Int64N(size/block+1)*block-r.Int64N(3))
		}
		if r.IntN(4) == 0 {
			length = 1 + r.IntN(300_000)
		}
		want := min(int64(length), size-offset)
		data := make([]byte, length)
		n, err := unix.Pread(fd, data, offset)
		if err != nil {
			return samples, err
		}
		if int64(n) != want {
			problem("read of %d bytes at %d returned %d, want %d", length, offset, n, want)
		}
		samples = append(samples, sample{"read", offset, data[:n]})
	}
	return samples, nil
}

// copyBackwards copies memory that may not be there: what cannot be read of a file is SIGBUS.
func copyBackwards(to, from []byte, page int64) (err error) {
	defer func() {
		if recover() != nil {
			err = unix.EIO
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for at := int64(len(from)) - page; at >= 0; at -= page {
		copy(to[at:at+page], from[at:])
	}
	return nil
}

// A dirent is an entry of a directory, with the position after it.
type dirent struct {
	name  string
	inode uint64
	kind  uint8
	next  int64
}

// entries returns the entries of a directory, sorted. As the line is not finished, it prints fields only.
func (l *lister) entries(path string) []dirent {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		l.printf(" open=%s", name(err))
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	list, err := readAll(fd, 32<<10)
	if err != nil {
		l.printf(" getdents=%s", name(err))
	}
	l.printf(" entries=%d", len(list)-2)
	slices.SortFunc(list, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	return list
}

func readAll(fd, size int) (list []dirent, err error) {
	for buffer := make([]byte, size); ; {
		part, err := readSome(fd, buffer)
		if err != nil || len(part) == 0 {
			return list, err
		}
		list = append(list, part...)
	}
}

func readSome(fd int, buffer []byte) (list []dirent, err error) {
	n, err := unix.Getdents(fd, buffer)
	for b := buffer[:max(n, 0)]; len(b) > 0; { // struct linux_dirent64
		length := int(b[16]) | int(b[17])<<8
		text, _, _ := bytes.Cut(b[19:length], []byte{0})
		list = append(list, dirent{string(text), number(b), b[18], int64(number(b[8:]))})
		b = b[length:]
	}
	return list, err
}

func number(b []byte) (n uint64) {
	for i := range 8 {
		n |= uint64(b[i]) << (8 * i)
	}
	return n
}

// checkEntries reads the directory in other ways than entries did, and looks for what is not in it.
func (l *lister) checkEntries(path string, want []dirent) {
	if len(want) == 0 {
		return
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		l.problem(path, "opens only once: %v", err)
		return
	}
	defer func() { _ = unix.Close(fd) }()
	list, err := readAll(fd, 280) // one entry with a long name at a time, or a few short ones
	if err != nil {
		l.problem(path, "getdents with a small buffer: %v", err)
	}
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	if !slices.Equal(sorted, want) {
		l.problem(path, "has other entries or positions when read in small parts")
	}
	r := random(path)
	for range min(20, len(list)) {
		l.seek(path, fd, list, r.IntN(len(list)))
	}
	l.seek(path, fd, list, len(list)-1)
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		l.problem(path, "rewind: %v", err)
	}
	if again, err := readAll(fd, 4096); err != nil || !slices.Equal(again, list) {
		l.problem(path, "has other entries after a rewind, %v", err)
	}

	there := map[string]bool{"": true}
	for i, e := range want {
		if there[e.name] {
			l.problem(path, "%q is there twice", e.name)
		}
		there[e.name] = true
		if i > 0 && e.inode == 0 {
			l.problem(path, "%q has inode 0", e.name)
		}
	}
	absent := []string{"\x01", "\xff\xff\xff", "nonexistent", strings.Repeat("\xff", 255)}
	for range min(20, len(want)) {
		e := want[r.IntN(len(want))].name
		absent = append(absent, e+"\x01", e+"\xff", e[:len(e)-1], e[:len(e)-1]+"\x01")
	}
	for _, n := range absent {
		var st unix.Stat_t
		if there[n] || len(n) > 255 || n == "." {
			continue
		}
		if err := unix.Lstat(path+"/"+n, &st); err != unix.ENOENT && err != unix.EACCES {
			l.problem(path, "lookup of %q, which is not there: %v", n, err)
		}
	}
}

// seek reads a directory from after the entry i, as telldir(3) and seekdir(3) would have it.
func (l *lister) seek(path string, fd int, list []dirent, i int) {
	if _, err := unix.Seek(fd, list[i].next, 0); err != nil {
		l.problem(path, "seek: %v", err)
		return
	}
	part, err := readSome(fd, make([]byte, 4096))
	switch {
	case err != nil:
		l.problem(path, "getdents after seek: %v", err)
	case i == len(list)-1 && len(part) > 0:
		l.problem(path, "position %d, after the last entry: %q follows", list[i].next, part[0].name)
	case i < len(list)-1 && (len(part) == 0 || part[0] != list[i+1]):
		l.problem(path, "position %d, after %q: %q does not follow", list[i].next, list[i].name, list[i+1].name)
	}
}

func (l *lister) attributes(path string, kind uint32) {
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	size, err := unix.Llistxattr(path, nil)
	if err != nil {
		l.printf(" listxattr=%s", name(err))
		return
	}
	list := make([]byte, size)
	if size > 0 {
		if n, err := unix.Llistxattr(path, list); n != size || err != nil {
			problem("listxattr: %d bytes, %v; first it was %d", n, err, size)
		}
		if _, err := unix.Llistxattr(path, make([]byte, size-1)); err != unix.ERANGE {
			problem("listxattr with a small buffer: %v", err)
		}
	}
	names := strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00")
	if size == 0 {
		names = nil
	}
	slices.Sort(names)
	for _, n := range names {
		size, err := unix.Lgetxattr(path, n, nil)
		if err != nil {
			l.printf(" %s=%s", strconv.QuoteToASCII(n), name(err))
			continue
		}
		value := make([]byte, size+1)
		if got, err := unix.Lgetxattr(path, n, value); got != size || err != nil {
			problem("getxattr %s: %d bytes, %v; first it was %d", n, got, err, size)
		}
		if size > 1 {
			if _, err := unix.Lgetxattr(path, n, make([]byte, size-1)); err != unix.ERANGE {
				problem("getxattr %s with a small buffer: %v", n, err)
			}
		}
		l.printf(" %s=%s", strconv.QuoteToASCII(n), formatted(value[:size]))
	}
	readable := unix.Access(path, unix.R_OK) == nil
	if readable && (kind == unix.S_IFREG || kind == unix.S_IFDIR) && random(path).IntN(8) == 0 {
		for _, n := range []string{"user.nonexistent", "user.", "security.nonexistent", "trusted.nonexistent"} {
			_, err := unix.Lgetxattr(path, n, nil)
			noName := n == "user." && (err == unix.EINVAL || err == unix.EOPNOTSUPP)
			if err != unix.ENODATA && !noName {
				problem("getxattr %s, which is not there: %v", n, err)
			}
		}
		// ls -l asks for it; without an answer it takes longer, with an error it complains.
		if _, err := unix.Lgetxattr(path, "system.posix_acl_access", nil); err != unix.ENODATA && err != unix.EOPNOTSUPP {
			problem("getxattr system.posix_acl_access: %v", err)
		}
	}
	for _, p := range problems {
		l.printf(" problem=%q", p)
	}
}

// formatted returns the form in which the value of an extended attribute is listed.
func formatted(value []byte) string {
	if len(value) <= 32 {
		return fmt.Sprintf("%x.", value)
	}
	return fmt.Sprintf("%d:%x", len(value), sha256.Sum256(value))
}
