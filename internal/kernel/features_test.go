package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestRelease(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	major, minor := Release()
	rest, ok := strings.CutPrefix(string(text), fmt.Sprintf("%d.%d", major, minor))
	if !ok || major == 0 || rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		t.Errorf("%d.%d, want the start of %s", major, minor, text)
	}
}

// TestFeaturesOfThisKernel has the features that need no namespaces to be found. A kernel new enough
// for one that does not have it is a failure.
func TestFeaturesOfThisKernel(t *testing.T) {
	major, minor := Release()
	for _, f := range []Feature{Openat2, MountSetattr, JoinHandles, Seccomp} {
		newEnough := major > f.Since[0] || major == f.Since[0] && minor >= f.Since[1]
		if err := f.Check(-1); newEnough && err != nil {
			t.Errorf("Linux %d.%d: %v", major, minor, err)
		}
	}
}

func TestFeatureCheck(t *testing.T) {
	f := Feature{Name: "fish", Since: [2]int{5, 6}, probe: func(FD) error { return syscall.ENOSYS }}
	if err := f.Check(-1); !errors.Is(err, syscall.ENOSYS) {
		t.Errorf("%v", err)
	}
	if got, want := f.Requirement(), "fish needs Linux 5.6"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.probe = func(FD) error { return nil }
	if err := f.Check(-1); err != nil {
		t.Errorf("%v", err)
	}
}

func TestFeaturesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Features() {
		if f.Name == "" || f.Since == [2]int{} || f.probe == nil || seen[f.Name] {
			t.Errorf("%q is incomplete or there twice", f.Name)
		}
		seen[f.Name] = true
	}
}
