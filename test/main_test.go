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
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The ordinary user that root runs the tests as.
const ordinaryUser = "ch-run-test"

// inputsVariable tells the test binary that runs as the ordinary user where its inputs are.
const inputsVariable = "CH_RUN_TEST_INPUTS"

// inputs is a directory that every user can read: the checkout may be in a place that only its
// owner can enter. It holds bin/ch-run, bin/probe, examples and testdata.
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
	wanted := flag.Lookup("test.run").Value.String()
	if err := flag.Set("test.run", "^TestRoot$"); err != nil {
		return 1, err
	}
	if status := m.Run(); status != 0 {
		return status, nil
	}
	return runAsOrdinaryUser(wanted)
}

// makeInputs builds ch-run as the Makefile does, and the probe.
func makeInputs() error {
	commands := [][]string{
		{"make", "-s", "-C", "..", "build"},
		{"mkdir", inputs + "/bin"},
		{"cp", "../bin/ch-run", inputs + "/bin/ch-run"},
		{"gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", inputs + "/bin/probe", "probe/probe.c"},
		{"cp", "-r", "../examples", "testdata", inputs},
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

// runAsOrdinaryUser executes the test binary again as the ordinary user.
func runAsOrdinaryUser(wanted string) (int, error) {
	u, err := user.Lookup(ordinaryUser)
	if err != nil {
		if output, err := exec.Command("useradd", "--create-home", "--shell", "/bin/sh", ordinaryUser).CombinedOutput(); err != nil {
			return 1, fmt.Errorf("useradd %s: %w\n%s", ordinaryUser, err, output)
		}
		if u, err = user.Lookup(ordinaryUser); err != nil {
			return 1, err
		}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return 1, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	binary := filepath.Join(inputs, "test")
	if output, err := exec.Command("install", "-m", "755", self, binary).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("install: %w\n%s", err, output)
	}
	args := []string{"-test.run=" + wanted, "-test.skip=^TestRoot$"}
	for _, name := range []string{"test.v", "test.timeout", "test.count", "test.short"} {
		args = append(args, "-"+name+"="+flag.Lookup(name).Value.String())
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir = inputs
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inputsVariable+"="+inputs, "USER="+ordinaryUser, "LOGNAME="+ordinaryUser, "HOME="+u.HomeDir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{}}}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
