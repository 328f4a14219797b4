// Workload runs in a container and works with the file system that holds the image. It is a static
// executable that is bind-mounted into the container, so that none of its own pages come from there.
//
//	workload find | stat | read READERS | exec COMMAND [ARG...] | fio COMMAND [ARG...]
//
// It writes a line when it stands ready. Each line that it reads then makes it do its work once, and write
// how many nanoseconds that took and how much there was. It ends with its input. So the benchmark can
// look at the file system's server between the passes, while the container is still there.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

// A pass is what the work took and how much there was: files and directories, bytes, or nothing that
// could be counted.
type pass struct {
	elapsed time.Duration
	amount  int64
}

func run(args []string) error {
	work, err := choose(args)
	if err != nil {
		return err
	}
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		p, err := work()
		if err != nil {
			return err
		}
		if _, err := fmt.Println(p.elapsed.Nanoseconds(), p.amount); err != nil {
			return err
		}
	}
	return in.Err()
}

func choose(args []string) (func() (pass, error), error) {
	switch {
	case len(args) == 1 && args[0] == "find":
		return timed(find), nil
	case len(args) == 1 && args[0] == "stat":
		return timed(statAll), nil
	case len(args) == 2 && args[0] == "read":
		readers, err := strconv.Atoi(args[1])
		if err != nil {
			return nil, err
		}
		return timed(func() (int64, error) { return readAll(readers) }), nil
	case len(args) > 1 && args[0] == "exec":
		return timed(func() (int64, error) {
			_, err := output(args[1:])
			return 0, err
		}), nil
	case len(args) > 1 && args[0] == "fio":
		return func() (pass, error) { return fio(args[1:]) }, nil
	}
	return nil, fmt.Errorf("unknown work: %q", args)
}

// timed makes a pass of a function that returns how much there was.
func timed(work func() (int64, error)) func() (pass, error) {
	return func() (pass, error) {
		start := time.Now()
		amount, err := work()
		return pass{time.Since(start), amount}, err
	}
}
