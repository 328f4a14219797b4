package kernel

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// fuseDevice is where a process asks for a file system of its own (fuse(4)).
const fuseDevice = "/dev/fuse"

// OpenFuse opens /dev/fuse. A device that was opened in another user namespace cannot be mounted.
func OpenFuse() (FD, error) { return open(CWD, fuseDevice, unix.O_RDWR, 0) }

// MountFuse mounts the file system that the process with the open device will serve at dst, read-only.
// uid and gid are the caller's in the current user namespace. It returns at once: whoever uses the
// file system waits until it is served. It must come before the first read of the device.
func MountFuse(device, dst FD, uid, gid uint32) error {
	options := "fd=" + strconv.Itoa(int(device)) + ",rootmode=40000,user_id=" + strconv.FormatUint(uint64(uid), 10) +
		",group_id=" + strconv.FormatUint(uint64(gid), 10) + ",default_permissions,allow_other"
	return unix.Mount("ch-run", dst.Path(), "fuse.ch-run", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, options)
}

// FuseLosesInodes says whether the running kernel can forget a file of a FUSE file system that is being
// read ahead, if opening it is left to the kernel: from 6.9 on nothing held on to the inode then, and a kernel
// short of memory could wait for ever, for pages that it had itself asked for. Fixed in 6.19 ("fuse: fix
// readahead reclaim deadlock"), and in the releases below.
func FuseLosesInodes() bool {
	var name unix.Utsname
	_ = unix.Uname(&name) // fails only on a bad address
	return fuseLosesInodes(unix.ByteSliceToString(name.Release[:]))
}

func fuseLosesInodes(release string) bool {
	var major, minor, patch int
	_, _ = fmt.Sscanf(release, "%d.%d.%d", &major, &minor, &patch)
	fixed, stable := map[int]int{12: 70, 18: 10}[minor]
	switch {
	case major != 6 || minor < 9 || minor >= 19:
		return false
	case stable:
		return patch < fixed
	}
	return true
}
