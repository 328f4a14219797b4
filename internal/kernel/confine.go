package kernel

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// allowedCalls returns what a process needs that works with the memory, the threads and the open files that it
// has: the runtimes of Go and C, and read, write and send.
func allowedCalls() []uint32 {
	return append([]uint32{
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_FADVISE64, unix.SYS_CLOSE, unix.SYS_FSTAT,
		unix.SYS_RECVMSG,
		unix.SYS_BRK, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MREMAP, unix.SYS_MINCORE,
		unix.SYS_FUTEX, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
		unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS, unix.SYS_RSEQ,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM,
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2,
	}, allowedCallsOfMachine...)
}

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
	filter := confinement()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}

const (
	bpfLoad    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	bpfEqual   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	bpfAtLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	bpfBits    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	bpfReturn  = unix.BPF_RET | unix.BPF_K

	seccompAllow  = unix.SECCOMP_RET_ALLOW
	seccompRefuse = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

func confinement() []unix.SockFilter {
	filter := []unix.SockFilter{
		{Code: bpfLoad, K: seccompArchitecture},
		{Code: bpfEqual, K: auditArchitecture, Jt: 1},
		{Code: bpfReturn, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: bpfLoad, K: seccompNumber},
	}
	// when allows or refuses a call by whether the bits of an argument are set.
	when := func(number uint32, argument uint32, mask uint32, set, notSet uint32) {
		filter = append(filter,
			unix.SockFilter{Code: bpfEqual, K: number, Jf: 4},
			unix.SockFilter{Code: bpfLoad, K: seccompArguments + 8*argument},
			unix.SockFilter{Code: bpfBits, K: mask, Jf: 1},
			unix.SockFilter{Code: bpfReturn, K: set},
			unix.SockFilter{Code: bpfReturn, K: notSet})
	}
	when(unix.SYS_CLONE, 0, unix.CLONE_THREAD, seccompAllow, seccompRefuse)
	when(unix.SYS_MMAP, 2, unix.PROT_EXEC, seccompRefuse, seccompAllow)
	when(unix.SYS_MPROTECT, 2, unix.PROT_EXEC, seccompRefuse, seccompAllow)
	const address = seccompArguments + 8*4
	filter = append(filter, // messages without an address: only to whom the socket is connected
		unix.SockFilter{Code: bpfEqual, K: unix.SYS_SENDTO, Jf: 6},
		unix.SockFilter{Code: bpfLoad, K: address},
		unix.SockFilter{Code: bpfEqual, K: 0, Jf: 3},
		unix.SockFilter{Code: bpfLoad, K: address + 4},
		unix.SockFilter{Code: bpfEqual, K: 0, Jf: 1},
		unix.SockFilter{Code: bpfReturn, K: seccompAllow},
		unix.SockFilter{Code: bpfReturn, K: seccompRefuse})
	filter = append(filter, // signals for its own threads: the preemption of goroutines
		unix.SockFilter{Code: bpfEqual, K: unix.SYS_TGKILL, Jf: 4},
		unix.SockFilter{Code: bpfLoad, K: seccompArguments},
		unix.SockFilter{Code: bpfEqual, K: uint32(unix.Getpid()), Jf: 1},
		unix.SockFilter{Code: bpfReturn, K: seccompAllow},
		unix.SockFilter{Code: bpfReturn, K: seccompRefuse})
	return append(filter, allowed(slices.Sorted(slices.Values(allowedCalls())))...)
}

// allowed allows the calls with these numbers, which are sorted, and refuses others. It searches by halves, as
// the kernel tries the filter with every number there is when it is installed (Linux 5.11).
func allowed(numbers []uint32) []unix.SockFilter {
	if len(numbers) == 1 {
		return []unix.SockFilter{
			{Code: bpfEqual, K: numbers[0], Jf: 1},
			{Code: bpfReturn, K: seccompAllow},
			{Code: bpfReturn, K: seccompRefuse},
		}
	}
	half := len(numbers) / 2
	lower, upper := allowed(numbers[:half]), allowed(numbers[half:])
	return slices.Concat([]unix.SockFilter{{Code: bpfAtLeast, K: numbers[half], Jt: uint8(len(lower))}}, lower, upper)
}
