package cli

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

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
// first word of the command; short options in clusters; long ones abbreviated. The flag library
// assigns the values, one option at a time; abbreviations and attached optional arguments, which
// it does not know, are brought into its form first.
func Parse(args []string) (*Options, error) {
	p := newParser()
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
	flags   *pflag.FlagSet
	table   []Option
}

// noArgument is what the flag library passes for an option without argument. No argument contains
// a NUL byte.
const noArgument = "\x00"

func newParser() *parser {
	p := &parser{flags: pflag.NewFlagSet("ch-run", pflag.ContinueOnError), table: Table()}
	for i := range p.table {
		option := &p.table[i]
		short := ""
		if option.Short != 0 {
			short = string(option.Short)
		}
		f := p.flags.VarPF(&value{p, option}, option.Long, short, option.Help)
		if option.Argument == "" || option.Optional {
			f.NoOptDefVal = noArgument
		}
	}
	return p
}

// value makes an option assignable by the flag library.
type value struct {
	parser *parser
	option *Option
}

func (v *value) String() string { return "" }
func (v *value) Type() string   { return v.option.Argument }

func (v *value) Set(argument string) error {
	switch {
	case argument != noArgument && v.option.Argument == "":
		return usageErrorf("option '--%s' doesn't allow an argument", v.option.Long)
	case argument == noArgument && v.option.Optional:
		return v.option.setDefault(&v.parser.options)
	}
	return v.option.set(&v.parser.options, argument)
}

func usageErrorf(format string, args ...any) error {
	return UsageError{message.Errorf(format, args...).Hint("see 'ch-run --help'")}
}

// operands takes the words behind the options: IMAGE, if it has not come yet, and the command.
func (p *parser) operands(words []string) {
	if !p.image && len(words) > 0 {
		p.options.Image, p.image = words[0], true
		words = words[1:]
	}
	p.options.Command = words
}

// option parses the option at the start of args and returns how many words it takes up.
func (p *parser) option(args []string) (n int, err error) {
	word := args[0]
	if strings.HasPrefix(word, "--") {
		name, attached, hasAttached := strings.Cut(word[2:], "=")
		f, err := p.long(name)
		if err != nil {
			return 0, err
		}
		word = "--" + f.Name
		if hasAttached {
			return 1, p.parse(word + "=" + attached)
		}
		return p.withArgument(f, word, "--"+f.Name, args)
	}

	for i := 1; i < len(word); i++ {
		f := p.short(word[i])
		if f == nil {
			return 0, usageErrorf("invalid option -- '%c'", word[i])
		}
		option := f.Value.(*value).option
		if rest := word[i+1:]; rest != "" && option.Argument != "" {
			return 1, p.parse("--" + f.Name + "=" + rest)
		}
		if i == len(word)-1 {
			return p.withArgument(f, "--"+f.Name, word[i:], args)
		}
		if err := p.parse("--" + f.Name); err != nil {
			return 0, err
		}
	}
	return 1, nil
}

// withArgument parses the option f, written as given, whose argument, if it needs one, is the next word.
func (p *parser) withArgument(f *pflag.Flag, word, given string, args []string) (n int, err error) {
	if f.NoOptDefVal != "" {
		return 1, p.parse(word)
	}
	if len(args) < 2 {
		return 0, usageErrorf("option requires an argument -- '%s'", strings.TrimLeft(given, "-"))
	}
	return 2, p.parse(word + "=" + args[1])
}

func (p *parser) short(c byte) *pflag.Flag {
	if c >= 0x80 { // the library panics on what is not ASCII
		return nil
	}
	return p.flags.ShorthandLookup(string(c))
}

// long finds the long option that name is, or is an unambiguous prefix of.
func (p *parser) long(name string) (*pflag.Flag, error) {
	if f := p.flags.Lookup(name); f != nil {
		return f, nil
	}
	var found []string
	for _, o := range p.table {
		if strings.HasPrefix(o.Long, name) {
			found = append(found, o.Long)
		}
	}
	switch len(found) {
	case 0:
		return nil, usageErrorf("unrecognized option '--%s'", name)
	case 1:
		return p.flags.Lookup(found[0]), nil
	}
	return nil, usageErrorf("option '--%s' is ambiguous; possibilities: --%s", name, strings.Join(found, " --"))
}

// parse hands one option in its full form to the flag library.
func (p *parser) parse(word string) error {
	err := p.flags.Parse([]string{word})
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return invalid.Unwrap() // what Set returned
	}
	return err
}
