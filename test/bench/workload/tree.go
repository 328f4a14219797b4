package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// mountedHere are the directories that are not the image's: ch-run mounts them in any container, and
// the benchmark mounts its tools at /mnt.
var mountedHere = []string{"/dev", "/mnt", "/proc", "/sys", "/tmp"}

// walk calls visit for everything in the image, each directory before what is in it. Like find(1), it
// takes the type from the directory and asks for nothing more.
func walk(dir string, visit func(path string, kind fs.FileMode) error) error {
	d, err := os.Open(dir + "/")
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, entry := range entries {
		path := dir + "/" + entry.Name()
		if slices.Contains(mountedHere, path) {
			continue
		}
		if err := visit(path, entry.Type()); err != nil {
			return err
		}
		if entry.IsDir() {
			if err := walk(path, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func find() (count int64, err error) {
	err = walk("", func(string, fs.FileMode) error {
		count++
		return nil
	})
	return count, err
}

func statAll() (count int64, err error) {
	err = walk("", func(path string, _ fs.FileMode) error {
		count++
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return &os.PathError{Op: "lstat", Path: path, Err: err}
		}
		return nil
	})
	return count, err
}

// readAll finds the regular files, and then has the readers take one after the other.
func readAll(readers int) (int64, error) {
	var files []string
	err := walk("", func(path string, kind fs.FileMode) error {
		if kind.IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	var group sync.WaitGroup
	var next, total atomic.Int64
	failures := make([]error, readers)
	for i := range readers {
		group.Go(func() {
			buffer := make([]byte, 128<<10)
			for n := next.Add(1); n <= int64(len(files)); n = next.Add(1) {
				size, err := read(files[n-1], buffer)
				if err != nil {
					failures[i] = err
					return
				}
				total.Add(size)
			}
		})
	}
	group.Wait()
	return total.Load(), errors.Join(failures...)
}

// read reads a file to its end. It makes the system calls itself, as package os would add one for each
// file, which counts where all is in the page cache.
func read(path string, buffer []byte) (size int64, err error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	for {
		n, err := syscall.Read(fd, buffer)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return size, errors.Join(&os.PathError{Op: "read", Path: path, Err: err}, syscall.Close(fd))
		}
		if n == 0 {
			return size, syscall.Close(fd)
		}
		size += int64(n)
	}
}
