package early

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The beginning of the heap is there, with the pages that nobody has used.
func TestHeapIsThere(t *testing.T) {
	const launch = 704 << 10 // bytes, as in memory.c
	somewhere := uintptr(unsafe.Pointer(new([64]byte)))
	begin := somewhere &^ (1<<36 - 1)
	var resident [launch / 4096]byte
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, begin, launch, uintptr(unsafe.Pointer(&resident))); errno != 0 {
		t.Fatalf("mincore: %v: the heap does not begin at %#x, but near %#x (use \"make test\", which sets GOEXPERIMENT)", errno, begin, somewhere)
	}
	for page, in := range resident {
		if in&1 == 0 {
			t.Errorf("page %d is not", page)
		}
	}
}
