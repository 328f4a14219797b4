// Bench measures what it costs to launch a command with ch-run, compared with Charliecloud's C ch-run,
// bubblewrap and a process without a container. "make bench" runs it, in the root of the repository.
//
// It prints three tables: single launches, what each Go package adds to the start of ch-run, and many
// launches at the same time.
//
// What is measured runs as an ordinary user, because that is whom ch-run is for: the caller, or if the
// caller is root, the user that the tests run as too. The machine is never quiet, so the commands
// take turns, in another order each round, and the first quartile says more than the median
// where something else was running.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

// atOnce is the number of launches at the same time: the ranks of an MPI job on a large node.
const atOnce = 64

// sharedMemory is where $TMPDIR is made for all commands: a tmpfs, as /tmp is on many compute nodes. The C
// program writes two files there for each launch. In /tmp on ext4 its time depends on what has
// been deleted there within the last minutes, by this program among others, as ext4 takes its time
// before it uses an inode again: 2.1 to 3.5 ms were seen, and the tmpfs gives it the former.
const sharedMemory = "/dev/shm"

func main() {
	rounds := flag.Int("n", 400, "launch each command this `number` of times")
	flag.Parse()
	if err := run(*rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds int) (err error) {
	if rounds < 1 {
		return fmt.Errorf("-n must be at least 1, not %d", rounds)
	}
	if err := checkTools(); err != nil {
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
	temporary, err := os.MkdirTemp(sharedMemory, "ch-run-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()

	who, err := ordinaryUser()
	if err != nil {
		return err
	}
	in, err := makeInputs(dir, temporary, who)
	if err != nil {
		return err
	}
	l, err := newLauncher(who, temporary)
	if err != nil {
		return err
	}
	return measure(ctx, l, in, rounds)
}

func measure(ctx context.Context, l launcher, in inputs, rounds int) error {
	// The parent's work between fork and wait is part of every measurement: no garbage collection,
	// and no moving of the goroutine to another thread.
	debug.SetGCPercent(-1)
	runtime.LockOSThread()

	fmt.Printf("%d launches of each, as user %s on %d CPUs:\n\n", rounds, l.user.name, runtime.NumCPU())
	if err := compare(ctx, l, in.commands(), contest{copies: 1, warmUp: 5, rounds: rounds}); err != nil {
		return err
	}
	const starts = 40
	fmt.Printf("\nPackage initialisation, %d starts of ch-run --version:\n\n", starts)
	if err := traceInit(ctx, l, in.binary, starts); err != nil {
		return err
	}
	fmt.Printf("\n%d launches at the same time, until all have ended:\n\n", atOnce)
	return compare(ctx, l, in.commands()[:2], contest{copies: atOnce, warmUp: 1, rounds: 10})
}
