// Package test runs ch-run as users do: from the command line, without privilege.
//
// The scripts in testdata/user and most tests in Go run as an ordinary user. Started as root, this
// package makes one and executes itself again as it; before that it runs the few tests of what is
// different for root.
package test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ch-run/test/account"
	"ch-run/test/fusedevice"
)

// inputsVariable tells the test binary that runs as the ordinary user where its inputs are.
const inputsVariable = "CH_RUN_TEST_INPUTS"

// inputs is a directory that every user can read: the checkout may be in a place that only its
// owner can enter. It holds bin/ch-run, bin/probe, examples, testdata, and the specifications of devices.
var inputs string

func TestMain(m *testing.M) {
	flag.Parse()
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	if inputs = os.Getenv(inputsVariable); inputs != "" {
		return m.Run(), nil // as the ordinary user, for root
	}
	if inputs, err = os.MkdirTemp("", "ch-run-test-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(inputs)) }()
	if err := makeInputs(); err != nil {
		return 1, err
	}
	if os.Geteuid() != 0 {
		return m.Run(), nil
	}
	if err := makeOrdinaryUser(); err != nil {
		return 1, err
	}
	if err := fusedevice.Make(); err != nil {
		return 1, err
	}
	wanted = flag.Lookup("test.run").Value.String()
	if err := flag.Set("test.run", "^TestRoot"); err != nil {
		return 1, err
	}
	if status := m.Run(); status != 0 {
		return status, nil
	}
	return runAsOrdinaryUser()
}

// wanted is -test.run as the caller gave it.
var wanted string

// isWanted says whether the ordinary user will run the test: TEST or TEST/SUBTEST.
func isWanted(test string) bool {
	depth := 0
	alternatives := strings.FieldsFunc(wanted, func(r rune) bool { // as package testing splits them
		depth += strings.Count("([", string(r)) - strings.Count(")]", string(r))
		return r == '|' && depth == 0
	})
	return len(alternatives) == 0 || slices.ContainsFunc(alternatives, func(a string) bool {
		patterns, names := strings.Split(a, "/"), strings.Split(test, "/")
		for i := range min(len(patterns), len(names)) {
			if ok, err := regexp.MatchString(patterns[i], names[i]); !ok || err != nil {
				return false
			}
		}
		return true
	})
}

// makeInputs builds ch-run as the Makefile does, and the probe.
func makeInputs() error {
	commands := [][]string{
		{"make", "-s", "-C", "..", "build", "build/ch-run.faults"},
		{"mkdir", inputs + "/bin"},
		{"cp", "../bin/ch-run", inputs + "/bin/ch-run"},
		{"cp", "../build/ch-run.faults", inputs + "/bin/ch-run.faults"},
		{"gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", inputs + "/bin/probe", "probe/probe.c"},
		{"env", "CGO_ENABLED=0", "go", "build", "-o", inputs + "/bin/lister", "./lister"},
		{"cp", "-r", "../examples", "testdata", "../internal/container/testdata/devices", inputs},
		{"chmod", "-R", "a+rX", inputs},
	}
	for _, c := range commands {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Env = append(os.Environ(), "MAKEFLAGS=")
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(c, " "), err, output)
		}
	}
	return nil
}

// makeOrdinaryUser makes the account, if it is not there.
func makeOrdinaryUser() error {
	u, err := account.Make()
	if err != nil {
		return err
	}
	if ordinary.uid, err = strconv.Atoi(u.Uid); err != nil {
		return err
	}
	ordinary.home = u.HomeDir
	ordinary.gid, err = strconv.Atoi(u.Gid)
	return err
}

// ordinary is the user that runs the tests which are not for root.
var ordinary = struct {
	uid, gid int
	home     string
}{uid: os.Getuid(), gid: os.Getgid()}

// runAsOrdinaryUser executes the test binary again as the ordinary user.
func runAsOrdinaryUser() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	binary := filepath.Join(inputs, "test")
	if output, err := exec.Command("install", "-m", "755", self, binary).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("install: %w\n%s", err, output)
	}
	args := []string{"-test.run=" + wanted, "-test.skip=^TestRoot"}
	for _, name := range []string{"test.v", "test.timeout", "test.count", "test.short"} {
		args = append(args, "-"+name+"="+flag.Lookup(name).Value.String())
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir = inputs
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inputsVariable+"="+inputs, "USER="+account.Name, "LOGNAME="+account.Name, "HOME="+ordinary.home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(ordinary.uid), Gid: uint32(ordinary.gid), Groups: []uint32{}}}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
