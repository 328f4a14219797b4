package message

import (
	"os/exec"
	"strings"
	"testing"
)

// TestQuoteForShell gives the words to a shell, which must recover them.
func TestQuoteForShell(t *testing.T) {
	words := []string{
		"", "a", "a b", " ", "  a  ", "a\nb", "\n", "\t", "\x01\x1b[31m\x7f", "a\r\n",
		"'", "''", `"`, `\`, `\\`, `a\nb`, `\x41`, "a'b\nc", "a\\\nb", `a"b'c`,
		"$", "$HOME", "${HOME}", "$(id)", "`id`", "$((1))", "a$", `\$a`, "$'a'", "$\n`id`",
		"!", "!!", "a!b", "*", "?", "[a]", "{a,b}", "~", "~root", "a~", "#", "#a", "a#",
		";", "&", "|", "<", ">", "(", ")", "a;b", "a&&b", "=", "a=b", "-", "--", "-n", "%s", "%", "^", "@", ":",
		"é", "日本", "\u00a0", "\u2028", "\xff", "a\xffb", "\xc3", "\xed\xa0\x80", "é\n", "\xff1", "\n1", "\na", "\x7fF",
		"/usr/bin/a,b.c+d_e-f",
	}
	for c := 1; c < 256; c++ {
		words = append(words, string([]byte{byte(c)}), "x"+string([]byte{byte(c)})+"1")
	}
	for _, locale := range []string{"C", "C.UTF-8"} {
		shell := exec.Command("bash", "-c", `printf '%s\0' `+Quote(words))
		shell.Env = []string{"LC_ALL=" + locale}
		output, err := shell.Output()
		if err != nil {
			t.Fatalf("bash: %v (Debian package bash)", err)
		}
		got := strings.Split(strings.TrimSuffix(string(output), "\x00"), "\x00")
		if len(got) != len(words) {
			t.Fatalf("LC_ALL=%s: %d words, want %d", locale, len(got), len(words))
		}
		for i := range words {
			if got[i] != words[i] {
				t.Errorf("LC_ALL=%s: %q, quoted %s, is %q to the shell", locale, words[i], Quote(words[i:i+1]), got[i])
			}
		}
	}
	if quoted := Quote(words); strings.IndexFunc(quoted, isControl) >= 0 {
		t.Errorf("control characters in %q", quoted)
	}
}

// TestQuote has what people and log scrapers see.
func TestQuote(t *testing.T) {
	for _, test := range []struct {
		words []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, `""`},
		{[]string{"ls", "-l", "/usr/bin"}, "ls -l /usr/bin"},
		{[]string{"--bind=/x:/y", "A=b", "50%", "a@b,c"}, "--bind=/x:/y A=b 50% a@b,c"},
		{[]string{"sh", "-c", "echo $HOME"}, `sh -c "echo \$HOME"`},
		{[]string{`a"b`, "`", `\`}, `"a\"b" "\` + "`" + `" "\\"`},
		{[]string{"a b", "é"}, `"a b" "é"`},
		{[]string{"a\nb'c\\"}, `$'a\x0ab\'c\\'`},
		{[]string{"\xff"}, `$'\xff'`},
	} {
		if got := Quote(test.words); got != test.want {
			t.Errorf("%q: %s, want %s", test.words, got, test.want)
		}
	}
}
