package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Feature is something that not every kernel has. The table of them serves --feature, error messages and
// the tests; a launch just tries, and falls back where it can.
type Feature struct {
	Name  string
	Since [2]int // the first Linux release that has it

	probe func(scratch FD) error
}

// The features: Openat2 finds bind destinations in one system call, MountSetattr makes trees of mounts
// read-only, Overlayfs is for --write-fake and mount points that an image lacks, and TmpfsXattrs for
// deleting and replacing directories of the image under --write-fake. The last two are probed in a
// scratch directory, so in the container's mount namespace.
var (
	Openat2 = Feature{"openat2", [2]int{5, 6}, func(FD) error {
		fd, err := unix.Openat2(unix.AT_FDCWD, ".", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
		FD(fd).Close()
		return err
	}}
	MountSetattr = Feature{"mount-setattr", [2]int{5, 12}, func(FD) error {
		err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{})
		if errors.Is(err, unix.ENOSYS) {
			return err
		}
		return nil // of an existing call with such arguments there is an error too
	}}
	Overlayfs   = Feature{"overlayfs", [2]int{5, 11}, probeOverlayfs}
	TmpfsXattrs = Feature{"tmpfs-xattrs", [2]int{6, 6}, func(scratch FD) error {
		return unix.Setxattr(scratch.Path(), "user.ch-run", []byte("1"), 0)
	}}
)

// Features lists them all.
func Features() []Feature { return []Feature{Openat2, MountSetattr, Overlayfs, TmpfsXattrs} }

// Check returns nil if the running kernel has the feature, and otherwise why not.
//
// Preconditions: scratch is a directory on a tmpfs of the process's own mount namespace.
func (f Feature) Check(scratch FD) error { return f.probe(scratch) }

// Requirement says what the feature needs.
func (f Feature) Requirement() string {
	return fmt.Sprintf("%s needs Linux %d.%d", f.Name, f.Since[0], f.Since[1])
}

// Release returns the running kernel's major and minor version numbers.
func Release() (major, minor int) {
	var name unix.Utsname
	_ = unix.Uname(&name) // fails only on a bad address
	_, _ = fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return major, minor
}

func probeOverlayfs(scratch FD) error {
	var fds [4]FD
	for i, name := range []string{"probe-lower", "probe-upper", "probe-work", "probe-merged"} {
		if err := Mkdir(scratch, name, 0o755); err != nil {
			return err
		}
		fd, err := DirectoryHandle(scratch, name)
		if err != nil {
			return err
		}
		defer fd.Close()
		fds[i] = fd
	}
	return Overlay{Lower: fds[:1], Upper: &UpperDirectory{fds[1], fds[2]}, Like: scratch}.Mount(fds[3])
}
