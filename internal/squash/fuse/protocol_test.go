package fuse

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ch-run/internal/kernel"
)

func TestProtocolLikeHeader(t *testing.T) {
	program := filepath.Join(t.TempDir(), "protocol")
	if output, err := exec.Command("gcc", "-o", program, "testdata/protocol.c").CombinedOutput(); err != nil {
		t.Fatalf("cannot ask the kernel's headers: %v (Debian packages gcc, libc6-dev, linux-libc-dev)\n%s", err, output)
	}
	want, err := exec.Command(program).Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	var got strings.Builder
	for _, v := range []struct {
		name  string
		value int
	}{
		{"FUSE_ROOT_ID", rootNode},
		{"FUSE_LOOKUP", opLookup},
		{"FUSE_FORGET", opForget},
		{"FUSE_GETATTR", opGetattr},
		{"FUSE_READLINK", opReadlink},
		{"FUSE_OPEN", opOpen},
		{"FUSE_READ", opRead},
		{"FUSE_STATFS", opStatfs},
		{"FUSE_RELEASE", opRelease},
		{"FUSE_GETXATTR", opGetxattr},
		{"FUSE_LISTXATTR", opListxattr},
		{"FUSE_INIT", opInit},
		{"FUSE_READDIR", opReaddir},
		{"FUSE_INTERRUPT", opInterrupt},
		{"FUSE_DESTROY", opDestroy},
		{"FUSE_BATCH_FORGET", opBatchForget},
		{"FUSE_READDIRPLUS", opReaddirplus},
		{"FUSE_ASYNC_READ", capAsyncRead},
		{"FUSE_DO_READDIRPLUS", capReaddirplus},
		{"FUSE_ASYNC_DIO", capAsyncDIO},
		{"FUSE_NO_OPEN_SUPPORT", capNoOpen},
		{"FUSE_PARALLEL_DIROPS", capParallelDirops},
		{"FUSE_MAX_PAGES", capMaxPages},
		{"FUSE_CACHE_SYMLINKS", capCacheSymlinks},
		{"FUSE_NO_OPENDIR_SUPPORT", capNoOpendir},
		{"FUSE_NOTIFY_STORE", notifyStore},
		{"FOPEN_KEEP_CACHE", openKeepCache},
		{"FUSE_MIN_READ_BUFFER", minReadBuffer},
		{"fuse_in_header", inHeaderSize},
		{"fuse_out_header", outHeaderSize},
		{"fuse_init_out", initOutSize},
		{"fuse_attr", attrSize},
		{"fuse_attr_out", attrOutSize},
		{"fuse_entry_out", entryOutSize},
		{"fuse_read_in", readInSize},
		{"fuse_statfs_out", statfsOutSize},
		{"fuse_getxattr_in", getxattrInSize},
		{"fuse_getxattr_out", getxattrOutSize},
		{"fuse_open_out", openOutSize},
		{"fuse_notify_store_out", storeOutSize},
		{"fuse_dirent", direntSize},
	} {
		fmt.Fprintln(&got, v.name, v.value)
	}
	if got.String() != string(want) {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
}

// What is appended is as long as the header says.
func TestLengths(t *testing.T) {
	init, ok := appendInit(nil, append(native.AppendUint32(native.AppendUint32(nil, 7), 40), make([]byte, 56)...))
	for _, v := range []struct {
		name      string
		got, want int
	}{
		{"init", len(init), initOutSize},
		{"attributes", len(appendAttributes(nil, attributes{})), attrSize},
		{"attr_out", len(appendAttrOut(nil, attributes{})), attrOutSize},
		{"entry", len(appendEntry(nil, 1, attributes{})), entryOutSize},
		{"open", len(appendOpen(nil)), openOutSize},
		{"dirent", len(appendDirent(nil, 1, 2, 3, []byte("name"))), direntLength(4)},
		{"dirent, no padding", len(appendDirent(nil, 1, 2, 3, []byte("12345678"))), direntSize + 8},
	} {
		if v.got != v.want {
			t.Errorf("%s: %d bytes, want %d", v.name, v.got, v.want)
		}
	}
	if !ok {
		t.Error("Linux with protocol 7.40 was refused")
	}
}

func TestOldKernels(t *testing.T) {
	for _, version := range [][2]uint32{{6, 99}, {7, 22}} {
		body := native.AppendUint32(native.AppendUint32(nil, version[0]), version[1])
		if _, ok := appendInit(nil, append(body, make([]byte, 8)...)); ok {
			t.Errorf("%d.%d was accepted", version[0], version[1])
		}
	}
}

// Junk from the device must not matter: that is how a new kernel's requests may look.
func TestJunk(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	null, err := kernel.OpenNull()
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c, err := newConnection(-1)
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{connection: c}
	w.device, w.image = null, openImage(t)
	for range 100000 {
		data := make([]byte, random.IntN(120))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		if len(data) >= inHeaderSize {
			native.PutUint32(data, uint32(len(data)))
			native.PutUint32(data[4:], random.Uint32N(60))
			if random.IntN(2) == 0 {
				native.PutUint64(data[16:], uint64(random.IntN(5000)))
			}
		}
		if r, ok := parseRequest(data); ok {
			w.answer(r)
		}
	}
}

// makeImage makes an image of this package's directory.
func makeImage(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "img.sqfs")
	if output, err := exec.Command("mksquashfs", ".", path, "-noappend", "-quiet", "-no-progress").CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs: %v (Debian package squashfs-tools)\n%s", err, output)
	}
	return path
}

// openImage makes an image and opens it.
func openImage(t *testing.T) *image {
	t.Helper()
	path := makeImage(t)
	handle, err := kernel.Handle(kernel.CWD, path)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	file, err := kernel.OpenForReading(handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(file.Close)
	c, err := newConnection(-1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.open(file)
	if err != nil {
		t.Fatal(err)
	}
	return &image{Reader: r, uid: 1000, gid: 1000, faults: faults{path: path, log: -1}}
}

// An error in an image is reported once for each file and place.
func TestFaultsAreReportedOnce(t *testing.T) {
	near, far, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer far.Close()
	f := faults{path: "/img", log: near}
	for _, text := range []string{"a", "a", "b", "a"} {
		f.report(fault{5, text})
	}
	f.report(fault{6, "a"})
	near.Close()
	for _, want := range []string{": a: ", ": b: ", ": a: "} {
		got, err := far.Receive()
		if err != nil || !strings.Contains(string(got), "SquashFS image /img"+want) {
			t.Errorf("got %q, %v; want one with %q", got, err, want)
		}
	}
	if got, err := far.Receive(); err != nil || len(got) != 0 {
		t.Errorf("another one: %q, %v", got, err)
	}
}

func socketpair() (a, b kernel.FD, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	return kernel.FD(pair[0]), kernel.FD(pair[1]), err
}

func TestOrder(t *testing.T) {
	near, far, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	image, err := kernel.OpenNull()
	if err != nil {
		t.Fatal(err)
	}
	device, err := kernel.OpenNull()
	if err != nil {
		t.Fatal(err)
	}
	sent := Order{Image: image, Device: device, Mount: -1, Command: -1, UID: 4294967295, GID: 0, Path: "/path with spaces/and 5 more"}
	if err := sent.send(near); err != nil {
		t.Fatal(err)
	}
	got, ok := receiveOrder(far)
	if !ok || got.UID != sent.UID || got.GID != sent.GID || got.Path != sent.Path {
		t.Errorf("got %+v, %v", got, ok)
	}
	got.Image.Close()
	got.Device.Close()
	near.Close()
	if _, ok := receiveOrder(far); ok {
		t.Error("an order out of nothing")
	}
}

// What a server said before it died is heard, also if it had not read its order.
func TestLastWords(t *testing.T) {
	for _, said := range []string{noServer + "no room", ""} {
		near, far, err := socketpair()
		if err != nil {
			t.Fatal(err)
		}
		if err := near.Send([]byte("an order")); err != nil {
			t.Fatal(err)
		}
		if said != "" {
			if err := far.Send([]byte(said)); err != nil {
				t.Fatal(err)
			}
		}
		far.Close()
		want := errServerDied
		if said != "" {
			want = "no room"
		}
		if got := await(near, served); got != want {
			t.Errorf("%q: %v", said, got)
		}
		near.Close()
	}
}
