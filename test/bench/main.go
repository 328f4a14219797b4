// Bench measures what it costs to launch a command with ch-run and to work in a container whose image
// is SquashFS, compared with Charliecloud's C ch-run, bubblewrap, squashfuse_ll and the kernel. "make bench"
// runs it, in the root of the repository; "make bench BENCH=-help" lists the options.
//
// First come launches from a directory: single ones, what each Go package adds to the start, and many at
// the same time. Then, launches with the libraries of a device. Then, peers that share one container, until all of them run. Then, for each compressor, launches from a SquashFS image, if by root also from one that the kernel
// has mounted before, and a table of work in the container: with the image served by ch-run, mounted by squashfuse_ll, and mounted by the kernel. Then,
// what of this reaches its goal, and figures that help to choose a compressor.
//
// "Cold" is a fresh mount: the image file is in the page cache, but nothing that comes of the mount is.
// "Warm" is doing the same again in the same container.
//
// What is measured runs as an ordinary user, because that is whom ch-run is for: the caller, or if the
// caller is root, the user that the tests run as too. The machine is never quiet, so the rivals take
// turns, in another order each round. For launches, the first quartile says more than the median where
// something else was running.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"ch-run/test/fusedevice"
)

// atOnce is the number of launches at the same time: the ranks of an MPI job on a large node.
const atOnce = 64

// sharedMemory is where $TMPDIR is made for all commands: a tmpfs, as /tmp is on many compute nodes. The C
// program writes two files there for each launch. In /tmp on ext4 its time depends on what has
// been deleted there within the last minutes, by this program among others, as ext4 takes its time
// before it uses an inode again: 2.1 to 3.5 ms were seen, and the tmpfs gives it the former.
const sharedMemory = "/dev/shm"

func main() {
	chosen, err := parseChoice()
	if err == nil {
		err = ownMounts()
	}
	if err == nil {
		err = run(chosen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(chosen choice) (err error) {
	if err := checkTools(chosen.binary); err != nil {
		return err
	}
	// From here on a signal must not end the program before it has removed its directory. SIGPIPE is
	// what comes of "make bench | head".
	ctx, stop := signal.NotifyContext(context.Background(),
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	dir, err := os.MkdirTemp("", "ch-run-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// As the kernel names it in its tables of mounts and loop devices.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(sharedMemory, "ch-run-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()

	if err := fusedevice.Make(); err != nil {
		return err
	}
	who, err := ordinaryUser()
	if err != nil {
		return err
	}
	in, err := makeInputs(chosen.binary, dir, temporary, who)
	if err != nil {
		return err
	}
	l, err := newLauncher(who, temporary)
	if err != nil {
		return err
	}
	fmt.Printf("As user %s on %d CPUs.\n", who.name, runtime.NumCPU())
	if chosen.wants("directory") {
		if err := measureDirectory(ctx, l, in, chosen.launches); err != nil {
			return err
		}
	}
	s, err := makeStage(ctx, dir, l, in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(s.close(), err) }()
	return s.measure(ctx, chosen)
}

func measureDirectory(ctx context.Context, l launcher, in inputs, launches int) error {
	fmt.Printf("\n%d launches of each from a directory:\n\n", launches)
	if _, err := compare(ctx, l, in.commands(), contest{copies: 1, warmUp: 5, rounds: launches}); err != nil {
		return err
	}
	const starts = 40
	fmt.Printf("\nPackage initialisation, %d starts of ch-run --version:\n\n", starts)
	if err := traceInit(ctx, l, in.binary, starts); err != nil {
		return err
	}
	fmt.Printf("\n%d launches at the same time, until all have ended:\n\n", atOnce)
	_, err := compare(ctx, l, in.commands()[:2], contest{copies: atOnce, warmUp: 1, rounds: 10})
	return err
}

// measure does what is done with SquashFS images.
func (s stage) measure(ctx context.Context, chosen choice) error {
	all := results{}
	launches := chosen.launches / 4
	if chosen.wants("device") {
		if err := s.measureDevices(ctx, chosen.before, chosen.launches); err != nil {
			return err
		}
	}
	if chosen.wants("join") {
		if err := s.measureJoin(ctx, chosen.compressors, chosen.launches); err != nil {
			return err
		}
	}
	if chosen.wants("launch") {
		if err := s.launchImages(ctx, chosen.compressors, chosen.without, launches, all); err != nil {
			return err
		}
	}
	if err := s.compareRivals(ctx, chosen, all); err != nil {
		return err
	}
	if err := printGoals(all, chosen.compressors); err != nil {
		return err
	}
	if chosen.wants("slow") {
		if err := s.measureSlow(ctx, chosen.compressors, chosen.rounds); err != nil {
			return err
		}
	}
	if !chosen.wants("compressors") {
		return nil
	}
	return s.chooseCompressor(ctx, chosen.rounds, launches)
}
