// Ch-run runs a command in a container, without privilege: see the manual page, docs/ch-run.1.scd.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"ch-run/internal/cli"
	"ch-run/internal/container"
	"ch-run/internal/early"
	"ch-run/internal/environ"
	"ch-run/internal/kernel"
	"ch-run/internal/message"
	"ch-run/internal/squash/fuse"
	_ "ch-run/internal/stack" // for its effect on the time that a launch takes
)

// version is set by the build.
var version = "unknown"

// Exit statuses, besides those of the command.
const (
	exitNoOperands   = 1
	exitFailure      = 31
	exitNotExecuted  = 49
	exitUsage        = 64
	exitNotAvailable = 87
)

// The final exec must come from the thread that the process began with: internal/early says why. A server
// executes nothing, and would pay with a thread more.
func init() {
	if _, is := early.IsServer(); !is {
		runtime.LockOSThread()
	}
}

func main() {
	if s, is := early.IsServer(); is {
		fuse.Run(fuse.Process{
			Socket: kernel.FD(s.Socket), Guess: kernel.FD(s.Image), Load: kernel.FD(s.Load),
			Serving: early.Serving, SpareThreads: early.SpareThreads,
		})
		return
	}
	os.Exit(run(early.Args()))
}

func run(args []string) int {
	log := &message.Log{}
	caller := early.CallerIDs()
	if err := checkPrivilege(caller); err != nil {
		log.Error(err)
		return exitFailure
	}

	options, err := cli.Parse(args[min(1, len(args)):])
	if options != nil {
		log.Verbosity = options.Verbosity
	}
	if options != nil && options.Task != cli.TaskNone {
		return perform(options, args, log)
	}
	var text cli.TextRequest
	switch {
	case errors.As(err, &text):
		if _, err := os.Stdout.WriteString(textFor(text)); err != nil {
			return report(message.Wrap(err, "can't write to standard output"), log)
		}
		return 0
	case errors.Is(err, cli.ErrNoImage):
		fmt.Fprint(os.Stderr, cli.Help())
		return exitNoOperands
	case errors.Is(err, cli.ErrNoCommand):
		fmt.Print(cli.Usage())
	}
	if err == nil {
		err = launch(options, args, caller, log)
		early.FailGroup(err)
	}
	return report(err, log)
}

// launch becomes the command, or returns why not.
func launch(options *cli.Options, args []string, caller early.Caller, log *message.Log) error {
	env := environ.New(early.Environ())
	group, err := container.FindGroup(options, env)
	if err != nil {
		return err
	}
	met, joined, role, joinErr := early.Join()
	if asked, _, _ := early.Namespaces(); !asked && !joined {
		return relaunch(args, group, container.NeedsServer(options))
	}
	if !early.Logged() {
		logStart(caller, args)
	}
	if group != nil || joined {
		if err := group.Met(met, joinErr); err != nil {
			return err
		}
	}
	if role == early.Loser || role == early.Guest {
		plan, err := container.NewMember(options, caller, role, group, env, log)
		if err != nil {
			return err
		}
		return plan.Enter(log)
	}
	plan, err := container.New(options, caller, group, env, log)
	if err != nil {
		return err
	}
	return plan.Run(caller, log)
}

// relaunch starts this program again in namespaces, those of the group if there is one, or returns why not.
func relaunch(args []string, group *container.Group, server bool) error {
	var peers *early.Group
	if group != nil {
		peers = &group.Group
	}
	return message.Wrap(early.Relaunch(args, peers, server), "can't execute ch-run again: /proc/self/exe")
}

// report prints the error that ends the program and returns the exit status.
func report(err error, log *message.Log) int {
	var exec container.ExecError
	var usage cli.UsageError
	status := exitFailure
	switch {
	case errors.As(err, &exec):
		status = exitNotExecuted
		if log.Verbosity <= -3 {
			return status
		}
	case errors.As(err, &usage):
		status = exitUsage
	}
	log.Error(err)
	log.Reprint()
	return status
}

// checkPrivilege refuses to run with privilege that the caller does not have: this program is made to
// need none, so it is not made to be safe with it.
func checkPrivilege(c early.Caller) error {
	switch {
	case c.Privileged, c.UID != c.EUID, c.EUID != c.SUID, c.GID != c.EGID, c.EGID != c.SGID:
		return message.Errorf("ch-run must not be setuid/setgid").
			Hint("remove the mode bits and file capabilities; no privilege is needed")
	case c.EUID == 0 && c.EGID != 0:
		return message.Errorf("ch-run must not be run by root with group %d", c.EGID).
			Hint("set the group to 0, or be an ordinary user")
	}
	return nil
}

func textFor(request cli.TextRequest) string {
	switch request {
	case "help":
		return cli.Help()
	case "usage":
		return cli.ShortUsage()
	}
	return version + "\n"
}

// perform does what the options ask for instead of a launch.
func perform(o *cli.Options, args []string, log *message.Log) int {
	switch o.Task {
	case cli.TaskFeature:
		// Some kernel features show only in namespaces.
		if asked, _, _ := early.Namespaces(); !asked && container.NeedsNamespaces(o.Feature) {
			return report(relaunch(args, nil, false), log)
		}
		available, err := container.HasFeature(o.Feature, early.CallerIDs(), log)
		switch {
		case err != nil:
			return report(err, log)
		case !available:
			return exitNotAvailable
		}
	case cli.TaskWarnings:
		for i := range o.Warnings {
			log.Warning("this is warning %d!", i+1)
		}
		log.Reprint()
	case cli.TaskLog, cli.TaskLogFail:
		log.Trace("trace")
		log.Debug("debug")
		log.Verbose("verbose")
		log.Info("info")
		log.Warning("warning")
		if o.Task == cli.TaskLogFail {
			return report(message.Errorf("the program failed inexplicably"), log)
		}
		log.Reprint()
	}
	return 0
}

// logStart tells syslog who runs what, if there is one (RFC 3164).
func logStart(caller early.Caller, args []string) {
	const userInfo = 1<<3 | 6 // facility user, severity info
	log, err := kernel.OpenLog()
	if err != nil {
		return
	}
	defer log.Close()
	words := append([]string{"ch-run"}, args[min(1, len(args)):]...)
	_ = log.SendLog("<" + strconv.Itoa(userInfo) + ">" + time.Now().Format(time.Stamp) + " ch-run[" + strconv.Itoa(os.Getpid()) + "]: " + // nobody to tell
		"uid=" + strconv.FormatUint(uint64(caller.UID), 10) + " args=" + strconv.Itoa(len(words)) + ": " + message.Quote(words))
}
