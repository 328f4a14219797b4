package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// groupSizes are the numbers of peers: the ranks of a job on a node.
var groupSizes = []int{2, 16, 64, 256}

// A gathering is peers that are started at the same time.
type gathering struct {
	name string
	argv func(size int, tag string) []string // of one peer; its command is report
}

// measureJoin compares how long it takes until all peers of a group run, from a directory and from SquashFS images.
func (s stage) measureJoin(ctx context.Context, compressors []string, launches int) error {
	if err := s.compareGatherings(ctx, "a directory", s.in.image, nil, launches); err != nil {
		return err
	}
	for _, compressor := range compressors {
		made, err := s.image(ctx, debianTree, compressor)
		if err != nil {
			return err
		}
		if err := s.compareGatherings(ctx, "an image with "+compressor, made.path, []string{"-m", s.mountPoint}, launches); err != nil {
			return err
		}
	}
	return nil
}

// report is the command of a peer, which is the image's shell: it says on descriptor 3 that it runs, and goes on doing
// so until 4 is closed at the other end.
var report = []string{"/bin/sh", "-c", "echo >&3; read -r x <&4; exit 0"}

func (s stage) compareGatherings(ctx context.Context, what, image string, peerOptions []string, launches int) error {
	command := slices.Concat([]string{image, "--"}, report)
	join := func(program string, options ...string) func(int, string) []string {
		return func(size int, tag string) []string {
			return slices.Concat([]string{program, fmt.Sprintf("--join-ct=%d", size), "--join-tag=" + tag}, options, command)
		}
	}
	rivals := []gathering{
		{"Charliecloud's C ch-run", join(peer, peerOptions...)},
		{"ch-run", join(s.in.binary)},
		{"ch-run without --join", func(int, string) []string { return slices.Concat([]string{s.in.binary}, command) }},
		{"no container", func(int, string) []string { return report }},
	}
	fmt.Printf("\nPeers from %s, until all run:\n\n", what)
	rows := [][]string{{"peers", "rounds", "1st quartile", "ratio", "median", "ratio", ""}}
	for _, size := range groupSizes {
		rounds := max(5, launches/(4*size)*2)
		times, err := s.gather(ctx, rivals, size, rounds)
		if err != nil {
			return err
		}
		for i, r := range rivals {
			row := []string{fmt.Sprint(size), fmt.Sprint(rounds)}
			for _, q := range []float64{0.25, 0.5} {
				value, reference := quantile(times[i], q), quantile(times[0], q)
				row = append(row, fmt.Sprintf("%.2f ms", float64(value)/float64(time.Millisecond)),
					fmt.Sprintf("%.2f", float64(value)/float64(reference)))
			}
			rows = append(rows, append(row, r.name))
		}
	}
	return printTable(rows)
}

// gather has each rival start a group in each round, in random order.
func (s stage) gather(ctx context.Context, rivals []gathering, size, rounds int) ([][]time.Duration, error) {
	times := make([][]time.Duration, len(rivals))
	for round := range rounds + 1 { // the first is for warming up
		for _, i := range rand.Perm(len(rivals)) {
			tag := fmt.Sprintf("bench-%d-%d-%d-%d", os.Getpid(), size, round, i)
			elapsed, err := s.l.gatherTime(rivals[i].argv(size, tag), size)
			switch {
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case err != nil:
				return nil, fmt.Errorf("%d peers of %s: %w", size, rivals[i].name, err)
			}
			if err := s.settle(); err != nil {
				return nil, err
			}
			if round > 0 {
				times[i] = append(times[i], elapsed)
			}
		}
	}
	return times, nil
}

// gatherTime starts copies of a command and returns the time until all of them run.
func (l launcher) gatherTime(argv []string, copies int) (elapsed time.Duration, err error) {
	var reports, gate [2]int
	for _, p := range []*[2]int{&reports, &gate} {
		if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
			return 0, os.NewSyscallError("pipe2", err)
		}
	}
	attributes := *l.attributes
	attributes.Files = append(slices.Clone(attributes.Files), uintptr(reports[1]), uintptr(gate[0])) // as 3 and 4
	var pids []int
	start := time.Now()
	for err == nil && len(pids) < copies {
		var pid int
		if pid, err = syscall.ForkExec(argv[0], argv, &attributes); err == nil {
			pids = append(pids, pid)
		}
	}
	err = errors.Join(err, syscall.Close(reports[1]), syscall.Close(gate[0]))
	running := 0
	for buffer := make([]byte, copies); running < len(pids); {
		n, readErr := syscall.Read(reports[0], buffer)
		if errors.Is(readErr, syscall.EINTR) {
			continue
		}
		if n <= 0 {
			break
		}
		running += n
	}
	elapsed = time.Since(start)
	err = errors.Join(err, syscall.Close(reports[0]), syscall.Close(gate[1]))
	for _, pid := range pids {
		err = errors.Join(err, wait(pid))
	}
	if err == nil && running < copies {
		err = fmt.Errorf("only %d of %d ran", running, copies)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return elapsed, err
}
