// Package bind puts files and directories of the host into the tree of an image: it finds or makes
// the mount points, and mounts. The tree is not trusted: its symbolic links, and other processes that
// rename its directories meanwhile, cannot direct anything out of it.
package bind

import (
	"path"
	"strings"

	"ch-run/internal/message"
)

// Kind is what a mount brings into the container.
type Kind int

// The kinds.
const (
	Host    Kind = iota // a file or directory of the host, with everything mounted in it
	Content             // a file that is made for the container
	Tmpfs               // an empty file system in memory
	Symlink             // no mount but a symbolic link, to Source
)

// Need is what to do where source or destination of a mount do not exist.
type Need int

// The needs. Those for the source and those for the destination can be combined.
const (
	SourceOptional      Need = 1 << iota // without source there is no such mount
	DestinationOptional                  // without destination there is no such mount
	Create                               // a missing destination is made

	Required  Need = 0 // either missing is an error
	IfPresent      = SourceOptional | DestinationOptional
)

func (n Need) is(other Need) bool { return n&other != 0 }

// A Mount is one thing that is to appear in a container.
type Mount struct {
	Kind        Kind
	Source      string // path on the host; of a Symlink, what it says
	Content     []byte
	Late        func() []byte // in place of Content, called when the earlier mounts are made
	Destination string        // absolute path in the container
	ReadOnly    bool
	Merge       bool // if the source is a file, by a link into one mount of all its directory; see Tree.spread
	Need        Need
	Hint        string // what the user can do if the source is missing
}

// Parse reads the argument of --bind, SRC[:DST[:OPTS]]. A colon that belongs to a path is written "\:".
func Parse(argument string) (Mount, error) {
	fields := splitColons(argument)
	m := Mount{Kind: Host, Source: fields[0], Need: Create}
	if m.Source == "" {
		return m, message.Errorf("--bind: no source provided")
	}
	m.Destination = m.Source
	if len(fields) > 1 {
		m.Destination = fields[1]
	}
	switch {
	case m.Destination == "":
		return m, message.Errorf("--bind: no destination provided")
	case m.Destination[0] != '/':
		return m, message.Errorf("--bind: destination must be absolute").
			Hint("got %s", m.Destination)
	case path.Clean(m.Destination) == "/" && !climbs(m.Destination):
		return m, message.Errorf("--bind: destination can't be /")
	case len(fields) > 3:
		return m, message.Errorf("--bind: too many colons: %s", argument).
			Hint(`write \: for one that belongs to a path`)
	case len(fields) == 3:
		for option := range strings.SplitSeq(fields[2], ",") {
			switch option {
			case "ro":
				m.ReadOnly = true
			case "rw":
				m.ReadOnly = false
			default:
				return m, message.Errorf("--bind: unknown option: %s", option).Hint("known: ro, rw")
			}
		}
	}
	return m, nil
}

func splitColons(s string) (fields []string) {
	var field strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ':':
			field.WriteByte(':')
			i++
		case s[i] == ':':
			fields = append(fields, field.String())
			field.Reset()
		default:
			field.WriteByte(s[i])
		}
	}
	return append(fields, field.String())
}

// climbs says whether the absolute path, read from left to right, goes above its root.
func climbs(p string) bool {
	depth := 0
	for component := range strings.SplitSeq(p, "/") {
		switch component {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}
