package environ

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		data      string
		delimiter byte
		want      []Assignment
	}{
		{"", '\n', nil},
		{"\n\n\n", '\n', nil},
		{"a=bar\n", '\n', []Assignment{{"a", "bar"}}},
		{"a=bar", '\n', []Assignment{{"a", "bar"}}}, // the last line need not end
		{"a=bar=baz\n", '\n', []Assignment{{"a", "bar=baz"}}},
		{"a==\n", '\n', []Assignment{{"a", "="}}},
		{"a=\n", '\n', []Assignment{{"a", ""}}},
		{"a=1\n\nb=2\n\n", '\n', []Assignment{{"a", "1"}, {"b", "2"}}},
		{"a=1\nb=2\na=3\n", '\n', []Assignment{{"a", "1"}, {"b", "2"}, {"a", "3"}}},

		// One pair of single quotes is removed.
		{"a=''\n", '\n', []Assignment{{"a", ""}}},
		{"a=''''\n", '\n', []Assignment{{"a", "''"}}},
		{"a='bar'\n", '\n', []Assignment{{"a", "bar"}}},
		{"a='b'ar'\n", '\n', []Assignment{{"a", "b'ar"}}},
		{"a='b' 'c'\n", '\n', []Assignment{{"a", "b' 'c"}}},
		{"a='\n", '\n', []Assignment{{"a", "'"}}},
		{"a='bar\n", '\n', []Assignment{{"a", "'bar"}}},
		{"a=bar'\n", '\n', []Assignment{{"a", "bar'"}}},
		{"a=\"bar\"\n", '\n', []Assignment{{"a", `"bar"`}}},

		// White space, comments and escapes are nothing special.
		{" a = b \n", '\n', []Assignment{{" a ", " b "}}},
		{"\ta=' b'\n", '\n', []Assignment{{"\ta", " b"}}},
		{"#a=b # c\n", '\n', []Assignment{{"#a", "b # c"}}},
		{"a=b\\\nc=\\n\n", '\n', []Assignment{{"a", "b\\"}, {"c", "\\n"}}},
		{"a=b\r\n", '\n', []Assignment{{"a", "b\r"}}},
		{"a=$b\n", '\n', []Assignment{{"a", "$b"}}},
		{"\xff=\xfe\n", '\n', []Assignment{{"\xff", "\xfe"}}},

		// NUL-delimited, as in /proc/PID/environ.
		{"a=1\x00b=2\x00", 0, []Assignment{{"a", "1"}, {"b", "2"}}},
		{"a=1\x00b=2", 0, []Assignment{{"a", "1"}, {"b", "2"}}},
		{"a=1\n2\x00\x00b='3\n'\x00", 0, []Assignment{{"a", "1\n2"}, {"b", "3\n"}}},
	} {
		got, err := Parse([]byte(test.data), test.delimiter, "FILE")
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%q, delimiter %q: %q, %v, want %q", test.data, test.delimiter, got, err, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct {
		data      string
		delimiter byte
		want      string
	}{
		{"bar\n", '\n', "can't parse variable: no delimiter: /a/b:1"},
		{"a=1\nbar", '\n', "can't parse variable: no delimiter: /a/b:2"},
		{"a=1\n\n\nbar\nb=2\n", '\n', "can't parse variable: no delimiter: /a/b:4"},
		{" \n", '\n', "can't parse variable: no delimiter: /a/b:1"},
		{"=bar\n", '\n', "can't parse variable: empty name: /a/b:1"},
		{"\n=\n", '\n', "can't parse variable: empty name: /a/b:2"},
		{"a=1\x00\x00bar\x00", 0, "can't parse variable: no delimiter: /a/b:3"},
		{"a=1\x00=\x00", 0, "can't parse variable: empty name: /a/b:2"},
		{"a=1\nb=2\x00c=3\n", '\n', "can't parse variable: NUL byte: /a/b:2"},
	} {
		got, err := Parse([]byte(test.data), test.delimiter, "/a/b")
		if err == nil || err.Error() != test.want {
			t.Errorf("%q, delimiter %q: %q, %v, want error %q", test.data, test.delimiter, got, err, test.want)
		}
	}
}

func TestParseOne(t *testing.T) {
	for _, test := range []struct {
		text string
		want Assignment
		err  error
	}{
		{"a=b", Assignment{"a", "b"}, nil},
		{"a='b\nc'", Assignment{"a", "b\nc"}, nil},
		{"a=", Assignment{"a", ""}, nil},
		{"a", Assignment{}, ErrNoDelimiter},
		{"", Assignment{}, ErrNoDelimiter},
		{"=", Assignment{}, ErrEmptyName},
		{"=b", Assignment{}, ErrEmptyName},
	} {
		if got, err := ParseOne(test.text); got != test.want || err != test.err {
			t.Errorf("%q: %q, %v, want %q, %v", test.text, got, err, test.want, test.err)
		}
	}
}

func TestExpand(t *testing.T) {
	env := New([]string{"SET=foo", "PATH=/x:/y", "EMPTY=", "DOLLAR=$SET", "=nameless"})
	for value, want := range map[string]string{
		"":    "",
		"bar": "bar",
		":":   ":",
		"::":  "::",

		"$SET":         "foo",
		":$SET":        ":foo",
		"::$SET":       "::foo",
		"$SET:":        "foo:",
		"$SET::":       "foo::",
		"$SET:$SET":    "foo:foo",
		"bar:$SET":     "bar:foo",
		"$SET:bar":     "foo:bar",
		"bar:$SET:baz": "bar:foo:baz",
		"$PATH:/z":     "/x:/y:/z",
		"$DOLLAR":      "$SET", // expanded once

		"$UNSET":         "",
		":$UNSET":        "",
		"::$UNSET":       ":",
		"$UNSET:":        "",
		"$UNSET::":       ":",
		"$UNSET:$UNSET":  "",
		"foo:$UNSET":     "foo",
		"$UNSET:foo":     "foo",
		"foo:$UNSET:bar": "foo:bar",
		"$EMPTY":         "",
		"foo:$EMPTY:bar": "foo:bar",

		"$":         "$",
		":$":        ":$",
		"$:bar":     "$:bar",
		"bar$SET":   "bar$SET",
		"bar:x$SET": "bar:x$SET",
		"$SETx":     "",
		"$SET/bar":  "",
		"${SET}":    "",
		"$$SET":     "",
		`\$SET`:     `\$SET`,
		"'$SET'":    "'$SET'",
		"$SET $SET": "",
	} {
		if got := env.Expand(value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
