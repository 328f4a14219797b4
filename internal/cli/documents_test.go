package cli_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ch-run/internal/cli"
)

// The table of options is the source of the parser, the help text and the completions; the manual page
// is written by hand. Here all that users read is compared with the table.

const manual = "../../docs/ch-run.1.scd"

// packages are the Debian packages of the programs that the tests run.
var packages = map[string]string{"bash": "bash", "zsh": "zsh", "fish": "fish", "scdoc": "scdoc", "mandoc": "mandoc"}

// bashCompletion is the library that bash's completions use where it is installed.
const bashCompletion = "/usr/share/bash-completion/bash_completion"

// need fails the test if the program is not installed.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is missing: install package %s", program, packages[program])
	}
}

// run returns what the program prints on standard output. The test fails if the program does, or if it
// prints anything on standard error.
func run(t *testing.T, directory, input, program string, arguments ...string) string {
	t.Helper()
	need(t, program)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Dir = directory
	cmd.Stdin = strings.NewReader(input)
	// Shells are not to find, or leave, anything in the user's home directory.
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "TERM=dumb", "LC_ALL=C.UTF-8")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s %q: %v\n%s%s", program, arguments, err, output, stderr.String())
	}
	return string(output)
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// equal compares two lists without regard to order.
func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func synopses() (list []string) {
	for _, o := range cli.Table() {
		list = append(list, o.Synopsis())
	}
	return list
}

// names returns all options in all their forms.
func names() (list []string) {
	for _, o := range cli.Table() {
		list = append(list, "--"+o.Long)
		if o.Short != 0 {
			list = append(list, "-"+string(o.Short))
		}
	}
	return list
}

// words returns what is offered as the argument of an option, if that is a list of words.
func words(o cli.Option) []string {
	switch o.Complete {
	case cli.CompleteNothing, cli.CompleteFile, cli.CompleteDirectory:
		return nil
	}
	return strings.Fields(string(o.Complete))
}

func TestHelpListsOptions(t *testing.T) {
	var listed []string
	for line := range strings.Lines(cli.Help()) {
		if strings.HasPrefix(line, "  -") || strings.HasPrefix(line, "      -") {
			form, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
			listed = append(listed, form)
		}
	}
	if want := synopses(); !slices.Equal(listed, want) {
		t.Errorf("--help lists\n %q\nwant\n %q", listed, want)
	}
}

func TestManualRenders(t *testing.T) {
	page := run(t, "", read(t, manual), "scdoc")
	need(t, "mandoc")
	cmd := exec.CommandContext(t.Context(), "mandoc", "-T", "lint", "-W", "warning")
	cmd.Stdin = strings.NewReader(page)
	output, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // its status says how bad the worst message is
		t.Fatal(err)
	}
	for line := range strings.Lines(string(output)) {
		if !strings.Contains(line, "skipping paragraph macro") { // scdoc makes more of them than needed
			t.Error(line)
		}
	}
}

// TestManualDocumentsOptions reads the headings of section OPTIONS as the reader sees them.
func TestManualDocumentsOptions(t *testing.T) {
	page := run(t, "", read(t, manual), "scdoc")
	page = run(t, "", page, "mandoc", "-T", "ascii", "-O", "width=100")
	page = regexp.MustCompile(".\b").ReplaceAllString(page, "") // overstrike
	_, options, found := strings.Cut(page, "\nOPTIONS\n")
	if !found {
		t.Fatal("no section OPTIONS")
	}
	options = regexp.MustCompile(`(?m)^\S`).Split(options, 2)[0]
	var headings []string
	for _, match := range regexp.MustCompile(`(?m)^ {5,7}(-.*)$`).FindAllStringSubmatch(options, -1) {
		headings = append(headings, match[1])
	}
	if want := synopses(); !slices.Equal(headings, want) {
		t.Errorf("headings:\n got %q\nwant %q", headings, want)
	}
}

// TestManualNamesOptions looks for options that there are not, and for words that options take.
func TestManualNamesOptions(t *testing.T) {
	source := read(t, manual)
	// Charliecloud's, and those of other programs.
	known := append(names(), "--join", "--security-opt")
	for _, name := range regexp.MustCompile(`--[a-z][a-z0-9-]*`).FindAllString(source, -1) {
		if !slices.Contains(known, name) {
			t.Errorf("the manual page names %s, which does not exist", name)
		}
	}
	for _, o := range cli.Table() {
		_, description, _ := strings.Cut(source, "\n*"+o.Synopsis()+"*\n")
		description, _, _ = strings.Cut(description, "\n\n")
		for _, word := range words(o) {
			if !strings.Contains(description, "*"+word+"*") {
				t.Errorf("the manual page does not say what %s=%s is", o.Long, word)
			}
		}
	}
}

// script returns the path of the generated completion script, and of a directory that holds it and
// directories and files to be offered.
func script(t *testing.T, shell string) (path, directory string) {
	t.Helper()
	directory = t.TempDir()
	for _, name := range []string{"image", "data"} {
		if err := os.Mkdir(filepath.Join(directory, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// compinit of zsh goes by the name.
	path = filepath.Join(directory, "_ch-run")
	text, err := exec.CommandContext(t.Context(), "go", "run", "ch-run/scripts/completion", shell).Output()
	if err != nil {
		t.Fatalf("can't make the script: %v", err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, directory
}

// featureWords are what --feature takes.
func featureWords(t *testing.T) []string {
	t.Helper()
	for _, o := range cli.Table() {
		if o.Long == "feature" {
			return words(o)
		}
	}
	t.Fatal("no option --feature")
	return nil
}

func TestBashCompletion(t *testing.T) {
	if _, err := os.Stat(bashCompletion); err != nil {
		t.Fatalf("%v: install package bash-completion", err)
	}
	path, directory := script(t, "bash")
	run(t, "", "", "bash", "-n", path)
	const files, directories, nothing = "", "+o default -o dirnames", "+o default"
	tests := []struct {
		line    string
		want    []string
		options string // compopt's: what readline completes if there is nothing in want
	}{
		{"ch-run -", names(), files},
		{"ch-run --bi", []string{"--bind"}, files},
		{"ch-run --set-env", []string{"--set-env", "--set-env0"}, files},
		{"ch-run image --ho", []string{"--home"}, files},
		{"ch-run -b image image --ho", []string{"--home"}, files},
		{"ch-run --bind=a:b:ro image --ho", []string{"--home"}, files},
		{"ch-run --bind image", nil, files},
		{"ch-run -tb ", nil, files},
		{"ch-run --set-env=da", nil, files},
		{"ch-run ", nil, files},
		{"ch-run -- --ho", nil, files},
		{"ch-run image -- --ho", nil, files},
		{"ch-run -- image --ho", nil, files},
		{"ch-run image command --ho", nil, files},
		{"ch-run image command --feature ", nil, files},
		{"ch-run --storage ", nil, directories},
		{"ch-run -m i", nil, directories},
		{"ch-run --storage=i", nil, directories},
		{"ch-run --gid ", nil, nothing},
		{"ch-run -vg ", nil, nothing},
		{"ch-run --write-fake=", nil, nothing},
		{"ch-run --feature ", featureWords(t), nothing},
		{"ch-run --feature=", featureWords(t), nothing},
		{"ch-run --feature=ov", []string{"overlayfs"}, nothing},
		{"ch-run -t --test log-", []string{"log-fail"}, nothing},
	}
	libraries := map[string]string{"with the library": bashCompletion, "without": "/dev/null"}
	for name, library := range libraries {
		t.Run(name, func(t *testing.T) {
			for _, test := range tests {
				reply, options := bashComplete(t, library, path, directory, test.line)
				equal(t, test.line, reply, test.want)
				if options != test.options {
					t.Errorf("%s: compopt %q, want %q", test.line, options, test.options)
				}
			}
		})
	}
}

// bashComplete calls the completion function as bash does when the line is completed at its end.
func bashComplete(t *testing.T, library, path, directory, line string) (reply []string, options string) {
	t.Helper()
	const driver = `
		set -u
		compopt() { options=$*; } # the real one works only while readline waits
		options=
		set +u; source "$1"; set -u
		source "$2"
		COMP_LINE=$3 COMP_POINT=${#3} COMP_TYPE=9 COMP_KEY=9
		COMP_WORDS=("${@:4}") COMP_CWORD=$(($# - 4)) COMPREPLY=()
		function=$(complete -p ch-run)
		[[ $function =~ -F\ ([^ ]+) ]]
		set +u
		"${BASH_REMATCH[1]}" ch-run "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		printf '%s\n' "$options" "${COMPREPLY[@]}"`
	// Readline splits words at "=" and ":", and makes these words, too.
	split := regexp.MustCompile(`[=:]+|[^=: ]+`).FindAllString(line, -1)
	if strings.HasSuffix(line, " ") {
		split = append(split, "")
	}
	arguments := append([]string{"--norc", "--noprofile", "-c", driver, "bash", library, path, line}, split...)
	lines := strings.Split(strings.TrimSuffix(run(t, directory, "", "bash", arguments...), "\n"), "\n")
	for _, word := range lines[1:] {
		if word != "" {
			reply = append(reply, word)
		}
	}
	return reply, lines[0]
}

func TestFishCompletion(t *testing.T) {
	path, directory := script(t, "fish")
	run(t, "", "", "fish", "--no-execute", path)
	everything := []string{"_ch-run", "data/", "image/"}
	tests := []struct {
		line string
		want []string
	}{
		{"ch-run --bi", []string{"--bind"}},
		{"ch-run image --ho", []string{"--home"}},
		{"ch-run -b image image --ho", []string{"--home"}},
		{"ch-run -tb image image --ho", []string{"--home"}},
		{"ch-run -tb i", []string{"image/"}},
		{"ch-run ", everything},
		{"ch-run --bind ", everything},
		{"ch-run --set-env=da", []string{"--set-env=data/"}},
		{"ch-run --storage ", []string{"data/", "image/"}},
		{"ch-run --storage=i", []string{"--storage=image/"}},
		{"ch-run --gid ", nil},
		{"ch-run --feature ", featureWords(t)},
		{"ch-run --feature=ov", []string{"--feature=overlayfs"}},
		{"ch-run --test log-", []string{"log-fail"}},
		{"ch-run image -- --ho", nil},
		{"ch-run image command --ho", nil},
		{"ch-run image -- da", []string{"data/"}},
	}
	for _, test := range tests {
		var got []string
		for word := range fishComplete(t, path, directory, test.line) {
			got = append(got, word)
		}
		equal(t, test.line, got, test.want)
	}

	offered := map[string]string{}
	for _, line := range []string{"ch-run -", "ch-run --"} {
		for word, description := range fishComplete(t, path, directory, line) {
			offered[word] = description
		}
	}
	described(t, offered)
}

// fishComplete returns what fish offers, with descriptions.
func fishComplete(t *testing.T, path, directory, line string) map[string]string {
	t.Helper()
	offered := map[string]string{}
	for l := range strings.Lines(run(t, directory, "", "fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, path, line)) {
		word, description, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "\t")
		offered[word] = description
	}
	return offered
}

// described compares options and their descriptions with the table.
func described(t *testing.T, offered map[string]string) {
	t.Helper()
	want := map[string]string{}
	for _, o := range cli.Table() {
		want["--"+o.Long] = o.Help
		if o.Short != 0 {
			want["-"+string(o.Short)] = o.Help
		}
	}
	for name, help := range want {
		if description, ok := offered[name]; !ok {
			t.Errorf("%s is not offered", name)
		} else if description != help {
			t.Errorf("%s: got %q, want %q", name, description, help)
		}
	}
	for name := range offered {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is offered", name)
		}
	}
}

func TestZshCompletion(t *testing.T) {
	path, directory := script(t, "zsh")
	run(t, "", "", "zsh", "-n", path)
	everything := []string{"_ch-run", "data/", "image/"}
	tests := []struct {
		line string
		want []string
	}{
		{"ch-run --bi", []string{"--bind"}},
		{"ch-run image --ho", []string{"--home"}},
		{"ch-run -tb image image --ho", []string{"--home"}},
		{"ch-run ", everything},
		{"ch-run --bind ", everything},
		{"ch-run --bind=data:im", []string{"image/"}},
		{"ch-run --storage ", []string{"data/", "image/"}},
		{"ch-run --storage=i", []string{"image/"}},
		{"ch-run --set-env=da", []string{"data/"}},
		{"ch-run --gid ", nil},
		{"ch-run --feature ", featureWords(t)},
		{"ch-run --feature=ov", []string{"overlayfs"}},
		{"ch-run --test log-", []string{"log-fail"}},
		{"ch-run image -- --ho", nil},
		{"ch-run image command --ho", nil},
		{"ch-run image command da", []string{"data/"}},
	}
	lines := []string{"ch-run -"}
	for _, test := range tests {
		lines = append(lines, test.line)
	}
	lists := zshLists(t, directory, lines)

	offered := map[string]string{}
	listing := regexp.MustCompile(`(?m)^(--[a-z0-9-]+)(?: +(-.))? +-- (.*)$`)
	for _, match := range listing.FindAllStringSubmatch(lists[0], -1) {
		offered[match[1]] = match[3]
		if match[2] != "" {
			offered[match[2]] = match[3]
		}
	}
	described(t, offered)

	for i, test := range tests {
		var got []string
		for line := range strings.Lines(lists[i+1]) {
			words, _, _ := strings.Cut(line, " -- ")
			got = append(got, strings.Fields(words)...)
		}
		equal(t, test.line, got, test.want)
	}
}

// zshLists returns what zsh lists when asked how each of the lines can go on. Only an interactive zsh
// completes, so one is run on a pseudo-terminal, by another.
func zshLists(t *testing.T, directory string, lines []string) []string {
	t.Helper()
	const driver = `
		zmodload zsh/zpty
		zpty shell zsh -f -i
		zpty -w shell "stty rows 200 cols 300; unset zle_bracketed_paste; LISTMAX=1000; bindkey -e"
		zpty -w shell "fpath=(\$PWD \$fpath); autoload -U compinit; compinit -u -D; PS1=rea''dy:"
		zpty -r -m shell output '*ready:*'
		for line; do
			zpty -w shell $line$'\C-d\C-u'"print do''ne" # list the choices; kill the line
			zpty -r -m shell output '*done*ready:*'
			print -rN -- "$output"
		done
		zpty -d shell`
	arguments := append([]string{"-f", "-c", driver, "zsh"}, lines...)
	lists := strings.Split(run(t, directory, "", "zsh", arguments...), "\x00")
	lists = lists[:len(lists)-1]
	if len(lists) != len(lines) {
		t.Fatalf("zsh answered %d of %d lines: %q", len(lists), len(lines), lists)
	}
	for i, list := range lists {
		// The line as typed, and if there is a list, the list, the prompt and the line again.
		list, _, _ = strings.Cut(strings.ReplaceAll(list, "\r", ""), "print do''ne")
		_, list, _ = strings.Cut(list, "\n")
		list, _, _ = strings.Cut(list, "ready:")
		var trimmed []string
		for line := range strings.Lines(list) {
			trimmed = append(trimmed, strings.TrimSpace(line))
		}
		lists[i] = strings.Join(trimmed, "\n")
	}
	return lists
}
