package identity

import (
	"os"
	"path/filepath"
	"testing"
)

// id is one that no host has in its files.
const id = 4242424242

// fakeGetent makes the shell script the getent(1) that is found first.
func fakeGetent(t *testing.T, script string) {
	t.Helper()
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "getent"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", directory+":"+os.Getenv("PATH"))
}

func TestLookupUser(t *testing.T) {
	for _, test := range []struct {
		name, getent string
		want         User
		ok           bool
	}{
		{"ordinary", `[ "$*" = "passwd 4242424242" ] && echo 'alice:*:4242424242:100:Alice A.,1:/home/alice:/bin/zsh'`,
			User{"alice", "Alice A.,1"}, true},
		{"no GECOS", "echo alice:x:4242424242:100::/home/alice:", User{"alice", ""}, true},
		{"colons in GECOS", "echo alice:x:4242424242:100:http://a:8080:/home/alice:/bin/sh",
			User{"alice", "http //a 8080"}, true},
		{"newline in GECOS", `printf 'alice:x:4242424242:100:Alice\nA.:/home/alice:/bin/sh\n'`,
			User{"alice", "Alice\nA."}, true},
		{"both, and an entry of its own", `printf 'alice:x:4242424242:100:A\nroot:x:0:0:B:/home/alice:/bin/sh\n'`,
			User{"alice", "A\nroot x 0 0 B"}, true},
		{"no such user", "exit 2", User{}, false},
		{"failure", `echo alice:x:4242424242:100::/home/alice:/bin/sh; exit 1`, User{}, false},
		{"nothing", "exit 0", User{}, false},
		{"another user", "echo alice:x:4242424243:100::/home/alice:/bin/sh", User{}, false},
		{"group entry", "echo users:x:4242424242:", User{}, false},
		{"no name", "echo :x:4242424242:100::/home/alice:/bin/sh", User{}, false},
		{"junk", "echo junk", User{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			fakeGetent(t, test.getent)
			if got, ok := LookupUser(id); got != test.want || ok != test.ok {
				t.Errorf("%q, %v, want %q, %v", got, ok, test.want, test.ok)
			} else if ok {
				checkEntries(t, string(Passwd(id, 100, got)), 7)
			}
		})
	}
}

func TestLookupGroup(t *testing.T) {
	for _, test := range []struct {
		name, getent, want string
		ok                 bool
	}{
		{"ordinary", `[ "$*" = "group 4242424242" ] && echo 'users:*:4242424242:alice,bob'`, "users", true},
		{"no members", "echo users:x:4242424242:", "users", true},
		{"no such group", "exit 2", "", false},
		{"another group", "echo users:x:100:4242424242", "", false},
		{"no name", "echo :x:4242424242:", "", false},
		{"junk", "echo junk", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			fakeGetent(t, test.getent)
			if got, ok := LookupGroup(id); got != test.want || ok != test.ok {
				t.Errorf("%q, %v, want %q, %v", got, ok, test.want, test.ok)
			}
		})
	}
}

// TestLookupFiles has IDs that need no getent(1).
func TestLookupFiles(t *testing.T) {
	fakeGetent(t, "exit 3")
	if u, ok := LookupUser(0); !ok || u.Name != "root" {
		t.Errorf("user 0: %q, %v", u, ok)
	}
	if name, ok := LookupGroup(0); !ok || name != "root" {
		t.Errorf("group 0: %q, %v", name, ok)
	}
}

// TestLookupWithoutPath has what users do to $PATH. The ID is unknown to the host whichever getent(1) runs.
func TestLookupWithoutPath(t *testing.T) {
	for _, path := range []string{"", "/nonexistent", ".", "relative"} {
		t.Setenv("PATH", path)
		if u, ok := LookupUser(id); ok {
			t.Errorf("PATH=%s: %q", path, u)
		}
	}
}
