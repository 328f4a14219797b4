package fuse

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ch-run/internal/kernel"
)

// A server without room for the threads that it needs ends, and says why: nobody waits for its answers. The test executes
// itself to be one.
func TestRunWithoutRoom(t *testing.T) {
	const variable = "CH_RUN_TEST_SOCKET"
	if socket, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		Run(Process{
			Socket: kernel.FD(socket), Guess: -1, Load: -1,
			Serving:      func(string) { panic("serving") },
			SpareThreads: func(count int) int { return count - 1 },
		})
		return
	}
	near, far, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	inherited := os.NewFile(uintptr(far), "socket")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command("setpriv", "--no-new-privs", self, "-test.run=^TestRunWithoutRoom$")
	server.ExtraFiles = []*os.File{inherited}
	server.Env = append(os.Environ(), variable+"=3")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	_ = inherited.Close()
	hang := time.AfterFunc(10*time.Second, func() { _ = server.Process.Kill() })
	defer hang.Stop()

	image, err := kernel.OpenFile(makeImage(t))
	if err != nil {
		t.Fatal(err)
	}
	var device [2]int // a device from which no request comes
	if err := syscall.Pipe2(device[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer kernel.FD(device[1]).Close()
	order := Order{Image: image, Device: kernel.FD(device[0]), Mount: -1, Command: -1}
	if err := order.Give(near); err != nil {
		t.Fatal(err)
	}
	const want = ServerError("can't create thread: Resource temporarily unavailable")
	if err := await(near, ready); err != want {
		t.Errorf("said %v, want %v", err, want)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}
