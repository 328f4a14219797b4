// Package identity makes the /etc/passwd and /etc/group of a container, and looks up users and groups in
// the host's databases to do so.
package identity

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ch-run/internal/kernel"
)

// A User is what an entry of the user database says about an ID.
type User struct{ Name, GECOS string }

// LookupUser returns the host's entry for a user ID; ok is false if there is none.
func LookupUser(uid uint32) (u User, ok bool) {
	fields, ok := lookup("/etc/passwd", "passwd", uid)
	// name:password:UID:GID:GECOS:directory:shell (passwd(5)). From a directory service, GECOS may
	// be anything.
	if !ok || len(fields) < 7 || fields[0] == "" {
		return User{}, false
	}
	return User{fields[0], strings.Join(fields[4:len(fields)-2], " ")}, true
}

// LookupGroup returns the host's name for a group ID; ok is false if there is none.
func LookupGroup(gid uint32) (name string, ok bool) {
	fields, ok := lookup("/etc/group", "group", gid)
	if !ok || fields[0] == "" {
		return "", false
	}
	return fields[0], true
}

// patience is how long a directory service may take to answer. A job without the right name for its user is
// better than one that hangs.
const patience = 30 * time.Second

// lookup returns the fields of the entry for id: from the file, which takes microseconds, else
// from the databases that nsswitch.conf(5) names. Those are read by the C library's plug-ins, which a
// statically linked program has not got; getent(1) has.
func lookup(file, database string, id uint32) (fields []string, ok bool) {
	if data, err := kernel.ReadFile(kernel.CWD, file); err == nil {
		for line := range strings.Lines(string(data)) {
			if fields, ok := entry(strings.TrimSuffix(line, "\n"), id); ok {
				return fields, true
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	getent := exec.CommandContext(ctx, "getent", database, strconv.FormatUint(uint64(id), 10))
	if getent.Err != nil { // not in $PATH, which users do strange things to
		getent = exec.CommandContext(ctx, "/usr/bin/getent", getent.Args[1:]...)
	}
	getent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive a launch
	getent.WaitDelay = time.Second
	output, err := getent.Output()
	if err != nil {
		return nil, false
	}
	// One entry was asked for, so a newline within the output is one within a field.
	return entry(strings.TrimSuffix(string(output), "\n"), id)
}

// entry splits a line of passwd(5) or group(5) if it is for the ID.
func entry(line string, id uint32) (fields []string, ok bool) {
	fields = strings.Split(line, ":")
	if len(fields) < 3 || fields[2] != strconv.FormatUint(uint64(id), 10) {
		return nil, false
	}
	return fields, true
}

// The IDs that are always there.
const (
	root   = 0
	nobody = 65534
)

// Passwd returns an /etc/passwd with entries for root, nobody and the user.
func Passwd(uid, gid uint32, u User) []byte {
	var b strings.Builder
	if uid != root {
		b.WriteString("root:x:0:0:root:/root:/bin/sh\n")
	}
	if uid != nobody {
		b.WriteString("nobody:x:65534:65534:nobody:/:/bin/false\n")
	}
	fmt.Fprintf(&b, "%s:x:%d:%d:%s:/:/bin/sh\n", clean(u.Name), uid, gid, clean(u.GECOS))
	return []byte(b.String())
}

// Group returns an /etc/group with entries for root, nogroup and the named group.
func Group(gid uint32, name string) []byte {
	var b strings.Builder
	if gid != root {
		b.WriteString("root:x:0:\n")
	}
	if gid != nobody {
		b.WriteString("nogroup:x:65534:\n")
	}
	fmt.Fprintf(&b, "%s:x:%d:\n", clean(name), gid)
	return []byte(b.String())
}

// clean keeps a field from becoming more than one: colons and control characters, which a directory
// service may hold, turn into spaces.
func clean(field string) string {
	bytes := []byte(field)
	for i, c := range bytes {
		if c == ':' || c < ' ' || c == 0x7f {
			bytes[i] = ' '
		}
	}
	return string(bytes)
}
