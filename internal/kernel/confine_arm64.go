package kernel

import "golang.org/x/sys/unix"

const auditArchitecture = AuditARM64

var allowedCallsOfMachine = []uint32{unix.SYS_PPOLL}
