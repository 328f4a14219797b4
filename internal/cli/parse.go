package cli

import (
	"errors"
	"strings"

	"ch-run/internal/message"
)

// A UsageError is a command line that does not follow the synopsis: exit status 64.
type UsageError struct{ message *message.Error }

func (e UsageError) Error() string { return e.message.Error() }

// Unwrap makes the message's place in the source known to package message.
func (e UsageError) Unwrap() error { return e.message }

// A TextRequest is not an error but an option that asks for a text instead of a launch.
type TextRequest string

func (t TextRequest) Error() string { return string(t) }

// The texts that can be asked for.
const (
	errHelp    = TextRequest("help")
	errUsage   = TextRequest("usage")
	errVersion = TextRequest("version")
)

// Parse reads the command line args, without the program's name. Errors are a [UsageError], a
// [TextRequest], or, for a value that is wrong in itself, a [message.Error].
//
// The conventions are those of getopt_long(3): options before and after IMAGE, up to "--" or the
// first word of the command; short options in clusters; long ones abbreviated. The Go flag libraries
// know neither abbreviations nor optional arguments of short options, and every launch pays for
// what they import: spf13/pflag brings in package net, and with it made up 2 to 3 % of a launch.
func Parse(args []string) (*Options, error) {
	p := &parser{table: Table()}
	for len(args) > 0 && p.options.Command == nil {
		word := args[0]
		switch {
		case word == "--":
			p.operands(args[1:])
			args = nil
		case len(word) < 2 || word[0] != '-':
			if p.image {
				p.operands(args)
			} else {
				p.options.Image, p.image = word, true
			}
			args = args[1:]
		default:
			n, err := p.option(args)
			if err != nil {
				return nil, err
			}
			args = args[n:]
		}
	}
	o := &p.options
	switch {
	case o.verbose > 0 && o.quiet > 0:
		return nil, message.Errorf("--verbose and --quiet are incompatible")
	case o.verbose > 3:
		return nil, message.Errorf("--verbose can be specified at most thrice")
	case o.quiet > 3:
		return nil, message.Errorf("--quiet can be specified at most thrice")
	}
	o.Verbosity = o.verbose - o.quiet
	if !p.image {
		return o, ErrNoImage
	}
	if len(o.Command) == 0 {
		return o, ErrNoCommand
	}
	return o, nil
}

// What an otherwise good command line can lack. [Parse] returns these together with the options.
var (
	ErrNoImage   = errors.New("IMAGE and COMMAND not specified")
	ErrNoCommand = errors.New("COMMAND not specified")
)

type parser struct {
	options Options
	image   bool // options.Image is set
	table   []Option
}

func usage(e *message.Error) error { return UsageError{e.Hint("see 'ch-run --help'")} }

// operands takes the words behind the options: IMAGE, if it has not come yet, and the command.
func (p *parser) operands(words []string) {
	if !p.image && len(words) > 0 {
		p.options.Image, p.image = words[0], true
		words = words[1:]
	}
	p.options.Command = words
}

// option parses the option, or the cluster of short ones, at the start of args and returns how many
// words it takes up.
func (p *parser) option(args []string) (words int, err error) {
	word := args[0]
	if strings.HasPrefix(word, "--") {
		name, argument, attached := strings.Cut(word[2:], "=")
		o, err := p.long(name)
		if err != nil {
			return 0, err
		}
		if attached {
			if o.Argument == "" {
				return 0, usage(message.Errorf("option '--%s' doesn't allow an argument", o.Long))
			}
			return 1, o.set(&p.options, argument)
		}
		return p.detached(o, o.Long, args)
	}

	for i := 1; i < len(word)-1; i++ {
		o, err := p.short(word[i])
		if err != nil {
			return 0, err
		}
		if o.Argument != "" {
			return 1, o.set(&p.options, word[i+1:])
		}
		if err := o.set(&p.options, ""); err != nil {
			return 0, err
		}
	}
	last := word[len(word)-1]
	o, err := p.short(last)
	if err != nil {
		return 0, err
	}
	return p.detached(o, string(last), args)
}

// detached parses the option o, written as given at the start of args, whose argument, if it needs one,
// is the next word.
func (p *parser) detached(o *Option, given string, args []string) (words int, err error) {
	switch {
	case o.Argument == "":
		return 1, o.set(&p.options, "")
	case o.Optional:
		return 1, o.setDefault(&p.options)
	case len(args) < 2:
		return 0, usage(message.Errorf("option requires an argument -- '%s'", given))
	}
	return 2, o.set(&p.options, args[1])
}

func (p *parser) short(c byte) (*Option, error) {
	for i := range p.table {
		if o := &p.table[i]; o.Short == c {
			return o, nil
		}
	}
	return nil, usage(message.Errorf("invalid option -- '%s'", string([]byte{c})))
}

// long finds the long option that name is, or is an unambiguous prefix of.
func (p *parser) long(name string) (*Option, error) {
	var found []*Option
	for i := range p.table {
		o := &p.table[i]
		if o.Long == name {
			return o, nil
		}
		if strings.HasPrefix(o.Long, name) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 0:
		return nil, usage(message.Errorf("unrecognized option '--%s'", name))
	case 1:
		return found[0], nil
	}
	var names strings.Builder
	for _, o := range found {
		names.WriteString(" --" + o.Long)
	}
	return nil, usage(message.Errorf("option '--%s' is ambiguous; possibilities:%s", name, names.String()))
}
