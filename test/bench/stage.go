package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// A stage is where SquashFS images are served and worked with.
type stage struct {
	l          launcher
	in         inputs
	tools      tools
	images     string // directory of images that the user of the commands can reach
	mountPoint string // for all who need one; one at a time
}

func makeStage(ctx context.Context, dir string, l launcher, in inputs) (stage, error) {
	s := stage{l: l, in: in, images: filepath.Join(dir, "images"), mountPoint: filepath.Join(dir, "mount")}
	for _, d := range []string{s.images, s.mountPoint} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return s, err
		}
		if err := l.user.own(d); err != nil {
			return s, err
		}
	}
	var err error
	s.tools, err = makeTools(ctx, filepath.Join(dir, "tools"))
	return s, err
}

// close removes what may be left of a launch that was interrupted or did not end as it should.
func (s stage) close() error {
	servers, err := s.in.servers()
	if err != nil {
		return err
	}
	for _, server := range servers {
		if err := syscall.Kill(int(server), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return os.NewSyscallError("kill", err)
		}
	}
	mounted, err := s.mounted()
	if !mounted || err != nil {
		return err
	}
	return tool(context.Background(), "fusermount3", "-u", "-z", s.mountPoint)
}

// image makes the image of a tree if need be and makes it available to the user. It is in the page cache then,
// and written to the disk, lest that happens while something is measured.
func (s stage) image(ctx context.Context, tree, compressor string) (image, error) {
	made, err := squash(ctx, tree, compressor)
	if err != nil {
		return made, err
	}
	path := filepath.Join(s.images, filepath.Base(made.path))
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := linkOrCopy(made.path, path); err != nil {
			return made, err
		}
	}
	made.path = path
	syscall.Sync()
	return made, inCache(path)
}
