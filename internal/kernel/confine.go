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
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PREADV2, unix.SYS_FADVISE64, unix.SYS_CLOSE, unix.SYS_FSTAT,
		unix.SYS_RECVMSG, unix.SYS_PPOLL,
		unix.SYS_BRK, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MREMAP, unix.SYS_MINCORE,
		unix.SYS_FUTEX, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
		unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS, unix.SYS_RSEQ,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM,
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2,
	}, allowedCallsOfMachine...)
}

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

const seccompRefuse = SeccompError | uint32(unix.ENOSYS)

func confinement() []Instruction {
	const enough = 256 // instructions; a launch waits for this, and for memory that is touched first in growing steps
	filter := append(make([]Instruction, 0, enough),
		Instruction{Code: BPFLoad, K: SeccompArchitecture},
		Instruction{Code: BPFEqual, K: auditArchitecture, Jt: 1},
		Instruction{Code: BPFReturn, K: unix.SECCOMP_RET_KILL_PROCESS},
		Instruction{Code: BPFLoad, K: SeccompNumber})
	// when allows or refuses a call by whether the bits of an argument are set.
	when := func(number uint32, argument uint32, mask uint32, set, notSet uint32) {
		filter = append(filter,
			Instruction{Code: BPFEqual, K: number, Jf: 4},
			Instruction{Code: BPFLoad, K: SeccompArguments + 8*argument},
			Instruction{Code: BPFBits, K: mask, Jf: 1},
			Instruction{Code: BPFReturn, K: set},
			Instruction{Code: BPFReturn, K: notSet})
	}
	when(unix.SYS_CLONE, 0, unix.CLONE_THREAD, SeccompAllow, seccompRefuse)
	when(unix.SYS_MMAP, 2, unix.PROT_EXEC, seccompRefuse, SeccompAllow)
	when(unix.SYS_MPROTECT, 2, unix.PROT_EXEC, seccompRefuse, SeccompAllow)
	const address = SeccompArguments + 8*4
	filter = append(filter, // messages without an address: only to whom the socket is connected
		Instruction{Code: BPFEqual, K: unix.SYS_SENDTO, Jf: 6},
		Instruction{Code: BPFLoad, K: address},
		Instruction{Code: BPFEqual, K: 0, Jf: 3},
		Instruction{Code: BPFLoad, K: address + 4},
		Instruction{Code: BPFEqual, K: 0, Jf: 1},
		Instruction{Code: BPFReturn, K: SeccompAllow},
		Instruction{Code: BPFReturn, K: seccompRefuse})
	filter = append(filter, // signals for its own threads: the preemption of goroutines
		Instruction{Code: BPFEqual, K: unix.SYS_TGKILL, Jf: 4},
		Instruction{Code: BPFLoad, K: SeccompArguments},
		Instruction{Code: BPFEqual, K: uint32(unix.Getpid()), Jf: 1},
		Instruction{Code: BPFReturn, K: SeccompAllow},
		Instruction{Code: BPFReturn, K: seccompRefuse})
	numbers := allowedCalls()
	slices.Sort(numbers)
	return appendAllowed(filter, numbers)
}

// appendAllowed allows the calls with these numbers, which are sorted, and refuses others.
func appendAllowed(filter []Instruction, numbers []uint32) []Instruction {
	return AppendSearch(filter, numbers, func(filter []Instruction, number uint32) []Instruction {
		return append(filter,
			Instruction{Code: BPFEqual, K: number, Jf: 1},
			Instruction{Code: BPFReturn, K: SeccompAllow},
			Instruction{Code: BPFReturn, K: seccompRefuse})
	})
}
