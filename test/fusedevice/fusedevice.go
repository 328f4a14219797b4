// Package fusedevice sees to it that tests and benchmarks find /dev/fuse as users do.
package fusedevice

import (
	"fmt"
	"os"
	"syscall"
)

// Make makes /dev/fuse what udev makes it everywhere, for virtual machines and containers that have no
// udev: a device that everybody may use.
//
// Preconditions: the process is root's, if there is something to do.
func Make() error {
	const device = "/dev/fuse"
	st, err := os.Stat(device)
	switch {
	case os.IsNotExist(err):
		if err := syscall.Mknod(device, syscall.S_IFCHR|0o666, 10<<8|229); err != nil {
			return fmt.Errorf("%s, which SquashFS images need: mknod: %w", device, err)
		}
	case err != nil:
		return err
	case st.Mode().Perm() == 0o666:
		return nil
	}
	return os.Chmod(device, 0o666) // mknod obeyed the umask
}
