package fuse

import (
	"errors"
	"syscall"
	"time"

	"ch-run/internal/kernel"
	"ch-run/internal/squash"
)

// Storage is what the image is read from. Where a read has to wait for it, others are to listen meanwhile: what
// they have to answer may be in memory.
type storage struct {
	file  kernel.FD
	waits func()
}

// ReadAt is that of [io.ReaderAt].
func (s storage) ReadAt(p []byte, offset int64) (int, error) {
	n, err := s.file.ReadAtNow(p, offset)
	switch {
	case n == len(p):
		return n, nil
	case err == nil, errors.Is(err, syscall.EAGAIN):
		s.waits()
		m, err := s.file.ReadAt(p[n:], offset+int64(n))
		return n + m, err
	}
	// The file system does not say, as NFS and FUSE, or there is an error, which is the same again.
	start := time.Now()
	n, err = s.file.ReadAt(p, offset)
	if time.Since(start) > squash.SlowRead {
		s.waits() // the next time will be like this one
	}
	return n, err
}
