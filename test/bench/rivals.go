package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The rivals by name. For launches, Charliecloud's program is one, too.
const (
	ours         = "ch-run"
	squashfuse   = "squashfuse_ll"
	kernel       = "kernel"
	charliecloud = "charliecloud"
)

// A rival is a way to serve an image. Each time anew: nothing of an earlier mount is in the page cache
// and the directory cache. The container is always ours.
type rival struct {
	name  string
	serve func(ctx context.Context, image string) (serving, error)
}

// serving is an image that is being served.
type serving struct {
	operand string                 // what ch-run is to run
	server  func() (server, error) // to be asked while the container stands
	end     func() error           // to be called when it does not
}

// rivals are those that can take part.
func (s stage) rivals(without []string) []rival {
	return slices.DeleteFunc([]rival{
		{ours, s.serveOurselves}, {squashfuse, s.serveSquashfuse}, {kernel, s.serveKernel},
	}, func(r rival) bool {
		return listed(without, r.name) || r.name == kernel && os.Geteuid() != 0
	})
}

// serveOurselves leaves it all to ch-run.
func (s stage) serveOurselves(_ context.Context, image string) (serving, error) {
	return serving{
		operand: image,
		server:  s.in.onlyServer,
		end:     s.in.noServers,
	}, nil
}

// serveSquashfuse mounts with squashfuse_ll, as the ordinary user.
func (s stage) serveSquashfuse(_ context.Context, image string) (serving, error) {
	var stderr strings.Builder
	c := exec.Command(squashfuse, "-f", image, s.mountPoint)
	c.Env = s.l.attributes.Env
	c.Stderr = &stderr
	// A group of its own, as an interrupt from the terminal is not for it; and no life without us.
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.l.user.credential, Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := c.Start(); err != nil {
		return serving{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	end := func() error {
		// Not a signal, after which it calls its own end a failure.
		err := tool(context.Background(), "fusermount3", "-u", s.mountPoint)
		time.AfterFunc(patience, func() { _ = c.Process.Kill() }) // it is of no use any more
		if failure := <-ended; c.ProcessState.ExitCode() > 0 {    // it may have been killed on purpose
			err = errors.Join(err, failure)
		}
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", squashfuse, err, stderr.String())
		}
		return nil
	}
	if err := eventually("the mount", s.mounted); err != nil {
		return serving{}, errors.Join(err, end())
	}
	return serving{
		operand: s.mountPoint,
		server:  func() (server, error) { return server(c.Process.Pid), nil },
		end:     end,
	}, nil
}

// serveKernel mounts with the kernel, which only root may.
func (s stage) serveKernel(ctx context.Context, image string) (serving, error) {
	if err := tool(ctx, "mount", "-t", "squashfs", "-o", "loop,ro,nosuid,nodev", image, s.mountPoint); err != nil {
		return serving{}, err
	}
	return serving{
		operand: s.mountPoint,
		server:  func() (server, error) { return 0, nil },
		end: func() error {
			if err := syscall.Unmount(s.mountPoint, 0); err != nil {
				return &os.PathError{Op: "unmount", Path: s.mountPoint, Err: err}
			}
			return noLoopDevice(image)
		},
	}, nil
}

// noLoopDevice waits until the image is on no loop device any more. The mount namespace of the container goes
// a while after its last process, and until then a new mount would be the old one, caches and all.
func noLoopDevice(image string) error {
	return eventually("the end of the loop device", func() (bool, error) {
		files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
		for _, file := range files {
			if content, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(content)) == image {
				return false, nil
			}
		}
		return true, err
	})
}

// mounted says whether something is mounted at the mount point.
func (s stage) mounted() (bool, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	return strings.Contains(string(mounts), " "+s.mountPoint+" "), err
}
