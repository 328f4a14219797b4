// Package early is what happens outside Go: an ELF constructor that runs before the Go runtime
// starts, and the execve(2) that replaces it.
//
// # The constructor
//
// unshare(2) of a user namespace needs a process with one thread, so it must happen before the
// runtime starts. The constructor saves what the runtime is about to disturb, sees to it that no
// signal gets lost, and scans the arguments for anything that is not plainly a launch; if it finds
// nothing it creates the namespaces and pins the process to its current CPU. It leaves it to Go to
// report what fails, but for what keeps Go from starting; [Namespaces] says how far it came.
//
// If the image is a file, the constructor first makes the process of the FUSE server, in which a Go runtime starts,
// too: [IsServer].
//
// If the process is a peer, the constructor meets the others first: join.c says how. The namespaces
// are then those of the group: [Join] says what came of it.
//
// Where the scan declined and Go finds that a launch is wanted after all, [Relaunch] executes
// this program again, marked so that the constructor does not scan. The two parsers therefore need
// not agree for a launch to be right, only for it to be as quick as it can be.
//
// # The final exec
//
// [Exec] gives back what was saved and executes the command. What it restores belongs partly to the
// thread (signal mask, CPU affinity), and the parent-death signal is the main thread's alone, so the
// calling goroutine must be locked to that, which keeps its identity through execve(2).
package early

/*
#cgo LDFLAGS: -Wl,--wrap=sigaction -Wl,--wrap=pthread_create -Wl,--wrap=mmap
#include <stdlib.h>
#include "early.h"

extern char **environ;
*/
import "C"

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// init ends, as soon as Go code runs, what the constructor and the Go runtime did to get there. The
// soft limit of files is set to the hard one, as package syscall does for every Go program;
// going through that package makes it forget the limit that it found, which it would otherwise give to
// child processes.
func init() {
	C.early_show_variables()
	asked, _, _ := Namespaces()
	if _, serves := IsServer(); !asked && !serves && C.early_join.asked == 0 {
		return
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // the limit stays low: the next open reports it
	}
}

// Step names a step of setting up the namespaces, for messages.
type Step string

// FirstStep is the step before which the process is still in the caller's namespaces.
const FirstStep Step = "unshare(CLONE_NEWUSER)"

// Caller is who started the process, in the namespaces that it was started in.
type Caller struct {
	UID, EUID, SUID uint32
	GID, EGID, SGID uint32
	// Privileged says that the kernel started the process in secure-execution mode: setuid,
	// setgid or file capabilities (getauxval(3), AT_SECURE).
	Privileged bool
}

// CallerIDs returns who started the process.
func CallerIDs() Caller {
	s := &C.early_state
	return Caller{
		UID: uint32(s.ruid), EUID: uint32(s.euid), SUID: uint32(s.suid),
		GID: uint32(s.rgid), EGID: uint32(s.egid), SGID: uint32(s.sgid),
		Privileged: s.privileged != 0,
	}
}

// Args returns the arguments as the caller gave them, its argv[0] first.
func Args() []string {
	if C.early_state.relaunched != 0 {
		return os.Args[1:]
	}
	return os.Args
}

// Environ returns the environment as inherited: in order, with duplicates and entries that
// are not assignments, which [os.Environ] would lose.
func Environ() []string {
	var env []string
	for p := C.environ; p != nil && *p != nil; p = (**C.char)(unsafe.Add(unsafe.Pointer(p), unsafe.Sizeof(*p))) {
		env = append(env, C.GoString(*p))
	}
	return env
}

// Namespaces says whether the constructor was asked to create the namespaces, and if it was and
// could not, at which step it failed and with which error. With asked true and err nil the process
// is in an inner user namespace whose ID maps are still to be written (user_namespaces(7)), and in
// a mount namespace of its own.
func Namespaces() (asked bool, failed Step, err error) {
	s := &C.early_state
	if s.step == C.EARLY_NOT_ASKED {
		return false, "", nil
	}
	if s.error == 0 {
		return true, "", nil
	}
	return true, map[C.enum_early_step]Step{
		C.EARLY_OUTER:     FirstStep,
		C.EARLY_SETGROUPS: "write /proc/self/setgroups",
		C.EARLY_UID_MAP:   "write /proc/self/uid_map",
		C.EARLY_GID_MAP:   "write /proc/self/gid_map",
		C.EARLY_INNER:     "unshare(CLONE_NEWUSER|CLONE_NEWNS)",
	}[s.step], syscall.Errno(s.error)
}

// Relaunch executes this program again with args, with namespaces whatever the scan says: those of the group
// if one is given. If the image has to be served, it gets a server. Relaunch returns only if that failed.
func Relaunch(args []string, group *Group, server bool) error {
	mark := C.EARLY_MARK_LAUNCH
	switch {
	case group != nil && server:
		mark = C.EARLY_MARK_JOIN_SERVE
	case group != nil:
		mark = C.EARLY_MARK_JOIN
	case server:
		mark = C.EARLY_MARK_SERVE
	}
	marks := (*[4]*C.char)(unsafe.Pointer(&C.early_marks))
	name := C.GoString(marks[mark])
	if group != nil {
		name += fmt.Sprintf(":%d:%d:%d:%s", group.Size, group.Timeout, group.PID, group.Tag)
	}
	return execute([]string{"/proc/self/exe"}, append([]string{name}, args...), Environ(), 0, nil)
}

// A Server is what the process that is to serve an image begins with.
type Server struct {
	Socket int // to the process that launches the container
	Image  int // what is presumably the image, open for reading, or -1
	Load   int // /proc/loadavg, open for reading, or -1
}

// IsServer says whether this is the process that is to serve an image.
func IsServer() (Server, bool) {
	s := &C.early_state
	return Server{int(s.server_socket), int(s.image), int(s.load)}, s.server != 0
}

// ServerSocket returns the socket to the process that is to serve the image, or -1 if the constructor
// found no image. The error is why it could not make that process.
func ServerSocket() (int, error) {
	C.early_reap()
	if errno := C.early_state.server_error; errno != 0 {
		return -1, syscall.Errno(errno)
	}
	return int(C.early_state.server_socket), nil
}

// Serving notes that the server serves from now on: ps(1) shows title as its command line, and it no longer
// gives up if there is no room for another thread.
func Serving(title string) {
	text := C.CString(title)
	defer C.free(unsafe.Pointer(text))
	C.early_serving(text)
}

// SpareThreads creates threads that the Go runtime gets when it next wants some, and returns how many it could create.
func SpareThreads(count int) int { return int(C.early_spare_threads(C.int(count))) }

// Streams says which standard streams the launch itself has set, so that [Exec] passes them on even
// where the caller had closed them.
type Streams struct{ Stdout, Stderr bool }

// A FilterError is a filter that could not be installed, or that does not do what it should.
type FilterError struct {
	SelfTest bool // it was installed, but this process's kexec_load(2) did not succeed
	Err      error
}

func (e *FilterError) Error() string { return e.Err.Error() }
func (e *FilterError) Unwrap() error { return e.Err }

// Exec restores what the constructor saved, sets no_new_privs, installs the filter of system calls unless it is
// empty (seccomp(2)), and executes the first of candidates that the kernel accepts, by the rules of execvp(3). It
// returns only if that failed, with a [FilterError] if it was for the filter; the process must then do
// nothing but report and exit, as signals have their default effect again and the filter may be in force.
//
// Preconditions: the calling goroutine is locked to the main thread. The filter fakes kexec_load(2).
func Exec(candidates, argv, env []string, set Streams, filter []unix.SockFilter) error {
	flags := C.EARLY_NO_NEW_PRIVS
	if set.Stdout {
		flags |= C.EARLY_KEEP_STDOUT
	}
	if set.Stderr {
		flags |= C.EARLY_KEEP_STDERR
	}
	return execute(candidates, argv, env, flags, filter)
}

func execute(candidates, argv, env []string, flags int, filter []unix.SockFilter) error {
	for _, list := range [][]string{candidates, argv, env} {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return syscall.EINVAL
			}
		}
	}
	var failed C.enum_early_exec_step
	errno := syscall.Errno(C.early_exec(cStrings(candidates), cStrings(argv), cStrings(env), C.int(flags), cFilter(filter), &failed))
	if failed == C.EARLY_EXEC_COMMAND {
		return errno
	}
	return &FilterError{SelfTest: failed == C.EARLY_EXEC_SELF_TEST, Err: errno}
}

// cFilter returns the filter in C memory, or nil if it is empty.
func cFilter(filter []unix.SockFilter) *C.struct_early_filter {
	if len(filter) == 0 {
		return nil
	}
	instructions := unsafe.Slice((*byte)(unsafe.Pointer(&filter[0])), len(filter)*int(unsafe.Sizeof(filter[0])))
	return &C.struct_early_filter{length: C.ushort(len(filter)), instructions: C.CBytes(instructions)}
}

// cStrings returns a NULL-terminated array in C memory, out of the garbage collector's sight. It is
// never freed: the process is about to be replaced, or to exit.
func cStrings(list []string) **C.char {
	array := (**C.char)(C.calloc(C.size_t(len(list)+1), C.size_t(unsafe.Sizeof((*C.char)(nil)))))
	elements := unsafe.Slice(array, len(list))
	for i, s := range list {
		elements[i] = C.CString(s)
	}
	return array
}
