package seccomp

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ch-run/internal/kernel"
)

// A data is what the kernel shows to a filter (struct seccomp_data).
type data struct {
	number, architecture uint32
	arguments            [6]uint64
}

// word returns the 32 bits at an offset, on a little-endian machine.
func (d data) word(t *testing.T, offset uint32) uint32 {
	t.Helper()
	switch {
	case offset == 0:
		return d.number
	case offset == 4:
		return d.architecture
	case offset >= 16 && offset < 64 && offset%4 == 0:
		return uint32(d.arguments[(offset-16)/8] >> (8 * (offset % 8)))
	}
	t.Fatalf("load of what is no word: %d", offset)
	return 0
}

// decision interprets the filter.
func decision(t *testing.T, filter []kernel.Instruction, d data) uint32 {
	t.Helper()
	var a uint32
	for at := 0; at < len(filter); at++ {
		i := filter[at]
		var holds bool
		switch i.Code {
		case syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS:
			a = d.word(t, i.K)
			continue
		case syscall.BPF_ALU | syscall.BPF_AND | syscall.BPF_K:
			a &= i.K
			continue
		case syscall.BPF_RET | syscall.BPF_K:
			return i.K
		case syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K:
			holds = a == i.K
		case syscall.BPF_JMP | syscall.BPF_JGE | syscall.BPF_K:
			holds = a >= i.K
		default:
			t.Fatalf("unexpected instruction %d: %+v", at, i)
		}
		if holds {
			at += int(i.Jt)
		} else {
			at += int(i.Jf)
		}
	}
	t.Fatal("the filter does not decide")
	return 0
}

// The decisions, in the numbers of linux/seccomp.h.
const (
	allow = 0x7fff0000 // SECCOMP_RET_ALLOW
	fake  = 0x00050000 // SECCOMP_RET_ERRNO, and no error
)

// A surface is an ABI, with what others know of it.
type surface struct {
	abi          abi
	name         string // in golang.org/x/sys
	architecture uint32 // linux/audit.h
	bit          uint32
	machine      []abi
}

var surfaces = []surface{
	{x8664, "amd64", 0xc000003e, 0, []abi{x8664, x32, i386}},
	{x32, "amd64", 0xc000003e, 0x40000000, []abi{x8664, x32, i386}},
	{i386, "386", 0x40000003, 0, []abi{x8664, x32, i386}},
	{arm64, "arm64", 0xc00000b7, 0, []abi{arm64, arm}},
	{arm, "arm", 0x40000028, 0, []abi{arm64, arm}},
}

// privileged matches the names of the families, in those of all system calls.
var privileged = regexp.MustCompile(`^([fl]?chown(at)?|set(re|res|fs)?[ug]id|setgroups)(32)?$|^capset$|^kexec_load$|^mknod(at)?$`)

// systemCalls reads the numbers of all system calls out of the file of which the lines match.
func systemCalls(t *testing.T, path, line string) map[string]uint32 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]uint32{}
	for _, match := range regexp.MustCompile(line).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseUint(match[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		list[strings.ToLower(match[1])] = uint32(n)
	}
	if len(list) < 250 {
		t.Fatalf("%s: only %d system calls", path, len(list))
	}
	return list
}

// generated returns all system calls of an architecture, as golang.org/x/sys has them from the kernel's headers.
func generated(t *testing.T, architecture string) map[string]uint32 {
	t.Helper()
	directory, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	path := filepath.Join(strings.TrimSpace(string(directory)), "unix", "zsysnum_linux_"+architecture+".go")
	return systemCalls(t, path, `(?m)^\tSYS_(\w+) += (\d+)$`)
}

// TestTable compares the table with a list of all system calls: it has those of the families, and no other.
func TestTable(t *testing.T) {
	for _, s := range surfaces {
		if s.abi != x32 {
			compare(t, s.abi, generated(t, s.name))
		}
	}
}

func compare(t *testing.T, a abi, all map[string]uint32) {
	t.Helper()
	maps.DeleteFunc(all, func(name string, _ uint32) bool { return !privileged.MatchString(name) })
	got := map[string]uint32{}
	for _, c := range calls() {
		if n := c.numbers[a]; n != 0 {
			got[c.name] = n
		}
	}
	if !maps.Equal(got, all) {
		t.Errorf("ABI %d:\n got %v\nwant %v", a, got, all)
	}
}

// TestFilter has all system calls that there are, and as many again that there are not: those of the families are
// faked, and all others untouched.
func TestFilter(t *testing.T) {
	for _, s := range surfaces {
		program := filter(s.machine)
		wanted := map[uint32]string{}
		for name, number := range generated(t, s.name) {
			if s.abi == x32 && name == "kexec_load" {
				number = 528 // the one that is not that of x86-64: see TestHeaders
			}
			if privileged.MatchString(name) {
				wanted[number|s.bit] = name
			}
		}
		if len(wanted) < 14 {
			t.Fatalf("ABI %d: only %d calls to be faked", s.abi, len(wanted))
		}
		numbers := []uint32{1<<31 - 1, 1 << 31, 1<<32 - 1, 0x20000000, 0xf0005 /* ARM's set_tls */}
		for n := range uint32(1000) {
			numbers = append(numbers, n|s.bit)
		}
		for _, n := range numbers {
			for _, mode := range []uint64{0, syscall.S_IFREG, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFDIR, syscall.S_IFLNK, syscall.S_IFCHR, syscall.S_IFBLK} {
				for _, rest := range []uint64{0, 0o7777, 0xffffffffffff0000 | 0o666} {
					device := mode == syscall.S_IFCHR || mode == syscall.S_IFBLK
					want, position := uint32(allow), -1 // of the mode, among other things that look like a device or do not
					switch wanted[n] {
					case "":
					case "mknod":
						position = 1
					case "mknodat":
						position = 2
					default:
						want = fake
					}
					if position > 0 && device {
						want = fake
					}
					d := data{number: n, architecture: s.architecture}
					for i := range d.arguments {
						d.arguments[i] = rest | syscall.S_IFREG
						if (i == position) == device {
							d.arguments[i] = rest | syscall.S_IFCHR
						}
					}
					if position > 0 {
						d.arguments[position] = rest | mode
					}
					if got := decision(t, program, d); got != want {
						t.Fatalf("ABI %d: %s, number %#x, mode %#o: got %#x, want %#x", s.abi, wanted[n], n, mode|rest, got, want)
					}
				}
			}
		}
	}
}

// TestOtherArchitectures has those that the filter is not for, in which the numbers mean something else.
func TestOtherArchitectures(t *testing.T) {
	for _, list := range [][]abi{{x8664, x32, i386}, {arm64, arm}} {
		program := filter(list)
		for _, architecture := range []uint32{0, 0xc000003e, 0x40000003, 0xc00000b7, 0x40000028, 0xc00000f3 /* RISC-V */, 0x28 /* big-endian ARM */, 0x800000b7} {
			if slices.ContainsFunc(list, func(a abi) bool { return a.architecture() == architecture }) {
				continue
			}
			for n := range uint32(1000) {
				if got := decision(t, program, data{number: n, architecture: architecture}); got != allow {
					t.Errorf("architecture %#x, number %d: %#x", architecture, n, got)
				}
			}
		}
	}
}

// TestMachine has the filter of this machine be one of those above, and one that the kernel would take.
func TestMachine(t *testing.T) {
	list := machine()
	if !slices.ContainsFunc(surfaces, func(s surface) bool { return slices.Equal(s.machine, list) }) {
		t.Errorf("ABIs %v", list)
	}
	const most = 4096 // BPF_MAXINSNS
	if n := len(Filter()); n > most {
		t.Errorf("%d instructions", n)
	}
}
