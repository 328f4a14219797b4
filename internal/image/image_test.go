package image

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ch-run/internal/kernel"
)

// host makes directories and files of all kinds, makes the directory that holds them the current one, and
// returns its path.
func host(t *testing.T) string {
	t.Helper()
	directory, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(directory)
	for _, path := range []string{"dir", "both", "storage/img/name", "storage/img/a%b+c", "storage/img/both", "storage/img/%abs%path", "storage/other"} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range map[string]string{
		"squashfs": "hsqs and more", "exact": "hsqs", "short": "hsq", "empty": "", "text": "#!/bin/sh\n", "swapped": "sqsh and more",
		"storage/img/squashfs": "hsqs and more", "storage/inside": "hsqs and more", "name": "hsqs and more",
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, target := range map[string]string{
		"link": "dir", "linklink": directory + "/link", "squashlink": "squashfs", "broken": "nowhere", "loop": "loop",
		"into": "storage/img/name", "storagelink": "storage", "storage/img/link": directory + "/dir",
	} {
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo("fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return directory
}

func TestFind(t *testing.T) {
	directory := host(t)
	for _, test := range []struct {
		reference string
		access    Access
		kind      Kind
		path      string // relative to the directory
	}{
		// Names.
		{"name", Access{}, Directory, "storage/img/name"}, // wins over a path
		{"both", Access{}, Directory, "storage/img/both"},
		{"a/b:c", Access{}, Directory, "storage/img/a%b+c"},
		{"a%b+c", Access{}, Directory, "storage/img/a%b+c"},
		{"/abs/path", Access{}, Directory, "storage/img/%abs%path"},
		{"name", Access{Write: true, Unsafe: true}, Directory, "storage/img/name"},
		{"squashfs", Access{}, SquashFS, "squashfs"}, // in storage only directories are images
		{"squashfs", Access{Write: true}, SquashFS, "squashfs"},

		// Directories.
		{"dir", Access{}, Directory, "dir"},
		{"dir", Access{Write: true}, Directory, "dir"},
		{"./dir/", Access{}, Directory, "dir"},
		{"./both", Access{}, Directory, "both"},
		{"dir/../dir", Access{}, Directory, "dir"},
		{directory + "/dir", Access{}, Directory, "dir"},
		{"linklink", Access{}, Directory, "dir"},
		{".", Access{}, Directory, ""},
		{"into", Access{Unsafe: true}, Directory, "storage/img/name"},
		{"storage/other", Access{Unsafe: true}, Directory, "storage/other"},
		{"storage/img/name", Access{Write: true, Unsafe: true}, Directory, "storage/img/name"},

		// SquashFS.
		{"./squashfs", Access{}, SquashFS, "squashfs"},
		{"squashlink", Access{}, SquashFS, "squashfs"},
		{"exact", Access{}, SquashFS, "exact"},
		{"storage/inside", Access{}, SquashFS, "storage/inside"},
	} {
		i, err := Find(test.reference, directory+"/storage", test.access)
		want := strings.TrimSuffix(directory+"/"+test.path, "/")
		if err != nil || i.Kind != test.kind || i.Path != want {
			t.Errorf("%s, %+v: kind %d, path %s, %v, want kind %d, path %s", test.reference, test.access, i.Kind, i.Path, err, test.kind, want)
			continue
		}
		if magic := string(i.Magic); i.Kind == SquashFS && magic != "hsqs" || i.Kind == Directory && i.Magic != nil {
			t.Errorf("%s: magic %q", test.reference, magic)
		}
		checkHandle(t, i, want)
	}
}

// checkHandle reports a handle of another file.
func checkHandle(t *testing.T, i Image, path string) {
	t.Helper()
	defer i.Handle.Close()
	got, err := i.Handle.Stat()
	want, wantErr := kernel.StatPath(kernel.CWD, path)
	if err != nil || wantErr != nil || got != want {
		t.Errorf("%s: handle refers to %+v, %v, want %+v, %v", path, got, err, want, wantErr)
	}
}

func TestFindErrors(t *testing.T) {
	directory := host(t)
	for _, test := range []struct {
		reference string
		access    Access
		want      string
	}{
		{"name", Access{Write: true}, "--write invalid when running by name (hint: "},
		{"link", Access{Write: true}, "--write invalid when running by name (hint: "},
		{"a/b:c", Access{Write: true}, "--write invalid when running by name (hint: "},

		{"storage/img/name", Access{}, "can't run directory images from storage (hint: run by name)"},
		{directory + "/storage/img/name", Access{}, "can't run directory images from storage (hint: run by name)"},
		{"storage/other", Access{}, "can't run directory images from storage (hint: run by name)"},
		{"dir/../storage/img/../img/both", Access{}, "can't run directory images from storage (hint: run by name)"},
		{"storagelink/img/name", Access{}, "can't run directory images from storage (hint: run by name)"},
		{"into", Access{}, "can't run directory images from storage (hint: run by name)"},
		{"storage/img/name", Access{Write: true}, "can't run directory images from storage (hint: run by name)"},

		{"missing", Access{}, "can't stat: missing: No such file or directory"},
		{"broken", Access{Unsafe: true}, "can't stat: broken: No such file or directory"},
		{"loop", Access{}, "can't stat: loop: Too many levels of symbolic links"},
		{"text/x", Access{}, "can't stat: text/x: Not a directory"},
		{"", Access{}, "can't stat: : No such file or directory"},
		{strings.Repeat("x", 256), Access{}, "can't stat: " + strings.Repeat("x", 256) + ": File name too long"},
		{"socket", Access{}, "can't open: socket: No such device or address"},

		{"text", Access{}, "unknown image type: text (hint: "},
		{"swapped", Access{}, "unknown image type: swapped (hint: "},
		{"short", Access{}, "unknown image type: short (hint: "},
		{"empty", Access{}, "unknown image type: empty (hint: "},
		{"fifo", Access{}, "unknown image type: fifo (hint: "}, // and does not wait for a writer
		{"/dev/null", Access{}, "unknown image type: /dev/null (hint: "},
	} {
		_, err := Find(test.reference, directory+"/storage", test.access)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s, %+v: %v, want %s", test.reference, test.access, err, test.want)
		}
	}
	if _, err := Find("missing", directory+"/storage", Access{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not what it wraps", err)
	}
}

// TestFindMagic has what the caller prints, whatever the type.
func TestFindMagic(t *testing.T) {
	directory := host(t)
	for reference, want := range map[string]string{"text": "#!/b", "short": "hsq", "empty": ""} {
		i, err := Find(reference, directory+"/storage", Access{})
		if string(i.Magic) != want || err == nil {
			t.Errorf("%s: magic %q, %v, want %q and an error", reference, i.Magic, err, want)
		}
	}
}

// TestFindFIFOWithWriter has a FIFO that could be read, were there anything in it.
func TestFindFIFOWithWriter(t *testing.T) {
	directory := host(t)
	writer, err := os.OpenFile("fifo", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Close() }()
	if _, err := Find("fifo", directory+"/storage", Access{}); err == nil || !strings.HasPrefix(err.Error(), "can't open SquashFS: fifo: not a regular file") {
		t.Errorf("%v, want an error rather than a wait", err)
	}
}

// TestFindDots has names that would leave the directory of images.
func TestFindDots(t *testing.T) {
	directory := host(t)
	t.Chdir("storage/img/name")
	for reference, want := range map[string]string{".": "storage/img/name", "..": "storage/img", "../../..": ""} {
		i, err := Find(reference, directory+"/storage", Access{Unsafe: true})
		if err != nil || i.Path != strings.TrimSuffix(directory+"/"+want, "/") {
			t.Errorf("%s: %s, %v, want %s", reference, i.Path, err, want)
		}
		_, err = Find(reference, directory+"/storage", Access{})
		if inside := want != ""; inside != (err != nil) {
			t.Errorf("%s: %v, want an error: %v", reference, err, inside)
		}
	}
}

func TestFindWithoutStorage(t *testing.T) {
	host(t)
	for _, storage := range []string{"", "/nonexistent", "text"} {
		if i, err := Find("dir", storage, Access{Write: true}); err != nil || i.Kind != Directory {
			t.Errorf("storage %q: %+v, %v", storage, i, err)
		}
	}
}
