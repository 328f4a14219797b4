package container

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ch-run/internal/bind"
	"ch-run/internal/cli"
	"ch-run/internal/early"
	"ch-run/internal/environ"
	"ch-run/internal/message"
)

// plan makes the plan for a command line, in an image that is empty: nothing is carried out.
func plan(t *testing.T, env []string, args ...string) *Plan {
	t.Helper()
	image := t.TempDir()
	o, err := cli.Parse(append(args, image, "--", "command"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(o, early.Caller{EUID: 1000, EGID: 100}, nil, environ.New(env), &message.Log{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// destinations lists the mounts of a plan, in order: what every container has is left out.
func destinations(p *Plan) (list []string) {
	for _, m := range slices.Concat(p.Mounts[len(hostMounts):], p.Binds) {
		kind := map[bind.Kind]string{bind.Host: m.Source, bind.Content: "generated", bind.Tmpfs: "tmpfs"}[m.Kind]
		if m.ReadOnly {
			kind += " (ro)"
		}
		list = append(list, kind+" at "+m.Destination)
	}
	return list
}

func TestMountOrder(t *testing.T) {
	env := []string{"USER=user", "HOME=/h"}
	for _, c := range []struct {
		env  []string
		args string
		want []string
	}{
		{env, "", []string{"generated at /etc/passwd", "generated at /etc/group", "/tmp at /tmp"}},
		{env, "--no-passwd", []string{"/tmp at /tmp"}},
		{env, "--no-passwd -t", []string{"tmpfs at /tmp"}},
		{append(env, "TMPDIR=/scratch"), "--no-passwd", []string{"/scratch at /tmp"}},
		{append(env, "TMPDIR="), "--no-passwd", []string{"/tmp at /tmp"}},
		{env, "--no-passwd -b /b:/c:ro --home -b /a", []string{"/tmp at /tmp", "/h at /home/user", "/b (ro) at /c", "/a at /a"}},
	} {
		if got := destinations(plan(t, c.env, strings.Fields(c.args)...)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.args, got, c.want)
		}
	}
}

func TestIDsAndWriting(t *testing.T) {
	env := []string{"USER=user", "HOME=/h"}
	for args, want := range map[string]Plan{
		"":             {UID: 1000, GID: 100},
		"-u 0":         {UID: 0, GID: 100},
		"-u 7 --gid=8": {UID: 7, GID: 8},
		"-w":           {UID: 1000, GID: 100, Writing: bind.InPlace},
		"-W":           {UID: 1000, GID: 100, Writing: bind.InOverlay, OverlaySize: "12%"},
		"-W1g":         {UID: 1000, GID: 100, Writing: bind.InOverlay, OverlaySize: "1g"},
		"--home":       {UID: 1000, GID: 100, Writing: bind.InOverlay, OverlaySize: "12%"},
		"-W2g --home":  {UID: 1000, GID: 100, Writing: bind.InOverlay, OverlaySize: "2g"},
	} {
		got := plan(t, env, strings.Fields(args)...)
		if got.UID != want.UID || got.GID != want.GID || got.Writing != want.Writing || got.OverlaySize != want.OverlaySize {
			t.Errorf("%s: got %+v", args, got)
		}
	}
}

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		command string
		env     []string
		want    []string
	}{
		{"cmd", []string{"PATH=/a:/b"}, []string{"/a/cmd", "/b/cmd"}},
		{"cmd", []string{"PATH=:/b:"}, []string{"./cmd", "/b/cmd", "./cmd"}},
		{"cmd", []string{"PATH="}, []string{"./cmd"}},
		{"cmd", nil, []string{"/bin/cmd", "/usr/bin/cmd"}},
		{"./cmd", []string{"PATH=/a"}, []string{"./cmd"}},
		{"/x/cmd", []string{"PATH=/a"}, []string{"/x/cmd"}},
		{"", []string{"PATH=/a"}, []string{""}},
	} {
		p := &Plan{Command: []string{c.command}, Environment: environ.New(c.env)}
		if got := p.candidates(); !slices.Equal(got, c.want) {
			t.Errorf("%q in %q: got %q, want %q", c.command, c.env, got, c.want)
		}
	}
}

// The files of --set-env are read once, while planning.
func TestEnvironmentFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("A=1\nB='$A'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := plan(t, []string{"USER=user"}, "--set-env="+file, "--env-no-expand", "--set-env=C=$A", "--unset-env=X*", "--set-env")
	want := []Change{
		{Delimiter: '\n', Expand: true, Assignments: []environ.Assignment{{Name: "A", Value: "1"}, {Name: "B", Value: "$A"}}},
		{Delimiter: '\n', Assignments: []environ.Assignment{{Name: "C", Value: "$A"}}},
		{IsUnset: true},
		{Delimiter: '\n', FromImage: true},
	}
	if len(p.Changes) != len(want) {
		t.Fatalf("got %+v", p.Changes)
	}
	for i, w := range want {
		g := p.Changes[i]
		if !slices.Equal(g.Assignments, w.Assignments) || g.Expand != w.Expand || g.IsUnset != w.IsUnset || g.FromImage != w.FromImage {
			t.Errorf("change %d: got %+v, want %+v", i, g, w)
		}
	}
}
