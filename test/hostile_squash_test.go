package test

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ch-run/internal/squash/mutant"
)

const (
	hostileTime   = time.Second      // for a walk through an image, launch included
	hostileHang   = 10 * time.Second // for what cannot be called an end
	hostileMemory = 64 << 10         // of the server, in KiB
)

// TestHostileImages runs a program that uses everything in damaged images. Either ch-run says what is wrong, in one line, or the
// program gets to its end, soon, with a server that takes little memory and is gone afterwards.
func TestHostileImages(t *testing.T) {
	walker := makeWalker(t)
	whole := mutant.Parse(mutant.Make(t, mutant.Uncompressed...))
	var compressed [][]byte
	for _, c := range []string{"gzip", "lzma", "lzo", "lz4", "xz", "zstd"} {
		compressed = append(compressed, mutant.Make(t, "-comp", c))
	}
	var results hostileResults
	for _, image := range append([][]byte{whole.Data}, compressed...) {
		if problem := results.run(t, walker, image); problem != "" || results.refused > 0 {
			t.Fatalf("the sound image: %s", problem)
		}
	}
	usual := 2000 // half a minute
	if testing.Short() {
		usual = 200
	}
	series := mutant.Choose(t, usual)
	results.keep = series.Only >= 0
	type hostile struct {
		image []byte
		what  string
	}
	images := make(chan hostile)
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for i := range images {
				if problem := results.run(t, walker, i.image); problem != "" {
					t.Errorf("%s\n%s", i.what, problem)
				}
			}
		})
	}
	series.All(whole, compressed, func(_ int, image []byte, what string) { images <- hostile{image, what} })
	close(images)
	group.Wait()
	t.Log(results.String())
	for _, text := range slices.Sorted(maps.Keys(results.said)) {
		t.Logf("%5d %s", results.said[text], text)
	}
	if series.Only < 0 && (results.refused < series.Count/20 || results.walked < series.Count/4 || results.unknown > results.walked/20) {
		t.Errorf("that is not what is to be tested")
	}
	nothingLeft(t, filepath.Dir(walker))
}

// TestDirectoryLoop goes through an image in which a directory is in itself, and one in which all is. There is an end to
// that: the kernel does not believe that a directory is in two places.
func TestDirectoryLoop(t *testing.T) {
	walker := makeWalker(t)
	m := mutant.Parse(mutant.Make(t, mutant.Uncompressed...))
	var results hostileResults
	for _, to := range []uint64{
		m.Get("superblock: root"),
		m.Get("directory /: header 0: start")<<16 | m.Get("directory /: entry a: offset"),
		m.Get("directory /a/b: header 0: start")<<16 | m.Get("directory /a/b: entry c: offset"), // the directory itself
	} {
		n := m.Copy().Set("directory /a/b/c: header 0: start", to>>16).Set("directory /a/b/c: entry d: offset", to&0xffff)
		if problem := results.run(t, walker, n.Data); problem != "" {
			t.Error(problem)
		}
	}
	if results.refused > 0 {
		t.Error(results.String())
	}
	nothingLeft(t, filepath.Dir(walker))
}

// TestServerMemory has many readers of blocks of the largest size.
func TestServerMemory(t *testing.T) {
	walker := makeWalker(t)
	img, path := image(t), filepath.Join(filepath.Dir(walker), "large.sqfs")
	for i := range 8 { // each its own, and not sparse
		if err := os.WriteFile(fmt.Sprintf("%s/file-%d", img, i), bytes.Repeat(noise(fmt.Sprint(i), 4096), 12<<8), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	output(t, exec.Command("mksquashfs", img, path, "-quiet", "-no-progress", "-comp", "lz4", "-b", "1M", "-no-duplicates"))
	report := walked.FindStringSubmatch(output(t, chRun("-b", filepath.Dir(walker)+":/mnt", path, "--", "/mnt/walker", path, "64")))
	if report == nil {
		t.Fatal("no report")
	}
	if memory, _ := strconv.Atoi(report[2]); memory == 0 || memory > hostileMemory {
		t.Errorf("the server took %d KiB", memory)
	} else {
		t.Logf("the server took %d KiB", memory)
	}
	nothingLeft(t, filepath.Dir(walker))
}

// TestImageShrinks cuts an image off while it is served. What is missing is an error for who wants it.
func TestImageShrinks(t *testing.T) {
	walker := makeWalker(t)
	whole := mutant.Make(t)
	for _, size := range []int64{0, 96, int64(len(whole)) / 2, int64(len(whole)) - 1} {
		path := filepath.Join(filepath.Dir(walker), fmt.Sprintf("shrinks-%d.sqfs", size))
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := chRun("-b", filepath.Dir(walker)+":/mnt", path, "--", "/mnt/walker", path, "0")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(stdout)
		if line, err := lines.ReadString('\n'); line != "ready\n" {
			t.Fatalf("%q, %v\n%s", line, err, stderr.Bytes())
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if err := stdin.Close(); err != nil {
			t.Fatal(err)
		}
		report, _ := lines.ReadString('\n')
		if err := cmd.Wait(); err != nil || !walked.MatchString(report) {
			t.Errorf("%d bytes: %v: %q\n%s", size, err, report, stderr.Bytes())
		}
	}
	nothingLeft(t, filepath.Dir(walker))
}

// hostileResults are those of many images.
type hostileResults struct {
	keep bool // the images, and tell what became of them

	mu      sync.Mutex
	number  int
	refused int // by ch-run
	walked  int
	unknown int            // walks that could not tell the server's memory
	said    map[string]int // by ch-run, without numbers
	slowest time.Duration
	memory  int // the most, in KiB
}

func (h *hostileResults) String() string {
	return fmt.Sprintf("%d refused, %d walked, the slowest in %v, servers of at most %d KiB, %d unknown", h.refused, h.walked, h.slowest, h.memory, h.unknown)
}

var (
	oneError = regexp.MustCompile(`^ch-run\[\d+\]: error: [ -~]+\n$`)
	details  = regexp.MustCompile(`-?[0-9][0-9a-fx]*`)
	walked   = regexp.MustCompile(`^walked (\d+), server (\d+) KiB, slowest (\d+) ms: .*\n$`)
)

// run runs the walker in an image, and returns what is wrong with how that went. What is slow may be so because of
// everything else that the machine does; it is not if it is soon over the next time.
func (h *hostileResults) run(t *testing.T, walker string, image []byte) (problem string) {
	for range 3 {
		if problem = h.try(t, walker, image); !strings.HasPrefix(problem, "slow: ") {
			break
		}
	}
	return problem
}

func (h *hostileResults) try(t *testing.T, walker string, image []byte) (problem string) {
	h.mu.Lock()
	h.number++
	number := h.number
	path := filepath.Join(filepath.Dir(walker), fmt.Sprintf("mutant-%d.sqfs", number))
	h.mu.Unlock()
	if err := os.WriteFile(path, image, 0o644); err != nil {
		return err.Error()
	}
	args := []string{"-b", filepath.Dir(walker) + ":/mnt", path, "--", "/mnt/walker", path}
	if number%8 == 0 {
		args = append([]string{"-W"}, args...) // the kernel's overlay has its own view of inodes
	}
	cmd := chRun(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err.Error()
	}
	hang := time.AfterFunc(hostileHang, func() {
		// A process that waits for an answer cannot be killed, only the server can.
		for _, pid := range servers(path) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = cmd.Process.Kill()
	})
	err := cmd.Wait()
	took := time.Since(start)
	if !hang.Stop() {
		return fmt.Sprintf("it hangs\n%s%s", stdout.Bytes(), stderr.Bytes())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() {
		if problem == "" && !h.keep {
			problem = errorText(os.Remove(path))
		}
	}()
	answer := fmt.Sprintf("%s after %v:\n%s%s", status(err), took, stdout.Bytes(), stderr.Bytes())
	if h.keep {
		t.Log(path, answer)
	}
	if took > hostileTime {
		return "slow: " + answer
	}
	h.slowest = max(h.slowest, took)
	if h.said == nil {
		h.said = map[string]int{}
	}
	switch status(err) {
	case "31":
		h.refused++
		if stdout.Len() > 0 || !oneError.Match(stderr.Bytes()) {
			return "not one clear line: " + answer
		}
		h.said[details.ReplaceAllString(strings.ReplaceAll(stderr.String(), path, "PATH"), "N")]++
		return ""
	case "0":
		h.walked++
		report := walked.FindSubmatch(stdout.Bytes())
		if report == nil || stderr.Len() > 0 {
			return "not a walk: " + answer
		}
		memory, _ := strconv.Atoi(string(report[2]))
		h.memory = max(h.memory, memory)
		if memory > hostileMemory {
			return fmt.Sprintf("the server took %d KiB", memory)
		}
		if memory == 0 { // the damage is such that the user may not enter the root directory, so there is no /proc
			h.unknown++
		}
		return ""
	}
	return answer
}

func errorText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// nothingLeft fails if a second after the last launch there is a server of an image in directory.
func nothingLeft(t *testing.T, directory string) {
	t.Helper()
	var left []int
	for range 100 {
		if left = servers(directory); len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("servers are left: %v", left)
}

// makeWalker compiles the program that uses everything in an image, into a directory of its own.
func makeWalker(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "walker")
	cmd := exec.Command("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-x", "c", "-o", path, "-")
	cmd.Stdin = strings.NewReader(walkerSource)
	output(t, cmd)
	return path
}

// walkerSource is in C as it is started thousands of times.
const walkerSource = `
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static int visited, budget = 2000;
static double slowest;
static char where[64];
static char buffer[1 << 17];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// Notes which call took longest. Errors are what damaged files are expected to give.
#define timed(call) do { double start = now(); call; note(#call, now() - start); } while (0)

static void note(const char *call, double took)
{
    if (took > slowest) {
        slowest = took;
        snprintf(where, sizeof where, "%s", call);
    }
}

static void content(int fd, off_t size)
{
    const off_t at[] = {size - 1, size - 4096, size / 2, size / 3, 12345, 0, size};
    ssize_t n;
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (at[i] >= 0)
            timed(n = pread(fd, buffer, 5000, at[i]));
    lseek(fd, 0, SEEK_SET);
    for (int i = 0; i < 20; i++) {
        timed(n = read(fd, buffer, sizeof buffer));
        if (n <= 0)
            break;
    }
}

static void attributes(const char *path)
{
    char names[65536];
    ssize_t n, m;
    timed(n = llistxattr(path, names, sizeof names));
    for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1)
        timed(m = lgetxattr(path, name, buffer, sizeof buffer));
    timed(m = lgetxattr(path, "user.none", buffer, sizeof buffer));
    (void)m;
}

static void walk(char *path, size_t length, int depth)
{
    struct stat st;
    int result, fd;
    ssize_t n;
    if (budget-- <= 0)
        return;
    visited++;
    timed(result = lstat(path, &st));
    if (result < 0)
        return;
    attributes(path);
    if (S_ISLNK(st.st_mode)) {
        timed(n = readlink(path, buffer, sizeof buffer));
        timed(n = stat(path, &st));
    } else if (S_ISREG(st.st_mode)) {
        timed(fd = open(path, O_RDONLY));
        if (fd >= 0) {
            content(fd, st.st_size);
            close(fd);
        }
    } else if (S_ISDIR(st.st_mode) && depth < 50) {
        DIR *d;
        struct dirent *e;
        long place = 0;
        int entries = 0;
        timed(d = opendir(path));
        if (!d)
            return;
        for (;;) {
            timed(e = readdir(d));
            if (!e)
                break;
            size_t more = strlen(e->d_name);
            if (++entries == 10)
                place = telldir(d);
            if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || length + more + 2 > 4000)
                continue;
            if (depth == 0 && strstr(" dev proc sys tmp mnt ", e->d_name)) // mounted
                continue;
            path[length] = '/';
            memcpy(path + length + 1, e->d_name, more + 1);
            walk(path, length + 1 + more, depth + 1);
            path[length] = 0;
        }
        if (place)
            seekdir(d, place);
        timed(e = readdir(d));
        closedir(d);
        strcpy(path + length, "/none");
        timed(result = lstat(path, &st));
        path[length] = 0;
    }
    (void)n;
}

// Returns the most memory that the server of the image has used.
static long server(const char *image)
{
    long kilobytes = 0;
    DIR *d = opendir("/proc");
    struct dirent *e;
    char title[4200], path[300], line[4200];
    snprintf(title, sizeof title, "ch-run: squashfs server %s", image);
    while (d && (e = readdir(d))) {
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        size_t n = fread(line, 1, sizeof line - 1, f);
        fclose(f);
        line[n] = 0;
        if (strcmp(line, title))
            continue;
        snprintf(path, sizeof path, "/proc/%s/status", e->d_name);
        if (!(f = fopen(path, "r")))
            continue;
        while (fgets(line, sizeof line, f))
            sscanf(line, "VmHWM: %ld", &kilobytes);
        fclose(f);
    }
    return kilobytes;
}

// Reads pieces of the files of TestServerMemory.
static int reader(unsigned seed)
{
    char path[32];
    for (int i = 0; i < 30; i++) {
        snprintf(path, sizeof path, "/file-%d", rand_r(&seed) % 8);
        int fd = open(path, O_RDONLY);
        if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) != 0)
            return 1;
        // From one block into the next, so that both are needed.
        if (pread(fd, buffer, sizeof buffer, (rand_r(&seed) % 10 + 1) * (1 << 20) - (1 << 16)) < 0)
            return 1;
        close(fd);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static char path[8192] = "/";
    struct statfs fs;
    int readers = argc == 3 ? atoi(argv[2]) : -1;
    if (argc < 2)
        return 1;
    if (readers == 0) {
        puts("ready");
        fflush(stdout);
        while (getchar() != EOF)
            ;
    }
    for (int i = 0; i < readers; i++)
        if (fork() == 0)
            return reader((unsigned)i);
    while (wait(NULL) > 0)
        ;
    timed(statfs("/", &fs));
    walk(path, 0, 0);
    printf("walked %d, server %ld KiB, slowest %.0f ms: %s\n", visited, server(argv[1]), slowest, where);
    return 0;
}
`
