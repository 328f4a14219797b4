package environ

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

type globTest struct {
	pattern, name string
	want          bool
}

// globTests are what the C library says, too.
var globTests = []globTest{
	{"", "", true},
	{"", "a", false},
	{"PATH", "PATH", true},
	{"PATH", "PATHS", false},
	{"PATH", "APATH", false},
	{"SLURM_*", "SLURM_JOB_ID", true},
	{"SLURM_*", "SLURM", false},
	{"*_ID", "SLURM_JOB_ID", true},
	{"*", "", true},
	{"*", ".a/b", true},
	{"a**b", "ab", true},
	{"*a*b*", "xaxbx", true},
	{"*a*b*", "xbxax", false},
	{"?", "", false},
	{"?", "é", false}, // two bytes in the C locale
	{"??", "é", true},
	{"*?", "a", true},

	// Brackets.
	{"[abc]", "b", true},
	{"[abc]", "d", false},
	{"[abc]", "", false},
	{"[abc]", "ab", false},
	{"[a-c]x", "bx", true},
	{"[c-a]", "b", false},
	{"[a-]", "-", true},
	{"[-a]", "-", true},
	{"[a-c-e]", "d", false},
	{"[a-c-e]", "-", true},
	{"[--a]", ".", true},
	{"[!a]", "b", true},
	{"[!a]", "a", false},
	{"[!a]", "", false},
	{"[^a]", "b", true},
	{"[^a]", "a", false},
	{"[a^]", "^", true},
	{"[a!]", "!", true},
	{"[]a]", "]", true},
	{"[!]a]", "]", false},
	{"[!]a]", "b", true},
	{"[[]", "[", true},
	{"[*?]", "*", true},
	{"[*?]", "a", false},
	{`[\]]`, "]", true},
	{`[\a-\c]`, "b", true},
	{`[\\]`, `\`, true},
	{"[é]", "\xc3", true}, // bytes in the C locale

	// Classes.
	{"[[:alpha:]_]*", "_x", true},
	{"[[:alpha:]_]*", "1x", false},
	{"[![:digit:]]", "a", true},
	{"[![:digit:]]", "1", false},
	{"[[:digit:][:upper:]]", "A", true},
	{"[[:alpha:]-z]", "-", true},
	{"[[:alpha:]-]", "-", true},
	{"[:alpha:]", "h", true},
	{"[:alpha:]", "b", false},
	{"[[:alpha:]", "a", false},
	{"[[:alpha:]", "[:", true}, // a set of "[:alph" and a colon
	{"[[:]", ":", true},
	{"[[=a=]b]", "a", true},
	{"[[=a=]b]", "=", false},
	{"[[.-.]b]", "-", true},
	{"[[.-.]b]", ".", false},
	{"[[.a.]-c]", "b", true},
	{"[[:][[:alpha:]]", ":a", true}, // a bracket expression each
	{"[[:]x:]", ":x:]", true},
	{"[[:A:]]", ":]", true},    // not like the name of a class: a set, and a bracket
	{"[[:foo:]]", ":]", false}, // no such class: no match
	{"[[:foo:]]", "f", false},
	{"[[:foo:]a]", "a", false},

	// Brackets that are not closed.
	{"[", "[", true},
	{"[a", "[a", true},
	{"[a", "a", false},
	{"[!", "[!", true},
	{"[!a", "[!a", true},
	{"[]", "[]", true},
	{"[]a", "[]a", true},
	{"x[a-z", "x[a-z", true},
	{"*[a", "x[a", true},
	{"[[:alpha", "[[:alpha", true},

	// Escapes.
	{`\*`, "*", true},
	{`\*`, "a", false},
	{`\a`, "a", true},
	{`\\`, `\`, true},
	{`\[a]`, "[a]", true},
	{`\[a]`, "a", false},
	{`\@(a)`, "@(a)", true},
	{`a\`, "a", false},
	{`a\`, `a\`, false}, // there is nothing to be escaped: no match
	{`\`, `\`, false},

	// Groups.
	{"@(a|b)", "a", true},
	{"@(a|b)", "ab", false},
	{"@(a|b)", "", false},
	{"x@(a|b)y", "xby", true},
	{"?(a|b)", "", true},
	{"?(a|b)", "b", true},
	{"?(a|b)", "ab", false},
	{"*(a|b)", "", true},
	{"*(a|b)", "abba", true},
	{"*(a|b)", "abc", false},
	{"+(a|b)", "", false},
	{"+(a|b)", "abba", true},
	{"+(ab|a)b", "aab", true},
	{"!(a|b)", "", true},
	{"!(a|b)", "a", false},
	{"!(a|b)", "ab", true},
	{"!(a|b)*", "a", true}, // nothing, and "a"
	{"!(a|b)c", "ac", false},
	{"!(a|b)c", "abc", true},
	{"!(*)", "a", false},
	{"!(*a*)", "bab", false},
	{"!(!(a))", "a", true},
	{"!(!(a))", "b", false},
	{"a!(b)c", "abc", false},
	{"a!(b)c", "ac", true},
	{"@(a*|*b)", "xb", true},
	{"@([ab]|?c)", "xc", true},
	{"@(a[|]b|c)", "a|b", true},
	{"@(a[)]|c)", "a)", true},
	{"@([]|]|c)", "|", true},
	{"@([!]|]x|b)", "ax", true},
	{"@([^]|]x|b)", "ax", true},

	// Empty alternatives.
	{"@()", "", true},
	{"@()", "a", false},
	{"@(a|)", "", true},
	{"@(|a)", "a", true},
	{"x@(a||b)y", "xy", true},
	{"+()", "", true},
	{"*()", "", true},
	{"*()a", "a", true},
	{"+(|a)", "aa", true},
	{"?()", "", true},
	{"!()", "", false},
	{"!()", "a", true},
	{"!(|a)", "", false},

	// Nested groups.
	{"@(a|@(b|c))", "c", true},
	{"@(a|+(b|c)d)", "bcbd", true},
	{"*(a|+(b)c)", "abbca", true},
	{"!(@(a|b))", "b", false},
	{"!(@(a|b))", "ab", true},
	{"?(!(a))x", "ax", false},
	{"@(a|?(b)|c)", "", true},

	// Groups that are not closed, and parentheses that are no groups.
	{"@(a|b", "@(a|b", true},
	{"@(a|b", "a", false},
	{"@(a|@(b", "@(a|@(b", true},
	{"@(a|@(b)", "@(a|b", true},
	{"*(a", "xx(a", true},
	{"?(a", "x(a", true},
	{"(a|b)", "(a|b)", true},
	{"(a|b)", "a", false},
	{"a|b", "a|b", true},
	{"a)", "a)", true},
	{"BASH_FUNC_*()%%", "BASH_FUNC_%%", true}, // "*()", which users do not expect
	{`BASH_FUNC_*\()%%`, "BASH_FUNC_a()%%", true},
	{"@([)", "@([)", true}, // the bracket is not closed, so the group is not
	{"@([)", "[", false},
	{"@(a(b)", "a(b", true}, // only what could begin a group nests
	{"@(a(b)c)", "a(bc)", true},
	{"@(a(b)c)", "a(b)c", false},
}

// manualTests are cases in which fnmatch(3) of glibc contradicts its documentation.
var manualTests = []globTest{
	// Nothing may follow a "*" that takes all, be it something or nothing.
	{"*@()", "a", true},
	{"*@(a|)", "b", true},
	{"*!(a)", "a", true},
	// A backslash makes a special character ordinary.
	{`@(a\|b)`, "a|b", true},
	{`@(a\|b)`, "b", false},
	{`@(a\)b)`, "a)b", true},
	// A bracket expression that is not closed is not one.
	{"[a-", "[a-", true},
}

func TestGlob(t *testing.T) {
	for _, test := range append(globTests, manualTests...) {
		if got := CompileGlob(test.pattern).Match(test.name); got != test.want {
			t.Errorf("%q matches %q: %v, want %v", test.pattern, test.name, got, test.want)
		}
	}
}

// TestGlobClasses compares every class for every byte that a name can hold.
func TestGlobClasses(t *testing.T) {
	var tests []globTest
	for _, class := range []string{"alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"} {
		for c := 1; c < 256; c++ {
			tests = append(tests, globTest{pattern: "[[:" + class + ":]]", name: string([]byte{byte(c)})})
		}
	}
	compare(t, tests)
}

func TestGlobLikeCLibrary(t *testing.T) {
	tests := append([]globTest(nil), globTests...)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list string) string { return string(list[random.IntN(len(list))]) }
	for len(tests) < 10000 {
		tests = append(tests, globTest{pattern: randomGlob(random, 2), name: randomName(random, "aaabbc-]*")})
	}
	// Junk, of characters that do not lead to one of manualTests.
	for _, characters := range []string{"ab*?", `ab]!^\?*`, "ab@+!?(|)"} {
		for range 5000 {
			pattern := ""
			for range 1 + random.IntN(8) {
				pattern += pick(characters)
			}
			tests = append(tests, globTest{pattern: pattern, name: randomName(random, characters)})
		}
	}
	compare(t, tests)
}

// randomGlob returns a correct pattern.
func randomGlob(random *rand.Rand, depth int) (pattern string) {
	single := []string{"?", "a", "b", "c", "[ab]", "[a-c]", "[!a]", "[^ab]", "[]a]", "[!]b]", "[b-]", "[*a]", "[[:alpha:]]", "[![:punct:]]", `[\]a]`, `\*`, `\b`}
	for range random.IntN(4) {
		s := single[random.IntN(len(single))]
		switch kind := random.IntN(6); {
		case kind == 0 && s != "?":
			pattern += "*" + s // not a group: see manualTests
		case kind != 1 && kind != 2 || depth == 0:
			pattern += s
		default:
			var alternatives []string
			for range 1 + random.IntN(3) {
				alternatives = append(alternatives, randomGlob(random, depth-1))
			}
			pattern += string("?*+@!"[random.IntN(5)]) + "(" + strings.Join(alternatives, "|") + ")"
		}
	}
	return pattern
}

func randomName(random *rand.Rand, characters string) (name string) {
	for range random.IntN(6) {
		name += string(characters[random.IntN(len(characters))])
	}
	return name
}

// compare reports where a pattern matches here but not in the C library, or the other way round.
func compare(t *testing.T, tests []globTest) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "fnmatch")
	if output, err := exec.Command("gcc", "-o", program, "testdata/fnmatch.c").CombinedOutput(); err != nil {
		t.Fatalf("cannot ask the C library: %v (Debian packages gcc, libc6-dev)\n%s", err, output)
	}
	var input bytes.Buffer
	for _, test := range tests {
		input.WriteString(test.pattern + "\x00" + test.name + "\x00")
	}
	oracle := exec.Command(program)
	oracle.Stdin = &input
	answers, err := oracle.Output()
	if err != nil || len(answers) != len(tests) {
		t.Fatalf("%s: %d answers for %d questions, %v", program, len(answers), len(tests), err)
	}
	for i, test := range tests {
		want := answers[i] == '1'
		if got := CompileGlob(test.pattern).Match(test.name); got != want {
			t.Errorf("%q matches %q: %v, C library: %v", test.pattern, test.name, got, want)
		}
	}
}

// TestGlobBacktracking has patterns for which a matcher that tries one way after the other
// would need more time than there is.
func TestGlobBacktracking(t *testing.T) {
	name := strings.Repeat("a", 60)
	for _, pattern := range []string{
		"*(*(*(a|aa)))b",
		"+(+(+(a|aa|aaa)))b",
		strings.Repeat("*a", 30) + "b",
		strings.Repeat("?(a)", 60) + name + "b",
		strings.Repeat("!(b)", 30) + "b",
		"!(!(*(a|aa)))b",
	} {
		if CompileGlob(pattern).Match(name) {
			t.Errorf("%q matches %q", pattern, name)
		}
		if !CompileGlob(pattern).Match(name + name + "b") {
			t.Errorf("%q does not match %q", pattern, name+name+"b")
		}
	}
}
