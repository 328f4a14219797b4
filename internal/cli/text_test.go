package cli

import (
	"strings"
	"testing"
)

func TestTextsNameEveryOption(t *testing.T) {
	help, usage := collapse(Help()), collapse(ShortUsage())
	for _, o := range Table() {
		form := "--" + o.Long
		switch {
		case o.Optional:
			form += "[=" + o.Argument + "]"
		case o.Argument != "":
			form += "=" + o.Argument
		}
		inHelp, inUsage := form, "["+form+"]"
		if o.Short != 0 {
			inHelp, inUsage = "-"+string(o.Short)+", "+form, "[-"+string(o.Short)+"|"+form+"]"
		}
		if inHelp += " " + collapse(o.Help); !strings.Contains(help, inHelp) {
			t.Errorf("--help lacks %q", inHelp)
		}
		if !strings.Contains(usage, inUsage) {
			t.Errorf("--usage lacks %q", inUsage)
		}
	}
}

// collapse makes all white space single spaces.
func collapse(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestTextsFitTerminal(t *testing.T) {
	for name, text := range map[string]string{"--help": Help(), "--usage": ShortUsage(), "synopsis": Usage()} {
		for line := range strings.Lines(text) {
			line, complete := strings.CutSuffix(line, "\n")
			switch {
			case !complete:
				t.Errorf("%s: the last line does not end: %q", name, line)
			case len(line) > 79:
				t.Errorf("%s: %d columns: %s", name, len(line), line)
			case strings.HasSuffix(line, " "):
				t.Errorf("%s: trailing space: %q", name, line)
			}
		}
	}
}

func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range Table() {
		names := []string{o.Long}
		if o.Short != 0 {
			names = append(names, string(o.Short))
		}
		for _, name := range names {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		if o.Optional != (o.setDefault != nil) || o.Optional && o.Argument == "" {
			t.Errorf("--%s: what may be left out, and what happens then, do not go together", o.Long)
		}
		if o.set == nil || o.Help == "" {
			t.Errorf("--%s is incomplete", o.Long)
		}
	}
}
