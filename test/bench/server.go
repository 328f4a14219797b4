package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// serverTitle is what our server calls itself.
const serverTitle = "ch-run: squashfs server"

// A server is the process that serves an image, or 0 where the kernel does.
type server int

// servers are those of the user's launches with the copies of ch-run that the benchmark has made. Where their executable cannot be seen,
// as it is only for root, the user must not have other servers at the same time.
func (in inputs) servers() ([]server, error) {
	titles, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var found []server
	for _, file := range titles {
		title, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(title), serverTitle) {
			continue // it may be gone
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		uid, err := server(pid).field("status", "Uid:")
		if err != nil || uint32(uid) != in.uid {
			continue
		}
		executable, err := os.Readlink(server(pid).file("exe"))
		if err == nil && filepath.Dir(executable) != filepath.Dir(in.binary) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = append(found, server(pid))
	}
	return found, nil
}

// onlyServer is the one that there must be while one container is.
func (in inputs) onlyServer() (server, error) {
	found, err := in.servers()
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("of processes called %q there must be one, not %d", serverTitle, len(found))
	}
	if err != nil {
		return 0, err
	}
	return found[0], nil
}

// patience is how long something that should be gone may take to go.
const patience = 5 * time.Second

// noServers waits until all of ours have ended: at the latest a second after the last process of the
// container, says the contract.
func (in inputs) noServers() error {
	return eventually("the end of "+serverTitle, func() (bool, error) {
		found, err := in.servers()
		return len(found) == 0, err
	})
}

func eventually(what string, done func() (bool, error)) error {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Since(start) > patience {
			return fmt.Errorf("%s has not come within %v", what, patience)
		}
	}
}

// A reading is what a server has used so far: processor time, and bytes of memory.
type reading struct {
	cpu      time.Duration
	resident float64
	share    float64 // as resident, but pages that several processes map count in part; 0: unknown
	peak     float64 // the most that has been resident
}

func (s server) read() (reading, error) {
	if s == 0 {
		return reading{}, nil
	}
	var r reading
	var err error
	if r.cpu, err = s.processorTime(); err != nil {
		return r, err
	}
	if r.resident, err = s.memory("status", "VmRSS:"); err != nil {
		return r, err
	}
	if r.peak, err = s.memory("status", "VmHWM:"); err != nil {
		return r, err
	}
	if r.share, err = s.memory("smaps_rollup", "Pss:"); errors.Is(err, fs.ErrPermission) {
		return r, nil
	}
	return r, err
}

func (s server) file(name string) string {
	return filepath.Join("/proc", strconv.Itoa(int(s)), name)
}

// processorTime is in ticks of 10 ms, but the kernel rounds a precise sum.
func (s server) processorTime() (time.Duration, error) {
	stat, err := os.ReadFile(s.file("stat"))
	if err != nil {
		return 0, err
	}
	// The name stands in parentheses and may hold anything. The fields behind it count from the third.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: too few fields", s.file("stat"))
	}
	ticks := int64(0)
	for _, field := range fields[14-3 : 14-3+2] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", s.file("stat"), err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// memory is an amount of it, in kB in the file.
func (s server) memory(file, name string) (float64, error) {
	kb, err := s.field(file, name)
	return 1024 * float64(kb), err
}

// field is the first number in the line of that name.
func (s server) field(file, name string) (int64, error) {
	content, err := os.ReadFile(s.file(file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no %s", s.file(file), name)
}
