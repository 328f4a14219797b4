// Package cli is the command line of ch-run: the table of its options, from which parsing, --help,
// the shell completions and the tests of the manual page are made, and the parser.
package cli

import (
	"math"
	"strconv"

	"ch-run/internal/message"
)

// Options are the settings that the command line makes, unchecked but for their syntax.
type Options struct {
	Image   string
	Command []string

	Binds       []string // as given to --bind, in order
	Devices     []string // as given to --device, in order
	CDIDirs     *string  // nil: not given
	Strict      bool     // --device-strict
	Directory   string   // --cd
	Environment []EnvironmentChange
	UID, GID    *uint32 // nil: the caller's
	Home        bool
	Join        bool    // --join, or implied
	JoinSize    int32   // --join-ct; 0: not given
	JoinTag     *string // --join-tag; nil: not given
	JoinPID     int32   // --join-pid; 0: not given
	JoinTimeout *uint32 // --join-timeout, in seconds; nil: not given
	Mount       *string // nil: not given
	NoPasswd    bool
	Storage     *string // nil: not given
	Seccomp     bool
	PrivateTmp  bool
	Unsafe      bool
	Write       bool
	WriteFake   string // size as tmpfs takes it; "": no overlay
	Verbosity   int    // number of -v, or minus the number of -q
	Task        Task   // what to do instead of a launch
	Warnings    int    // --warnings
	Feature     string // --feature

	noExpand       bool
	verbose, quiet int
}

// An EnvironmentChange is one --set-env, --set-env0 or --unset-env, or what comes with a --device.
type EnvironmentChange struct {
	Device    int    // which of Devices, from 1 on; 0: it is an option of its own
	Unset     string // the glob, if it is --unset-env
	Set       string // the argument of --set-env; "" without one
	Delimiter byte   // between assignments in a file: newline or NUL
	Expand    bool
}

// Task is what the command line asks for instead of a launch.
type Task int

// The tasks.
const (
	TaskNone Task = iota
	TaskLog
	TaskLogFail
	TaskWarnings
	TaskFeature
)

// An Option is a row of the table of options.
type Option struct {
	Long     string
	Short    byte   // 0: none
	Argument string // its name in texts; "": it takes none
	Optional bool   // the argument may be left out
	Help     string // one line, for --help and completions
	Complete Completion

	set func(o *Options, argument string) error
	// setDefault is set for an Optional argument that was left out.
	setDefault func(o *Options) error
}

// Completion is what a shell offers as the argument of an option.
type Completion string

// The completions. Any other value is a space-separated list of words.
const (
	CompleteNothing   Completion = ""
	CompleteFile      Completion = "file"
	CompleteDirectory Completion = "directory"
)

// defaultOverlaySize is the size of the tmpfs of --write-fake without argument, in terms of tmpfs(5).
const defaultOverlaySize = "12%"

// Table returns the options in the order in which texts list them.
func Table() []Option {
	flag := func(set func(*Options)) func(*Options, string) error {
		return func(o *Options, _ string) error { set(o); return nil }
	}
	return []Option{
		{Long: "bind", Short: 'b', Argument: "SRC[:DST[:OPTS]]", Complete: CompleteFile,
			Help: "bind host SRC at DST (default: SRC); OPTS: ro, rw",
			set:  func(o *Options, v string) error { o.Binds = append(o.Binds, v); return nil }},
		{Long: "cd", Short: 'c', Argument: "DIR",
			Help: "working directory in the container (default: /)",
			set:  func(o *Options, v string) error { o.Directory = v; return nil }},
		{Long: "cdi-dirs", Argument: "DIR[:DIR...]", Complete: CompleteDirectory,
			Help: "where CDI specifications are; see ch-run(1)",
			set:  func(o *Options, v string) error { o.CDIDirs = &v; return nil }},
		{Long: "device", Short: 'd', Argument: "WHAT", Complete: CompleteFile,
			Help: "inject a CDI device: VENDOR/CLASS[=NAME], or a file",
			set: func(o *Options, v string) error {
				o.Devices = append(o.Devices, v)
				o.Environment = append(o.Environment, EnvironmentChange{Device: len(o.Devices)})
				return nil
			}},
		{Long: "device-strict",
			Help: "fail where a part of a device cannot be injected",
			set:  flag(func(o *Options) { o.Strict = true })},
		{Long: "env-no-expand",
			Help: "do not expand $ in the values of later --set-env",
			set:  flag(func(o *Options) { o.noExpand = true })},
		{Long: "feature", Argument: "FEAT", Complete: "extglob seccomp squash overlayfs tmpfs-xattrs cdi join-handles",
			Help: "exit 0 if FEAT is available, 87 if not",
			set:  func(o *Options, v string) error { o.Task, o.Feature = TaskFeature, v; return nil }},
		{Long: "gid", Short: 'g', Argument: "GID",
			Help: "group ID in the container (default: yours)",
			set:  func(o *Options, v string) (err error) { o.GID, err = parseID("--gid", v); return err }},
		{Long: "home",
			Help: "bind $HOME at /home/$USER; implies --write-fake",
			set: flag(func(o *Options) {
				o.Home = true
				if o.WriteFake == "" {
					o.WriteFake = defaultOverlaySize
				}
			})},
		{Long: "join", Short: 'j',
			Help: "share one container with peer ch-run processes",
			set:  flag(func(o *Options) { o.Join = true })},
		{Long: "join-ct", Argument: "N",
			Help: "number of peers; implies --join",
			set: func(o *Options, v string) error {
				n, err := parseInt("--join-ct", v)
				if err == nil && n > math.MaxInt32 {
					err = message.Errorf("--join-ct: out of range")
				}
				o.Join, o.JoinSize = true, int32(n)
				return err
			}},
		{Long: "join-pid", Argument: "PID",
			Help: "enter the container of an existing process",
			set: func(o *Options, v string) (err error) {
				o.JoinPID, err = parsePositive("--join-pid", v)
				return err
			}},
		{Long: "join-tag", Argument: "TAG",
			Help: "name of the peer group; implies --join",
			set: func(o *Options, v string) error {
				if v == "" {
					return message.Errorf("join: peer group tag cannot be empty string")
				}
				o.Join, o.JoinTag = true, &v
				return nil
			}},
		{Long: "join-timeout", Argument: "SECONDS",
			Help: "how long to wait for peers (default: 30)",
			set: func(o *Options, v string) error {
				n, err := parsePositive("--join-timeout", v)
				seconds := uint32(n)
				o.JoinTimeout = &seconds
				return err
			}},
		{Long: "mount", Short: 'm', Argument: "DIR", Complete: CompleteDirectory,
			Help: "mount point for SquashFS; ignored for directories",
			set: func(o *Options, v string) error {
				if v == "" {
					return message.Errorf("mount point can't be empty string")
				}
				o.Mount = &v
				return nil
			}},
		{Long: "no-passwd",
			Help: "do not provide generated /etc/passwd and /etc/group",
			set:  flag(func(o *Options) { o.NoPasswd = true })},
		{Long: "quiet", Short: 'q',
			Help: "print less; up to three times; not with --verbose",
			set:  flag(func(o *Options) { o.quiet++ })},
		{Long: "storage", Short: 's', Argument: "DIR", Complete: CompleteDirectory,
			Help: "storage directory, for images by name",
			set:  func(o *Options, v string) error { o.Storage = &v; return nil }},
		{Long: "seccomp",
			Help: "fake success of privileged system calls",
			set:  flag(func(o *Options) { o.Seccomp = true })},
		{Long: "private-tmp", Short: 't',
			Help: "a fresh tmpfs at /tmp instead of the host's",
			set:  flag(func(o *Options) { o.PrivateTmp = true })},
		{Long: "set-env", Argument: "FILE|NAME=VALUE", Optional: true, Complete: CompleteFile,
			Help: "set NAME, or all in FILE (default: /ch/environment)",
			set:  setEnvironment("--set-env", '\n'), setDefault: setDefaultEnvironment('\n')},
		{Long: "set-env0", Argument: "FILE|NAME=VALUE", Optional: true, Complete: CompleteFile,
			Help: "same, but FILE is NUL-delimited",
			set:  setEnvironment("--set-env0", 0), setDefault: setDefaultEnvironment(0)},
		{Long: "test", Argument: "KIND", Complete: "log log-fail",
			Help: "print a message of each level; log-fail: and fail",
			set: func(o *Options, v string) error {
				switch v {
				case "log":
					o.Task = TaskLog
				case "log-fail":
					o.Task = TaskLogFail
				default:
					return message.Errorf("--test: unknown test: %s", v)
				}
				return nil
			}},
		{Long: "uid", Short: 'u', Argument: "UID",
			Help: "user ID in the container (default: yours)",
			set:  func(o *Options, v string) (err error) { o.UID, err = parseID("--uid", v); return err }},
		{Long: "unsafe",
			Help: "allow what is refused by default; see ch-run(1)",
			set:  flag(func(o *Options) { o.Unsafe = true })},
		{Long: "unset-env", Argument: "GLOB",
			Help: "remove variables whose names match GLOB",
			set: func(o *Options, v string) error {
				if v == "" {
					return message.Errorf("--unset-env: GLOB must have non-zero length")
				}
				o.Environment = append(o.Environment, EnvironmentChange{Unset: v})
				return nil
			}},
		{Long: "verbose", Short: 'v',
			Help: "print more; up to three times",
			set:  flag(func(o *Options) { o.verbose++ })},
		{Long: "warnings", Argument: "NUM",
			Help: "print NUM warnings and exit",
			set: func(o *Options, v string) error {
				n, err := parseInt("--warnings", v)
				if err == nil && n < 0 {
					err = message.Errorf("--warnings: must be non-negative")
				}
				o.Task, o.Warnings = TaskWarnings, int(n)
				return err
			}},
		{Long: "write", Short: 'w',
			Help: "mount the image read-write (directory images only)",
			set:  flag(func(o *Options) { o.Write = true })},
		{Long: "write-fake", Short: 'W', Argument: "SIZE", Optional: true,
			Help: "writable tmpfs over the image (default SIZE: " + defaultOverlaySize + ")",
			set: func(o *Options, v string) error {
				if v == "" {
					return message.Errorf("--write-fake: SIZE can't be empty")
				}
				o.WriteFake = v
				return nil
			},
			setDefault: func(o *Options) error { o.WriteFake = defaultOverlaySize; return nil }},
		{Long: "help", Short: '?',
			Help: "print this help and exit",
			set:  func(*Options, string) error { return errHelp }},
		{Long: "usage",
			Help: "print a short usage message and exit",
			set:  func(*Options, string) error { return errUsage }},
		{Long: "version", Short: 'V',
			Help: "print the version and exit",
			set:  func(*Options, string) error { return errVersion }},
	}
}

func setEnvironment(option string, delimiter byte) func(*Options, string) error {
	return func(o *Options, v string) error {
		if v == "" {
			return message.Errorf("%s: argument can't be empty", option)
		}
		o.Environment = append(o.Environment, EnvironmentChange{Set: v, Delimiter: delimiter, Expand: !o.noExpand})
		return nil
	}
}

func setDefaultEnvironment(delimiter byte) func(*Options) error {
	return func(o *Options) error {
		o.Environment = append(o.Environment, EnvironmentChange{Delimiter: delimiter, Expand: !o.noExpand})
		return nil
	}
}

// parseInt returns the decimal number s, in the words and limits of the C program's int.
func parseInt(option, s string) (int64, error) {
	digits := s
	if digits != "" && (digits[0] == '-' || digits[0] == '+') {
		digits = digits[1:]
	}
	end := 0
	for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
		end++
	}
	if end == 0 {
		return 0, message.Errorf("%s: no digits found", option)
	}
	if end < len(digits) {
		return 0, message.Errorf("%s: extra characters after digits", option)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < math.MinInt32 || n > math.MaxUint32 {
		return 0, message.Errorf("%s: out of range", option)
	}
	return n, nil
}

func parsePositive(option, s string) (int32, error) {
	n, err := parseInt(option, s)
	switch {
	case err != nil:
		return 0, err
	case n <= 0:
		return 0, message.Errorf("%s: must be positive", option)
	case n > math.MaxInt32:
		return 0, message.Errorf("%s: out of range", option)
	}
	return int32(n), nil
}

func parseID(option, s string) (*uint32, error) {
	n, err := parseInt(option, s)
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, message.Errorf("%s: must be non-negative", option)
	}
	if n == math.MaxUint32 { // (uid_t)-1 stands for "no ID" in system calls
		return nil, message.Errorf("%s: out of range", option)
	}
	id := uint32(n)
	return &id, nil
}
