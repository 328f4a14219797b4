package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// ownMountsMark is set where this process has a mount namespace of its own.
const ownMountsMark = "CH_RUN_BENCH_OWN_MOUNTS"

// ownMounts gives root's benchmark a mount namespace of its own, and starts it anew in there. Elsewhere, anyone
// who makes a mount namespace while an image is mounted would get a copy of the mount and keep it alive: its next
// mount would find warm caches. Also, no mount outlives the benchmark then, whatever ends it.
func ownMounts() error {
	if os.Geteuid() != 0 || os.Getenv(ownMountsMark) != "" {
		return nil
	}
	runtime.LockOSThread() // the namespace is the thread's, which exec makes the only one
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return os.NewSyscallError("execve", syscall.Exec(self, os.Args, append(os.Environ(), ownMountsMark+"=1")))
}
