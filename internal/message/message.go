// Package message writes what ch-run says on standard error, in the form that scripts and log
// scrapers know from Charliecloud:
//
//	ch-run[PID]: MESSAGE (FILE:LINE)
//
// FILE:LINE is where in this program's source the message, or the error in it, arose.
package message

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// A Level says how important a message is. Smaller is more important.
type Level int

// The levels, from those that are always printed to those that need -vvv.
const (
	LevelError Level = iota - 2
	LevelWarning
	LevelInfo
	LevelVerbose
	LevelDebug
	LevelTrace
)

// reprinted is how many warnings are remembered for [Log.Reprint].
const reprinted = 32

// A Log prints the messages that its verbosity admits. The zero value prints information, warnings and
// errors.
type Log struct {
	// Verbosity is the number of -v, or minus the number of -q.
	Verbosity int

	warnings []string
}

// Warning reports something that does not keep the command from running.
func (l *Log) Warning(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(l.warnings) < reprinted {
		l.warnings = append(l.warnings, text+caller(2).String())
	}
	l.print(LevelWarning, caller(2), text)
}

// Info reports something that the user did not ask to hear.
func (l *Log) Info(format string, args ...any) { l.printf(LevelInfo, format, args) }

// Verbose reports a setting or a step (-v).
func (l *Log) Verbose(format string, args ...any) { l.printf(LevelVerbose, format, args) }

// Debug reports a detail (-vv).
func (l *Log) Debug(format string, args ...any) { l.printf(LevelDebug, format, args) }

// Trace reports everything else (-vvv).
func (l *Log) Trace(format string, args ...any) { l.printf(LevelTrace, format, args) }

// Error reports err, whatever the verbosity.
func (l *Log) Error(err error) {
	var e *Error
	if errors.As(err, &e) {
		l.print(LevelError, e.at, e.Error())
		return
	}
	l.print(LevelError, caller(2), Reason(err))
}

// Reprint prints the first warnings again, so that they are not lost above a long start-up.
func (l *Log) Reprint() {
	if len(l.warnings) == 0 || !l.Admits(LevelWarning) {
		return
	}
	l.print(LevelWarning, caller(1), fmt.Sprintf("reprinting first %d warning(s)", len(l.warnings)))
	for _, w := range l.warnings {
		write(LevelWarning, w)
	}
}

// Admits says whether messages of the level are printed; for those that take work to make.
func (l *Log) Admits(level Level) bool {
	switch level {
	case LevelError:
		return true
	case LevelWarning:
		return l.Verbosity > -2
	case LevelInfo:
		return l.Verbosity > -1
	default:
		return l.Verbosity >= int(level)
	}
}

func (l *Log) printf(level Level, format string, args []any) {
	if l.Admits(level) {
		l.print(level, caller(3), fmt.Sprintf(format, args...))
	}
}

func (l *Log) print(level Level, at position, text string) {
	if l.Admits(level) {
		write(level, text+at.String())
	}
}

// write prints one line with one system call, so that the lines of ranks which share a terminal
// do not mix. A message is one line whatever is in it: control characters, a newline in a path for
// one, are escaped.
func write(level Level, text string) {
	prefix := ""
	switch level {
	case LevelError:
		prefix = "error: "
	case LevelWarning:
		prefix = "warning: "
	}
	line := fmt.Sprintf("ch-run[%d]: %s%s", os.Getpid(), prefix, text)
	_, _ = syscall.Write(2, append([]byte(escape(line)), '\n')) // nobody to tell
}

func escape(line string) string {
	if strings.IndexFunc(line, isControl) < 0 {
		return line
	}
	var b strings.Builder
	for _, c := range []byte(line) { // bytes: what is not UTF-8 stays as it is
		if isControl(rune(c)) {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

type position struct {
	file string
	line int
}

func caller(skip int) position {
	_, file, line, _ := runtime.Caller(skip)
	return position{filepath.Base(file), line}
}

func (p position) String() string { return fmt.Sprintf(" (%s:%d)", p.file, p.line) }

// An Error is one line for the user, and knows where it arose.
type Error struct {
	text string
	err  error
	hint string
	at   position
}

// Errorf returns an error with the formatted text.
func Errorf(format string, args ...any) *Error {
	return &Error{text: fmt.Sprintf(format, args...), at: caller(2)}
}

// Wrap returns an error whose text is the formatted one followed by the reason that err, usually
// from a system call, gives.
func Wrap(err error, format string, args ...any) *Error {
	return &Error{text: fmt.Sprintf(format, args...), err: err, at: caller(2)}
}

// Hint adds what the user can do about it.
func (e *Error) Hint(format string, args ...any) *Error {
	e.hint = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) Error() string {
	s := e.text
	if e.err != nil {
		s += ": " + Reason(e.err)
	}
	if e.hint != "" {
		s += " (hint: " + e.hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.err }

// Reason returns the text of err; if a system call failed, just the reason, worded as strerror(3)
// of the C library does: the table in package syscall was made from it, with the first letter
// in lower case.
func Reason(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	const hardwarePoison = 133 // EHWPOISON, which the table lacks
	s := errno.Error()
	switch {
	case errno == hardwarePoison:
		return "Memory page has hardware error"
	case s == fmt.Sprintf("errno %d", int(errno)):
		return fmt.Sprintf("Unknown error %d", int(errno))
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
