package linker

import "strconv"

// What is needed of elf(5). Package debug/elf, which has it all, brings in packages for debug information and
// compression, and every launch would pay for their initialisation.

// A Machine is the processor that an object is for (e_machine).
type Machine uint16

// The machines that images are made for; AnyMachine is none of them.
const (
	AnyMachine Machine = 0
	I386       Machine = 3
	ARM        Machine = 40
	X8664      Machine = 62
	AArch64    Machine = 183
)

// String names a machine as uname(1) does.
func (m Machine) String() string {
	switch m {
	case I386:
		return "i386"
	case ARM:
		return "arm"
	case X8664:
		return "x86_64"
	case AArch64:
		return "aarch64"
	case 8:
		return "mips"
	case 21:
		return "ppc64"
	case 22:
		return "s390x"
	case 243:
		return "riscv"
	}
	return "machine " + strconv.Itoa(int(m))
}

// Companion says whether a processor of the image's machine also runs objects of this one: its own, or the 32-bit one
// of the same family.
func (m Machine) Companion(ofImage Machine) bool {
	return m == ofImage || m == I386 && ofImage == X8664 || m == ARM && ofImage == AArch64
}

// Of the ELF header: the magic, and where and how class and byte order are given.
const (
	elfMagic = "\x7fELF"

	identSize  = 16
	identClass = 4
	identData  = 5

	class32, class64 = 1, 2
	dataLSB, dataMSB = 1, 2
)

// Types of program headers.
const (
	typeLoad    = 1
	typeDynamic = 2
)

// Tags of the dynamic section.
const (
	tagNull           = 0
	tagTexts          = 5  // DT_STRTAB
	tagTextsSize      = 10 // DT_STRSZ
	tagName           = 14 // DT_SONAME
	tagVersions       = 0x6ffffffe
	tagVersionsNumber = 0x6fffffff
	tagOffers         = 0x6ffffffc
	tagOffersNumber   = 0x6ffffffd
)
