package test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestZoo shows images that hold every kind of file, made in every way that mksquashfs offers, to a
// process in a container, and compares what it sees with what was put into them and with what it sees in
// the kernel's own mount. The latter takes root, see TestRootZoo; started as an ordinary user, the former
// has to do.
//
// The zoo goes to mksquashfs as a tar stream, which carries devices, owners and extended attributes that
// an ordinary user could not make.
func TestZoo(t *testing.T) {
	for _, p := range pictures() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.develop(t)
			cmd := chRun("-b", inputs+"/bin:/mnt", p.path(), "--", "/mnt/lister", "/")
			ours := listing(t, p, cmd)
			for name, file := range ours {
				if file["uid"] != strconv.Itoa(os.Getuid()) || file["gid"] != strconv.Itoa(os.Getgid()) {
					t.Errorf("%s belongs to %s:%s", name, file["uid"], file["gid"])
					break
				}
			}
			same(t, "what was put in", p.expected(t), ours, ignored...)
			lookUp(t, p, ours)

			data, err := os.ReadFile(p.kernelListing())
			if os.IsNotExist(err) {
				return // there was no root to mount it
			}
			if err != nil {
				t.Fatal(err)
			}
			kernels := parse(t, data)
			if p.twin != "" { // made at another time, which is that of the root directory
				kernels["/"]["mtime"] = ours["/"]["mtime"]
			}
			// The kernel's number of blocks counts extended attributes, and a symbolic link as one.
			same(t, "the kernel's view", kernels, ours, "uid", "gid", "blocks", `"security.capability"`)
			for _, name := range slices.Sorted(maps.Keys(kernels)) {
				if got, want := ours[name]["blocks"], kernels[name]["blocks"]; got != want && kernels[name]["type"] == "file" && !strings.Contains(name, "/attributes") {
					t.Errorf("%s: %s blocks, want %s", name, got, want)
					break
				}
			}
		})
	}
}

// lookUp looks names up in random order in a new container, in which the kernel knows none of them yet. What is
// found must be what was found by listing.
func lookUp(t *testing.T, p picture, list map[string]file) {
	t.Helper()
	names := slices.Sorted(maps.Keys(list))
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:min(len(names), 5000)]
	var paths strings.Builder
	want := map[string]file{}
	for _, name := range names {
		fmt.Fprintf(&paths, "%q\n", name)
		want[name] = file{}
		for _, field := range []string{"mode", "ino", "nlink", "mtime", "stat"} {
			if v, ok := list[name][field]; ok {
				want[name][field] = v
			}
		}
	}
	cmd := chRun("-b", inputs+"/bin:/mnt", p.path(), "--", "/mnt/lister", "lookup")
	cmd.Stdin = strings.NewReader(paths.String())
	same(t, "the list", want, listing(t, p, cmd))
}

// ignored are fields of which the zoo's inventory says nothing, and capabilities: of those of a file system that
// is mounted in a user namespace, the kernel has nothing to say but EOVERFLOW unless they are for that namespace.
var ignored = []string{"uid", "gid", "ino", "blocks", "access", `"security.socket"`, `"security.capability"`}

// TestRootZoo makes the images and has the kernel mount each of them, for TestZoo to compare with.
func TestRootZoo(t *testing.T) {
	if os.Geteuid() != 0 || !isWanted("TestZoo") {
		return
	}
	if err := os.MkdirAll(inputs+"/zoo", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			if !isWanted("TestZoo/" + p.name) {
				return
			}
			p.develop(t)
			if p.twin != "" {
				return
			}
			// The mount is in a namespace of its own, so that it goes whatever happens.
			point := inputs + "/zoo/" + p.name + ".mount" // where the ordinary user can go
			if err := os.Mkdir(point, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("unshare", "--mount", "sh", "-ec", `
				# The kernel reads whole blocks, and a loop device has no part of one at its end.
				if [ $(($(stat -c %s "$1") % 4096)) -ne 0 ]; then
					cp "$1" "$2.padded"
					truncate -s %4096 "$2.padded"
					set -- "$2.padded" "$2" "$3" "$4" "$5"
				fi
				mount -t squashfs -o loop,ro "$1" "$2"
				exec setpriv --reuid="$3" --regid="$4" --clear-groups "$5/bin/ch-run" -b "$5/bin:/mnt" "$2" -- /mnt/lister /
				`, "sh", p.path(), point, strconv.Itoa(ordinary.uid), strconv.Itoa(ordinary.gid), inputs)
			cmd.Env = chRun().Env
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("the kernel's view of %s: %v\n%s%s", p.name, err, stderr.Bytes(), end(out))
			}
			if err := os.WriteFile(p.kernelListing(), out, 0o644); err != nil {
				t.Fatal(err)
			}
			same(t, "what was put in", p.expected(t), parse(t, out), ignored...)
		})
	}
}

// A picture is an image of the zoo.
type picture struct {
	name    string
	block   int
	most    int // of each kind
	options []string
	change  func(*animal)   // what the options change in the files
	crowd   func() []animal // instead of a bit of everything, a lot of something
	more    bool            // has what tar cannot carry
	append  string          // to the image
	twin    string          // the kernel cannot mount it, but that one, which holds the same
}

func pictures() (list []picture) {
	most := 2000
	add := func(block int, name string, options ...string) *picture {
		list = append(list, picture{name: name, block: block, most: most, options: append(options, "-b", strconv.Itoa(block))})
		return &list[len(list)-1]
	}
	const usual = 128 << 10
	// A lot of it, first as it takes longest.
	add(usual, "many-names").crowd = manyNames
	add(usual, "huge-file", "-Xcompression-level", "1").crowd = hugeFile
	add(4<<10, "many-things", "-comp", "zstd").crowd = manyThings
	list[0].more, list[1].more = true, true
	for _, c := range []string{"gzip", "zstd", "lz4", "xz", "lzo", "lzma"} {
		add(usual, c, "-comp", c)
		most = 60 // as the rest does not depend on the compressor
	}
	list[len(list)-1].twin = "lzo"
	for _, c := range []string{"gzip", "zstd"} {
		for _, block := range []int{4, 8, 64, 256, 1024} {
			add(block<<10, fmt.Sprintf("%s-%dK", c, block), "-comp", c, "-Xcompression-level", "5")
		}
	}
	for _, c := range []string{"lz4", "xz", "lzo", "lzma"} {
		add(1<<20, c+"-1024K", "-comp", c).most = 20
	}
	list[len(list)-1].twin = "lzo-1024K"
	// Compressors' options, which an image carries behind the superblock.
	add(usual, "gzip-options", "-comp", "gzip", "-Xcompression-level", "3", "-Xwindow-size", "9", "-Xstrategy", "huffman_only,fixed,run_length_encoded")
	add(usual, "zstd-options", "-comp", "zstd", "-Xcompression-level", "19")
	add(usual, "lz4-options", "-comp", "lz4", "-Xhc")
	add(usual, "lzo-options", "-comp", "lzo", "-Xalgorithm", "lzo1x_1_15")
	add(usual, "xz-options", "-comp", "xz", "-Xbcj", "x86,arm,powerpc", "-Xdict-size", "32K")
	// What is left uncompressed.
	for _, o := range []string{"-noI", "-noD", "-noF", "-noX", "-noId"} {
		add(usual, o[1:], o)
	}
	add(usual, "nothing-compressed", "-noI", "-noD", "-noF", "-noX", "-noId")
	add(1<<20, "nothing-compressed-1024K", "-noI", "-noD", "-noF", "-noX", "-noId").most = 20
	// What is left out, or done otherwise.
	for _, o := range []string{"-no-exports", "-always-use-fragments", "-no-fragments", "-no-duplicates", "-no-sparse", "-nopad"} {
		add(usual, o[1:], o)
	}
	add(4<<10, "always-use-fragments-4K", "-always-use-fragments")
	add(usual, "all-time", "-all-time", "4000000000").change = func(a *animal) { a.seconds = 4000000000 }
	add(usual, "no-xattrs", "-no-xattrs").change = func(a *animal) { a.xattrs = nil }
	add(usual, "appended", "-comp", "zstd").more = true
	add(usual, "padding", "-nopad").append = strings.Repeat("hsqs", 12345)
	return list
}

func (p picture) path() string { return inputs + "/zoo/" + p.name + ".sqfs" }
func (p picture) kernelListing() string {
	if p.twin != "" {
		return inputs + "/zoo/" + p.twin + ".kernel"
	}
	return inputs + "/zoo/" + p.name + ".kernel"
}
func (p picture) hashes() string { return inputs + "/zoo/" + p.name + ".hashes" }

func (p picture) animals() (list []animal) {
	switch {
	case p.crowd != nil:
		list = p.crowd()
	default:
		list = animals(p.block, p.most)
		if p.more {
			list = append(list, animal{name: "socket", kind: socket, mode: 0o640, seconds: 1}, animal{name: "socket-extended", kind: socket, mode: 0o755, seconds: 2})
		}
	}
	for i := range list {
		if p.change != nil {
			p.change(&list[i])
		}
	}
	return list
}

// develop makes the image, if that has not been done.
func (p picture) develop(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(p.hashes()); err == nil {
		return
	}
	if err := os.MkdirAll(inputs+"/zoo", 0o755); err != nil {
		t.Fatal(err)
	}
	animals := p.animals()
	root := animals[0] // mksquashfs does not take it from the archive
	args := []string{"-", p.path(), "-tar", "-noappend", "-quiet", "-no-progress", "-exports", "-mem", "256M",
		"-root-mode", fmt.Sprintf("%o", root.mode), "-root-uid", fmt.Sprint(ordinary.uid), "-root-gid", fmt.Sprint(ordinary.gid)}
	cmd := exec.Command("mksquashfs", append(args, p.options...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &messages, &messages
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hashes, err := writeTar(stdin, animals)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, messages.Bytes())
	}
	if err != nil {
		t.Fatal(err)
	}
	if messages.Len() > 0 {
		t.Errorf("mksquashfs: %s", messages.Bytes())
	}
	if p.more {
		p.addMore(t)
	}
	if p.append != "" {
		f, err := os.OpenFile(p.path(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(p.append); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(p.hashes(), []byte(strings.Join(hashes, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// addMore appends what tar cannot carry to the file system in the image. This moves its tables.
func (p picture) addMore(t *testing.T) {
	t.Helper()
	directory := t.TempDir()
	var made []animal
	for _, a := range p.animals() {
		name, mode := directory+"/"+a.name, uint32(a.mode)
		switch {
		case a.kind == socket:
			mode |= syscall.S_IFSOCK
		case a.appended && a.kind == tar.TypeReg:
			mode |= syscall.S_IFREG
		case a.appended:
			if err := os.Mkdir(name, 0o755); err != nil {
				t.Fatal(err)
			}
			made = append(made, a)
			continue
		default:
			continue
		}
		if err := syscall.Mknod(name, mode, 0); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 && strings.Contains(a.name, "extended") {
			if err := unix.Lsetxattr(name, "security.socket", []byte("s"), 0); err != nil {
				t.Fatal(err)
			}
		}
		if a.data.size > 0 {
			a.data.writeSparse(t, name)
		}
		made = append(made, a)
	}
	for _, a := range slices.Backward(made) {
		if err := os.Chmod(directory+"/"+a.name, fs.FileMode(a.mode)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(directory+"/"+a.name, time.Time{}, time.Unix(a.seconds, 0)); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{directory, p.path(), "-quiet", "-no-progress", "-force-uid", fmt.Sprint(ordinary.uid), "-force-gid", fmt.Sprint(ordinary.gid)}
	output(t, exec.Command("mksquashfs", args...))
}

// expected returns the list of files as it must be.
func (p picture) expected(t *testing.T) map[string]file {
	t.Helper()
	data, err := os.ReadFile(p.hashes())
	if err != nil {
		t.Fatal(err)
	}
	hashes := strings.Split(string(data), "\n")
	list, links := map[string]file{}, map[string]int{}
	hidden := func(name string) bool {
		for above := path.Dir(name); above != "/"; above = path.Dir(above) {
			if d := list[above]; d != nil && d["open"] != "" {
				return true
			}
		}
		return slices.Contains([]string{"/dev", "/proc", "/sys", "/tmp", "/mnt", "/etc/passwd", "/etc/group"}, name)
	}
	for i, a := range p.animals() {
		name := path.Join("/", a.name)
		if a.kind == tar.TypeLink {
			target := path.Join("/", a.target)
			list[name] = list[target]
			links[target]++
			continue
		}
		f := file{"mode": fmt.Sprintf("%04o", a.mode), "mtime": fmt.Sprintf("%d.0", a.seconds), "rdev": "0:0", "nlink": "1", "size": "0"}
		list[name] = f
		for x, v := range a.xattrs {
			if !strings.HasPrefix(x, "trusted.") {
				f[strconv.QuoteToASCII(x)] = formatted(v)
			}
		}
		switch a.kind {
		case tar.TypeReg:
			f["type"], f["size"], f["sha256"] = "file", strconv.FormatInt(a.data.size, 10), hashes[i]
		case tar.TypeDir:
			f["type"], f["entries"] = "directory", "0"
			delete(f, "size") // is what the format makes it
		case tar.TypeSymlink:
			f["type"], f["target"], f["size"], f["mode"] = "link", strconv.Quote(a.target), strconv.Itoa(len(a.target)), "0777"
		case tar.TypeChar, tar.TypeBlock:
			f["type"] = map[byte]string{tar.TypeChar: "character", tar.TypeBlock: "block"}[a.kind]
			f["rdev"] = fmt.Sprintf("%d:%d", a.major, a.minor)
		case tar.TypeFifo:
			f["type"] = "fifo"
		case socket:
			f["type"] = "socket"
		}
		if a.mode&0o400 == 0 && a.uid == nil && a.kind != tar.TypeSymlink {
			switch a.kind {
			case tar.TypeReg:
				delete(f, "sha256")
				f["open"] = "EACCES"
			case tar.TypeDir:
				delete(f, "entries")
				f["open"] = "EACCES"
			}
			for x, v := range a.xattrs {
				if strings.HasPrefix(x, "user.") && len(v) > 0 {
					f[strconv.QuoteToASCII(x)] = "EACCES"
				}
			}
		}
	}
	for name, n := range links {
		list[name]["nlink"] = strconv.Itoa(1 + n)
	}
	for name := range list {
		if parent := list[path.Dir(name)]; name != "/" && parent["entries"] != "" {
			n, _ := strconv.Atoi(parent["entries"])
			parent["entries"] = strconv.Itoa(n + 1)
		}
	}
	for _, f := range list {
		if f["type"] == "directory" {
			f["nlink"] = "2"
		}
	}
	for name, f := range list {
		if parent := list[path.Dir(name)]; name != "/" && f["type"] == "directory" {
			n, _ := strconv.Atoi(parent["nlink"])
			parent["nlink"] = strconv.Itoa(n + 1)
		}
	}
	delete(list["/"], "mtime") // is always now
	for name := range list {
		if hidden(name) {
			defer delete(list, name)
		}
	}
	return list
}

// A file is what the lister says of one: the values of fields.
type file map[string]string

// listing runs a command that ends in the lister.
func listing(t *testing.T, p picture, cmd *exec.Cmd) map[string]file {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, stderr.Bytes(), end(out))
	}
	return parse(t, out)
}

// end returns the end of a long text.
func end(text []byte) []byte { return text[max(0, len(text)-2000):] }

// parse reads what the lister has printed. Problems that it saw are errors.
func parse(t *testing.T, text []byte) map[string]file {
	t.Helper()
	list, problems := map[string]file{}, 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.Contains(line, "problem") {
			if problems++; problems < 10 {
				t.Errorf("%.1000s", line)
			}
			if strings.HasPrefix(line, "problem ") {
				continue
			}
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		name, _ := strconv.Unquote(quoted)
		f := file{}
		for rest := line[len(quoted):]; rest != ""; {
			rest = rest[1:] // the space
			field := ""
			if rest[0] == '"' {
				field, _ = strconv.QuotedPrefix(rest)
			} else {
				field, _, _ = strings.Cut(rest, "=")
			}
			rest = rest[len(field)+1:]
			value, err := strconv.QuotedPrefix(rest)
			if err != nil {
				value, _, _ = strings.Cut(rest, " ")
			}
			rest = rest[len(value):]
			f[field] = value
		}
		list[name] = f
	}
	return list
}

// same compares two lists of files, but not all the fields.
func same(t *testing.T, of string, want, got map[string]file, ignore ...string) {
	t.Helper()
	differences := 0
	differ := func(format string, args ...any) {
		if differences++; differences <= 10 {
			t.Errorf("against %s: %.1000s", of, fmt.Sprintf(format, args...))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[name]
		if !ok {
			differ("%q is missing", name)
			continue
		}
		for field, value := range want[name] {
			if !slices.Contains(ignore, field) && g[field] != value && value != "ENOTSUP" { // no attributes at all
				differ("%q has %s=%s, want %s", name, field, g[field], value)
			}
		}
		for field, value := range g {
			unknown := field == "size" && g["type"] == "directory" || field == "mtime" && name == "/"
			if _, ok := want[name][field]; !ok && !unknown && !slices.Contains(ignore, field) && value != "ENOTSUP" {
				differ("%q has %s=%s too", name, field, value)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if want[name] == nil {
			differ("%q should not be there", name)
		}
	}
	if differences > 10 {
		t.Errorf("against %s: %d differences", of, differences)
	}
}

// formatted is how the lister shows the value of an extended attribute.
func formatted(value string) string {
	if len(value) <= 32 {
		return fmt.Sprintf("%x.", value)
	}
	return fmt.Sprintf("%d:%x", len(value), sha256.Sum256([]byte(value)))
}

// An animal is a file in the zoo. Those that are closed to anyone belong to the ordinary user.
type animal struct {
	name         string
	kind         byte // as in a tar header
	mode         int64
	seconds      int64
	uid          *int
	target       string
	major, minor int64
	xattrs       map[string]string
	data         data
	appended     bool // to the image, from a directory
}

// socket is an animal's kind that tar does not know.
const socket = 's'

// capability is cap_net_raw=ep as security.capability has it.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// data is the content of a file: zeros with something in between.
type data struct {
	size  int64
	parts []part // in order
}

type part struct {
	offset int64
	bytes  []byte
}

func whole(b []byte) data { return data{int64(len(b)), []part{{0, b}}} }

func (d data) WriteTo(w io.Writer) (n int64, err error) {
	zeros := make([]byte, 1<<20)
	fill := func(to int64) {
		for n < to && err == nil {
			var written int
			written, err = w.Write(zeros[:min(to-n, int64(len(zeros)))])
			n += int64(written)
		}
	}
	for _, p := range d.parts {
		if fill(p.offset); err == nil {
			var written int
			written, err = w.Write(p.bytes)
			n += int64(written)
		}
	}
	fill(d.size)
	return n, err
}

// writeSparse writes the data to a file that takes no more room than it must.
func (d data) writeSparse(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.parts {
		if _, err := f.WriteAt(p.bytes, p.offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(d.size), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// noise does not compress; text does.
func noise(seed string, n int) []byte {
	b, key := make([]byte, n), sha256.Sum256([]byte(seed))
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

func text(seed string, n int) []byte {
	var b bytes.Buffer
	words := noise(seed, 64)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%s %d %x\n", seed, i*i, words[i%61:i%61+3])
	}
	return b.Bytes()[:n]
}

// cage is what there must be besides for a container.
func cage() (list []animal) {
	for _, d := range []string{"", "dev", "etc", "mnt", "proc", "sys", "tmp", "zoo"} {
		list = append(list, animal{name: d, kind: tar.TypeDir, mode: 0o755, seconds: 1700000000})
	}
	for _, f := range []string{"etc/passwd", "etc/group"} {
		list = append(list, animal{name: f, kind: tar.TypeReg, mode: 0o644, seconds: 1700000001})
	}
	return list
}

// animals returns a bit of everything, of which some is about the size of a block, and at most so many of
// a kind.
func animals(block, most int) []animal {
	list := cage()
	add := func(a animal) {
		a.name = "zoo/" + a.name
		if a.mode == 0 {
			a.mode = 0o644
		}
		if a.seconds == 0 {
			a.seconds = int64(1500000000 + len(list))
		}
		list = append(list, a)
	}
	dir := func(name string) { add(animal{name: name, kind: tar.TypeDir, mode: 0o755}) }
	regular := func(name string, d data) { add(animal{name: name, kind: tar.TypeReg, data: d}) }

	dir("sizes")
	sizes := []int{0, 1, 2, 100, 5000, block - 1, block, block + 1, 2*block - 1, 2 * block, 2*block + 1, 3*block + 17}
	if most < 60 {
		sizes = []int{0, 100, block, 2*block + 1}
	}
	for _, n := range sizes {
		regular(fmt.Sprintf("sizes/text-%d", n), whole(text(fmt.Sprint("text", n), n)))
		regular(fmt.Sprintf("sizes/zero-%d", n), data{size: int64(n)})
		if n <= 2*block {
			regular(fmt.Sprintf("sizes/noise-%d", n), whole(noise(fmt.Sprint("noise", n), n)))
		}
	}
	dir("holes")
	b, some := int64(block), noise("hole", 5000)
	regular("holes/start", data{3*b + 5000, []part{{3 * b, some}}})
	regular("holes/end", data{4 * b, []part{{0, some}}})
	regular("holes/end-short", data{4*b + 17, []part{{0, some}}})
	regular("holes/end-one", data{2*b + 1, []part{{0, noise("one", 2*block)}}})
	regular("holes/middle", data{5*b + 100, []part{{0, some}, {5*b + 50, some[:50]}}})
	regular("holes/both", data{6*b + 3, []part{{3*b - 20, some}}})
	regular("holes/all", data{size: 7*b + 1})
	regular("holes/fragment", data{b/2 + 1, []part{{b / 2, some[:1]}}})
	var stripes []part
	for i := range int64(40) {
		stripes = append(stripes, part{i * 4 * b, text(fmt.Sprint("stripe", i), 100)})
	}
	regular("holes/stripes", data{160 * b, stripes})

	dir("duplicates")
	dir("duplicates/elsewhere")
	for i := range min(5, most/40) {
		where := []string{"duplicates/", "duplicates/elsewhere/"}[i%2]
		regular(fmt.Sprintf("%ssmall-%d", where, i), whole(text("duplicate", 1000)))
		regular(fmt.Sprintf("%slarge-%d", where, i), whole(text("duplicate", 3*block+1000)))
		regular(fmt.Sprintf("%sfirst-block-%d", where, i), whole(append(text("duplicate", block), noise(fmt.Sprint(i), 100)...)))
		regular(fmt.Sprintf("%stail-%d", where, i), whole(append(noise(fmt.Sprint(i), block), text("duplicate", 1000)...)))
	}

	dir("links")
	dir("links/a")
	dir("links/b")
	for _, a := range []animal{
		{name: "file", kind: tar.TypeReg, data: whole([]byte("linked"))},
		{name: "large", kind: tar.TypeReg, data: whole(text("linked", 2*block+5))},
		{name: "empty", kind: tar.TypeReg},
		{name: "attributes", kind: tar.TypeReg, xattrs: map[string]string{"user.linked": "yes"}, data: whole([]byte("x"))},
		{name: "fifo", kind: tar.TypeFifo}, {name: "character", kind: tar.TypeChar, major: 1, minor: 3}, {name: "symlink", kind: tar.TypeSymlink, target: "file"},
	} {
		kind := a.name
		a.name = "links/" + kind
		add(a)
		for i := range 4 {
			add(animal{name: fmt.Sprintf("links/%s/%s-%d", []string{"a", "b"}[i%2], kind, i), kind: tar.TypeLink, target: "zoo/" + a.name})
		}
	}
	for i := range min(300, most) {
		add(animal{name: fmt.Sprintf("links/b/%d", i), kind: tar.TypeLink, target: "zoo/links/file"})
	}

	dir("symlinks")
	for i, target := range []string{"x", "..", "/", "../symlinks/0", "nowhere", "loop", "\xff\n \\\"'", strings.Repeat("long/", 51), strings.Repeat("y", 255), strings.Repeat("z/", 2047), "/etc/passwd"} {
		add(animal{name: fmt.Sprintf("symlinks/%d", i), kind: tar.TypeSymlink, target: target})
	}
	add(animal{name: "symlinks/loop", kind: tar.TypeSymlink, target: "loop"})
	for i := range min(200, most) { // more than a metadata block of them
		add(animal{name: fmt.Sprintf("symlinks/many-%d", i), kind: tar.TypeSymlink, target: strings.Repeat(fmt.Sprint(i), 70)})
	}

	dir("names")
	for c := 1; c < min(256, most+1); c++ {
		if c != '/' && c != '.' {
			regular("names/"+string([]byte{byte(c)}), whole([]byte{byte(c)}))
		}
		regular("names/"+strings.Repeat("n", c), whole([]byte{byte(c)})) // prefixes of each other
	}
	list = slices.DeleteFunc(list, func(a animal) bool { return a.name == "zoo/names/n" && a.data.parts[0].bytes[0] == 'n' }) // it is there twice
	for _, n := range []string{"-rf", " ", "  x  ", "...", "..x", "\n", "a\nb", "caf\xc3\xa9", "\xff\xfe", "*", "$HOME", "\\", "A", "Aa", "aA", "aa", strings.Repeat("\xc3\xa9", 127)} {
		name := "names/" + n
		if slices.ContainsFunc(list, func(a animal) bool { return a.name == "zoo/"+name }) {
			continue
		}
		regular(name, whole([]byte(n)))
	}

	dir("directories")
	dir("directories/empty")
	deep := "directories/deep"
	for range 150 {
		dir(deep)
		deep += "/d"
	}
	regular(deep, whole([]byte("deep")))
	dir("directories/long-names") // an index entry for every few
	for i := range min(400, most) {
		regular("directories/long-names/"+fmt.Sprintf("%03d", i*7%401)+strings.Repeat("x", 250), data{})
	}
	dir("directories/mixed")
	for i := range min(1500, most) {
		name := fmt.Sprintf("directories/mixed/%d", i*i)
		switch i % 6 {
		case 0:
			dir(name)
		case 1:
			add(animal{name: name, kind: tar.TypeSymlink, target: fmt.Sprint(i)})
		case 2:
			add(animal{name: name, kind: tar.TypeFifo})
		default:
			regular(name, whole(text(name, i%7*10)))
		}
	}
	for i := range 5 {
		dir(fmt.Sprintf("directories/parent-%d", i))
		for j := range i {
			dir(fmt.Sprintf("directories/parent-%d/%d", i, j))
		}
	}

	dir("special")
	for _, d := range [][2]int64{{0, 0}, {1, 3}, {4, 255}, {5, 256}, {255, 255}, {256, 0}, {300, 65536}, {4095, 262143}} {
		add(animal{name: fmt.Sprintf("special/c-%d-%d", d[0], d[1]), kind: tar.TypeChar, major: d[0], minor: d[1]})
		add(animal{name: fmt.Sprintf("special/b-%d-%d", d[0], d[1]), kind: tar.TypeBlock, major: d[0], minor: d[1]})
	}
	add(animal{name: "special/fifo", kind: tar.TypeFifo})

	dir("modes")
	for _, m := range []int64{0o4755, 0o2755, 0o6755, 0o1777, 0o7777, 0o600, 0o400, 0o444, 0o222, 0o111, 0o700, 0o070, 0o007, 0o7000, 0o711, 0o444} {
		add(animal{name: fmt.Sprintf("modes/f-%04o-%d", m, len(list)), kind: tar.TypeReg, mode: m, data: whole([]byte("mode"))})
		name := fmt.Sprintf("modes/d-%04o-%d", m, len(list))
		add(animal{name: name, kind: tar.TypeDir, mode: m})
	}
	dir("times")
	for _, s := range []int64{1, 1 << 30, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1} {
		add(animal{name: fmt.Sprintf("times/%d", s), kind: tar.TypeReg, seconds: s})
		add(animal{name: fmt.Sprintf("times/d-%d", s), kind: tar.TypeDir, mode: 0o755, seconds: s})
	}
	dir("owners")
	for _, id := range []int{0, 1, 65533, 65534, 65535, 65536, 1 << 31, 1<<32 - 2} {
		add(animal{name: fmt.Sprintf("owners/%d", id), kind: tar.TypeReg, uid: &id})
		add(animal{name: fmt.Sprintf("owners/d-%d", id), kind: tar.TypeDir, mode: 0o755, uid: &id})
	}

	dir("attributes")
	large, largest := string(noise("large", 3000)), string(noise("largest", 65536))
	many := map[string]string{}
	for i := range 100 {
		many[fmt.Sprintf("user.%d.%s", i, strings.Repeat("n", i))] = strings.Repeat("v", i*3)
	}
	sets := map[string]map[string]string{
		"small": {"user.a": "1"}, "empty": {"user.empty": ""}, "binary": {"user.binary": "a\x00b\n\xff\x00"},
		"spaces": {"user.with spaces\n\xff": "v"}, "long-name": {"user." + strings.Repeat("n", 250): "long"},
		"large-1": {"user.large": large}, "large-2": {"user.large": large}, "large-3": {"user.other": large, "user.more": large, "security.large": large},
		"largest": {"user.largest": largest}, "largest-2": {"user.largest": largest, "user.a": "1"}, "many": many,
		"security": {"security.zoo": "s"}, "trusted": {"trusted.zoo": "t"}, "all": {"user.u": "u", "trusted.t": "t", "security.s": "s"},
		"trusted-large": {"trusted.large": large, "user.z": "z"}, "capability": {"security.capability": capability, "user.z": "z"},
	}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		x := sets[name]
		add(animal{name: "attributes/" + name, kind: tar.TypeReg, xattrs: x, data: whole([]byte(name))})
		add(animal{name: "attributes/d-" + name, kind: tar.TypeDir, mode: 0o755, xattrs: x})
		add(animal{name: "attributes/d-" + name + "/file", kind: tar.TypeReg, data: whole([]byte(name))})
	}
	add(animal{name: "attributes/blocks", kind: tar.TypeReg, xattrs: map[string]string{"user.a": "1"}, data: whole(text("attributes", 2*block+10))})
	add(animal{name: "attributes/unreadable", kind: tar.TypeReg, mode: 0o200, xattrs: map[string]string{"user.a": "1"}})
	for i := range min(300, most) { // the same on many
		add(animal{name: fmt.Sprintf("attributes/same-%d", i), kind: tar.TypeReg, xattrs: map[string]string{"user.same": "same", "user.same2": large}})
	}
	for i := range min(700, most) { // more sets than a metadata block describes
		add(animal{name: fmt.Sprintf("attributes/different-%d", i), kind: tar.TypeReg, xattrs: map[string]string{"user.number": fmt.Sprint(i), "user.text": strings.Repeat(fmt.Sprint(i), i%40)}})
	}
	special := map[string]string{"security.special": "s", "trusted.special": "t"}
	add(animal{name: "attributes/symlink", kind: tar.TypeSymlink, target: "x", xattrs: special})
	add(animal{name: "attributes/fifo", kind: tar.TypeFifo, xattrs: special})
	add(animal{name: "attributes/character", kind: tar.TypeChar, major: 4, minor: 300, xattrs: special})
	add(animal{name: "attributes/block", kind: tar.TypeBlock, major: 8, minor: 1, xattrs: special})
	return list
}

// manyNames returns a directory that is as large as any. With an archive of it, mksquashfs would take minutes.
func manyNames() []animal {
	list := append(cage(), animal{name: "files", kind: tar.TypeDir, mode: 0o755, seconds: 1, appended: true})
	for i := range 100_000 {
		list = append(list, animal{name: fmt.Sprintf("files/%d-%s", i, strings.Repeat("n", i%23)), kind: tar.TypeReg, mode: 0o644, seconds: int64(i), appended: true})
	}
	return list
}

// hugeFile returns one over 4 GiB, with something at the start, in the middle, across that boundary and behind,
// and a hole at the end.
func hugeFile() []animal {
	return append(cage(), animal{name: "huge", kind: tar.TypeReg, mode: 0o644, seconds: 1, appended: true, data: data{4<<30 + 100<<20, []part{
		{0, noise("start", 100_000)}, {2<<30 - 5000, noise("middle", 10_000)}, {4<<30 - 70_000, noise("across", 300_000)}, {4<<30 + 90<<20, noise("end", 12_345)},
	}}})
}

// manyThings returns a lot of what a table or an index is about.
func manyThings() []animal {
	list := cage()
	add := func(a animal) {
		a.name, a.seconds = "zoo/"+a.name, int64(1600000000+len(list))
		if a.mode == 0 {
			a.mode = 0o644
		}
		list = append(list, a)
	}
	dir := func(name string) { add(animal{name: name, kind: tar.TypeDir, mode: 0o755}) }

	// A block list of several hundred KiB.
	d := data{size: 400 << 20}
	for i := range int64(4000) {
		d.parts = append(d.parts, part{i * 104_857, []byte(fmt.Sprint(i))})
	}
	add(animal{name: "large", kind: tar.TypeReg, data: d})
	dir("fragments") // one each
	for i := range 3000 {
		add(animal{name: fmt.Sprintf("fragments/%d", i), kind: tar.TypeReg, data: whole(noise(fmt.Sprint(i), 3000))})
	}
	dir("owners")
	for i := range 5000 {
		add(animal{name: fmt.Sprintf("owners/%d", i), kind: tar.TypeReg, uid: &i, data: whole([]byte(fmt.Sprint(i)))})
	}
	dir("directories")
	for i := range 3000 {
		dir(fmt.Sprintf("directories/%d", i))
	}
	return list
}

// writeTar writes the animals as a tar archive and returns the checksums of their contents.
func writeTar(to io.WriteCloser, list []animal) (hashes []string, err error) {
	defer to.Close() //nolint:errcheck // the reader would notice
	w := tar.NewWriter(to)
	for _, a := range list {
		hash := sha256.New()
		if a.kind != socket && a.name != "" && !a.appended {
			h := tar.Header{Name: a.name, Typeflag: a.kind, Mode: a.mode, Linkname: a.target, Size: a.data.size, Uid: ordinary.uid, Gid: ordinary.gid,
				Devmajor: a.major, Devminor: a.minor, ModTime: time.Unix(a.seconds, 0), PAXRecords: map[string]string{}, Format: tar.FormatPAX}
			if a.uid != nil {
				h.Uid, h.Gid = *a.uid, *a.uid
			}
			if a.kind == tar.TypeDir {
				h.Name += "/"
			}
			for x, v := range a.xattrs {
				h.PAXRecords["SCHILY.xattr."+x] = v
			}
			if err := w.WriteHeader(&h); err != nil {
				return nil, fmt.Errorf("%s: %w", a.name, err)
			}
			if _, err := a.data.WriteTo(w); err != nil {
				return nil, fmt.Errorf("%s: %w", a.name, err)
			}
		}
		_, _ = a.data.WriteTo(hash) // never fails
		hashes = append(hashes, fmt.Sprintf("%x", hash.Sum(nil)))
	}
	if err := w.Close(); !errors.Is(err, syscall.EPIPE) { // mksquashfs does not wait for the whole end mark
		return hashes, err
	}
	return hashes, nil
}
