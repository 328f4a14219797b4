package identity

import (
	"strings"
	"testing"
)

func TestPasswd(t *testing.T) {
	for _, test := range []struct {
		uid, gid uint32
		user     User
		want     string
	}{
		{1000, 1001, User{"alice", "Alice A.,,"}, "" +
			"root:x:0:0:root:/root:/bin/sh\n" +
			"nobody:x:65534:65534:nobody:/:/bin/false\n" +
			"alice:x:1000:1001:Alice A.,,:/:/bin/sh\n"},
		{0, 0, User{"root", "root"}, "" +
			"nobody:x:65534:65534:nobody:/:/bin/false\n" +
			"root:x:0:0:root:/:/bin/sh\n"},
		{0, 1001, User{"charlie", "Charlie"}, "" +
			"nobody:x:65534:65534:nobody:/:/bin/false\n" +
			"charlie:x:0:1001:Charlie:/:/bin/sh\n"},
		{65534, 65534, User{"nobody", ""}, "" +
			"root:x:0:0:root:/root:/bin/sh\n" +
			"nobody:x:65534:65534::/:/bin/sh\n"},
		{4294967294, 4294967294, User{"Zoë", "Zoë"}, "" +
			"root:x:0:0:root:/root:/bin/sh\n" +
			"nobody:x:65534:65534:nobody:/:/bin/false\n" +
			"Zoë:x:4294967294:4294967294:Zoë:/:/bin/sh\n"},
	} {
		if got := string(Passwd(test.uid, test.gid, test.user)); got != test.want {
			t.Errorf("%d:%d %q: got\n%swant\n%s", test.uid, test.gid, test.user, got, test.want)
		}
	}
}

func TestGroup(t *testing.T) {
	for _, test := range []struct {
		gid  uint32
		name string
		want string
	}{
		{1001, "users", "root:x:0:\nnogroup:x:65534:\nusers:x:1001:\n"},
		{0, "root", "nogroup:x:65534:\nroot:x:0:\n"},
		{65534, "nogroup", "root:x:0:\nnogroup:x:65534:\n"},
		{4294967294, "charliegroup", "root:x:0:\nnogroup:x:65534:\ncharliegroup:x:4294967294:\n"},
	} {
		if got := string(Group(test.gid, test.name)); got != test.want {
			t.Errorf("%d %s: got\n%swant\n%s", test.gid, test.name, got, test.want)
		}
	}
}

// TestHostileFields has what a directory service may hold. None of it may add a field or an entry.
func TestHostileFields(t *testing.T) {
	for _, hostile := range []string{
		"a:b", "a\nb", "x\nmallory::0:0::/:/bin/sh\n", ":0:0:::\nmallory", "\n", "\r\n", "a\x00b", "\x1b[31m", "\x7f", "\xff:\xfe",
	} {
		for _, id := range []uint32{0, 1000, 65534} {
			checkEntries(t, string(Passwd(id, id, User{hostile, "gecos"})), 7)
			checkEntries(t, string(Passwd(id, id, User{"name", hostile})), 7)
			checkEntries(t, string(Group(id, hostile)), 4)
		}
	}
}

// checkEntries reports lines that have not that many fields, IDs that are there twice, and control characters.
func checkEntries(t *testing.T, text string, fields int) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line, complete := strings.CutSuffix(line, "\n")
		f := strings.Split(line, ":")
		if !complete || len(f) != fields {
			t.Errorf("%q has %d fields, want %d, in %q", line, len(f), fields, text)
			continue
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q has a control character", line)
		}
		if seen[f[2]] {
			t.Errorf("ID %s is there twice in %q", f[2], text)
		}
		seen[f[2]] = true
	}
	if len(seen) < 2 || !seen["0"] || !seen["65534"] {
		t.Errorf("root or nobody missing in %q", text)
	}
}
