package fuse

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"testing"

	"ch-run/internal/kernel"
)

// What is not in memory is announced before it is read, and what is there is not.
func TestStorageWaits(t *testing.T) {
	content := make([]byte, 4<<20)
	_, _ = rand.Read(content)
	f, err := os.CreateTemp(".", "storage-test-") // not where files may be in memory always
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	})
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	waits := 0
	s := storage{kernel.FD(f.Fd()), func() { waits++ }}
	check := func(offset, length int, want int) {
		t.Helper()
		waits = 0
		p := make([]byte, length)
		n, err := s.ReadAt(p, int64(offset))
		if n != length || err != nil || !bytes.Equal(p, content[offset:][:length]) {
			t.Errorf("%d bytes at %d: %d, %v, or wrong", length, offset, n, err)
		}
		if waits != want {
			t.Errorf("%d bytes at %d: announced %d times, want %d", length, offset, waits, want)
		}
	}
	forget := func(from string) {
		if err := exec.Command("dd", "if="+f.Name(), "iflag=nocache", "bs=1M", "skip="+from, "count=0").Run(); err != nil {
			t.Fatal(err)
		}
	}
	forget("0")
	check(1000, 100, 1)
	check(1000, 100, 0)
	if _, err := f.ReadAt(make([]byte, len(content)), 0); err != nil { // what is on the way is not forgotten
		t.Fatal(err)
	}
	forget("2")
	check(0, len(content), 1) // of which a part is there
	check(0, len(content), 0)
	if n, err := s.ReadAt(make([]byte, 10), int64(len(content)-5)); n != 5 || err == nil {
		t.Errorf("over the end: %d, %v", n, err)
	}
}
