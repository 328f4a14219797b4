package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// cacheDir keeps what takes long to make: the trees that the images are made of, and the images.
const cacheDir = "build/bench"

// The two trees: a Debian root file system with Python and NumPy, and one large file for fio.
const (
	debianTree = "debian"
	fioTree    = "fio"
)

// fioFile is the large file, and fioSize what it holds.
const (
	fioFile = "/data"
	fioSize = 256 << 20
)

// An image is a SquashFS image in cacheDir, made with the defaults of mksquashfs for its compressor.
type image struct {
	path string
	size int64
	took time.Duration // mksquashfs, when it was made
}

// squash makes the image of a tree, and the tree, unless they are there.
func squash(ctx context.Context, tree, compressor string) (image, error) {
	if err := makeTree(ctx, tree); err != nil {
		return image{}, err
	}
	path := filepath.Join(cacheDir, tree+"."+compressor+".sqfs")
	note := path + ".took"
	err := unlessThere(path, func(unfinished string) error {
		start := time.Now()
		if err := tool(ctx, "mksquashfs", filepath.Join(cacheDir, tree), unfinished, "-comp", compressor,
			"-noappend", "-quiet", "-no-progress", "-all-root"); err != nil {
			return err
		}
		return os.WriteFile(note, []byte(time.Since(start).String()), 0o644)
	})
	if err != nil {
		return image{}, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return image{}, err
	}
	text, err := os.ReadFile(note)
	if err != nil {
		return image{}, err
	}
	took, err := time.ParseDuration(string(text))
	return image{path, st.Size(), took}, err
}

func makeTree(ctx context.Context, tree string) error {
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return err
	}
	debian := filepath.Join(cacheDir, debianTree)
	if err := unlessThere(debian, func(dir string) error { return unpackDebian(ctx, dir) }); err != nil {
		return err
	}
	if tree == debianTree {
		return nil
	}
	return unlessThere(filepath.Join(cacheDir, fioTree), func(dir string) error { return makeFioTree(dir, debian) })
}

// unlessThere has something made under another name, so that path exists only when it is complete.
func unlessThere(path string, produce func(unfinished string) error) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	progress("making %s", path)
	unfinished := path + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := produce(unfinished); err != nil {
		return errors.Join(err, os.RemoveAll(unfinished))
	}
	return os.Rename(unfinished, path)
}

// unpackDebian makes a Debian root file system in which everyone may read everything, because the
// owner of a file is not the same to all who serve it.
func unpackDebian(ctx context.Context, dir string) error {
	archive := dir + ".tar"
	err := tool(ctx, "mmdebstrap", "--quiet", "--variant=minbase", "--include=python3-numpy", "bookworm", archive)
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err == nil {
		err = tool(ctx, "tar", "-C", dir, "-xf", archive, "--no-same-owner", "--exclude=./dev/*")
	}
	if err == nil {
		err = tool(ctx, "chmod", "-R", "u+rwX,a+rX", dir)
	}
	if removal := os.Remove(archive); !errors.Is(removal, fs.ErrNotExist) {
		err = errors.Join(err, removal)
	}
	return err
}

// makeFioTree makes a tree that ch-run can start from, with one large file: what the regular files of Debian hold,
// every eighth MiB replaced by random bytes, as real data is in part compressed already.
func makeFioTree(dir, debian string) error {
	for _, mountPoint := range []string{"dev", "etc", "mnt", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, mountPoint), 0o755); err != nil {
			return err
		}
	}
	for _, mountPoint := range []string{"etc/passwd", "etc/group"} {
		if err := os.WriteFile(filepath.Join(dir, mountPoint), nil, 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, fioFile))
	if err != nil {
		return err
	}
	files := &contents{}
	err = filepath.WalkDir(debian, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files.paths = append(files.paths, path)
		}
		return err
	})
	noise := rand.NewChaCha8([32]byte{}) // the same each time
	for mib := 0; err == nil && mib < fioSize>>20; mib++ {
		var source io.Reader = files
		if mib%8 == 7 {
			source = noise
		}
		_, err = io.CopyN(f, source, 1<<20)
	}
	return errors.Join(err, f.Close())
}

// contents reads one file after the other, and then the first again.
type contents struct {
	paths []string
	next  int
	data  []byte
}

func (c *contents) Read(buffer []byte) (int, error) {
	for len(c.data) == 0 {
		data, err := os.ReadFile(c.paths[c.next%len(c.paths)])
		if err != nil {
			return 0, err
		}
		c.data = data
		c.next++
	}
	n := copy(buffer, c.data)
	c.data = c.data[n:]
	return n, nil
}

// tool runs a program that makes something.
func tool(ctx context.Context, argv ...string) error {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) } // it may have to tidy up
	output, err := c.CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, output)
	}
	return nil
}

// inCache reads a file, for it to be in the page cache.
func inCache(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return errors.Join(err, f.Close())
}

// linkOrCopy gives a file a second name where the user of the commands can reach it.
func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	return copyFile(from, to)
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	st, err := source.Stat()
	if err != nil {
		return err
	}
	destination, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, st.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(destination, source)
	return errors.Join(err, destination.Close())
}
