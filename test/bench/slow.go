package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// What an operation of the slow file system takes, as of a busy parallel file system: the time until it is answered, and
// that of the bytes, in bytes per second, which all operations share.
const (
	slowDelay = 5 * time.Millisecond
	slowRate  = 100e6
)

// A slowFS is a directory behind a FUSE file system that takes its time, and counts.
type slowFS struct {
	lookups, getattrs, opens, reads, bytes atomic.Int64

	mu   sync.Mutex
	busy time.Time // until when bytes are under way
}

// answer waits as long as an operation takes that transfers so many bytes.
func (s *slowFS) answer(bytes int) {
	now := time.Now()
	s.mu.Lock()
	if s.busy.Before(now) {
		s.busy = now
	}
	s.busy = s.busy.Add(time.Duration(float64(bytes) / slowRate * float64(time.Second)))
	end := s.busy
	s.mu.Unlock()
	time.Sleep(max(slowDelay, end.Sub(now)))
}

func (s *slowFS) String() string {
	return fmt.Sprintf("%d lookups, %d getattrs, %d opens, %d reads of %.2f MB", s.lookups.Load(), s.getattrs.Load(), s.opens.Load(), s.reads.Load(), float64(s.bytes.Load())/1e6)
}

// A slowNode is a file or directory in it.
type slowNode struct {
	fs.LoopbackNode
	slow *slowFS
}

var (
	_ fs.NodeWrapChilder = (*slowNode)(nil)
	_ fs.NodeLookuper    = (*slowNode)(nil)
	_ fs.NodeGetattrer   = (*slowNode)(nil)
	_ fs.NodeOpener      = (*slowNode)(nil)
	_ fs.FileReader      = (*slowFile)(nil)
)

// WrapChild has the nodes below be slow, too.
func (n *slowNode) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &slowNode{fs.LoopbackNode{RootData: n.RootData}, n.slow}
}

func (n *slowNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.slow.lookups.Add(1)
	n.slow.answer(0)
	return n.LoopbackNode.Lookup(ctx, name, out)
}

func (n *slowNode) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.slow.getattrs.Add(1)
	n.slow.answer(0)
	return n.LoopbackNode.Getattr(ctx, nil, out)
}

func (n *slowNode) Open(_ context.Context, _ uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.slow.opens.Add(1)
	n.slow.answer(0)
	path := filepath.Join(n.RootData.Path, n.Path(n.Root()))
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	return &slowFile{fd, n.slow}, fuse.FOPEN_KEEP_CACHE, 0
}

// A slowFile is a file in it that is open.
type slowFile struct {
	fd   int
	slow *slowFS
}

func (f *slowFile) Read(_ context.Context, p []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	f.slow.reads.Add(1)
	n, err := syscall.Pread(f.fd, p, offset)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	f.slow.bytes.Add(int64(n))
	f.slow.answer(n)
	return fuse.ReadResultData(p[:n]), 0
}

func (f *slowFile) Release(context.Context) syscall.Errno { return fs.ToErrno(syscall.Close(f.fd)) }

// mount mounts it, for all users.
func (s *slowFS) mount(directory, point string) (*fuse.Server, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(directory, &st); err != nil {
		return nil, err
	}
	data := &fs.LoopbackRoot{Path: directory, Dev: st.Dev}
	root := &slowNode{fs.LoopbackNode{RootData: data}, s}
	data.RootNode = root
	kept := time.Minute // what a client may believe, as it has locks
	return fs.Mount(point, root, &fs.Options{
		EntryTimeout: &kept, AttrTimeout: &kept,
		MountOptions: fuse.MountOptions{AllowOther: true, DirectMount: true, FsName: "slow", MaxReadAhead: 1 << 20, MaxWrite: 1 << 20},
	})
}

// measureSlow compares starts from images on a slow file system: what is read, and how long it takes. A round begins
// with nothing in the cache.
func (s stage) measureSlow(ctx context.Context, compressors []string, rounds int) error {
	for _, compressor := range compressors {
		made, err := s.image(ctx, debianTree, compressor)
		if err != nil {
			return err
		}
		if err := s.compareSlow(ctx, compressor, filepath.Base(made.path), rounds); err != nil {
			return err
		}
	}
	return nil
}

func (s stage) compareSlow(ctx context.Context, compressor, image string, rounds int) error {
	point := s.images + ".slow"
	path := filepath.Join(point, image)
	var commands []command
	for _, work := range []struct {
		name string
		argv []string
	}{{"/bin/true", []string{"/bin/true"}}, {"import numpy", []string{"python3", "-c", "import numpy"}}} {
		commands = append(commands,
			command{name: "Charliecloud's C ch-run: " + work.name, argv: append([]string{peer, "-m", s.mountPoint, path, "--"}, work.argv...)},
			command{name: "ch-run: " + work.name, argv: append([]string{s.in.binary, path, "--"}, work.argv...)})
	}
	times := make([][]time.Duration, len(commands))
	seen := make([]string, len(commands))
	for range rounds {
		for _, i := range rand.Perm(len(commands)) {
			elapsed, slow, err := s.slowly(ctx, point, commands[i])
			if err != nil {
				return err
			}
			times[i], seen[i] = append(times[i], elapsed), slow.String()
		}
	}
	fmt.Printf("\nAn image with %s on a file system that takes %v for each operation, and %.0f MB/s, medians of %d round(s):\n\n", compressor, slowDelay, slowRate/1e6, rounds)
	rows := [][]string{{"ms", "ratio", ""}}
	for i, c := range commands {
		reference := quantile(times[i-i%2], 0.5) // the C program's, which comes first
		rows = append(rows, []string{fmt.Sprintf("%.0f", quantile(times[i], 0.5).Seconds()*1e3),
			fmt.Sprintf("%.2f", float64(quantile(times[i], 0.5))/float64(reference)), c.name + ": " + seen[i]})
	}
	return printTable(rows)
}

// slowly runs a command with its image on a slow file system of its own.
func (s stage) slowly(ctx context.Context, point string, c command) (elapsed time.Duration, slow *slowFS, err error) {
	slow = &slowFS{}
	if err := syscall.Mkdir(point, 0o755); err != nil && err != syscall.EEXIST {
		return 0, nil, err
	}
	server, err := slow.mount(s.images, point)
	if err != nil {
		return 0, nil, fmt.Errorf("mounting a slow file system, which takes root: %w", err)
	}
	start := time.Now()
	_, err = s.l.run(ctx, c.argv)
	elapsed = time.Since(start)
	if err == nil {
		err = s.settle()
	}
	if unmountErr := server.Unmount(); err == nil && unmountErr != nil {
		err = fmt.Errorf("%s: %w", strings.Join(c.argv, " "), unmountErr)
	}
	return elapsed, slow, err
}
