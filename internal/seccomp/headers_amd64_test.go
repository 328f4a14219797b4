package seccomp

import (
	"os"
	"testing"
)

// TestHeaders compares the table with the kernel's headers, which alone have x32.
func TestHeaders(t *testing.T) {
	for a, file := range map[abi]string{x8664: "unistd_64.h", x32: "unistd_x32.h", i386: "unistd_32.h"} {
		path := "/usr/include/x86_64-linux-gnu/asm/" + file
		if _, err := os.Stat(path); err != nil {
			path = "/usr/include/asm/" + file
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%v: install package linux-libc-dev", err)
		}
		compare(t, a, systemCalls(t, path, `(?m)^#define __NR_(\w+) \(?(?:__X32_SYSCALL_BIT \+ )?(\d+)\)?$`))
	}
}
