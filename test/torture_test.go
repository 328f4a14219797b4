package test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// launchTime is about what a launch takes, so that what happens within it hits every step of it.
const launchTime = 4 * time.Millisecond

// Signals that arrive during a launch do what they do to any program: not dropped, not turned into
// something else.
func TestSignalsDuringLaunch(t *testing.T) {
	img := image(t)
	for _, signal := range []syscall.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGABRT,
		syscall.SIGALRM, syscall.SIGPIPE, syscall.SIGPROF, syscall.Signal(34), syscall.Signal(64),
	} {
		for i := range 40 {
			option := []string{"--private-tmp", "--priv"}[i%2] // the latter through the second start
			cmd := chRun(option, img, "--", "probe", "sleep", "10")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(rand.N(launchTime))
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if exit, ok := err.(*exec.ExitError); !ok || exit.Sys().(syscall.WaitStatus).Signal() != signal || stderr.Len() > 0 {
				t.Fatalf("%v: ended with %v, %q", signal, err, stderr.String())
			}
		}
	}
}

// Signals that the caller ignores, or blocks, do nothing to a launch.
func TestIgnoredSignalsDuringLaunch(t *testing.T) {
	img := image(t)
	signals := []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGTERM, syscall.SIGPROF,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE, syscall.SIGALRM, syscall.Signal(64),
	}
	for i := range 80 {
		option := []string{"--private-tmp", "--priv"}[i%2]
		cmd := chRun(option, img, "--", "probe", "pwd")
		args := []string{"probe", "with"}
		for _, s := range signals {
			args = append(args, fmt.Sprintf("%s=%d", []string{"ignore", "block"}[i/2%2], s))
		}
		cmd.Args = append(append(args, "--", "ch-run"), cmd.Args[1:]...)
		cmd.Path = inputs + "/bin/probe"
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(launchTime); time.Now().Before(deadline); {
			time.Sleep(rand.N(launchTime / 10))
			if !executing(cmd.Process.Pid, "ch-run") {
				continue // the dispositions are set before that
			}
			for _, s := range signals {
				_ = cmd.Process.Signal(s) // it may have ended
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

func executing(pid int, name string) bool {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && strings.TrimSpace(string(comm)) == name
}

// Killed at any moment, ch-run leaves no file, no mount and no process.
func TestKill(t *testing.T) {
	img := image(t)
	source, tmp := t.TempDir(), t.TempDir()
	mark := fmt.Sprintf("CH_RUN_TEST_MARK=%d", rand.Uint64())
	before := tree(t, img) + tree(t, tmp)
	variants := [][]string{
		{img, "--", "probe", "sleep", "10"},
		{"-b", source + ":/new/place", img, "--", "probe", "sleep", "10"},
		{"-W", "-b", source + ":/new/place", img, "--", "probe", "sleep", "10"},
		{"--private", img, "--", "probe", "sleep", "10"}, // through the second start
	}
	for i := range 500 {
		cmd := chRun(variants[i%len(variants)]...)
		cmd.Env = append(cmd.Env, "TMPDIR="+tmp, mark)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(launchTime))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
	}
	if after := tree(t, img) + tree(t, tmp); after != before {
		t.Errorf("files before:\n%s\nafter:\n%s", before, after)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(img)) || bytes.Contains(mounts, []byte(tmp)) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range environments {
		if text, err := os.ReadFile(e); err == nil && bytes.Contains(text, []byte(mark)) { // others' are an error
			t.Errorf("a process is left: %s", e)
		}
	}
	// What is shared by all, where other programs come and go: nothing by a name of ours. But the default
	// mount point, which other tests have had made, stays.
	for _, pattern := range []string{"/tmp/ch-run[._]*", "/var/tmp/ch-run*", "/dev/shm/*ch-run_*"} {
		if names, _ := filepath.Glob(pattern); len(names) > 0 {
			for _, name := range names {
				st, err := os.Stat(name)
				if err == nil && name != "/var/tmp/"+os.Getenv("USER")+".ch" && st.Sys().(*syscall.Stat_t).Uid == uint32(os.Getuid()) {
					t.Errorf("a file is left: %s", name)
				}
			}
		}
	}
}

// With the garbage collector running all the time, nothing that C or the kernel still needs is
// collected.
func TestGarbageCollection(t *testing.T) {
	img := image(t)
	source := t.TempDir()
	want := output(t, chRun("-b", source+":/a/b", "--set-env=X=1", img, "--", "probe", "env"))
	for range 500 {
		cmd := chRun("-b", source+":/a/b", "--set-env=X=1", img, "--", "probe", "env")
		cmd.Env = append(cmd.Env, "CH_RUN_GOGC=1")
		got := strings.Replace(output(t, cmd), "[CH_RUN_GOGC=1]\n", "", 1)
		if got != want {
			t.Fatalf("got:\n%s\nwant:\n%s", got, want)
		}
	}
}

// While another process swaps a directory of the image for a link out of it, no launch mounts or
// makes anything outside.
func TestSwap(t *testing.T) {
	for _, deny := range []string{"", "openat2"} {
		t.Run("deny="+deny, func(t *testing.T) { swap(t, deny) })
	}
}

func swap(t *testing.T, deny string) {
	img := image(t)
	outside, source := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(outside+"/target/file", "outside")
	write(source+"/file", "source")
	write(img+"/swap/a/target/file", "image")
	if err := os.Symlink(outside, img+"/swap/b"); err != nil {
		t.Fatal(err)
	}
	swapper := exec.Command(inputs+"/bin/probe", "swap", img+"/swap/a", img+"/swap/b")
	pipe, err := swapper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := swapper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = swapper.Process.Kill()
		_ = swapper.Wait() // killed
	}()
	if _, err := bufio.NewReader(pipe).ReadString('\n'); err != nil {
		t.Fatal(err)
	}

	before := tree(t, outside)
	variants := [][]string{
		{"-b", source + ":/swap/a/target"},
		{"-b", source + ":/swap/a/new/deep"},
		{"-W", "-b", source + ":/swap/a/new"},
		{"-w", "-b", source + ":/swap/a/made/deep"},
		{"-w", "-b", source + "/file:/swap/a/made-file"},
	}
	outcomes := map[string]int{}
	for i := range 2000 {
		// /tmp of the container is its own, so that "outside" does not exist there.
		args := append([]string{"-t"}, variants[i%len(variants)]...)
		cmd := chRun(append(args, img, "--", "probe", "mounts")...)
		if deny != "" {
			cmd.Args = append([]string{"probe", "with", "deny=" + deny, "--", "ch-run"}, cmd.Args[1:]...)
			cmd.Path = inputs + "/bin/probe"
		}
		// A launch may fail, as what it looks for comes and goes.
		out, err := cmd.CombinedOutput()
		outcomes[status(err)]++
		switch s := status(err); {
		case s != "0" && s != "31":
			t.Fatalf("%v: %s\n%s", args, s, out)
		case s == "0" && !bytes.Contains(out, []byte("\n/swap/")):
			t.Fatalf("%v: the mount is not in the container:\n%s", args, out)
		}
	}
	if after := tree(t, outside); after != before {
		t.Errorf("outside was changed from\n%s\nto\n%s", before, after)
	}
	if outcomes["0"] == 0 || outcomes["31"] == 0 {
		t.Errorf("outcomes %v: the swapping was not noticed", outcomes)
	}
}

func tree(t *testing.T, directory string) string {
	t.Helper()
	out, err := exec.Command("find", directory, "-printf", "%p %y %s\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A command line as long as the kernel takes passes through.
func TestLongCommandLine(t *testing.T) {
	img := image(t)
	args := []string{img, "--", "probe", "count"}
	const words = 100 // of 16,000 bytes: 1.6 of the 2 MB that ARG_MAX is with an 8 MB stack
	for range words {
		args = append(args, strings.Repeat("x", 16000))
	}
	if got, want := output(t, chRun(args...)), fmt.Sprintf("%d arguments, %d bytes\n", words, words*16000); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	args = args[:4]
	for range 100000 {
		args = append(args, "y")
	}
	if got, want := output(t, chRun(args...)), "100000 arguments, 100000 bytes\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Many launches at the same time get on with each other.
func TestManyAtOnce(t *testing.T) {
	img := image(t)
	source := t.TempDir()
	var group sync.WaitGroup
	for i := range 128 {
		group.Go(func() {
			option := "--no-passwd"
			if i%2 == 0 {
				option = "-W"
			}
			out, err := chRun(option, "-b", source+":/new", img, "--", "probe", "pwd").CombinedOutput()
			if err != nil || string(out) != "/\n" {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	group.Wait()
}

// Ctrl-C at a terminal, Ctrl-\ and the end of the terminal reach the command as they would without
// a container.
func TestTerminalSignals(t *testing.T) {
	img := image(t)
	for key, want := range map[string]int{"\x03": 130, "\x1c": 131} { // SIGINT, SIGQUIT
		if got := statusAfterKey(t, img, key); got != want {
			t.Errorf("%q: exit status %d, want %d", key, got, want)
		}
	}
}

// statusAfterKey returns the exit status, as shells put it, of a command in a container whose terminal a key
// was pressed at.
func statusAfterKey(t *testing.T, img, key string) int {
	t.Helper()
	// script(1) gives the command a terminal and writes its own input to it.
	cmd := exec.Command("script", "-qec", inputs+"/bin/ch-run "+img+" -- probe sleep 10", "/dev/null")
	cmd.Env = chRun().Env
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	screen, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(screen).ReadString('\n'); err != nil { // "sleeping"
		t.Fatal(err)
	}
	if _, err := keyboard.Write([]byte(key)); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}
