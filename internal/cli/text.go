package cli

import (
	"fmt"
	"strings"
)

// Usage returns the one-line synopsis.
func Usage() string { return "Usage: ch-run [OPTION...] IMAGE -- COMMAND [ARG...]\n" }

// ShortUsage returns the synopsis with all options (--usage).
func ShortUsage() string {
	words := []string{"Usage: ch-run"}
	for _, o := range Table() {
		words = append(words, "["+o.forms("|")+"]")
	}
	words = append(words, "IMAGE", "--", "COMMAND", "[ARG...]")
	return wrap(words, 79, 12)
}

// Help returns the help text (--help).
func Help() string {
	var b strings.Builder
	b.WriteString(Usage())
	b.WriteString("\nRun COMMAND in the container image IMAGE: a directory, or the name of an image\n" +
		"in storage. No privilege is needed and none is gained.\n\nOptions:\n")
	for _, o := range Table() {
		form := o.forms(", ")
		if o.Short == 0 {
			form = "    " + form
		}
		if len(form) > 24 {
			form += "\n" + strings.Repeat(" ", 27)
		}
		fmt.Fprintf(&b, "  %-25s %s\n", form, o.Help)
	}
	b.WriteString("\nExample:\n\n  $ ch-run /data/foo -- echo hello\n  hello\n\nSee ch-run(1).\n")
	return b.String()
}

// longForm returns the option as it is written in full.
func (o Option) longForm() string {
	switch {
	case o.Argument == "":
		return "--" + o.Long
	case o.Optional:
		return fmt.Sprintf("--%s[=%s]", o.Long, o.Argument)
	}
	return fmt.Sprintf("--%s=%s", o.Long, o.Argument)
}

// forms returns the short form, if there is one, and the long one.
func (o Option) forms(separator string) string {
	if o.Short == 0 {
		return o.longForm()
	}
	return "-" + string(o.Short) + separator + o.longForm()
}

// Synopsis returns the option with its short form, as the manual page heads its description.
func (o Option) Synopsis() string { return o.forms(", ") }

func wrap(words []string, width, indent int) string {
	var b strings.Builder
	column := 0
	for i, w := range words {
		switch {
		case i == 0:
		case column+1+len(w) > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(w)
		column += len(w)
	}
	return b.String() + "\n"
}
