package kernel

import (
	"errors"
	"os"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// HandleInRoot returns a handle (see [Handle]) of the file that unsafePath names for a process whose
// root directory is root: "..", symbolic links and absolute symbolic links cannot lead out of it,
// not even while another process renames directories (openat2(2), RESOLVE_IN_ROOT; Linux 5.6). Where
// the kernel has no openat2, or a seccomp filter hides it, filepath-securejoin walks the path with
// the same result.
//
// It does not stop mounts below root from leading elsewhere: that is what mounts are for.
func HandleInRoot(root FD, unsafePath string) (FD, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(int(root), unsafePath, &how)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && tries < 1000: // a rename or mount elsewhere met a ".." here
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // EPERM: seccomp filters of old
			return throughFile(root, func(root *os.File) (*os.File, error) {
				return pathrs.OpenatInRoot(root, unsafePath)
			})
		}
		return FD(fd), err
	}
}

// OpenInRoot opens for reading the regular file that unsafePath names, by the rules of [HandleInRoot]. Anything else is
// ENOENT: reading a FIFO may never end.
func OpenInRoot(root FD, unsafePath string) (FD, error) {
	handle, err := HandleInRoot(root, unsafePath)
	if err != nil {
		return -1, err
	}
	defer handle.Close()
	if st, err := handle.Stat(); err != nil || !st.IsRegular() {
		return -1, unix.ENOENT
	}
	return OpenForReading(handle)
}

// ReadFileInRoot is [ReadFile] for a file that [OpenInRoot] can open.
func ReadFileInRoot(root FD, unsafePath string) ([]byte, error) {
	fd, err := OpenInRoot(root, unsafePath)
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	return ReadFile(CWD, fd.Path())
}

// MkdirAllInRoot makes the directory unsafePath and its missing parents with permissions 0755 (less
// the umask) and returns a handle of it. Nothing is made outside root, by the same argument
// as for [HandleInRoot]; a symbolic link that leads nowhere is an error.
func MkdirAllInRoot(root FD, unsafePath string) (FD, error) {
	return throughFile(root, func(root *os.File) (*os.File, error) {
		return pathrs.MkdirAllHandle(root, unsafePath, 0o755)
	})
}

// throughFile lends root to a library that works with files of package os, and takes back from it
// what it opened. Both are duplicates, because an os.File closes its descriptor when collected.
func throughFile(root FD, open func(*os.File) (*os.File, error)) (FD, error) {
	duplicate, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, err
	}
	rootFile := os.NewFile(uintptr(duplicate), "root")
	defer func() { _ = rootFile.Close() }()
	opened, err := open(rootFile)
	if err != nil {
		return -1, errnoOf(err)
	}
	defer func() { _ = opened.Close() }()
	fd, err := unix.FcntlInt(opened.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	return FD(fd), err
}

// errnoOf returns the error of the system call that failed, without what a library says around it.
func errnoOf(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
