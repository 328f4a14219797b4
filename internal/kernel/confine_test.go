package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConfine executes itself to be confined there.
func TestConfine(t *testing.T) {
	const variable = "CH_RUN_TEST_CONFINE"
	if os.Getenv(variable) != "" {
		beConfined()
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestConfine$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"=1")
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "confined well\n") {
		t.Errorf("%v\n%s", err, output)
	}
}

// beConfined prints that all is well, or what is not.
func beConfined() {
	open, err := os.Open("/proc/self/exe")
	if err != nil {
		fmt.Println(err)
		return
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fmt.Println(err)
		return
	}
	if err := Confine(); err != nil {
		fmt.Println(err)
		return
	}
	well := true
	var wait sync.WaitGroup
	for range 50 { // of several threads, old ones and new ones
		wait.Go(func() {
			for what, err := range map[string]error{
				"open":       second(unix.Open("/etc/passwd", unix.O_RDONLY, 0)),
				"socket":     second(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)),
				"execve":     unix.Exec("/bin/true", []string{"true"}, nil),
				"sendto":     unix.Sendto(pair[0], []byte("x"), 0, &unix.SockaddrUnix{Name: "/dev/log"}),
				"sendmsg":    unix.Sendmsg(pair[0], []byte("x"), nil, nil, 0),
				"kill":       unix.Kill(os.Getppid(), 0),
				"tgkill":     unix.Tgkill(os.Getppid(), os.Getppid(), 0),
				"ptrace":     unix.PtraceAttach(os.Getppid()),
				"mount":      unix.Mount("none", "/", "tmpfs", 0, ""),
				"unshare":    unix.Unshare(unix.CLONE_NEWUSER),
				"unlink":     unix.Unlink("/nothing"),
				"prctl":      unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0),
				"executable": second(unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)),
			} {
				if err != unix.ENOSYS {
					fmt.Println(what, err)
					well = false
				}
			}
			if _, err := open.ReadAt(make([]byte, 100), 0); err != nil {
				fmt.Println("read", err)
				well = false
			}
		})
	}
	wait.Wait()
	if err := unix.Sendto(pair[0], []byte("x"), 0, nil); err != nil {
		fmt.Println("sendto without address", err)
		well = false
	}
	if memory, err := Memory(4096); err != nil || len(memory) != 4096 {
		fmt.Println("memory", err)
		well = false
	}
	if well {
		fmt.Println("confined well")
	}
}

func second[T any](_ T, err error) error { return err }

// Every number is found, and no other.
func TestFilterSearch(t *testing.T) {
	numbers := []uint32{1, 3, 4, 9, 12, 200}
	filter := appendAllowed(nil, numbers)
	for n := range uint32(300) {
		want := seccompRefuse
		for _, number := range numbers {
			if n == number {
				want = SeccompAllow
			}
		}
		at := 0
		for filter[at].Code != BPFReturn {
			f := filter[at]
			jump := f.Jf
			if f.Code == BPFAtLeast && n >= f.K || f.Code == BPFEqual && n == f.K {
				jump = f.Jt
			}
			at += 1 + int(jump)
		}
		if filter[at].K != want {
			t.Errorf("%d: %#x", n, filter[at].K)
		}
	}
}
