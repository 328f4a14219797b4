// Package account makes the ordinary user that tests and benchmarks run ch-run as when they are started by root.
package account

import (
	"fmt"
	"os/exec"
	"os/user"
)

// Name is the user's.
const Name = "ch-run-test"

// Make returns the user, who is added to those of this machine if need be.
//
// Preconditions: the process is root's.
func Make() (*user.User, error) {
	if u, err := user.Lookup(Name); err == nil {
		return u, nil
	}
	if output, err := exec.Command("useradd", "--create-home", "--shell", "/bin/sh", Name).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("useradd %s: %w\n%s", Name, err, output)
	}
	return user.Lookup(Name)
}
