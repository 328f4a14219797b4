package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A command is what is measured, with a name for the tables.
type command struct {
	name string
	argv []string
	// mount comes before each launch and is not measured, nor is to unmount; may be nil.
	mount func(context.Context) (unmount func() error, err error)
}

// around runs a function where everything is mounted that the command needs.
func (c command) around(ctx context.Context, run func() error) error {
	if c.mount == nil {
		return run()
	}
	unmount, err := c.mount(ctx)
	if err != nil {
		return err
	}
	return errors.Join(run(), unmount())
}

// A launcher starts commands as a user.
type launcher struct {
	user account
	// attributes are for launches that are measured: straight to the system calls, because the
	// goroutines and pipes of package os/exec would be measured too.
	attributes *syscall.ProcAttr
}

func newLauncher(who account, temporary string) (launcher, error) {
	null, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return launcher{}, &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	return launcher{who, &syscall.ProcAttr{
		Dir:   "/", // the user may not be able to enter the caller's
		Env:   who.environment(temporary),
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null)},
		Sys:   &syscall.SysProcAttr{Credential: who.credential},
	}}, nil
}

// run runs a command without measuring it and returns its standard error.
func (l launcher) run(ctx context.Context, argv []string, variables ...string) (string, error) {
	var stderr strings.Builder
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir = l.attributes.Dir
	c.Env = slices.Concat(l.attributes.Env, variables)
	c.SysProcAttr = l.attributes.Sys
	c.Stderr = &stderr
	err := c.Run()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, stderr.String())
	}
	return stderr.String(), nil
}

// launchTime starts copies of the command and returns the time until all of them have ended.
func (l launcher) launchTime(c command, copies int) (time.Duration, error) {
	pids := make([]int, 0, copies)
	var failure error
	start := time.Now()
	for failure == nil && len(pids) < copies {
		var pid int
		if pid, failure = syscall.ForkExec(c.argv[0], c.argv, l.attributes); failure == nil {
			pids = append(pids, pid)
		}
	}
	for _, pid := range pids {
		if err := wait(pid); err != nil {
			failure = err
		}
	}
	elapsed := time.Since(start)
	if failure != nil {
		return 0, fmt.Errorf("%s: %w", strings.Join(c.argv, " "), failure)
	}
	return elapsed, nil
}

// wait waits for a child, which must succeed.
func wait(pid int) error {
	var status syscall.WaitStatus
	_, err := syscall.Wait4(pid, &status, 0, nil)
	for errors.Is(err, syscall.EINTR) {
		_, err = syscall.Wait4(pid, &status, 0, nil)
	}
	switch {
	case err != nil:
		return os.NewSyscallError("wait4", err)
	case status.Signaled():
		return fmt.Errorf("killed: %v", status.Signal())
	case status.ExitStatus() != 0:
		return fmt.Errorf("exit status %d", status.ExitStatus())
	}
	return nil
}

// A contest is how commands are compared.
type contest struct {
	copies int // of a command, started at the same time
	warmUp int // rounds before those that count
	rounds int
	settle func() error // after each launch, not measured; may be nil
}

// times returns the durations of each command. Each round runs every command once, in random order,
// so that neither a disturbance nor the command before falls to one of them only.
func (ct contest) times(ctx context.Context, l launcher, commands []command) ([][]time.Duration, error) {
	// The parent's work between fork and wait is part of every measurement: no garbage collection,
	// and no moving of the goroutine to another thread.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	times := make([][]time.Duration, len(commands))
	for round := range ct.warmUp + ct.rounds {
		for _, i := range rand.Perm(len(commands)) {
			var elapsed time.Duration
			err := commands[i].around(ctx, func() (err error) {
				elapsed, err = l.launchTime(commands[i], ct.copies)
				return err
			})
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err == nil && ct.settle != nil {
				err = ct.settle()
			}
			if err != nil {
				return nil, err
			}
			if round >= ct.warmUp {
				times[i] = append(times[i], elapsed)
			}
		}
	}
	return times, nil
}
