package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestFlagNamesLikeHeaders(t *testing.T) {
	program := filepath.Join(t.TempDir(), "mountflags")
	if output, err := exec.Command("gcc", "-o", program, "testdata/mountflags.c").CombinedOutput(); err != nil {
		t.Fatalf("cannot ask the kernel's headers: %v (Debian packages gcc, libc6-dev, linux-libc-dev)\n%s", err, output)
	}
	want, err := exec.Command(program).Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	got := ""
	for _, f := range flagNames {
		name := strings.ToUpper(f.name)
		if f.name == "ro" {
			name = "RDONLY"
		}
		got += fmt.Sprintln(name, f.statfs, f.mount, f.attr)
	}
	if got != string(want) {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

// TestMountFlagsLikeKernel compares with what the kernel calls the flags of a mount.
func TestMountFlagsLikeKernel(t *testing.T) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	want := "not mounted"
	for line := range strings.Lines(string(mountinfo)) {
		if fields := strings.Fields(line); fields[4] == "/proc" { // the last one is on top
			want = strings.TrimPrefix(fields[5]+",", "rw,")
		}
	}
	fd, err := Handle(CWD, "/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	if got := MountFlags(fd) + ","; got != want {
		t.Errorf("/proc: %s, want %s", got, want)
	}
}
