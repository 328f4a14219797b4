package bind

import "testing"

func TestParse(t *testing.T) {
	for argument, want := range map[string]Mount{
		"/a":            {Source: "/a", Destination: "/a"},
		"a b,c:/d":      {Source: "a b,c", Destination: "/d"},
		"/a:/b:ro":      {Source: "/a", Destination: "/b", ReadOnly: true},
		"/a:/b:ro,rw":   {Source: "/a", Destination: "/b"},
		`/a\:b`:         {Source: "/a:b", Destination: "/a:b"},
		`a\:b:/c\:d`:    {Source: "a:b", Destination: "/c:d"},
		`/a\b:/c`:       {Source: `/a\b`, Destination: "/c"},
		`/a\:`:          {Source: "/a:", Destination: "/a:"},
		"/a\xff:/b\xff": {Source: "/a\xff", Destination: "/b\xff"},
		"/a:/../b":      {Source: "/a", Destination: "/../b"},
	} {
		got, err := Parse(argument)
		if err != nil {
			t.Errorf("%q: %v", argument, err)
			continue
		}
		if got.Source != want.Source || got.Destination != want.Destination || got.ReadOnly != want.ReadOnly || got.Need != Create {
			t.Errorf("%q: got %+v, want %+v", argument, got, want)
		}
	}
}

func TestClimbs(t *testing.T) {
	for path, want := range map[string]bool{
		"/": false, "/a/..": false, "/a/../b": false, "/./a/./..": false, "/..": true, "/a/../..": true,
		"/a/../../b": true, "/a//../b": false, "/..a": false, "//..": true,
	} {
		if got := climbs(path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		path, directory string
		want            bool
	}{
		{"/a", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/a", "/a/b", false}, {"/a", "/", true}, {"/", "/", true},
	} {
		if got := Within(c.path, c.directory); got != c.want {
			t.Errorf("%s in %s: got %v, want %v", c.path, c.directory, got, c.want)
		}
	}
}
