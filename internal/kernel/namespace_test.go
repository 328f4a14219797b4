package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What a host that allows namespaces has in /proc.
var healthy = map[string]string{
	"sys/user/max_user_namespaces":                     "15000\n",
	"sys/user/max_mnt_namespaces":                      "15000\n",
	"sys/kernel/unprivileged_userns_clone":             "1\n",
	"sys/kernel/apparmor_restrict_unprivileged_userns": "0\n",
	"self/uid_map":   "         0          0 4294967295\n",
	"self/status":    "Name:\tch-run\nSeccomp:\t0\nSeccomp_filters:\t0\n",
	"self/mountinfo": "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n22 20 0:21 / /proc rw,nosuid - proc proc rw\n",
}

func TestWhyNoNamespaces(t *testing.T) {
	const unknown = "a security module of this host may forbid it"
	for _, test := range []struct {
		name    string
		changed map[string]string // to what is in /proc; "": no such file
		host    Host
		err     error
		want    string // how it begins; "": nothing
	}{
		{"no user namespaces", map[string]string{"sys/user/max_user_namespaces": "0\n"}, Host{}, syscall.ENOSPC,
			"user.max_user_namespaces is 0 on this host; the administrator can allow namespaces with 'sysctl -w user.max_user_namespaces=15000'"},
		{"no mount namespaces", map[string]string{"sys/user/max_mnt_namespaces": "0\n"}, Host{Entered: true}, syscall.ENOSPC,
			"user.max_mnt_namespaces is 0 on this host; the administrator can allow namespaces with 'sysctl -w user.max_mnt_namespaces=15000'"},
		{"Debian's switch", map[string]string{"sys/kernel/unprivileged_userns_clone": "0\n"}, Host{}, syscall.EPERM,
			"kernel.unprivileged_userns_clone is 0 on this host; the administrator can allow user namespaces with 'sysctl -w kernel.unprivileged_userns_clone=1'"},

		{"limit reached", map[string]string{"sys/user/max_user_namespaces": "7\n"}, Host{}, syscall.ENOSPC,
			"all 7 user namespaces of user.max_user_namespaces are in use"},
		{"nesting", nil, Host{Entered: true}, syscall.ENOSPC, "user.max_user_namespaces or user.max_mnt_namespaces, of this host or an enclosing container, is used up, or user namespaces are nested"},
		{"nesting, Linux before 4.9", nil, Host{Entered: true}, syscall.EUSERS, "user.max_user_namespaces or user.max_mnt_namespaces, of this host or an enclosing container, is used up, or user namespaces are nested"},
		{"nesting in a container", map[string]string{"self/uid_map": "0 1000 1\n"}, Host{}, syscall.ENOSPC,
			"user.max_user_namespaces or user.max_mnt_namespaces, of this host or an enclosing container, is used up, or user namespaces are nested"},

		{"no such kernel option", nil, Host{}, syscall.EINVAL, "this kernel was built without user namespaces (CONFIG_USER_NS)"},
		{"no such system call", nil, Host{}, syscall.ENOSYS, "this kernel was built without user namespaces (CONFIG_USER_NS)"},
		{"no procfs", map[string]string{"self/uid_map": "", "self/status": "", "self/mountinfo": ""}, Host{Entered: true}, syscall.ENOENT,
			"is procfs mounted at /proc"},

		{"AppArmor, unshare", map[string]string{"sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"}, Host{Executable: "/opt/bin/ch-run"}, syscall.EPERM,
			"AppArmor restricts user namespaces to programs with a profile"},
		{"AppArmor, write", map[string]string{"sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"}, Host{Executable: "/opt/bin/ch-run", Entered: true}, syscall.EACCES,
			"AppArmor restricts user namespaces to programs with a profile"},
		{"chroot", map[string]string{"self/mountinfo": "22 20 0:21 / /proc rw - proc proc rw\n"}, Host{}, syscall.EPERM,
			"the root directory is not that of the mount namespace (chroot)"},
		{"unmapped user", map[string]string{"self/uid_map": "1000 0 1\n2000 5000 10\n"}, Host{UID: 65534}, syscall.EPERM,
			"user ID 65534 is not mapped in the current user namespace"},
		{"just unmapped", map[string]string{"self/uid_map": "1000 0 1\n2000 5000 10\n"}, Host{UID: 2010}, syscall.EPERM,
			"user ID 2010 is not mapped in the current user namespace"},
		{"mapped user", map[string]string{"self/uid_map": "1000 0 1\n2000 5000 10\n"}, Host{UID: 2009}, syscall.EPERM, unknown},
		{"already in a new namespace", map[string]string{"self/uid_map": "0 1000 1\n"}, Host{UID: 1000, Entered: true}, syscall.EPERM, unknown},
		{"seccomp", map[string]string{"self/status": "Seccomp:\t2\nSeccomp_filters:\t1\n"}, Host{}, syscall.EPERM,
			"a seccomp filter is in force"},
		{"another line about seccomp", map[string]string{"self/status": "Seccomp:\t0\nSeccomp_filters:\t2\n"}, Host{}, syscall.EPERM, unknown},
		{"hidepid", map[string]string{"self/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 20 0:21 / /proc rw - proc proc rw,gid=5,hidepid=2\n"}, Host{Entered: true}, syscall.EACCES,
			"/proc is mounted with hidepid=2"},
		{"hidepid by name", map[string]string{"self/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 20 0:21 / /proc rw - proc proc rw,hidepid=invisible\n"}, Host{Entered: true}, syscall.EPERM,
			"/proc is mounted with hidepid=invisible"},
		{"hidepid off", map[string]string{"self/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 20 0:21 / /proc rw - proc proc rw,hidepid=off\n"}, Host{Entered: true}, syscall.EPERM, unknown},

		{"none of these", nil, Host{}, syscall.EPERM, unknown},
		{"none of these, wrapped", nil, Host{}, fmt.Errorf("step: %w", syscall.EACCES), unknown},
		{"no files at all", map[string]string{"sys/user/max_user_namespaces": "", "sys/user/max_mnt_namespaces": "", "sys/kernel/unprivileged_userns_clone": "",
			"sys/kernel/apparmor_restrict_unprivileged_userns": "", "self/uid_map": "", "self/status": "", "self/mountinfo": ""}, Host{}, syscall.EPERM, unknown},
		{"junk in a file", map[string]string{"sys/user/max_user_namespaces": "junk", "self/mountinfo": "junk\n"}, Host{}, syscall.EPERM, unknown},
		{"no such error", nil, Host{}, syscall.EIO, ""},
		{"memory", nil, Host{Entered: true}, syscall.ENOMEM, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.host.Proc = fakeProc(t, test.changed)
			got := test.host.WhyNoNamespaces(test.err)
			if !strings.HasPrefix(got, test.want) || test.want == "" && got != "" {
				t.Errorf("%q, want %q", got, test.want)
			}
			if strings.ContainsAny(got, "\n\t") {
				t.Errorf("not one line: %q", got)
			}
			if test.host.Executable != "" && !strings.Contains(got, `"`+test.host.Executable+`"`) {
				t.Errorf("does not name %s: %s", test.host.Executable, got)
			}
		})
	}
}

func fakeProc(t *testing.T, changed map[string]string) (path string) {
	t.Helper()
	path = t.TempDir()
	for name, content := range healthy {
		if other, ok := changed[name]; ok {
			content = other
		}
		if content == "" {
			continue
		}
		file := filepath.Join(path, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name := range changed {
		if _, ok := healthy[name]; !ok {
			t.Fatalf("no such file: %s", name)
		}
	}
	return path
}
