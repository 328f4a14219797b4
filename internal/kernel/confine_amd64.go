package kernel

import "golang.org/x/sys/unix"

const auditArchitecture = AuditX8664

var allowedCallsOfMachine = []uint32{unix.SYS_POLL, unix.SYS_EPOLL_WAIT, unix.SYS_ARCH_PRCTL}
