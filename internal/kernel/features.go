package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Feature is something that not every kernel has. The table of them serves --feature, error messages and
// the tests; a launch just tries, and falls back where it can.
type Feature struct {
	Name  string
	Since [2]int // the first Linux release that has it

	probe func(scratch FD) error
	also  string // what it needs besides
}

// The features: Openat2 finds bind destinations in one system call, MountSetattr makes trees of mounts
// read-only, Fuse is for SquashFS images, Overlayfs for --write-fake and mount points that an image
// lacks, and TmpfsXattrs for deleting and replacing directories of the image under --write-fake. These
// three are probed in a scratch directory, so in the container's mount namespace. JoinHandles are what
// peers find the namespaces of their container by, whoever of them is still there. Seccomp is for --seccomp:
// filters that make system calls fail with a number, and 0 is one (seccomp(2), SECCOMP_GET_ACTION_AVAIL).
var (
	Openat2 = Feature{Name: "openat2", Since: [2]int{5, 6}, probe: func(FD) error {
		fd, err := unix.Openat2(unix.AT_FDCWD, ".", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
		FD(fd).Close()
		return err
	}}
	MountSetattr = Feature{Name: "mount-setattr", Since: [2]int{5, 12}, probe: func(FD) error {
		err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{})
		if errors.Is(err, unix.ENOSYS) {
			return err
		}
		return nil // of an existing call with such arguments there is an error too
	}}
	Fuse        = Feature{Name: "squash", Since: [2]int{4, 18}, probe: probeFuse, also: " and /dev/fuse"}
	Overlayfs   = Feature{Name: "overlayfs", Since: [2]int{5, 11}, probe: probeOverlayfs}
	TmpfsXattrs = Feature{Name: "tmpfs-xattrs", Since: [2]int{6, 6}, probe: func(scratch FD) error {
		return unix.Setxattr(scratch.Path(), "user.ch-run", []byte("1"), 0)
	}}
	JoinHandles = Feature{Name: "join-handles", Since: [2]int{6, 18}, probe: func(FD) error {
		kind, bytes, err := NamespaceHandle("mnt")
		if err != nil {
			return err
		}
		fd, err := unix.OpenByHandleAt(unix.FD_NSFS_ROOT, unix.NewFileHandle(kind, bytes), unix.O_RDONLY|unix.O_CLOEXEC)
		FD(fd).Close()
		return err
	}}
	Seccomp = Feature{Name: "seccomp", Since: [2]int{4, 14}, probe: func(FD) error {
		action := uint32(SeccompError)
		_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
		if errno != 0 {
			return errno
		}
		return nil
	}, also: " and CONFIG_SECCOMP_FILTER"}
)

// Features lists them all.
func Features() []Feature {
	return []Feature{Openat2, MountSetattr, Fuse, Overlayfs, TmpfsXattrs, JoinHandles, Seccomp}
}

// Check returns nil if the running kernel has the feature, and otherwise why not.
//
// Preconditions: scratch is a directory on a tmpfs of the process's own mount namespace.
func (f Feature) Check(scratch FD) error { return f.probe(scratch) }

// Requirement says what the feature needs.
func (f Feature) Requirement() string {
	return fmt.Sprintf("%s needs Linux %d.%d%s", f.Name, f.Since[0], f.Since[1], f.also)
}

// Release returns the running kernel's major and minor version numbers.
func Release() (major, minor int) {
	var name unix.Utsname
	_ = unix.Uname(&name) // fails only on a bad address
	_, _ = fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return major, minor
}

// probeFuse mounts a file system that nobody serves; it is gone as soon as the device is closed.
func probeFuse(scratch FD) error {
	device, err := OpenFuse()
	if err != nil {
		return err
	}
	defer device.Close()
	if err := Mkdir(scratch, "probe-fuse", 0o755); err != nil {
		return err
	}
	directory, err := DirectoryHandle(scratch, "probe-fuse")
	if err != nil {
		return err
	}
	defer directory.Close()
	return MountFuse(device, directory, uint32(unix.Geteuid()), uint32(unix.Getegid()))
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
