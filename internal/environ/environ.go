// Package environ computes the environment of the command: an ordered list of variables, assignments
// parsed from files, the expansion of their values, and globs over names.
package environ

import (
	"bytes"
	"errors"
	"strings"

	"ch-run/internal/message"
)

// An Environment is a list of variables, in the order in which they were inherited or first set.
type Environment struct{ entries []string }

// New returns an environment with the given entries, usually "NAME=VALUE". Entries of another form
// are passed on.
func New(entries []string) *Environment {
	return &Environment{append([]string(nil), entries...)}
}

// Entries returns the environment as execve(2) takes it.
func (e *Environment) Entries() []string { return e.entries }

func (e *Environment) find(name string) int {
	for i, entry := range e.entries {
		if len(entry) > len(name) && entry[len(name)] == '=' && entry[:len(name)] == name {
			return i
		}
	}
	return -1
}

// Get returns the value of a variable.
func (e *Environment) Get(name string) (value string, ok bool) {
	i := e.find(name)
	if i < 0 {
		return "", false
	}
	return e.entries[i][len(name)+1:], true
}

// Set assigns a variable, in the place where it first stands if it is set already.
func (e *Environment) Set(name, value string) {
	i := e.find(name)
	if i < 0 {
		e.entries = append(e.entries, name+"="+value)
		return
	}
	e.entries[i] = name + "=" + value
	rest := Environment{e.entries[i+1:]}
	rest.remove(func(n string) bool { return n == name })
	e.entries = append(e.entries[:i+1], rest.entries...)
}

// Unset removes a variable.
func (e *Environment) Unset(name string) {
	e.remove(func(n string) bool { return n == name })
}

// UnsetMatching removes the variables whose names match the glob and returns their names.
func (e *Environment) UnsetMatching(glob Glob) []string {
	return e.remove(glob.Match)
}

// remove drops the entries whose names satisfy match.
func (e *Environment) remove(match func(name string) bool) (removed []string) {
	kept := e.entries[:0]
	for _, entry := range e.entries {
		name, _, ok := strings.Cut(entry, "=")
		if ok && match(name) {
			removed = append(removed, name)
		} else {
			kept = append(kept, entry)
		}
	}
	e.entries = kept
	return removed
}

// AppendToPath appends directory to PATH unless an element already begins with it. It reports whether
// PATH is set.
func (e *Environment) AppendToPath(directory string) bool {
	path, ok := e.Get("PATH")
	if !ok {
		return false
	}
	for element := range strings.SplitSeq(path, ":") {
		if strings.HasPrefix(element, directory) {
			return true
		}
	}
	e.Set("PATH", path+":"+directory)
	return true
}

// An Assignment is a variable to be set, its value not yet expanded.
type Assignment struct{ Name, Value string }

// Parse reads assignments that are separated by delimiter, newline or NUL. One pair of single quotes
// around a value is removed; there are no comments and no escapes. source stands for the data in
// errors.
func Parse(data []byte, delimiter byte, source string) ([]Assignment, error) {
	var list []Assignment
	for number := 1; len(data) > 0; number++ {
		line, rest, _ := bytes.Cut(data, []byte{delimiter})
		data = rest
		if len(line) == 0 {
			continue
		}
		if bytes.IndexByte(line, 0) >= 0 {
			return nil, message.Errorf("can't parse variable: NUL byte: %s:%d", source, number)
		}
		a, err := ParseOne(string(line))
		if err != nil {
			return nil, message.Errorf("can't parse variable: %v: %s:%d", err, source, number)
		}
		list = append(list, a)
	}
	return list, nil
}

// What can be wrong with an assignment.
var (
	ErrNoDelimiter = errors.New("no delimiter")
	ErrEmptyName   = errors.New("empty name")
)

// ParseOne reads one assignment.
func ParseOne(text string) (Assignment, error) {
	name, value, ok := strings.Cut(text, "=")
	switch {
	case !ok:
		return Assignment{}, ErrNoDelimiter
	case name == "":
		return Assignment{}, ErrEmptyName
	}
	if len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'' {
		value = value[1 : len(value)-1]
	}
	return Assignment{name, value}, nil
}

// Expand returns value, taken as a search path, with each item that is "$NAME" replaced by
// the value of that variable, or dropped together with its colon if that is unset or empty.
func (e *Environment) Expand(value string) string {
	var items []string
	for item := range strings.SplitSeq(value, ":") {
		if len(item) >= 2 && item[0] == '$' {
			item, _ = e.Get(item[1:])
			if item == "" {
				continue
			}
		}
		items = append(items, item)
	}
	return strings.Join(items, ":")
}
