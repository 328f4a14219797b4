package kernel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// MapIDs maps user ID uid and group ID gid of the user namespace that the process is in to 0 of the
// parent namespace, which must already deny setgroups(2) (user_namespaces(7)). The returned step names
// the file that could not be written.
func MapIDs(uid, gid uint32) (failed string, err error) {
	for _, m := range []struct {
		path string
		id   uint32
	}{{"/proc/self/uid_map", uid}, {"/proc/self/gid_map", gid}} {
		if err := WriteFile(m.path, fmt.Sprintf("%d 0 1\n", m.id)); err != nil {
			return "write " + m.path, err
		}
	}
	return "", nil
}

// NamespaceHandle returns the type and the content of a file handle for the process's namespace of that name in
// proc_pid_ns(5). It stays good as long as the namespace lives (name_to_handle_at(2); Linux 6.18).
func NamespaceHandle(name string) (kind int32, content []byte, err error) {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/proc/self/ns/"+name, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return 0, nil, err
	}
	return handle.Type(), handle.Bytes(), nil
}

// EnterMountNamespace moves the calling thread alone to a mount namespace, of which the root directory becomes its
// root and working directory (setns(2)).
//
// Preconditions: the process is in the user namespace that owns the mount namespace, and the calling goroutine is
// locked to its thread.
func EnterMountNamespace(namespace FD) error {
	// Threads share their root and working directory, and those who do cannot be moved.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	defer namespace.Close()
	return unix.Setns(int(namespace), unix.CLONE_NEWNS)
}

// A Host is where [Host.WhyNoNamespaces] looks for causes.
type Host struct {
	Proc       string // where procfs is mounted
	Executable string // the path of ch-run, as AppArmor sees it
	UID        uint32 // of the caller, in the user namespace that it was started in
	Entered    bool   // whether a new user namespace has been created already
}

// WhyNoNamespaces returns the cause, as far as this host shows it, of err from a step of setting up
// user and mount namespaces, and what to do about it. It is "" where nothing is found.
func (h Host) WhyNoNamespaces(err error) string {
	limit := func(name string) (int, bool) {
		text, err := ReadFile(CWD, h.Proc+"/sys/"+name)
		n, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
		return n, err == nil && convErr == nil
	}
	for _, name := range []string{"user/max_user_namespaces", "user/max_mnt_namespaces"} {
		if n, ok := limit(name); ok && n == 0 {
			key := strings.ReplaceAll(name, "/", ".")
			return fmt.Sprintf("%s is 0 on this host; the administrator can allow namespaces with 'sysctl -w %s=15000' and a file in /etc/sysctl.d", key, key)
		}
	}
	if n, ok := limit("kernel/unprivileged_userns_clone"); ok && n == 0 {
		return "kernel.unprivileged_userns_clone is 0 on this host; the administrator can allow user namespaces with 'sysctl -w kernel.unprivileged_userns_clone=1' and a file in /etc/sysctl.d"
	}

	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EUSERS):
		if n, ok := limit("user/max_user_namespaces"); ok && !h.Entered && h.initialUserNamespace() {
			return fmt.Sprintf("all %d user namespaces of user.max_user_namespaces are in use; end other containers, or have the administrator raise it", n)
		}
		return "user.max_user_namespaces or user.max_mnt_namespaces, of this host or an enclosing container, is used up, or user namespaces are nested more than 32 levels deep; end other containers, or start fewer within each other"
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSYS):
		return "this kernel was built without user namespaces (CONFIG_USER_NS)"
	case errors.Is(err, syscall.ENOENT):
		return "is procfs mounted at /proc, and not hidden by an enclosing container?"
	case !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EACCES):
		return ""
	}
	if n, ok := limit("kernel/apparmor_restrict_unprivileged_userns"); ok && n != 0 {
		return fmt.Sprintf("AppArmor restricts user namespaces to programs with a profile (kernel.apparmor_restrict_unprivileged_userns); the administrator can install one: "+
			`printf 'abi <abi/4.0>,\ninclude <tunables/global>\nprofile ch-run "%s" flags=(unconfined) {\n  userns,\n}\n' > /etc/apparmor.d/ch-run && apparmor_parser -r /etc/apparmor.d/ch-run`, h.Executable)
	}
	if h.chrooted() {
		return "the root directory is not that of the mount namespace (chroot), where the kernel allows no user namespaces; run ch-run outside, or enter the directory with pivot_root(2)"
	}
	if !h.Entered && !h.mapped() {
		return fmt.Sprintf("user ID %d is not mapped in the current user namespace; give the enclosing container a mapping for it", h.UID)
	}
	if strings.Contains(h.status("Seccomp"), "2") {
		return "a seccomp filter is in force, probably that of an enclosing container; start that one so that it allows unshare(2) and mount(2), for Docker and Podman with --security-opt seccomp=unconfined"
	}
	if o := h.hidepid(); o != "" {
		return "/proc is mounted with " + o + ", which can hide a process's own files; have the administrator exempt you with the mount option gid="
	}
	return "a security module of this host may forbid it; the kernel log (dmesg) may say which"
}

func (h Host) status(key string) string {
	text, _ := ReadFile(CWD, h.Proc+"/self/status")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// initialUserNamespace says whether all IDs are mapped to themselves, as only there.
func (h Host) initialUserNamespace() bool {
	text, err := ReadFile(CWD, h.Proc+"/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(text)), " ") == "0 0 4294967295"
}

func (h Host) mapped() bool {
	text, err := ReadFile(CWD, h.Proc+"/self/uid_map")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		var inside, outside, count uint64
		if n, _ := fmt.Sscan(line, &inside, &outside, &count); n == 3 && uint64(h.UID) >= inside && uint64(h.UID) < inside+count {
			return true
		}
	}
	return false
}

// mounts returns the fields of /proc/self/mountinfo, a line each (proc_pid_mountinfo(5)).
func (h Host) mounts() (list [][]string) {
	text, _ := ReadFile(CWD, h.Proc+"/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 10 {
			list = append(list, fields)
		}
	}
	return list
}

// chrooted says whether the root directory is not a mount: after pivot_root(2) it always is.
func (h Host) chrooted() bool {
	mounts := h.mounts()
	for _, fields := range mounts {
		if fields[4] == "/" {
			return false
		}
	}
	return len(mounts) > 0
}

func (h Host) hidepid() string {
	for _, fields := range h.mounts() {
		if fields[4] != "/proc" {
			continue
		}
		for _, option := range strings.Split(fields[len(fields)-1], ",") {
			if strings.HasPrefix(option, "hidepid=") && option != "hidepid=0" && option != "hidepid=off" {
				return option
			}
		}
	}
	return ""
}
