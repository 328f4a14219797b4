package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestUser runs the scripts in testdata/user, each in a directory of its own, with
//
//	$IMG     a directory image with the probe in /bin
//	$HOME    an empty home directory
//
// and these commands besides those of testscript:
//
//	exits STATUS COMMAND...   run COMMAND, which must exit with STATUS: a number, or a signal as SIGTERM
//	mkimage DIR               make an image like $IMG
//	mksquash DIR FILE [ARG...] make a SquashFS image of a directory
//	server                    wait for the one server of an image below $WORK, and set $SERVER to its PID
//	gone                      wait until no such server is left, nor a mount that it serves
//
// The condition [i386] is that the kernel makes system calls of 32-bit programs.
func TestUser(t *testing.T) { runScripts(t, "user", t.TempDir()) }

// TestRoot runs the scripts in testdata/root, if this is root.
func TestRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	where, err := os.MkdirTemp(inputs, "root-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(where, 0o755); err != nil { // other users are to go there
		t.Fatal(err)
	}
	runScripts(t, "root", where)
}

func runScripts(t *testing.T, who, where string) {
	testscript.Run(t, testscript.Params{
		Dir:         filepath.Join(inputs, "testdata", who),
		WorkdirRoot: where,
		Setup:       setup,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":    exits,
			"mkimage":  mkimage,
			"mksquash": mksquash,
			"server":   server,
			"gone":     gone,
		},
		Condition: func(name string) (bool, error) {
			if name != "i386" {
				return false, fmt.Errorf("unknown condition: %s", name)
			}
			return exec.Command(inputs+"/bin/probe", "i386").Run() == nil, nil
		},
		RequireExplicitExec: true,
	})
}

func setup(env *testscript.Env) error {
	image := filepath.Join(env.WorkDir, "img")
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("PATH", inputs+"/bin:/usr/local/bin:/usr/bin:/bin:/usr/games:/usr/sbin:/sbin") // no /bin at the end, as for users of Debian
	env.Setenv("IMG", image)
	env.Setenv("INPUTS", inputs)
	env.Setenv("HOME", home)
	env.Setenv("USER", os.Getenv("USER"))
	env.Setenv("UID", strconv.Itoa(os.Getuid()))
	env.Setenv("GID", strconv.Itoa(os.Getgid()))
	env.Setenv("TMPDIR", "") // testscript sets it to a directory of its own
	if err := os.Mkdir(home, 0o755); err != nil {
		return err
	}
	return makeImage(image)
}

// makeImage makes a directory image that holds what every image must, and the probe.
func makeImage(path string) error {
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "mnt"} {
		if err := os.MkdirAll(filepath.Join(path, d), 0o755); err != nil {
			return err
		}
	}
	for _, f := range []string{"passwd", "group"} {
		if err := os.WriteFile(filepath.Join(path, "etc", f), nil, 0o644); err != nil {
			return err
		}
	}
	return exec.Command("cp", inputs+"/bin/probe", filepath.Join(path, "bin/probe")).Run()
}

func mkimage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mkimage DIR")
	}
	ts.Check(makeImage(ts.MkAbs(args[0])))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	if got := status(ts.Exec(args[1], args[2:]...)); got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// status names the way in which a process ended: its exit status, or the signal that killed it.
func status(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err != nil {
			return err.Error()
		}
		return "0"
	}
	w := exit.Sys().(syscall.WaitStatus)
	if w.Signaled() {
		return signalName(w.Signal())
	}
	return strconv.Itoa(w.ExitStatus())
}

func signalName(s syscall.Signal) string {
	for name, n := range map[string]syscall.Signal{
		"SIGHUP": syscall.SIGHUP, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT, "SIGKILL": syscall.SIGKILL,
		"SIGSEGV": syscall.SIGSEGV, "SIGTERM": syscall.SIGTERM, "SIGUSR1": syscall.SIGUSR1, "SIGABRT": syscall.SIGABRT,
	} {
		if n == s {
			return name
		}
	}
	return fmt.Sprintf("signal %d", s)
}

// chRun returns a command that runs ch-run in a clean environment.
func chRun(args ...string) *exec.Cmd {
	cmd := exec.Command(inputs+"/bin/ch-run", args...)
	cmd.Env = []string{"PATH=" + inputs + "/bin:/usr/bin:/bin", "USER=" + os.Getenv("USER"), "HOME=" + os.Getenv("HOME")}
	return cmd
}

// image makes a test image that is removed with the test.
func image(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "img")
	if err := makeImage(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// output runs cmd and returns what it printed on both streams; it must succeed.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}
