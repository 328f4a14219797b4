package seccomp

func machine() []abi { return []abi{x8664, x32, i386} }
