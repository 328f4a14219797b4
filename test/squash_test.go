package test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// serverTitle is how the command line of a server begins; the path of its image follows.
const serverTitle = "ch-run: squashfs server "

// patience is how long something may take that takes no time. Only what is broken makes a test wait so long.
const patience = 20 * time.Second

// servers returns the PIDs of the servers whose images are below a directory.
func servers(directory string) (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil && bytes.HasPrefix(text, []byte(serverTitle+directory)) {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// leftovers returns what there is of containers with images below a directory: servers, and processes that
// have a mark in their environment.
func leftovers(directory, mark string) (list []string) {
	for _, pid := range servers(directory) {
		list = append(list, fmt.Sprintf("server %d", pid))
	}
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, e := range environments {
		if text, err := os.ReadFile(e); mark != "" && err == nil && bytes.Contains(text, []byte(mark)) { // others' are an error
			list = append(list, "process "+e)
		}
	}
	// What is mounted for us, in any namespace that we can look into.
	tables, _ := filepath.Glob("/proc/[0-9]*/mounts")
	for _, name := range tables {
		if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte(directory)) && bytes.Contains(text, []byte(" fuse.ch-run ")) {
			list = append(list, "mount in "+name)
		}
	}
	return list
}

// eventually waits until condition holds.
func eventually(condition func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return condition()
}

func checkGone(t *testing.T, directory, mark string) {
	t.Helper()
	if !eventually(func() bool { return len(leftovers(directory, mark)) == 0 }) {
		t.Errorf("left: %v", leftovers(directory, mark))
	}
}

// The commands for scripts.

func mksquash(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mksquash DIR FILE [ARG...]")
	}
	ts.Check(makeSquashFS(ts.MkAbs(args[0]), ts.MkAbs(args[1]), args[2:]...))
}

func server(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: server")
	}
	var pids []int
	if !eventually(func() bool { pids = servers(ts.Getenv("WORK")); return len(pids) == 1 }) {
		ts.Fatalf("servers: %v, want one", pids)
	}
	ts.Setenv("SERVER", strconv.Itoa(pids[0]))
}

func gone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: gone")
	}
	if !eventually(func() bool { return len(leftovers(ts.Getenv("WORK"), "")) == 0 }) {
		ts.Fatalf("left: %v", leftovers(ts.Getenv("WORK"), ""))
	}
}

func makeSquashFS(directory, file string, options ...string) error {
	args := append([]string{directory, file, "-noappend", "-quiet", "-no-progress"}, options...)
	if out, err := exec.Command("mksquashfs", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mksquashfs %v: %w\n%s", args, err, out)
	}
	return nil
}

// squashImage makes an image with the probe and what fill adds. It is removed with the test.
func squashImage(t *testing.T, fill func(directory string), options ...string) string {
	t.Helper()
	directory := image(t)
	if fill != nil {
		fill(directory)
	}
	file := filepath.Join(t.TempDir(), "img.sqfs")
	if err := makeSquashFS(directory, file, options...); err != nil {
		t.Fatal(err)
	}
	return file
}

// A container is a ch-run that waits for the end of its standard input.
type container struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	server int
}

// start starts a command that says something when it is ready and then waits for its input to end.
func start(t *testing.T, img string, args ...string) *container {
	t.Helper()
	return started(t, img, chRun(append([]string{"-b", inputs + "/bin:/mnt", img, "--"}, args...)...))
}

// started is start for a ch-run that may be executed by way of other programs.
func started(t *testing.T, img string, cmd *exec.Cmd) *container {
	t.Helper()
	c := container{Cmd: cmd}
	var err error
	if c.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdout = bufio.NewReader(stdout)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line := c.line(t); line == "" {
		t.Fatalf("ch-run: %v", c.Wait())
	}
	pids := servers(img)
	if len(pids) != 1 {
		t.Fatalf("servers: %v, want one", pids)
	}
	c.server = pids[0]
	return &c
}

func (c *container) line(t *testing.T) string {
	t.Helper()
	line, err := c.stdout.ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return line
}

// finish ends the input and returns the rest of the output and how the command ended.
func (c *container) finish(t *testing.T) (output, ended string) {
	t.Helper()
	if err := c.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	hang := time.AfterFunc(2*time.Minute, func() { _ = c.Process.Kill() })
	defer hang.Stop()
	rest, err := io.ReadAll(c.stdout)
	if err != nil {
		t.Fatal(err)
	}
	return string(rest), status(c.Wait())
}

// figure returns a number from /proc/PID/status.
func figure(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if ending(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	_, rest, there := strings.Cut(string(text), name+":")
	if !there { // it has given its memory back already
		return 0
	}
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// descriptors returns how many files a process has open; 0 if it is about to end.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if ending(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// ending says whether the error is what reading about a process gives while that ends.
func ending(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EACCES)
}

// serverMemory is what a server may take, in KiB.
const serverMemory = 64 << 10

// content fills a directory with files of all sizes up to some MiB.
func content(t *testing.T) func(string) {
	return func(directory string) {
		if err := os.Mkdir(directory+"/content", 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			n := 1 + i*i*i*97%1_000_000
			d := append(text(fmt.Sprint(i), n), noise(fmt.Sprint(i), n/4)...)
			if err := os.WriteFile(fmt.Sprintf("%s/content/%d", directory, i), d, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Many readers of one image get what is in it, and the server neither grows nor leaks.
func TestSquashFSReaders(t *testing.T) {
	for _, options := range [][]string{{"-comp", "gzip"}, {"-comp", "zstd", "-b", "1M", "-Xcompression-level", "3"}} {
		t.Run(options[1], func(t *testing.T) {
			img := squashImage(t, content(t), options...)
			c := start(t, img, "/mnt/probe", "when", "pwd")
			before := descriptors(t, c.server)
			_, ended := c.finish(t)
			if ended != "0" {
				t.Fatal(ended)
			}
			checkGone(t, img, "")

			cmd := chRun("-b", inputs+"/bin:/mnt", img, "--", "/mnt/lister", "stress", "32", "5", "/content")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := 0
			if !eventually(func() bool {
				if pids := servers(img); len(pids) == 1 {
					pid = pids[0]
				}
				return pid != 0
			}) {
				t.Fatal("there is no server")
			}
			most, memory, ended := 0, 0, ""
			finished := make(chan error)
			go func() { finished <- cmd.Wait() }()
			for ended == "" {
				select {
				case err := <-finished:
					ended = status(err)
				case <-time.After(100 * time.Millisecond):
					most, memory = max(most, descriptors(t, pid)), max(memory, figure(t, pid, "VmHWM"))
				}
			}
			if ended != "0" {
				t.Errorf("%s\n%s", ended, end(out.Bytes()))
			}
			if most > before+4 { // while it starts it has a few more
				t.Errorf("the server had %d descriptors, then %d", before, most)
			}
			if memory > serverMemory {
				t.Errorf("the server took %d KiB, and may %d", memory, serverMemory)
			}
			t.Logf("%s; %d descriptors, %d KiB", strings.TrimSpace(out.String()), most, memory)
			checkGone(t, img, "")
		})
	}
}

// Ten thousand open files cost the server nothing.
func TestSquashFSOpenFiles(t *testing.T) {
	const files = 10_000
	img := squashImage(t, func(directory string) {
		if err := os.Mkdir(directory+"/many", 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range files {
			if err := os.WriteFile(fmt.Sprintf("%s/many/%d", directory, i), fmt.Append(nil, i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < files+100 {
		t.Fatalf("the hard limit of open files is %d; run this with more, 'ulimit -Hn %d'", limit.Max, files+100)
	}
	c := start(t, img, "/mnt/probe", "hold", "/many")
	if n := descriptors(t, c.server); n > 50 {
		t.Errorf("the server has %d descriptors", n)
	}
	if memory := figure(t, c.server, "VmHWM"); memory > serverMemory {
		t.Errorf("the server took %d KiB, and may %d", memory, serverMemory)
	}
	if out, ended := c.finish(t); ended != "0" || out != fmt.Sprintf("0 of %d cannot be read\n", files) {
		t.Errorf("%s: %s", ended, out)
	}
	checkGone(t, img, "")
}

// Many launches of one image at the same time get on with each other.
func TestSquashFSManyAtOnce(t *testing.T) {
	img := squashImage(t, nil)
	source := t.TempDir()
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			args := [][]string{{img}, {"-W", img}, {"-b", source + ":/new/place", img}, {"--priv", img}}[i%4]
			out, err := chRun(append(args, "--", "probe", "pwd")...).CombinedOutput()
			if err != nil || string(out) != "/\n" {
				t.Errorf("%v: %v: %s", args, err, out)
			}
		})
	}
	group.Wait()
	checkGone(t, img, "")
}

// When the server dies, what the command reads is an error, at once.
func TestSquashFSServerDies(t *testing.T) {
	img := squashImage(t, content(t))
	for _, verb := range [][]string{{"cat", "/content/20"}, {"ls", "/content"}, {"stat", "/content/7"}} {
		c := start(t, img, append([]string{"/mnt/probe", "when"}, verb...)...)
		if err := syscall.Kill(c.server, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if !eventually(func() bool { return len(servers(img)) == 0 }) {
			t.Fatal("the server survives a kill")
		}
		out, ended := c.finish(t)
		// ENOTCONN, or where a connection was just ended ECONNABORTED.
		if ended != "1" || !strings.Contains(out, "Transport endpoint is not connected") && !strings.Contains(out, "Software caused connection abort") {
			t.Errorf("%v: %s: %s", verb, ended, out)
		}
		checkGone(t, img, "")
	}
}

// Signals that a terminal, a session's end or an administrator's shutdown send do not end the server
// while its container is in use.
func TestSquashFSServerStays(t *testing.T) {
	img := squashImage(t, nil)
	c := start(t, img, "/mnt/probe", "when", "ls", "/bin")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU} {
		if err := syscall.Kill(c.server, signal); err != nil {
			t.Fatalf("%v: %v", signal, err)
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.server))
	if err != nil {
		t.Fatal(err)
	}
	// After the name: state, parent, process group, session, terminal.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	group, _ := syscall.Getpgid(c.Process.Pid)
	if fields[1] == strconv.Itoa(c.Process.Pid) || fields[2] == strconv.Itoa(group) || fields[4] != "0" {
		t.Errorf("the server has parent %s, process group %s, terminal %s; the command is %d in group %d", fields[1], fields[2], fields[4], c.Process.Pid, group)
	}
	for _, kind := range []string{"user", "mnt"} {
		namespace := func(pid int) string {
			name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
			if err != nil {
				t.Fatal(err)
			}
			return name
		}
		if own := namespace(c.server); own != namespace(os.Getpid()) || own == namespace(c.Process.Pid) {
			t.Errorf("the server is in %s, the caller in %s, the command in %s", own, namespace(os.Getpid()), namespace(c.Process.Pid))
		}
	}
	ours := pipes(t, c.Process.Pid)
	if len(ours) == 0 {
		t.Error("the command has no pipes")
	}
	for _, pipe := range pipes(t, c.server) {
		if slices.Contains(ours, pipe) {
			t.Errorf("the server holds %s, which is the command's", pipe)
		}
	}
	if out, ended := c.finish(t); ended != "0" || out != "probe\n" {
		t.Errorf("%s: %s", ended, out)
	}
	checkGone(t, img, "")
}

// pipes returns the names of the pipes that a process has open.
func pipes(t *testing.T, pid int) (names []string) {
	t.Helper()
	links, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, l.Name()))
		if err == nil && strings.HasPrefix(target, "pipe:") {
			names = append(names, target)
		}
	}
	return names
}

// The pipe that a command writes to closes when the command ends, though the container lives on.
func TestSquashFSPipes(t *testing.T) {
	img := squashImage(t, nil)
	late := t.TempDir() + "/late"
	cmd := chRun("-b", filepath.Dir(late)+":/mnt", img, "--", "probe", "daemon", "1.5", "/etc/passwd", "/mnt/late")
	cmd.Stdin = strings.NewReader("")
	out := output(t, cmd) // reads until nobody holds the pipe
	if st, err := os.Stat(late); err != nil || st.Size() > 0 {
		t.Errorf("the pipe closed no earlier than the daemon ended, or there is no daemon: %v", err)
	}
	if len(servers(img)) != 1 {
		t.Errorf("the daemon has no server; the command said %s", out)
	}
	if !eventually(func() bool { text, _ := os.ReadFile(late); return bytes.HasPrefix(text, []byte("root:")) }) {
		t.Error("the daemon could not read its image")
	}
	checkGone(t, img, "")
}

// Nor does its memory grow, for which the Go runtime needs threads, too.
func TestSquashFSNoRoomMemory(t *testing.T) {
	const most = 24_000 // kB
	img := squashImage(t, nil)
	c := started(t, img, limited(28, "-b", inputs+"/bin:/mnt", img, "--", "/mnt/probe", "full", "60000"))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.server))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int
	if _, err := fmt.Sscan(after, &kilobytes); err != nil || kilobytes > most {
		t.Errorf("the server has %d kB, at most %d are enough; %v", kilobytes, most, err)
	}
	if out, ended := c.finish(t); ended != "SIGKILL" { // by itself, with those that fill the limit
		t.Errorf("%s: %s", ended, out)
	}
	checkGone(t, img, "")
}

// A command may end while the kernel still reads ahead for it: pages that the server would store are locked then, and
// nobody but itself can unlock them.
func TestSquashFSReadAhead(t *testing.T) {
	img := squashImage(t, func(directory string) {
		if err := os.WriteFile(directory+"/ahead", append(text("ahead", 300_000), noise("ahead", 100_000)...), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	for range 150 {
		output(t, chRun("-b", inputs+"/bin:/mnt", img, "--", "/mnt/probe", "ahead", "/ahead", "65536", strconv.Itoa(rand.IntN(120))))
	}
	checkGone(t, img, "")
}

// What else is in a block the server stores in the page cache, if there is only one task that asks: who else did could wait
// for a page that is to be stored, and the server for that, and if it were killed in that moment both would, without end.
func TestSquashFSStores(t *testing.T) {
	img := squashImage(t, func(directory string) {
		if err := os.WriteFile(directory+"/blocks", text("blocks", 3*128<<10), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	var got string
	eventually(func() bool { // 0.1 s after another one the task is the only one again, which may be soon on a busy machine
		got = output(t, chRun("-b", inputs+"/bin:/mnt", img, "--", "/mnt/probe", "stored", "/blocks"))
		return got == "alone: 32\nnot alone: 1\n"
	})
	if got != "alone: 32\nnot alone: 1\n" {
		t.Errorf("pages of 32 that are cached: %s", got)
	}
	checkGone(t, img, "")
}

// Where many read the same blocks, all that is killed ends at once: everything, as when a job is cancelled, or the server.
func TestSquashFSStorm(t *testing.T) {
	img := squashImage(t, func(directory string) {
		if err := os.WriteFile(directory+"/blocks", text("blocks", 8<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	for i := range 80 {
		cmd := chRun("-b", inputs+"/bin:/mnt", img, "--", "/mnt/probe", "storm", "/blocks")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		c := started(t, img, cmd)
		time.Sleep(rand.N(100 * time.Millisecond))
		if err := syscall.Kill(c.server, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		all := make(chan error, 1)
		go func() {
			_, _ = io.Copy(io.Discard, c.stdout) // until the last reader has ended
			all <- c.Wait()
		}()
		select {
		case err := <-all:
			if ended := status(err); i%2 == 1 && ended != "0" {
				t.Errorf("round %d: %s", i, ended)
			}
		case <-time.After(patience):
			t.Fatalf("round %d: not all have ended (what they wait for can be ended by way of /sys/fs/fuse/connections)", i)
		}
		checkGone(t, img, "")
	}
}

// The server keeps the mount until the command has ended, and no longer: what is left then keeps it by being there.
func TestSquashFSMount(t *testing.T) {
	img := squashImage(t, nil)
	c := start(t, img, "/mnt/probe", "when", "daemon", "2", "/etc/passwd", "/dev/null")
	handles := func() (names []string) {
		links, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.server))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", c.server, l.Name())); target == "/" || target == "anon_inode:[pidfd]" {
				names = append(names, target)
			}
		}
		return names
	}
	if got := handles(); len(got) != 2 {
		t.Errorf("while the command runs it has %v, want the mount and the process", got)
	}
	if out, ended := c.finish(t); ended != "0" {
		t.Fatalf("%s: %s", ended, out)
	}
	if !eventually(func() bool { return len(handles()) == 0 }) {
		t.Errorf("when the command has ended it still has %v", handles())
	}
	checkGone(t, img, "")
}

// Killed at any moment, ch-run leaves no process and no mount, nor does what it started.
func TestSquashFSKill(t *testing.T) {
	img := squashImage(t, nil)
	source, tmp := t.TempDir(), t.TempDir()
	mark := fmt.Sprintf("CH_RUN_TEST_MARK=%d", rand.Uint64())
	variants := [][]string{
		{img, "--", "probe", "sleep", "10"},
		{"-W", "-b", source + ":/new/place", img, "--", "probe", "sleep", "10"},
		{"--private", img, "--", "probe", "sleep", "10"}, // through the second start
	}
	killedServers := 0
	for i := range 200 {
		cmd := chRun(variants[i%len(variants)]...)
		cmd.Env = append(cmd.Env, "TMPDIR="+tmp, mark)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(2 * launchTime))
		if i%4 == 3 { // the server instead, which may not be there yet; the launcher must not wait for it
			if pids := servers(img); len(pids) > 0 {
				killedServers++
				_ = syscall.Kill(pids[0], syscall.SIGKILL)
				time.Sleep(rand.N(launchTime))
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
	}
	checkGone(t, img, mark)
	if list := tree(t, tmp); strings.Count(list, "\n") != 1 {
		t.Errorf("files are left:\n%s", list)
	}
	if killedServers == 0 {
		t.Error("no server was killed")
	}
}

// Without anybody's kill, every launch ends by itself when its server is killed during it: with an error, a
// signal, or because it did not need it any more.
func TestSquashFSServerDiesDuringLaunch(t *testing.T) {
	img := squashImage(t, nil)
	mark := fmt.Sprintf("CH_RUN_TEST_MARK=%d", rand.Uint64())
	outcomes := map[string]int{}
	// On a slow machine most servers are found only when the launch is over.
	for round := 0; round < 100 || outcomes["0"] == round && round < 1000; round++ {
		cmd := chRun(img, "--", "probe", "pwd")
		cmd.Env = append(cmd.Env, mark)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		hang := time.AfterFunc(patience, func() { t.Error("a launch hangs"); _ = cmd.Process.Kill() })
		for deadline := time.Now().Add(rand.N(2 * launchTime)); time.Now().Before(deadline); {
		}
		for _, pid := range marked(mark, cmd.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		outcomes[status(cmd.Wait())]++
		hang.Stop()
	}
	t.Log(outcomes)
	if len(outcomes) == 1 && outcomes["0"] > 0 {
		t.Error("no launch noticed")
	}
	checkGone(t, img, mark)
}

// marked returns the processes with a mark in their environment, but one.
func marked(mark string, but int) (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if pid, _ := strconv.Atoi(strings.Split(name, "/")[2]); err == nil && pid != but && bytes.Contains(text, []byte(mark)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Ctrl-C at a terminal ends the command, as without a container, and then its server ends.
func TestSquashFSTerminal(t *testing.T) {
	img := squashImage(t, nil)
	if got := statusAfterKey(t, img, "\x03"); got != 130 {
		t.Errorf("exit status %d", got)
	}
	checkGone(t, img, "")
}

// Where there is no room for the threads of a server that somebody could wait for without end, there is no container, and
// one message says why. In a user namespace of its own nobody else counts.
func TestSquashFSTooFewProcesses(t *testing.T) {
	const few, enough = 3, 24
	img := squashImage(t, nil)
	for limit := few; limit <= enough; limit++ {
		out, err := limited(limit, "-b", inputs+"/bin:/mnt", img, "--", "/mnt/probe", "pwd").CombinedOutput()
		switch got := string(out); {
		case status(err) == "0" && got == "/\n" && limit > few:
		case status(err) == "31" && strings.Count(got, "\n") == 1 && strings.Contains(got, "can't create thread: Resource temporarily unavailable (hint: ") && limit < enough:
		case status(err) == "31" && strings.Count(got, "\n") == 1 && strings.Contains(got, "can't fork: Resource temporarily unavailable (hint: ") && limit < enough:
		default:
			t.Errorf("%d processes: %v: %s", limit, status(err), got)
		}
	}
	checkGone(t, img, "")
}

// limited returns a ch-run for which there are so many processes, its own ones included.
func limited(processes int, args ...string) *exec.Cmd {
	cmd := chRun()
	cmd.Path, cmd.Args = "/usr/bin/unshare", slices.Concat([]string{"unshare", "--user", "--map-current-user",
		"bash", "-c", fmt.Sprintf(`ulimit -u %d; exec setsid "$@"`, processes), "bash", inputs + "/bin/ch-run"}, args)
	return cmd
}

// A job that is at its limit of processes can still read its image, though the server may want another thread just then,
// and has only the first ones.
func TestSquashFSNoRoom(t *testing.T) {
	img := squashImage(t, content(t))
	for range 3 {
		for _, processes := range []int{28, 32, 36, 44, 100} {
			cmd := limited(processes, "-b", inputs+"/bin:/mnt", img, "--", "/mnt/probe", "crowd", "/content")
			hang := time.AfterFunc(patience, func() { // who waits for the server cannot be killed
				for _, pid := range servers(img) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			})
			out, err := cmd.CombinedOutput()
			hang.Stop()
			if got := string(out); got != "no room, 10 of 10 have read all\n" || status(err) != "SIGKILL" {
				t.Fatalf("%d processes: %s%v", processes, got, err)
			}
			checkGone(t, img, "")
		}
	}
}
