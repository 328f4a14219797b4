package seccomp

func machine() []abi { return []abi{arm64, arm} }
