// Package kernel wraps the system calls that ch-run makes, one function each, and knows which
// features the running kernel has.
//
// It is the only package besides internal/early that may import golang.org/x/sys/unix; a linter rule
// keeps it so. File descriptors are passed as [FD], not as *os.File: the os package would
// register them with the runtime's poller and give them finalizers, which a launch pays for and has
// no use for. Errors are bare [syscall.Errno] values; callers say what they were doing.
package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// An FD is an open file descriptor, always with the close-on-exec flag.
type FD int

// CWD stands for the current working directory where a directory is asked for.
const CWD = FD(unix.AT_FDCWD)

// Path returns a name for the open file that system calls take where they want a path. It leads to
// the very file, mount included, whatever has since happened to the names that lead to
// it (proc_pid_fd(5)).
func (fd FD) Path() string { return "/proc/self/fd/" + strconv.Itoa(int(fd)) }

// Name returns the path by which the kernel knows the open file in the current mount namespace and root
// directory (proc_pid_fd(5)).
func (fd FD) Name() (string, error) { return Readlink(CWD, fd.Path()) }

// Close closes the descriptor.
func (fd FD) Close() { _ = unix.Close(int(fd)) } // close(2) fails only on what was not open

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func open(dir FD, path string, flags int, mode uint32) (FD, error) {
	for { // as in retry, without what a closure takes: hundreds of files are opened for a device
		fd, err := unix.Openat(int(dir), path, flags|unix.O_CLOEXEC, mode)
		if err == nil || !errors.Is(err, unix.EINTR) {
			return FD(fd), err
		}
	}
}

// Handle opens path, relative to dir, as a reference only (open(2), O_PATH): for mounting and for
// looking at, whatever its type and permissions. A symbolic link is followed.
func Handle(dir FD, path string) (FD, error) { return open(dir, path, unix.O_PATH, 0) }

// LinkHandle is [Handle] for path itself, should it be a symbolic link.
func LinkHandle(dir FD, path string) (FD, error) {
	return open(dir, path, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

// DirectoryHandle is [Handle] for a directory; anything else is ENOTDIR.
func DirectoryHandle(dir FD, path string) (FD, error) {
	return open(dir, path, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// maxFile is the largest file that is read into memory, in bytes: enough for the user database of a large
// site, and far more than the kernel takes as an environment.
const maxFile = 64 << 20

// ReadFile returns the content of the file at path, which need not be seekable. One that does not
// end within reason is EFBIG.
func ReadFile(dir FD, path string) ([]byte, error) {
	fd, err := open(dir, path, unix.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	data, err := fd.read(maxFile + 1)
	if len(data) > maxFile {
		return nil, unix.EFBIG
	}
	return data, err
}

// ReadStart returns the first n bytes of the file at path, or fewer if it has fewer. It does not
// wait for a FIFO's writer.
func ReadStart(path string, n int) ([]byte, error) {
	fd, err := open(CWD, path, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	return fd.read(n)
}

// read returns what is left of the file, up to limit bytes.
func (fd FD) read(limit int) ([]byte, error) {
	room := 4096
	if st, err := fd.Stat(); err == nil && st.IsRegular() && st.Size > 0 {
		room = int(min(st.Size, int64(limit))) + 1 // the end shows without another read into more memory
	}
	data := make([]byte, 0, room)
	for len(data) < limit {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		room := data[len(data):cap(data)]
		room = room[:min(len(room), limit-len(data))]
		var n int
		err := retry(func() (err error) {
			n, err = unix.Read(int(fd), room)
			return err
		})
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		data = data[:len(data)+n]
	}
	return data, nil
}

// WriteFile writes text with one write(2), as the files in /proc/self want it, to a file that exists.
func WriteFile(path, text string) error {
	fd, err := open(CWD, path, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer fd.Close()
	return retry(func() error {
		_, err := unix.Write(int(fd), []byte(text))
		return err
	})
}

// CreateFile makes a new regular file named name in dir. It follows no symbolic link.
func CreateFile(dir FD, name string, content []byte, mode uint32) error {
	fd, err := open(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode)
	if err != nil {
		return err
	}
	defer fd.Close()
	return fd.writeAll(content)
}

func (fd FD) writeAll(content []byte) error {
	for len(content) > 0 {
		n, err := unix.Write(int(fd), content)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		content = content[n:]
	}
	return nil
}

// ReplaceFile makes a regular file named name in dir, in place of one that may be there: at every moment there is the
// old one or the new one. On the way it is called NAME.new, which only one process may do at a time.
func ReplaceFile(dir FD, name string, content []byte, mode uint32) error {
	temporary := name + ".new"
	if err := Unlink(dir, temporary); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	err := CreateFile(dir, temporary, content, mode)
	if err == nil {
		err = unix.Renameat(int(dir), temporary, int(dir), name)
	}
	if err != nil {
		_ = Unlink(dir, temporary)
	}
	return err
}

// RewriteFile puts content in place of that of a file of which there is a handle (see [Handle]).
func RewriteFile(file FD, content []byte) error {
	fd, err := open(CWD, file.Path(), unix.O_WRONLY|unix.O_TRUNC, 0)
	if err != nil {
		return err
	}
	defer fd.Close()
	return fd.writeAll(content)
}

// Rename gives another name in the same directory, which nothing has yet (renameat2(2), RENAME_NOREPLACE; Linux 3.15).
func Rename(dir FD, from, to string) error {
	return unix.Renameat2(int(dir), from, int(dir), to, unix.RENAME_NOREPLACE)
}

// Unlink removes what is not a directory.
func Unlink(dir FD, name string) error { return unix.Unlinkat(int(dir), name, 0) }

// Mkdir makes a directory.
func Mkdir(dir FD, name string, mode uint32) error { return unix.Mkdirat(int(dir), name, mode) }

// Symlink makes a symbolic link named name in dir.
func Symlink(target string, dir FD, name string) error {
	return unix.Symlinkat(target, int(dir), name)
}

// Readlink returns the target of the symbolic link name in dir.
func Readlink(dir FD, name string) (string, error) {
	for size := 256; ; size *= 2 {
		target := make([]byte, size)
		n, err := unix.Readlinkat(int(dir), name, target)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(target[:n]), nil
		}
	}
}

// Chmod sets the permissions of the open directory or file, which may be a mere handle.
func Chmod(fd FD, mode uint32) error { return unix.Chmod(fd.Path(), mode) }

// Umask sets the file mode creation mask.
func Umask(mask int) { unix.Umask(mask) }

// ResetTimerSlack has timers of this thread, and of those that it creates, end in time again (prctl(2),
// PR_SET_TIMERSLACK).
func ResetTimerSlack() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) } // cannot fail

// A Stat is what ch-run needs to know of a file.
type Stat struct {
	Device, Inode uint64
	Mode          uint32 // type and permissions
	Size          int64  // in bytes
}

// IsDir says whether it is a directory.
func (s Stat) IsDir() bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsSymlink says whether it is a symbolic link.
func (s Stat) IsSymlink() bool { return s.Mode&unix.S_IFMT == unix.S_IFLNK }

// IsRegular says whether it is a regular file.
func (s Stat) IsRegular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

// IsDevice says whether it is a device node.
func (s Stat) IsDevice() bool {
	return s.Mode&unix.S_IFMT == unix.S_IFCHR || s.Mode&unix.S_IFMT == unix.S_IFBLK
}

// Permissions returns the mode without the type.
func (s Stat) Permissions() uint32 { return s.Mode & 0o7777 }

// StatPath returns the status of the file at path, relative to dir, following symbolic links.
func StatPath(dir FD, path string) (Stat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(int(dir), path, &st, 0) })
	return statOf(&st), err
}

// LinkStat is [StatPath] for path itself, should it be a symbolic link.
func LinkStat(dir FD, path string) (Stat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(int(dir), path, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return statOf(&st), err
}

// Stat returns the status of the open file.
func (fd FD) Stat() (Stat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstat(int(fd), &st) })
	return statOf(&st), err
}

// Access says whether the process may open the file at path in the given way, of which the letters are r, w and x, with
// the identity that it has now (faccessat(2), AT_EACCESS). That includes what the device controller of its cgroup says.
func Access(path, way string) error {
	mode := uint32(unix.F_OK)
	for _, letter := range way {
		switch letter {
		case 'r':
			mode |= unix.R_OK
		case 'w':
			mode |= unix.W_OK
		case 'x':
			mode |= unix.X_OK
		}
	}
	return retry(func() error { return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS) })
}

// IsReadOnlyFile says whether there is a regular file at path that the process may not write to.
func IsReadOnlyFile(path string) bool {
	st, err := StatPath(CWD, path)
	return err == nil && st.IsRegular() && Access(path, "w") != nil
}

func statOf(st *unix.Stat_t) Stat {
	return Stat{Device: uint64(st.Dev), Inode: st.Ino, Mode: st.Mode, Size: st.Size}
}

// SameFile says whether two descriptors are of the same file.
func SameFile(a, b FD) (bool, error) {
	x, err := a.Stat()
	if err != nil {
		return false, err
	}
	y, err := b.Stat()
	return x.Device == y.Device && x.Inode == y.Inode, err
}

// Names returns the names in the directory, which may be open as a mere handle, unsorted and without
// the dot entries.
func Names(dir FD) ([]string, error) {
	fd, err := open(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	var names []string
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.ReadDirent(int(fd), buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return names, err
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names)
	}
}

// EachName calls f with each name in the directory, which may be open as a mere handle, without the dot entries. The
// name is valid during the call.
func EachName(dir FD, f func(name []byte)) error {
	fd, err := open(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer fd.Close()
	// Of a struct linux_dirent64 (getdents(2)): where its length is, and its name.
	const length, nameAt = 16, 19
	buffer := make([]byte, 16<<10)
	for {
		n, err := unix.ReadDirent(int(fd), buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return err
		}
		for rest := buffer[:n]; len(rest) > nameAt; {
			size := binary.NativeEndian.Uint16(rest[length:])
			name, _, _ := bytes.Cut(rest[nameAt:size], []byte{0})
			if string(name) != "." && string(name) != ".." {
				f(name)
			}
			rest = rest[size:]
		}
	}
}

// Prime lists the start of a directory for the kernel's sake, which of a file system in user space gets the
// attributes of the files at the same time, and so need not ask for them one by one.
func Prime(dir FD) {
	fd, err := open(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	defer fd.Close()
	_, _ = unix.ReadDirent(int(fd), make([]byte, 16<<10))
}

// OpenProcess returns a handle of a process, which has input once that has ended (pidfd_open(2), Linux 5.3).
func OpenProcess(pid int) (FD, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	return FD(fd), err
}

// Chdir changes the working directory.
func Chdir(path string) error { return unix.Chdir(path) }

// Getcwd returns the working directory.
func Getcwd() (string, error) { return unix.Getwd() }

// Redirect makes the standard stream number target refer to what fd does.
func Redirect(fd FD, target int) error { return unix.Dup3(int(fd), target, 0) }

// Duplicate returns another descriptor for what a standard stream refers to.
func Duplicate(stream int) (FD, error) {
	fd, err := unix.FcntlInt(uintptr(stream), unix.F_DUPFD_CLOEXEC, 3)
	return FD(fd), err
}

// OpenNull opens /dev/null for writing.
func OpenNull() (FD, error) { return open(CWD, "/dev/null", unix.O_WRONLY, 0) }

// OpenLog connects to the log daemon of the host, if there is one (syslog(3)). Nothing that is sent waits:
// a daemon that is stuck must not hold up a job.
func OpenLog() (FD, error) {
	var err error
	for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_STREAM} { // as syslog(3) does
		var fd int
		fd, err = unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return -1, err
		}
		if err = unix.Connect(fd, &unix.SockaddrUnix{Name: "/dev/log"}); err == nil {
			return FD(fd), nil
		}
		FD(fd).Close()
		if !errors.Is(err, syscall.EPROTOTYPE) {
			break
		}
	}
	return -1, err
}

// SendLog sends a message to the log daemon.
func (fd FD) SendLog(text string) error {
	return unix.Sendto(int(fd), []byte(text), unix.MSG_NOSIGNAL, nil)
}

// MkdirAll makes the directory path and its missing parents, with permissions 0755 less the umask.
func MkdirAll(path string) error { return os.MkdirAll(path, 0o755) }
