//go:build cluster

package cluster

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	ordinary "ch-run/test/account"
)

// the cluster that all tests use.
var the *cluster

// shared is what a cluster's users have on a shared file system: bin with ch-run, images, examples.
var shared string

// kept is where images are kept from one run to the next: they take a minute to make.
const kept = "../../build/cluster"

func TestMain(m *testing.M) {
	flag.Parse()
	status, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		status = 1
	}
	os.Exit(status)
}

func runAll(m *testing.M) (status int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("Slurm's daemons start programs for other users: run this as root")
	}
	who, err := makeUser()
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "ch-run-cluster-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	shared = filepath.Join(dir, "shared")
	if err := makeShared(who); err != nil {
		return 1, err
	}
	if the, err = startCluster(filepath.Join(dir, "slurm"), 2, who); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, the.stop()) }()
	if err := startLongJob(dir); err != nil {
		return 1, err
	}
	defer func() {
		if long.Cmd != nil { // no test has waited for it
			_ = long.Process.Kill()
			_ = long.Wait() // killed
			long.Cmd = nil
		}
	}()
	return m.Run(), nil
}

func makeUser() (a account, err error) {
	u, err := ordinary.Make()
	if err != nil {
		return a, err
	}
	a.name = u.Username
	if a.uid, err = strconv.Atoi(u.Uid); err != nil {
		return a, err
	}
	a.gid, err = strconv.Atoi(u.Gid)
	return a, err
}

// makeShared builds ch-run, and the images unless they are there, and makes everything available to the user.
func makeShared(who account) error {
	commands := [][]string{
		{"make", "-s", "-C", "../..", "build"},
		{"mkdir", "-p", kept, shared + "/bin", shared + "/work"},
		{"cp", "../../bin/ch-run", shared + "/bin"},
		{"cp", "-r", "../../examples", shared},
	}
	for _, library := range []string{"openmpi", "mpich"} {
		if _, err := os.Stat(filepath.Join(kept, library+".sqfs")); err != nil {
			commands = append(commands,
				[]string{"rm", "-rf", kept + "/" + library},
				[]string{"env", "PATH=" + shared + "/bin:" + os.Getenv("PATH"), "../../examples/mpi/build", library, kept + "/" + library, kept + "/" + library + ".sqfs"})
		}
		commands = append(commands,
			[]string{"cp", kept + "/" + library + ".sqfs", shared},
			[]string{"cp", "-a", kept + "/" + library, shared}) // as the checkout may be out of the user's reach
	}
	commands = append(commands, []string{"chmod", "-R", "a+rX", shared + "/bin", shared + "/examples"},
		[]string{"chown", fmt.Sprint(who.uid), shared + "/work"})
	for _, c := range commands {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Env = append(os.Environ(), "MAKEFLAGS=")
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(c, " "), err, output)
		}
	}
	return nil
}
