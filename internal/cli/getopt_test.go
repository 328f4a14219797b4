package cli

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestParseLikeGetopt compares the parser with getopt_long(3), which says what the words of a command
// line are; the table of options, what they mean.
func TestParseLikeGetopt(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	lines := []string{"", "img", "--", "-- img", "-- img -- ls", "img -- -- ls", "img ls -- -v", "- - -v", "img  ls"}
	for len(lines) < 20000 {
		lines = append(lines, randomLine(random))
	}
	for i, answer := range getopt(t, lines) {
		want, wantErr := expected(answer)
		got, err := Parse(strings.Split(lines[i], " ")[:countWords(lines[i])])
		if difference := differ(got, err, want, wantErr); difference != "" {
			t.Errorf("ch-run %s: %s\ngetopt_long(3): %s", lines[i], difference, answer)
		}
	}
}

func countWords(line string) int {
	if line == "" {
		return 0
	}
	return strings.Count(line, " ") + 1
}

// randomLine returns a command line that is mostly correct.
func randomLine(random *rand.Rand) string {
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	argument := func() string {
		return pick("/x", "/x:/y:ro", "0", "1000", "-1", "1x", "", "log", "a=b", "=", "--", "-v", "--home", "*")
	}
	table := Table()
	var words []string
	for range random.IntN(6) {
		option := table[random.IntN(len(table))]
		word := "--" + option.Long
		switch random.IntN(10) {
		case 0, 1:
			words = append(words, pick("img", "ls", "-l", "-", "--", "--", "x=y", "--nonsense", "-Z", "-é", "--=x", "---"))
			continue
		case 2, 3: // a prefix, unambiguous or not
			word = word[:3+random.IntN(len(option.Long))]
		case 4, 5, 6: // a cluster
			word = "-"
			for range random.IntN(4) {
				word += pick("v", "v", "t", "w", "q", "?", "V", "Z")
			}
			if option.Short == 0 {
				word += "v"
				break
			}
			word += string(option.Short)
			if random.IntN(2) == 0 {
				word += argument()
			}
		}
		if strings.HasPrefix(word, "--") && random.IntN(3) == 0 {
			word += "=" + argument()
		}
		words = append(words, word)
		if option.Argument != "" && !option.Optional && random.IntN(3) > 0 {
			words = append(words, argument())
		}
	}
	if random.IntN(2) == 0 {
		words = append(words, "img", "ls")
	}
	return strings.Join(words, " ")
}

// getopt returns the answers of testdata/getopt.c.
func getopt(t *testing.T, lines []string) []string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "getopt")
	if output, err := exec.Command("gcc", "-o", program, "testdata/getopt.c").CombinedOutput(); err != nil {
		t.Fatalf("cannot ask the C library: %v (Debian packages gcc, libc6-dev)\n%s", err, output)
	}
	oracle := exec.Command(program)
	for _, o := range Table() {
		hasArgument := map[bool]int{true: 1}[o.Argument != ""]
		if o.Optional {
			hasArgument = 2
		}
		oracle.Args = append(oracle.Args, fmt.Sprintf("%s:%s:%d", o.Long, strings.TrimLeft(string(o.Short), "\x00"), hasArgument))
	}
	oracle.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	output, err := oracle.Output()
	answers := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	if err != nil || len(answers) != len(lines) {
		t.Fatalf("%s: %d answers for %d questions, %v", program, len(answers), len(lines), err)
	}
	return answers
}

// expected does what an answer says.
func expected(answer string) (*Options, error) {
	table := Table()
	o := &Options{}
	image := false
	for _, word := range strings.Split(strings.TrimSuffix(answer, " "), " ") {
		key, argument, hasArgument := strings.Cut(word, "=")
		switch key {
		case "":
		case "?":
			return nil, UsageError{}
		case "i":
			o.Image, image = argument, true
		case "c":
			o.Command = append(o.Command, argument)
		default:
			option := table[find(table, strings.TrimPrefix(key, "+"))]
			var err error
			if option.Optional && !hasArgument {
				err = option.setDefault(o)
			} else {
				err = option.set(o, argument)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	o.Verbosity = o.verbose - o.quiet
	switch {
	case o.verbose > 3 || o.quiet > 3 || o.verbose > 0 && o.quiet > 0:
		return nil, errVerbosity
	case !image:
		return o, ErrNoImage
	case len(o.Command) == 0:
		return o, ErrNoCommand
	}
	return o, nil
}

// errVerbosity stands for any complaint about -v and -q.
var errVerbosity = errors.New("verbosity")

func find(table []Option, long string) int {
	for i, o := range table {
		if o.Long == long {
			return i
		}
	}
	panic("no such option: " + long)
}

// differ says how two outcomes of parsing differ, if they do.
func differ(got *Options, err error, want *Options, wantErr error) string {
	var usage UsageError
	isUsage, wantUsage := errors.As(err, &usage), wantErr == UsageError{}
	switch {
	case isUsage || wantUsage:
		if isUsage != wantUsage {
			return fmt.Sprintf("%v, want usage error: %v", err, wantUsage)
		}
	case wantErr == errVerbosity:
		if err == nil || !strings.Contains(err.Error(), "--verbose") && !strings.Contains(err.Error(), "--quiet") {
			return fmt.Sprintf("%v, want an error about verbosity", err)
		}
	case fmt.Sprint(err) != fmt.Sprint(wantErr):
		return fmt.Sprintf("%v, want %v", err, wantErr)
	case want != nil:
		if len(got.Command) == 0 {
			got.Command = nil
		}
		if !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("%+v, want %+v", got, want)
		}
	}
	return ""
}
