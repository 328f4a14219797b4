package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

func stress(readers, seconds string, directories []string) error {
	n, err := strconv.Atoi(readers)
	if err != nil {
		return err
	}
	duration, err := time.ParseDuration(seconds + "s")
	if err != nil {
		return err
	}
	var files []string
	for _, d := range directories {
		err := filepath.WalkDir(d, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() && unix.Access(path, unix.R_OK) == nil {
				files = append(files, path)
			}
			return nil // some directories cannot be entered
		})
		if err != nil {
			return err
		}
	}
	sums := make([][32]byte, len(files))
	for i, path := range files {
		if sums[i], err = sum(path); err != nil {
			return err
		}
	}
	var (
		group    sync.WaitGroup
		count    atomic.Int64
		mu       sync.Mutex
		failures []error
	)
	end := time.Now().Add(duration)
	for range n {
		group.Go(func() {
			for time.Now().Before(end) {
				i := rand.IntN(len(files))
				got, err := sum(files[i])
				if err == nil && got != sums[i] {
					err = fmt.Errorf("%s: read other content than before", files[i])
				}
				if err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
					return
				}
				count.Add(1)
			}
		})
	}
	group.Wait()
	fmt.Printf("%d files, read %d times\n", len(files), count.Load())
	return errors.Join(failures...)
}

// sum returns the checksum of a file, after which its content is not cached by the kernel.
func sum(path string) (sum [32]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close() //nolint:errcheck // was read only
	hash := sha256.New()
	if _, err := io.CopyBuffer(hash, struct{ io.Reader }{f}, make([]byte, 64<<10)); err != nil {
		return sum, err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return sum, err
	}
	return [32]byte(hash.Sum(nil)), nil
}
