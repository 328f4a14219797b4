package environ

import (
	"slices"
	"testing"
)

func TestEnvironment(t *testing.T) {
	inherited := []string{"B=1", "junk", "A=2", "B=3", "=x", "", "AB=4", "C="}
	for _, test := range []struct {
		name   string
		change func(*Environment)
		want   []string
	}{
		{"unchanged", func(*Environment) {}, inherited},
		{"set where it stands, once", func(e *Environment) { e.Set("B", "9") },
			[]string{"B=9", "junk", "A=2", "=x", "", "AB=4", "C="}},
		{"set last", func(e *Environment) { e.Set("C", "9") },
			[]string{"B=1", "junk", "A=2", "B=3", "=x", "", "AB=4", "C=9"}},
		{"set new", func(e *Environment) { e.Set("D", "x=y") }, append(slices.Clone(inherited), "D=x=y")},
		{"set the name of junk", func(e *Environment) { e.Set("junk", "9") }, append(slices.Clone(inherited), "junk=9")},
		{"unset all", func(e *Environment) { e.Unset("B") },
			[]string{"junk", "A=2", "=x", "", "AB=4", "C="}},
		{"unset what is not set", func(e *Environment) { e.Unset("D"); e.Unset("junk"); e.Unset("A=2") }, inherited},
		{"unset by glob", func(e *Environment) { e.UnsetMatching(CompileGlob("[AB]*")) },
			[]string{"junk", "=x", "", "C="}},
		{"unset everything that has a name", func(e *Environment) { e.UnsetMatching(CompileGlob("?*")) },
			[]string{"junk", "=x", ""}},
	} {
		env := New(inherited)
		test.change(env)
		if got := env.Entries(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if want := []string{"B=1", "junk", "A=2", "B=3", "=x", "", "AB=4", "C="}; !slices.Equal(inherited, want) {
		t.Errorf("changing an environment changed what it was made from: %q", inherited)
	}
}

func TestUnsetMatchingNames(t *testing.T) {
	env := New([]string{"B=1", "A=2", "C=3", "B=4"})
	if got, want := env.UnsetMatching(CompileGlob("[AB]")), []string{"B", "A", "B"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestGet(t *testing.T) {
	env := New([]string{"A", "AB=1", "A=2=3", "A=4", "E="})
	for _, test := range []struct {
		name, value string
		ok          bool
	}{
		{"A", "2=3", true},
		{"AB", "1", true},
		{"E", "", true},
		{"B", "", false},
		{"ABC", "", false},
	} {
		if value, ok := env.Get(test.name); value != test.value || ok != test.ok {
			t.Errorf("%s: %q, %v, want %q, %v", test.name, value, ok, test.value, test.ok)
		}
	}
}

func TestAppendToPath(t *testing.T) {
	for _, test := range []struct{ before, after string }{
		{"PATH=/usr/bin", "PATH=/usr/bin:/bin"},
		{"PATH=/bin", "PATH=/bin"},
		{"PATH=/bin:/x", "PATH=/bin:/x"},
		{"PATH=/x:/bin", "PATH=/x:/bin"},
		{"PATH=/x:/bin:/y", "PATH=/x:/bin:/y"},
		{"PATH=/binary", "PATH=/binary"},
		{"PATH=/x:/bin/y", "PATH=/x:/bin/y"},
		{"PATH=/sbin", "PATH=/sbin:/bin"},
		{"PATH=/x/bin:bin", "PATH=/x/bin:bin:/bin"},
		{"PATH=/x:", "PATH=/x::/bin"},
		{"PATH=", "PATH=:/bin"},
	} {
		env := New([]string{"A=1", test.before, "B=2"})
		if !env.AppendToPath("/bin") {
			t.Errorf("%s: reported as not set", test.before)
		}
		if got, want := env.Entries(), []string{"A=1", test.after, "B=2"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", test.before, got, want)
		}
	}

	env := New([]string{"A=1", "XPATH=/usr/bin", "PATHS=/usr/bin", "PATH"})
	before := slices.Clone(env.Entries())
	if env.AppendToPath("/bin") {
		t.Error("no PATH: reported as set")
	}
	if got := env.Entries(); !slices.Equal(got, before) {
		t.Errorf("no PATH: changed to %q", got)
	}
}
