package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// What is compared with ch-run, where Debian installs it.
const (
	peer       = "/usr/bin/ch-run"
	bubblewrap = "/usr/bin/bwrap"
)

// builtImage is what "make run" has built.
const builtImage = "build/busybox"

// checkTools says what is missing before anything is made.
func checkTools(binary string) error {
	for _, tool := range []struct{ path, remedy string }{
		{peer, "install the Debian package charliecloud-runtime"},
		{bubblewrap, "install the Debian package bubblewrap"},
		{binary, `run "make bench" in the root of the repository`},
	} {
		if _, err := os.Stat(tool.path); err != nil {
			return fmt.Errorf("%w: %s", err, tool.remedy)
		}
	}
	for _, tool := range []struct{ name, origin string }{
		{"mmdebstrap", "mmdebstrap"},
		{"mksquashfs", "squashfs-tools"},
		{"squashfuse_ll", "squashfuse"},
		{"fusermount3", "fuse3"},
		{"fio", "fio"},
	} {
		if _, err := exec.LookPath(tool.name); err != nil {
			return fmt.Errorf("%w: install the Debian package %s", err, tool.origin)
		}
	}
	return nil
}

// inputs are the files that the commands need, in a directory that belongs to their user: the checkout
// may be in a place that only its owner can enter.
type inputs struct {
	uid       uint32 // of the user
	binary    string // ch-run
	image     string // directory image
	scratch   string // empty directory, to be bind-mounted
	temporary string // $TMPDIR, for all but bubblewrap to find in the environment
}

func makeInputs(binary, dir, temporary string, owner account) (inputs, error) {
	in := inputs{
		uid:       owner.uid(),
		binary:    filepath.Join(dir, "ch-run"),
		image:     filepath.Join(dir, "image"),
		scratch:   filepath.Join(dir, "scratch"),
		temporary: temporary,
	}
	if err := copyFile(binary, in.binary); err != nil {
		return in, err
	}
	if err := makeImage(in.image); err != nil {
		return in, err
	}
	if err := os.Mkdir(in.scratch, 0o755); err != nil {
		return in, err
	}
	if err := owner.own(temporary); err != nil {
		return in, err
	}
	return in, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return owner.own(path)
	})
}

// makeImage copies the example image, or builds it where there is none yet.
func makeImage(dir string) error {
	if _, err := os.Stat(builtImage); err == nil {
		return os.CopyFS(dir, os.DirFS(builtImage))
	}
	if output, err := exec.Command("examples/busybox/build", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("examples/busybox/build: %w\n%s", err, output)
	}
	return nil
}

// commands are what is measured. The first is what the others are compared with, the second our plain
// launch.
func (in inputs) commands() []command {
	launch := func(ourOptions ...string) []string {
		return append(append([]string{in.binary}, ourOptions...), in.image, "--", "/bin/true")
	}
	return []command{
		{name: "Charliecloud's C ch-run", argv: []string{peer, in.image, "--", "/bin/true"}},
		{name: "ch-run", argv: launch()},
		{name: "ch-run -b SOURCE:/new/place (mount point to be made)", argv: launch("-b", in.scratch+":/new/place")},
		{name: "ch-run -W", argv: launch("-W")},
		{name: "ch-run -u 0", argv: launch("-u", "0")},
		// The constructor does not know abbreviations. --unsafe itself changes nothing here.
		{name: "ch-run --unsaf (abbreviated: ch-run executes itself again)", argv: launch("--unsaf")},
		{name: "bwrap", argv: in.bubblewrap()},
		{name: "/bin/true, no container", argv: []string{"/bin/true"}},
	}
}

// bubblewrap is the command that mounts what ch-run mounts in a plain launch.
func (in inputs) bubblewrap() []string {
	return []string{
		bubblewrap, "--ro-bind", in.image, "/",
		"--dev-bind", "/dev", "/dev",
		"--dev-bind", "/proc", "/proc",
		"--dev-bind", "/sys", "/sys",
		"--ro-bind", "/etc/passwd", "/etc/passwd",
		"--ro-bind", "/etc/group", "/etc/group",
		"--ro-bind-try", "/etc/hosts", "/etc/hosts",
		"--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf",
		"--bind", in.temporary, "/tmp",
		"--", "/bin/true",
	}
}
