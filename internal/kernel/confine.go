package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// allowedCalls are what a process needs that works with the memory, the threads and the open files that it
// has: the runtimes of Go and C, and read, write and send.
var allowedCalls = append([]uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_CLOSE, unix.SYS_FSTAT,
	unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_RECVMSG,
	unix.SYS_BRK, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MREMAP, unix.SYS_MINCORE,
	unix.SYS_FUTEX, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS, unix.SYS_RSEQ,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2,
}, allowedCallsOfMachine...)

// Offsets in struct seccomp_data: of the call's number, the architecture, and the lower half of an argument on
// a little-endian machine.
const (
	seccompNumber       = 0
	seccompArchitecture = 4
	seccompArguments    = 16
)

// Confine leaves all threads of the process nothing but its memory, which it cannot execute, more threads,
// and the files that it has open (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC). Any other system call
// fails with ENOSYS, as if the kernel did not have it; a runtime that tries something new can go on.
//
// Preconditions: no_new_privs is set.
func Confine() error {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		bits  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		end   = unix.BPF_RET | unix.BPF_K

		allow  = unix.SECCOMP_RET_ALLOW
		refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	filter := []unix.SockFilter{
		{Code: load, K: seccompArchitecture},
		{Code: equal, K: auditArchitecture, Jt: 1},
		{Code: end, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: seccompNumber},
	}
	for _, number := range allowedCalls {
		filter = append(filter, unix.SockFilter{Code: equal, K: number, Jf: 1}, unix.SockFilter{Code: end, K: allow})
	}
	// when allows or refuses a call by whether the bits of an argument are set.
	when := func(number uint32, argument uint32, mask uint32, set, notSet uint32) {
		filter = append(filter,
			unix.SockFilter{Code: equal, K: number, Jf: 4},
			unix.SockFilter{Code: load, K: seccompArguments + 8*argument},
			unix.SockFilter{Code: bits, K: mask, Jf: 1},
			unix.SockFilter{Code: end, K: set},
			unix.SockFilter{Code: end, K: notSet})
	}
	when(unix.SYS_CLONE, 0, unix.CLONE_THREAD, allow, refuse)
	when(unix.SYS_MMAP, 2, unix.PROT_EXEC, refuse, allow)
	when(unix.SYS_MPROTECT, 2, unix.PROT_EXEC, refuse, allow)
	filter = append(filter, // signals for its own threads: the preemption of goroutines
		unix.SockFilter{Code: equal, K: unix.SYS_TGKILL, Jf: 4},
		unix.SockFilter{Code: load, K: seccompArguments},
		unix.SockFilter{Code: equal, K: uint32(unix.Getpid()), Jf: 1},
		unix.SockFilter{Code: end, K: allow},
		unix.SockFilter{Code: end, K: refuse},
		unix.SockFilter{Code: end, K: refuse})

	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}
