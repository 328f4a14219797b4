package cli

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"ch-run/internal/message"
)

func TestParse(t *testing.T) {
	id := func(n uint32) *uint32 { return &n }
	path := func(s string) *string { return &s }
	ls := []string{"ls"}
	for _, test := range []struct {
		line string // words without spaces
		want Options
	}{
		// Where options can stand.
		{"img ls", Options{Image: "img", Command: ls}},
		{"img -- ls", Options{Image: "img", Command: ls}},
		{"-w img ls", Options{Image: "img", Command: ls, Write: true}},
		{"img -w ls", Options{Image: "img", Command: ls, Write: true}},
		{"img -w -- ls", Options{Image: "img", Command: ls, Write: true}},
		{"-t img -w -- ls", Options{Image: "img", Command: ls, Write: true, PrivateTmp: true}},
		{"img ls -l", Options{Image: "img", Command: []string{"ls", "-l"}}},
		{"img ls -w -- -t", Options{Image: "img", Command: []string{"ls", "-w", "--", "-t"}}},
		{"img -- -w", Options{Image: "img", Command: []string{"-w"}}},
		{"img -- -- ls", Options{Image: "img", Command: []string{"--", "ls"}}},
		{"-- img ls", Options{Image: "img", Command: ls}},
		{"-- img -- ls", Options{Image: "img", Command: []string{"--", "ls"}}},
		{"-- -w ls", Options{Image: "-w", Command: ls}},
		{"- - -w", Options{Image: "-", Command: []string{"-", "-w"}}},
		{"-b -- img ls", Options{Image: "img", Command: ls, Binds: []string{"--"}}},

		// Clusters.
		{"-vt img ls", Options{Image: "img", Command: ls, Verbosity: 1, PrivateTmp: true}},
		{"-vtb/x img ls", Options{Image: "img", Command: ls, Verbosity: 1, PrivateTmp: true, Binds: []string{"/x"}}},
		{"-vtb /x img ls", Options{Image: "img", Command: ls, Verbosity: 1, PrivateTmp: true, Binds: []string{"/x"}}},
		{"-tW1g img ls", Options{Image: "img", Command: ls, PrivateTmp: true, WriteFake: "1g"}},

		// Arguments.
		{"-b/x:/y img ls", Options{Image: "img", Command: ls, Binds: []string{"/x:/y"}}},
		{"-b /x img ls", Options{Image: "img", Command: ls, Binds: []string{"/x"}}},
		{"-b=/x img ls", Options{Image: "img", Command: ls, Binds: []string{"=/x"}}},
		{"--bind=/x img ls", Options{Image: "img", Command: ls, Binds: []string{"/x"}}},
		{"--bind /x img ls", Options{Image: "img", Command: ls, Binds: []string{"/x"}}},
		{"--bind=/x=y:/z img ls", Options{Image: "img", Command: ls, Binds: []string{"/x=y:/z"}}},
		{"-b /x img -b /y --bind /z ls", Options{Image: "img", Command: ls, Binds: []string{"/x", "/y", "/z"}}},
		{"-b -v img ls", Options{Image: "img", Command: ls, Binds: []string{"-v"}}},
		{"-c /x img ls", Options{Image: "img", Command: ls, Directory: "/x"}},
		{"-m /x -s /y img ls", Options{Image: "img", Command: ls, Mount: path("/x"), Storage: path("/y")}},
		{"--storage= img ls", Options{Image: "img", Command: ls, Storage: path("")}},

		// Optional arguments are attached.
		{"-W img ls", Options{Image: "img", Command: ls, WriteFake: "12%"}},
		{"-W 1g ls", Options{Image: "1g", Command: ls, WriteFake: "12%"}},
		{"-W1g img ls", Options{Image: "img", Command: ls, WriteFake: "1g"}},
		{"--write-fake img ls", Options{Image: "img", Command: ls, WriteFake: "12%"}},
		{"--write-fake=1g img ls", Options{Image: "img", Command: ls, WriteFake: "1g"}},

		// --home implies --write-fake.
		{"--home img ls", Options{Image: "img", Command: ls, Home: true, WriteFake: "12%"}},
		{"--home -W1g img ls", Options{Image: "img", Command: ls, Home: true, WriteFake: "1g"}},
		{"-W1g --home img ls", Options{Image: "img", Command: ls, Home: true, WriteFake: "1g"}},

		// Abbreviations.
		{"--bin=/x img ls", Options{Image: "img", Command: ls, Binds: []string{"/x"}}},
		{"--b /x img ls", Options{Image: "img", Command: ls, Binds: []string{"/x"}}},
		{"--write img ls", Options{Image: "img", Command: ls, Write: true}},
		{"--write-f img ls", Options{Image: "img", Command: ls, WriteFake: "12%"}},
		{"--write-f=1g img ls", Options{Image: "img", Command: ls, WriteFake: "1g"}},
		{"--no img ls", Options{Image: "img", Command: ls, NoPasswd: true}},

		// IDs.
		{"-u 0 -g 0 img ls", Options{Image: "img", Command: ls, UID: id(0), GID: id(0)}},
		{"--uid=1000 --gid=+1001 img ls", Options{Image: "img", Command: ls, UID: id(1000), GID: id(1001)}},
		{"-u4294967294 img ls", Options{Image: "img", Command: ls, UID: id(4294967294)}},
		{"-u 007 img ls", Options{Image: "img", Command: ls, UID: id(7)}},

		// Environment, in order.
		{"--set-env img ls", Options{Image: "img", Command: ls, Environment: []EnvironmentChange{{Delimiter: '\n', Expand: true}}}},
		{"--set-env=/f img ls", Options{Image: "img", Command: ls, Environment: []EnvironmentChange{{Set: "/f", Delimiter: '\n', Expand: true}}}},
		{"--set-env=a=b=c img ls", Options{Image: "img", Command: ls, Environment: []EnvironmentChange{{Set: "a=b=c", Delimiter: '\n', Expand: true}}}},
		{"--set-env /f ls", Options{Image: "/f", Command: ls, Environment: []EnvironmentChange{{Delimiter: '\n', Expand: true}}}},
		{"--set-env0=/f --set-env0 img ls", Options{Image: "img", Command: ls, Environment: []EnvironmentChange{{Set: "/f", Expand: true}, {Expand: true}}}},
		{"--set-env=a=1 --unset-env=b* --env-no-expand --set-env=c=2 img --set-env0 -- ls", Options{Image: "img", Command: ls, Environment: []EnvironmentChange{
			{Set: "a=1", Delimiter: '\n', Expand: true},
			{Unset: "b*"},
			{Set: "c=2", Delimiter: '\n'},
			{Delimiter: 0},
		}}},

		// Verbosity.
		{"-v -v --verbose img ls", Options{Image: "img", Command: ls, Verbosity: 3}},
		{"-q img ls", Options{Image: "img", Command: ls, Verbosity: -1}},
		{"-qq img -q ls", Options{Image: "img", Command: ls, Verbosity: -3}},

		{"--unsafe img ls", Options{Image: "img", Command: ls, Unsafe: true}},
	} {
		got, err := Parse(strings.Split(test.line, " "))
		if err != nil {
			t.Errorf("%s: %v", test.line, err)
			continue
		}
		got.noExpand, got.verbose, got.quiet = false, 0, 0
		if !reflect.DeepEqual(*got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.line, *got, test.want)
		}
	}
}

func TestParseEmptyWords(t *testing.T) {
	got, err := Parse([]string{"-b", "", "", ""})
	if err != nil || !reflect.DeepEqual(got, &Options{Binds: []string{""}, Command: []string{""}}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseIncomplete(t *testing.T) {
	for line, want := range map[string]error{
		"":                 ErrNoImage,
		"-w":               ErrNoImage,
		"--":               ErrNoImage,
		"-v --":            ErrNoImage,
		"--warnings=1":     ErrNoImage,
		"img":              ErrNoCommand,
		"img --":           ErrNoCommand,
		"-- img":           ErrNoCommand,
		"img -w":           ErrNoCommand,
		"img --feature=id": ErrNoCommand,
	} {
		o, err := Parse(strings.Fields(line))
		if o == nil || err != want {
			t.Errorf("ch-run %s: %v, %v, want options and %v", line, o, err, want)
		}
	}
}

func TestParseTests(t *testing.T) {
	for line, want := range map[string]Options{
		"--test=log":             {Task: TaskLog},
		"--test log-fail":        {Task: TaskLogFail},
		"--warnings=33":          {Task: TaskWarnings, Warnings: 33},
		"-v --warnings 0":        {Task: TaskWarnings, Verbosity: 1},
		"--feature=seccomp":      {Task: TaskFeature, Feature: "seccomp"},
		"--feature=no-such-name": {Task: TaskFeature, Feature: "no-such-name"},
	} {
		got, err := Parse(strings.Fields(line))
		if err != ErrNoImage {
			t.Errorf("%s: %v, want %v", line, err, ErrNoImage)
		}
		if got.Task != want.Task || got.Warnings != want.Warnings || got.Feature != want.Feature || got.Verbosity != want.Verbosity {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}

func TestParseUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"-Z":                      "invalid option -- 'Z'",
		"-vZ img ls":              "invalid option -- 'Z'",
		"img -Z -- ls":            "invalid option -- 'Z'",
		"-v- img ls":              "invalid option -- '-'",
		"-v=1 img ls":             "invalid option -- '='",
		"-1 img ls":               "invalid option -- '1'",
		"-\xff img ls":            "invalid option -- ",
		"--nonsense img ls":       "unrecognized option '--nonsense'",
		"--binds=/x img ls":       "unrecognized option '--binds'",
		"--Bind=/x img ls":        "unrecognized option '--Bind'",
		"--no_passwd img ls":      "unrecognized option '--no_passwd'",
		"--- img ls":              "unrecognized option '---'",
		"--set img ls":            "option '--set' is ambiguous; possibilities: --set-env --set-env0",
		"--w img ls":              "option '--w' is ambiguous; possibilities: --warnings --write --write-fake",
		"--un=x img ls":           "option '--un' is ambiguous; possibilities: --unsafe --unset-env",
		"--=x img ls":             "option '--' is ambiguous; possibilities: --bind --cd ",
		"img -b":                  "option requires an argument -- 'b'",
		"img -vb":                 "option requires an argument -- 'b'",
		"--bind":                  "option requires an argument -- 'bind'",
		"--bin":                   "option requires an argument -- 'bind'",
		"--write=1 img ls":        "option '--write' doesn't allow an argument",
		"--write= img ls":         "option '--write' doesn't allow an argument",
		"--home=/x img ls":        "option '--home' doesn't allow an argument",
		"--he=1":                  "option '--help' doesn't allow an argument",
		"-u x -Z img ls":          "", // the first error counts
		"--nonsense --help":       "unrecognized option '--nonsense'",
		"--unset-env= --nonsense": "",
	} {
		_, err := Parse(strings.Fields(line))
		var usage UsageError
		if isUsage := errors.As(err, &usage); isUsage != (want != "") {
			t.Errorf("%s: %v, want usage error: %v", line, err, want != "")
		}
		if want != "" && (!strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "(hint: see 'ch-run --help')")) {
			t.Errorf("%s: %v, want %s… and a hint", line, err, want)
		}
	}
}

func TestParseValueErrors(t *testing.T) {
	for line, want := range map[string]string{
		"--uid= img ls":                "--uid: no digits found",
		"-u x img ls":                  "--uid: no digits found",
		"--uid=- img ls":               "--uid: no digits found",
		"--uid=1000x img ls":           "--uid: extra characters after digits",
		"--uid=1,2 img ls":             "--uid: extra characters after digits",
		"--uid=-1 img ls":              "--uid: must be non-negative",
		"--uid=4294967295 img ls":      "--uid: out of range",
		"--uid=4294967296 img ls":      "--uid: out of range",
		"--uid=-99999999999 img ls":    "--uid: out of range",
		"--uid=9999999999999999999999": "--uid: out of range",
		"--gid=x img ls":               "--gid: no digits found",
		"-g -1 img ls":                 "--gid: must be non-negative",
		"--warnings=x":                 "--warnings: no digits found",
		"--warnings=1x":                "--warnings: extra characters after digits",
		"--warnings=9999999999":        "--warnings: out of range",

		"--mount= img ls":      "mount point can't be empty string",
		"--unset-env= img ls":  "--unset-env: GLOB must have non-zero length",
		"--set-env= img ls":    "--set-env: argument can't be empty",
		"--set-env0= img ls":   "--set-env0: argument can't be empty",
		"--write-fake= img ls": "--write-fake: SIZE can't be empty",
		"--test=nonsense":      "--test: unknown test: nonsense",

		"-vvvv img ls":   "--verbose can be specified at most thrice",
		"-qq -qq img ls": "--quiet can be specified at most thrice",
		"-v -q img ls":   "--verbose and --quiet are incompatible",
		"-qvvvv img ls":  "--verbose and --quiet are incompatible",
	} {
		_, err := Parse(strings.Fields(line))
		var value *message.Error
		var usage UsageError
		if !errors.As(err, &value) || errors.As(err, &usage) || err.Error() != want {
			t.Errorf("%s: %v, want %s, not as a usage error", line, err, want)
		}
	}
}

func TestParseTextRequests(t *testing.T) {
	for line, want := range map[string]string{
		"--help":               "help",
		"-?":                   "help",
		"-v?":                  "help",
		"--he":                 "help",
		"img --help -- ls":     "help",
		"--help --nonsense":    "help",
		"--usage":              "usage",
		"--us":                 "usage",
		"--version":            "version",
		"-V":                   "version",
		"-vvvv img --vers":     "version",
		"--usage --version -?": "usage",
	} {
		_, err := Parse(strings.Fields(line))
		var text TextRequest
		if !errors.As(err, &text) || string(text) != want {
			t.Errorf("%s: %v, want a request for the text %q", line, err, want)
		}
	}
	for _, line := range []string{"img ls --help", "img -- -?", "-b --help img ls"} {
		if _, err := Parse(strings.Fields(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
