package squash

import (
	"errors"
	"fmt"
)

// A CorruptError says what is wrong with an image, and where.
type CorruptError struct {
	Part   string // of the image: "superblock", "inode table", …
	Offset int64  // in bytes from the start of the image: of the block, or of the table
	Text   string
	Err    error // what a decompressor says, or nil
}

func (e *CorruptError) Error() string {
	text := fmt.Sprintf("corrupt %s at byte %d: %s", e.Part, e.Offset, e.Text)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *CorruptError) Unwrap() error { return e.Err }

func corrupt(part string, offset int64, format string, args ...any) error {
	return &CorruptError{Part: part, Offset: offset, Text: fmt.Sprintf(format, args...)}
}

// A ReadError is an error of the storage that the image is on.
type ReadError struct {
	Part   string
	Offset int64 // in bytes from the start of the image
	Err    error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("can't read %s at byte %d: %v", e.Part, e.Offset, e.Err)
}

func (e *ReadError) Unwrap() error { return e.Err }

// What callers tell apart.
var (
	ErrNotFound     = errors.New("no such name")
	ErrNotDirectory = errors.New("not a directory")
	ErrNotRegular   = errors.New("not a regular file")
	ErrNotSymlink   = errors.New("not a symbolic link")
)
