package kernel

import (
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
