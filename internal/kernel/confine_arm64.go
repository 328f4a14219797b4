package kernel

import "golang.org/x/sys/unix"

const auditArchitecture = unix.AUDIT_ARCH_AARCH64

var allowedCallsOfMachine = []uint32{unix.SYS_PPOLL}
