package message

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// stderr returns the lines that f writes to file descriptor 2, without "ch-run[PID]: ".
func stderr(t *testing.T, f func()) []string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	saved, err := syscall.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Dup3(int(file.Fd()), 2, 0); err != nil {
		t.Fatal(err)
	}
	f()
	if err := errors.Join(syscall.Dup3(saved, 2, 0), syscall.Close(saved), file.Close()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		line, complete := strings.CutSuffix(line, "\n")
		line, prefixed := strings.CutPrefix(line, fmt.Sprintf("ch-run[%d]: ", os.Getpid()))
		if !complete || !prefixed {
			t.Errorf("not of the form ch-run[PID]: MESSAGE: %q", line)
		}
		lines = append(lines, line)
	}
	return lines
}

// here returns how a message ends that is written the given number of lines below.
func here(below int) string {
	_, _, line, _ := runtime.Caller(1)
	return fmt.Sprintf(" (message_test.go:%d)", line+below)
}

func TestFormat(t *testing.T) {
	var log Log
	log.Verbosity = 3
	var want []string
	got := stderr(t, func() {
		want = append(want, "error: a 1"+here(1))
		log.Error(Errorf("a %d", 1))
		want = append(want, "error: can't stat: /x: No such file or directory"+here(1))
		log.Error(Wrap(syscall.ENOENT, "can't stat: %s", "/x"))
		want = append(want, "error: Permission denied"+here(1))
		log.Error(syscall.EACCES)
		want = append(want, "error: plain"+here(1))
		log.Error(errors.New("plain"))
		want = append(want, "error: b (hint: try 2)"+here(1))
		log.Error(Errorf("b").Hint("try %d", 2))
		want = append(want, "warning: c 3"+here(1))
		log.Warning("c %d", 3)
		want = append(want, "d 4"+here(1))
		log.Info("d %d", 4)
		want = append(want, "e 5"+here(1))
		log.Verbose("e %d", 5)
		want = append(want, "f 6"+here(1))
		log.Debug("f %d", 6)
		want = append(want, "g 7"+here(1))
		log.Trace("g %d", 7)
	})
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestErrorPosition has errors that are reported far from where they arose.
func TestErrorPosition(t *testing.T) {
	inner, at := Errorf("inner"), here(0)
	for _, test := range []struct {
		err  error
		want string
	}{
		{inner, "error: inner" + at},
		{fmt.Errorf("outer: %w", inner), "error: inner" + at},
		{Wrap(inner, "outer"), "error: outer: inner" + here(0)},
	} {
		got := stderr(t, func() { new(Log).Error(test.err) })
		if !slices.Equal(got, []string{test.want}) {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}

func TestLevels(t *testing.T) {
	for verbosity, want := range map[int]string{
		-3: "error",
		-2: "error",
		-1: "error warning",
		0:  "error warning info",
		1:  "error warning info verbose",
		2:  "error warning info verbose debug",
		3:  "error warning info verbose debug trace",
	} {
		lines := stderr(t, func() {
			log := Log{Verbosity: verbosity}
			log.Error(Errorf("error"))
			log.Warning("warning")
			log.Info("info")
			log.Verbose("verbose")
			log.Debug("debug")
			log.Trace("trace")
		})
		var got []string
		for _, line := range lines {
			words := strings.Fields(line) // [LEVEL:] MESSAGE (FILE:LINE)
			got = append(got, words[len(words)-2])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("verbosity %d: %s, want %s", verbosity, got, want)
		}
	}
}

func TestReprint(t *testing.T) {
	for _, test := range []struct{ verbosity, warnings, want int }{
		{0, 0, 0},
		{0, 1, 1},
		{-1, 2, 2},
		{0, 32, 32},
		{3, 33, 32},
		{0, 100, 32},
		{-2, 5, 0},
		{-3, 5, 0},
	} {
		log := Log{Verbosity: test.verbosity}
		printed := stderr(t, func() {
			for i := range test.warnings {
				log.Warning("this is warning %d!", i+1)
			}
		})
		var want []string
		if test.want > 0 {
			want = append([]string{fmt.Sprintf("warning: reprinting first %d warning(s)", test.want)}, printed[:test.want]...)
		}
		got := stderr(t, log.Reprint)
		if len(got) > 0 {
			got[0], _, _ = strings.Cut(got[0], " (") // where from does not matter
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: got:\n%s\nwant:\n%s", test, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb":              `a\x0ab`,
		"a\nch-run[1]: b\n": `a\x0ach-run[1]: b\x0a`,
		"\x1b[31mred\r":     `\x1b[31mred\x0d`,
		"\t\x01\x7f":        `\x09\x01\x7f`,
		"é\xff€":            "é\xff€",
		"\xff\n":            "\xff" + `\x0a`,
		`back\slash`:        `back\slash`,
		"100%":              "100%",
	} {
		var log Log
		got := stderr(t, func() {
			log.Info("%s", text)
			log.Warning("%s", text)
			log.Reprint()
			log.Error(Errorf("%s", text).Hint("%s", text))
		})
		if len(got) != 5 {
			t.Errorf("%q: %d lines: %q", text, len(got), got)
			continue
		}
		for i, want := range []string{want, "warning: " + want, "warning: reprinting", "warning: " + want, "error: " + want + " (hint: " + want + ")"} {
			if !strings.HasPrefix(got[i], want+" ") {
				t.Errorf("%q: %q, want %q", text, got[i], want)
			}
		}
	}
}

func TestReasonLikeCLibrary(t *testing.T) {
	program := filepath.Join(t.TempDir(), "strerror")
	if output, err := exec.Command("gcc", "-o", program, "testdata/strerror.c").CombinedOutput(); err != nil {
		t.Fatalf("cannot ask the C library: %v (Debian packages gcc, libc6-dev)\n%s", err, output)
	}
	oracle := exec.Command(program)
	oracle.Env = []string{"LC_ALL=C"}
	output, err := oracle.Output()
	texts := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	if err != nil || len(texts) != 133 {
		t.Fatalf("%s: %d texts, %v", program, len(texts), err)
	}
	for i, want := range texts {
		if got := Reason(syscall.Errno(i + 1)); got != want {
			t.Errorf("errno %d: %s, want %s", i+1, got, want)
		}
	}
}

func TestReason(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "plain"},
		{&fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}, "No such file or directory"},
		{fmt.Errorf("step: %w", syscall.EPERM), "Operation not permitted"},
		{Wrap(syscall.EIO, "can't read"), "Input/output error"},
		{Errorf("nothing wrapped"), "nothing wrapped"},
	} {
		if got := Reason(test.err); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
	if err := Wrap(syscall.ENOSPC, "step"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v is not what it wraps", err)
	}
}
