// Completion prints the script with which a shell completes command lines of ch-run, made from the table
// of options:
//
//	go run ./scripts/completion bash|zsh|fish
//
// Files and directories are offered for IMAGE, for the words of COMMAND, and where the table says so.
package main

import (
	"fmt"
	"os"
	"strings"
	"text/template"

	"ch-run/internal/cli"
)

var scripts = map[string]string{"bash": bash, "zsh": zsh, "fish": fish}

func main() {
	if len(os.Args) != 2 || scripts[os.Args[1]] == "" {
		fmt.Fprintln(os.Stderr, "usage: completion bash|zsh|fish")
		os.Exit(2)
	}
	if err := write(scripts[os.Args[1]]); err != nil {
		fmt.Fprintln(os.Stderr, "completion:", err)
		os.Exit(1)
	}
}

func write(script string) error {
	functions := template.FuncMap{
		"shellQuote": shellQuote, "zshSpec": zshSpec, "fishLine": fishLine,
		"longs": longs, "shorts": shorts, "patterns": patterns, "names": names, "isWords": isWords, "join": strings.Join,
	}
	t, err := template.New("").Funcs(functions).Parse(script)
	if err != nil {
		return err
	}
	return t.Execute(os.Stdout, cli.Table())
}

// takes says whether the word after the option is its argument.
func takes(o cli.Option) bool { return o.Argument != "" && !o.Optional }

// isWords says whether the completion is a list of words.
func isWords(c cli.Completion) bool {
	return c != cli.CompleteNothing && c != cli.CompleteFile && c != cli.CompleteDirectory
}

// longs returns the long options that take the next word as their argument, or those that do not.
func longs(taking bool, separator string) string {
	var list []string
	for _, o := range cli.Table() {
		if takes(o) == taking {
			list = append(list, o.Long)
		}
	}
	return strings.Join(list, separator)
}

// shorts is longs for the letters of short options. An option whose argument may be attached only ends
// a cluster, so it belongs to neither.
func shorts(taking bool) string {
	var list []byte
	for _, o := range cli.Table() {
		if o.Short != 0 && !o.Optional && takes(o) == taking {
			list = append(list, o.Short)
		}
	}
	return string(list)
}

// names returns all forms of the option.
func names(o cli.Option) []string {
	if o.Short == 0 {
		return []string{"--" + o.Long}
	}
	return []string{"-" + string(o.Short), "--" + o.Long}
}

// patterns returns the pattern of a shell's case that matches the options with the completion.
func patterns(c cli.Completion) string {
	var list []string
	for _, o := range cli.Table() {
		if o.Argument != "" && o.Complete == c {
			list = append(list, names(o)...)
		}
	}
	return strings.Join(list, " | ")
}

// shellQuote quotes a word for bash and zsh.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

const bash = `# bash completion for ch-run(1), generated from the table of its options

_ch_run()
{
    # shellcheck disable=SC2034 # prev is for _init_completion
    local cur prev words cword
    if declare -F _init_completion >/dev/null; then
        _init_completion -n =: || return
    else
        # COMP_WORDS has each "=" and ":" as a word of its own.
        local word glue=''
        words=()
        for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
            if [[ ${#words[@]} -gt 1 && ($glue || $word == [=:]*) ]]; then
                words[-1]+=$word
            else
                words+=("$word")
            fi
            if [[ $word == *[=:] ]]; then glue=1; else glue=; fi
        done
        cword=$((${#words[@]} - 1))
        cur=${words[cword]}
    fi

    # What comes before the current word: operands, and perhaps an option that this is the argument of.
    local i operands=0 dashes='' option='' value=$cur prefix=''
    for ((i = 1; i < cword; i++)); do
        if [[ $dashes || ${words[i]} != -?* ]]; then
            ((++operands))
        elif [[ ${words[i]} == -- ]]; then
            dashes=1
        elif [[ ${words[i]} =~ ^(--({{longs true "|"}})|-[{{shorts false}}]*[{{shorts true}}])$ ]]; then
            if ((++i == cword)); then option=${words[i - 1]}; fi
        fi
        if ((operands == 2 || (operands && ${#dashes}))); then
            return # COMMAND and its arguments: files, as by default
        fi
    done

    if [[ ! $option && ! $dashes && $cur == --*=* ]]; then
        option=${cur%%=*}
        value=${cur#*=}
        if [[ $COMP_WORDBREAKS != *=* ]]; then prefix=$option=; fi
    elif [[ $option == -[!-]* ]]; then
        option=-${option: -1} # the last of a cluster
    fi
    case $option in
        '')
            if [[ ! $dashes && $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W '
{{- range .}}
                    {{join (names .) " "}}
{{- end}}
                ' -- "$cur")
            fi
            ;; # IMAGE: files
        {{patterns "file"}}) ;;
        {{patterns "directory"}})
            compopt +o default -o dirnames
            ;;
{{- range .}}{{if isWords .Complete}}
        {{join (names .) " | "}})
            mapfile -t COMPREPLY < <(compgen -P "$prefix" -W {{shellQuote (print .Complete)}} -- "$value")
            compopt +o default
            ;;
{{- end}}{{end}}
        *) compopt +o default ;;
    esac
} &&
    complete -o default -F _ch_run ch-run
`

// zshSpec returns an argument of _arguments for the option.
func zshSpec(o cli.Option) string {
	explanation := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`).Replace(o.Help)
	var forms []string
	for _, name := range names(o) {
		long := strings.HasPrefix(name, "--")
		switch {
		case o.Optional && long:
			name += "=-" // in the same word
		case o.Optional:
			name += "-"
		case o.Argument != "" && long:
			name += "="
		case o.Argument != "":
			name += "+"
		}
		forms = append(forms, name)
	}
	rest := "[" + explanation + "]" + zshArgument(o)
	if len(forms) == 1 {
		return shellQuote("*" + forms[0] + rest)
	}
	return "'*'{" + shellQuote(forms[0]) + "," + shellQuote(forms[1]) + "}" + shellQuote(rest)
}

func zshArgument(o cli.Option) string {
	if o.Argument == "" {
		return ""
	}
	action := " "
	switch {
	case isWords(o.Complete):
		action = "(" + string(o.Complete) + ")"
	case o.Complete == cli.CompleteDirectory:
		action = "_directories"
	case o.Complete == cli.CompleteFile && strings.Contains(o.Argument, ":"):
		action = `{compset -P "*\:"; _files}`
	case o.Complete == cli.CompleteFile:
		action = "_files"
	}
	colon := ":"
	if o.Optional {
		colon = "::"
	}
	return colon + strings.ReplaceAll(o.Argument, ":", `\:`) + ":" + action
}

const zsh = `#compdef ch-run
# zsh completion for ch-run(1), generated from the table of its options

_arguments -s -S : \
{{- range .}}
    {{zshSpec .}} \
{{- end}}
    '1:IMAGE:_files' \
    '(-)2:COMMAND:_files' \
    '(-)*:ARG:_files'
`

// fishLine returns the complete command for the option.
func fishLine(o cli.Option) string {
	line := "complete -c ch-run -n __ch_run_options"
	if o.Short != 0 {
		line += " -s " + fishQuote(string(o.Short))
	}
	line += " -l " + o.Long
	if takes(o) {
		line += " -r"
	}
	switch {
	case o.Argument == "", o.Optional && o.Complete == cli.CompleteNothing:
	case isWords(o.Complete):
		line += " -f -a " + fishQuote(string(o.Complete))
	case o.Complete == cli.CompleteDirectory:
		line += " -f -a '(__fish_complete_directories)'"
	case o.Complete == cli.CompleteFile:
		line += " -F"
	default:
		line += " -f"
	}
	return line + " -d " + fishQuote(o.Help)
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

const fish = `# fish completion for ch-run(1), generated from the table of its options

function __ch_run_options --description 'Whether an option can stand here'
    set -l words (commandline -opc)
    set -l operands 0
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --
                return 1
            case '-?*'
                # Does it take the next word as its argument?
                if string match -qr -- '^(--({{longs true "|"}})|-[{{shorts false}}]*[{{shorts true}}])$' $words[1]
                    set -e words[1]
                end
            case '*'
                set operands (math $operands + 1)
                test $operands -lt 2; or return 1
        end
        set -e words[1]
    end
end
{{range .}}
{{fishLine .}}
{{- end}}
`
