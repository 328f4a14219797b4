package kernel

import "golang.org/x/sys/unix"

// An Instruction is one of a filter of system calls: classic BPF (seccomp(2), and linux/filter.h).
type Instruction = unix.SockFilter

// What such a filter is made of: to load a word, to compare it, to keep some of its bits, to decide.
const (
	BPFLoad    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	BPFEqual   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	BPFAtLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	BPFBits    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	BPFAnd     = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	BPFReturn  = unix.BPF_RET | unix.BPF_K
)

// Offsets in struct seccomp_data: of the call's number, the architecture, and the lower half of the first
// argument on a little-endian machine; 8 more for each that follows.
const (
	SeccompNumber       = 0
	SeccompArchitecture = 4
	SeccompArguments    = 16
)

// Decisions: to let the kernel make the call, and to have it fail with the error number added to this, which
// may be 0.
const (
	SeccompAllow = unix.SECCOMP_RET_ALLOW
	SeccompError = unix.SECCOMP_RET_ERRNO
)

// The architectures that a filter meets (linux/audit.h): that of the system call, not of the process.
const (
	AuditX8664 = unix.AUDIT_ARCH_X86_64
	AuditI386  = unix.AUDIT_ARCH_I386
	AuditARM64 = unix.AUDIT_ARCH_AARCH64
	AuditARM   = unix.AUDIT_ARCH_ARM
)

// AppendSearch appends instructions that find the number of the call, which is loaded, among sorted ones, and leave what to
// do to the leaf, which appends its own: they are entered with that number or one between it and its neighbours, and decide. It
// searches by halves, as the kernel tries the filter with every number there is when it is installed (Linux 5.11).
func AppendSearch(filter []Instruction, numbers []uint32, leaf func(filter []Instruction, number uint32) []Instruction) []Instruction {
	if len(numbers) == 1 {
		return leaf(filter, numbers[0])
	}
	half, jump := len(numbers)/2, len(filter)
	filter = append(filter, Instruction{Code: BPFAtLeast, K: numbers[half]})
	filter = AppendSearch(filter, numbers[:half], leaf)
	filter[jump].Jt = uint8(len(filter) - jump - 1)
	return AppendSearch(filter, numbers[half:], leaf)
}
