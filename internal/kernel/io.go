package kernel

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// OpenForReading opens the file that a handle (see [Handle]) refers to.
func OpenForReading(fd FD) (FD, error) {
	return open(CWD, fd.Path(), unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
}

// OpenFile opens the file at path for reading. It does not wait for a FIFO's writer.
func OpenFile(path string) (FD, error) {
	return open(CWD, path, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
}

// Lock waits for the lock of the open file, which is kept until that is closed (flock(2)).
func Lock(fd FD) error { return retry(func() error { return unix.Flock(int(fd), unix.LOCK_EX) }) }

// FileLimit returns how many descriptors the process may have (getrlimit(2), RLIMIT_NOFILE), or less.
func FileLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<20))
}

// OpenPlainFile opens a file in dir for reading if it is not a symbolic link.
func OpenPlainFile(dir FD, name string) (FD, error) {
	return open(dir, name, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
}

// ReadAt fills p from the file, as [io.ReaderAt] does, however little the kernel gives at a time.
func (fd FD) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(int(fd), p[n:], offset+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, err
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

// ReadAtNow fills p as far as the kernel has that part of the file in memory (preadv2(2), RWF_NOWAIT). It is EAGAIN if the
// beginning is not there, and EOPNOTSUPP on file systems that do not know.
func (fd FD) ReadAtNow(p []byte, offset int64) (n int, err error) {
	err = retry(func() (err error) {
		n, err = unix.Preadv2(int(fd), [][]byte{p}, offset, unix.RWF_NOWAIT)
		return err
	})
	return max(n, 0), err
}

// Prefetch asks the kernel to read a part of the file, in bytes, without waiting for it (posix_fadvise(2)). The
// kernel reads no more at a time than the file system reads ahead, of which the usual limit is 128 KiB
// (mm/readahead.c, force_page_cache_ra), so it is asked repeatedly.
func (fd FD) Prefetch(offset, length int64) {
	const once = 128 << 10
	for ; length > 0; offset, length = offset+once, length-once {
		_ = unix.Fadvise(int(fd), offset, min(once, length), unix.FADV_WILLNEED) // a hint
	}
}

// Read reads once, at most len(p) bytes.
func (fd FD) Read(p []byte) (n int, err error) {
	err = retry(func() (err error) {
		n, err = unix.Read(int(fd), p)
		return err
	})
	return n, err
}

// HasInput says whether there is something to read, or an error.
func (fd FD) HasInput() bool { return fd.WaitInput(0) }

// WaitInput waits for that, no longer than the time given, and says whether it came. For FD -1 it never does.
func (fd FD) WaitInput(most time.Duration) bool {
	t := unix.NsecToTimespec(int64(most))
	n, _ := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &t, nil)
	return n > 0
}

// Runnable returns from /proc/loadavg how many threads of all processes on the machine run or wait for a processor
// (proc_loadavg(5)), the calling one included.
func (fd FD) Runnable() (int, error) {
	var buffer [64]byte
	n, err := fd.ReadAt(buffer[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	before, _, _ := bytes.Cut(buffer[:n], []byte{'/'})
	return strconv.Atoi(string(before[bytes.LastIndexByte(before, ' ')+1:]))
}

// A Pipe holds bytes that say nothing: each is a right to something, which one at a time can take.
type Pipe struct{ read, write FD }

// NewPipe makes an empty one.
func NewPipe() (Pipe, error) {
	var ends [2]int
	err := unix.Pipe2(ends[:], unix.O_CLOEXEC)
	return Pipe{FD(ends[0]), FD(ends[1])}, err
}

// Put adds n bytes, or none.
func (p Pipe) Put(n int) {
	if n > 0 {
		_ = retry(func() error { // fails only on a pipe that nobody reads
			_, err := unix.Write(int(p.write), make([]byte, n))
			return err
		})
	}
}

// Take waits for a byte and removes it.
func (p Pipe) Take() error {
	_, err := p.read.Read([]byte{0})
	return err
}

// Writev writes the parts with one call.
func (fd FD) Writev(parts [][]byte) error {
	return retry(func() error {
		_, err := unix.Writev(int(fd), parts)
		return err
	})
}

// Send sends a message through a connected socket. Whoever cannot have SIGPIPE ignores that signal.
func (fd FD) Send(message []byte) error {
	return retry(func() error {
		_, err := unix.Write(int(fd), message)
		return err
	})
}

// SendFiles sends a message, and with it duplicates of open files (unix(7), SCM_RIGHTS).
func (fd FD) SendFiles(message []byte, files ...FD) error {
	numbers := make([]int, len(files))
	for i, f := range files {
		numbers[i] = int(f)
	}
	rights := unix.UnixRights(numbers...)
	return retry(func() error { return unix.Sendmsg(int(fd), message, rights, nil, unix.MSG_NOSIGNAL) })
}

// maxMessage is the longest message that is received, in bytes: a path, and some more.
const maxMessage = 8192

// Receive waits for a message. It is empty if the other end of the socket has been closed.
func (fd FD) Receive() ([]byte, error) {
	message, _, err := fd.ReceiveFiles(0)
	return message, err
}

// ReceiveFiles is [FD.Receive] for a message with at most so many open files.
func (fd FD) ReceiveFiles(most int) (message []byte, files []FD, err error) {
	message = make([]byte, maxMessage)
	var rights []byte
	if most > 0 {
		rights = make([]byte, unix.CmsgSpace(4*most))
	}
	var n, rightsLength int
	err = retry(func() (err error) {
		n, rightsLength, _, _, err = unix.Recvmsg(int(fd), message, rights, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	controls, err := unix.ParseSocketControlMessage(rights[:rightsLength])
	if err != nil {
		return nil, nil, err
	}
	for i := range controls {
		numbers, err := unix.ParseUnixRights(&controls[i])
		if err != nil {
			return nil, nil, err
		}
		for _, number := range numbers {
			files = append(files, FD(number))
		}
	}
	return message[:n], files, nil
}

// Memory returns zeroed memory that is not the garbage collector's. It begins at a page. All pages are
// there at once, which takes half as long as a fault for each.
func Memory(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
}

// FreeMemory gives back what [Memory] returned.
func FreeMemory(memory []byte) { _ = unix.Munmap(memory) } // fails only on what is no such memory
