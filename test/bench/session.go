package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A session is what came of a task in one container on a fresh mount.
type session []pass

// A pass is the task done once. The first finds the caches of the mount cold.
type pass struct {
	elapsed time.Duration
	amount  int64   // see the program workload
	used    reading // by the server, since it started
}

// tooLong is what no session takes: the longest, with xz on a slow machine, takes some ten seconds.
const tooLong = 3 * time.Minute

// hold serves the image, starts the container and has the task done in it.
func (s stage) hold(ctx context.Context, r rival, image string, t task) (session, error) {
	if err := inCache(image); err != nil {
		return nil, err
	}
	served, err := r.serve(ctx, image)
	if err != nil {
		return nil, err
	}
	result, err := s.perform(ctx, served, t)
	return result, errors.Join(err, served.end())
}

func (s stage) perform(ctx context.Context, served serving, t task) (session, error) {
	argv := append([]string{"-b", s.tools.dir + ":" + toolsAt, served.operand, "--", toolsAt + "/workload"}, t.work...)
	ctx, stop := context.WithTimeoutCause(ctx, tooLong, fmt.Errorf("not done within %v", tooLong))
	defer stop()
	c := exec.CommandContext(ctx, s.in.binary, argv...)
	// Who waits for an answer of a server that hangs cannot be killed before the server has been.
	c.Cancel = func() error {
		process, err := served.server()
		if err == nil && process != 0 {
			err = syscall.Kill(int(process), syscall.SIGKILL)
		}
		return errors.Join(err, c.Process.Kill())
	}
	c.WaitDelay = patience
	c.Dir = s.l.attributes.Dir
	c.Env = s.l.attributes.Env
	c.SysProcAttr = s.l.attributes.Sys
	var stderr strings.Builder
	c.Stderr = &stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var result session
	if err = c.Start(); err == nil {
		result, err = converse(stdin, bufio.NewReader(stdout), served, t.passes)
		// The workload ends when its input does, and the container with it.
		err = errors.Join(err, stdin.Close(), c.Wait())
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, stderr.String())
	}
	return result, nil
}

// converse has the workload work, one pass after the other, and looks at the server after each.
func converse(to io.Writer, from *bufio.Reader, served serving, passes int) (session, error) {
	if line, err := from.ReadString('\n'); err != nil || line != "ready\n" {
		return nil, fmt.Errorf("the workload did not start: %q, %w", line, err)
	}
	process, err := served.server()
	if err != nil {
		return nil, err
	}
	var result session
	for range passes {
		if _, err := io.WriteString(to, "\n"); err != nil {
			return nil, err
		}
		var p pass
		if _, err := fmt.Fscanf(from, "%d %d\n", &p.elapsed, &p.amount); err != nil {
			return nil, fmt.Errorf("the workload did not work: %w", err)
		}
		if p.used, err = process.read(); err != nil {
			return nil, err
		}
		result = append(result, p)
	}
	return result, nil
}
