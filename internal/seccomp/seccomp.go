// Package seccomp makes the filter of --seccomp: the system calls by which the programs that build images
// change owners, make devices and change their own privilege return success, and nothing happens.
//
// It is a convenience and protects from nothing: what the filter knows is not made, and everything else is
// allowed, architectures that it does not know included.
package seccomp

import (
	"slices"
	"syscall"

	"ch-run/internal/kernel"
)

// An abi is a set of system calls that programs of this machine can use.
type abi int

const (
	x8664 abi = iota
	x32       // the architecture of x86-64, with numbers that have a bit more
	i386
	arm64
	arm // EABI
	abis
)

// x32Bit marks the numbers of x32 (asm/unistd.h, __X32_SYSCALL_BIT).
const x32Bit = 0x40000000

func (a abi) architecture() uint32 {
	switch a {
	case i386:
		return kernel.AuditI386
	case arm64:
		return kernel.AuditARM64
	case arm:
		return kernel.AuditARM
	}
	return kernel.AuditX8664
}

// A call is one to be faked.
type call struct {
	name    string
	numbers [abis]uint32 // without x32Bit; 0: there is none
	mode    uint32       // which argument is the mode of the new node: only devices are faked; 0: all are
}

// calls returns the table, with the numbers of the kernel's asm/unistd.h. It is made when it is needed: what is
// there from the start costs every launch.
func calls() []call {
	return []call{
		// x86-64, x32, i386, arm64, arm
		{name: "chown", numbers: [abis]uint32{92, 92, 182, 0, 182}},
		{name: "chown32", numbers: [abis]uint32{0, 0, 212, 0, 212}},
		{name: "fchown", numbers: [abis]uint32{93, 93, 95, 55, 95}},
		{name: "fchown32", numbers: [abis]uint32{0, 0, 207, 0, 207}},
		{name: "fchownat", numbers: [abis]uint32{260, 260, 298, 54, 325}},
		{name: "lchown", numbers: [abis]uint32{94, 94, 16, 0, 16}},
		{name: "lchown32", numbers: [abis]uint32{0, 0, 198, 0, 198}},

		{name: "setuid", numbers: [abis]uint32{105, 105, 23, 146, 23}},
		{name: "setuid32", numbers: [abis]uint32{0, 0, 213, 0, 213}},
		{name: "setgid", numbers: [abis]uint32{106, 106, 46, 144, 46}},
		{name: "setgid32", numbers: [abis]uint32{0, 0, 214, 0, 214}},
		{name: "setreuid", numbers: [abis]uint32{113, 113, 70, 145, 70}},
		{name: "setreuid32", numbers: [abis]uint32{0, 0, 203, 0, 203}},
		{name: "setregid", numbers: [abis]uint32{114, 114, 71, 143, 71}},
		{name: "setregid32", numbers: [abis]uint32{0, 0, 204, 0, 204}},
		{name: "setresuid", numbers: [abis]uint32{117, 117, 164, 147, 164}},
		{name: "setresuid32", numbers: [abis]uint32{0, 0, 208, 0, 208}},
		{name: "setresgid", numbers: [abis]uint32{119, 119, 170, 149, 170}},
		{name: "setresgid32", numbers: [abis]uint32{0, 0, 210, 0, 210}},
		{name: "setfsuid", numbers: [abis]uint32{122, 122, 138, 151, 138}},
		{name: "setfsuid32", numbers: [abis]uint32{0, 0, 215, 0, 215}},
		{name: "setfsgid", numbers: [abis]uint32{123, 123, 139, 152, 139}},
		{name: "setfsgid32", numbers: [abis]uint32{0, 0, 216, 0, 216}},
		{name: "setgroups", numbers: [abis]uint32{116, 116, 81, 159, 81}},
		{name: "setgroups32", numbers: [abis]uint32{0, 0, 206, 0, 206}},

		{name: "capset", numbers: [abis]uint32{126, 126, 185, 91, 185}},
		{name: "kexec_load", numbers: [abis]uint32{246, 528, 283, 104, 347}}, // by which package early tests the filter

		{name: "mknod", numbers: [abis]uint32{133, 133, 14, 0, 14}, mode: 1},
		{name: "mknodat", numbers: [abis]uint32{259, 259, 297, 33, 324}, mode: 2},
	}
}

// numbered returns those of them that the ABI has, by its numbers.
func (a abi) numbered() map[uint32]call {
	list := map[uint32]call{}
	for _, c := range calls() {
		number := c.numbers[a]
		if number == 0 {
			continue
		}
		if a == x32 {
			number |= x32Bit
		}
		list[number] = c
	}
	return list
}

// Filter returns the filter for this machine.
func Filter() []kernel.Instruction { return filter(machine()) }

func filter(list []abi) []kernel.Instruction {
	program := []kernel.Instruction{{Code: kernel.BPFLoad, K: kernel.SeccompArchitecture}}
	for len(list) > 0 {
		architecture, known := list[0].architecture(), list[0].numbered()
		for list = list[1:]; len(list) > 0 && list[0].architecture() == architecture; list = list[1:] {
			for number, c := range list[0].numbered() {
				known[number] = c
			}
		}
		part := search(known)
		program = append(program, kernel.Instruction{Code: kernel.BPFEqual, K: architecture, Jf: uint8(len(part))})
		program = append(program, part...)
	}
	return append(program, kernel.Instruction{Code: kernel.BPFReturn, K: kernel.SeccompAllow})
}

// search decides on the calls of one architecture.
func search(known map[uint32]call) []kernel.Instruction {
	numbers := make([]uint32, 0, len(known))
	for number := range known {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	leaf := func(filter []kernel.Instruction, number uint32) []kernel.Instruction {
		return append(filter, known[number].decide(number)...)
	}
	return kernel.AppendSearch([]kernel.Instruction{{Code: kernel.BPFLoad, K: kernel.SeccompNumber}}, numbers, leaf)
}

// decide is a leaf of the search: the call with this number is faked, and others are allowed.
func (c call) decide(number uint32) []kernel.Instruction {
	const fake = kernel.SeccompError // plus no error
	if c.mode == 0 {
		return []kernel.Instruction{
			{Code: kernel.BPFEqual, K: number, Jf: 1},
			{Code: kernel.BPFReturn, K: fake},
			{Code: kernel.BPFReturn, K: kernel.SeccompAllow},
		}
	}
	return []kernel.Instruction{
		{Code: kernel.BPFEqual, K: number, Jf: 5},
		{Code: kernel.BPFLoad, K: kernel.SeccompArguments + 8*c.mode},
		{Code: kernel.BPFAnd, K: syscall.S_IFMT},
		{Code: kernel.BPFEqual, K: syscall.S_IFCHR, Jt: 1},
		{Code: kernel.BPFEqual, K: syscall.S_IFBLK, Jf: 1},
		{Code: kernel.BPFReturn, K: fake},
		{Code: kernel.BPFReturn, K: kernel.SeccompAllow},
	}
}
