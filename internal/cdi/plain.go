package cdi

import (
	"os"
	"strconv"
	"strings"

	specs "tags.cncf.io/container-device-interface/specs-go"
)

// parsePlain reads YAML of the plain kind that programs write: mappings and sequences in block style, scalars on one
// line, the fields that every vendor uses. It returns nil for whatever may be anything else: a comment behind a value, an
// anchor, a folded text, a word that may stand for a number, an unknown field. It can so be wrong about nothing but
// time; a test compares it with the library.
func parsePlain(data []byte) *specs.Spec {
	p := plain{lines: make([]plainLine, 0, len(data)/24), parent: -1}
	var spec specs.Spec
	if !p.split(string(data)) || !p.spec(&spec) || p.next < len(p.lines) {
		return nil
	}
	return &spec
}

// plain is a text that is read from the first line to the last. Each of its methods reads a value and returns
// whether it is one of the plain kind.
type plain struct {
	lines  []plainLine
	next   int
	inline string // the value, if it stands behind its key or dash
	parent int    // else it is below, and indented more than this
}

type plainLine struct {
	indent int
	text   string // without indentation and trailing blanks
}

// split finds the lines that say something. It returns false if there is more than printable ASCII.
func (p *plain) split(data string) bool {
	for line := range strings.SplitSeq(data, "\n") {
		for i := range len(line) {
			if line[i] < ' ' || line[i] > '~' {
				return false
			}
		}
		text := strings.TrimRight(line, " ")
		indent := len(text) - len(strings.TrimLeft(text, " "))
		text = text[indent:]
		switch {
		case text == "" || text[0] == '#':
			continue
		case indent == 0 && text == "---" && len(p.lines) == 0:
			continue
		case indent == 0 && (strings.HasPrefix(text, "---") || strings.HasPrefix(text, "...")):
			return false
		}
		p.lines = append(p.lines, plainLine{indent, text})
	}
	return true
}

func (p *plain) spec(s *specs.Spec) bool {
	return p.mapping(func(key string) bool {
		switch key {
		case "cdiVersion":
			return p.text(&s.Version)
		case "kind":
			return p.text(&s.Kind)
		case "containerEdits":
			return p.edits(&s.ContainerEdits)
		case "devices":
			s.Devices = []specs.Device{}
			return p.sequence(func() bool {
				s.Devices = append(s.Devices, specs.Device{})
				return p.device(&s.Devices[len(s.Devices)-1])
			})
		}
		return false
	})
}

func (p *plain) device(d *specs.Device) bool {
	return p.mapping(func(key string) bool {
		switch key {
		case "name":
			return p.text(&d.Name)
		case "containerEdits":
			return p.edits(&d.ContainerEdits)
		}
		return false
	})
}

func (p *plain) edits(e *specs.ContainerEdits) bool {
	return p.mapping(func(key string) bool {
		switch key {
		case "env":
			return p.texts(&e.Env)
		case "deviceNodes":
			e.DeviceNodes = []*specs.DeviceNode{}
			return p.sequence(func() bool {
				n := &specs.DeviceNode{}
				e.DeviceNodes = append(e.DeviceNodes, n)
				return p.node(n)
			})
		case "mounts":
			e.Mounts = []*specs.Mount{}
			return p.sequence(func() bool {
				m := &specs.Mount{}
				e.Mounts = append(e.Mounts, m)
				return p.mount(m)
			})
		case "hooks":
			e.Hooks = []*specs.Hook{}
			return p.sequence(func() bool {
				h := &specs.Hook{}
				e.Hooks = append(e.Hooks, h)
				return p.hook(h)
			})
		case "additionalGids":
			e.AdditionalGIDs = []uint32{}
			return p.sequence(func() bool {
				id, ok := p.number(32)
				e.AdditionalGIDs = append(e.AdditionalGIDs, uint32(id))
				return ok
			})
		}
		return false
	})
}

func (p *plain) node(n *specs.DeviceNode) bool {
	return p.mapping(func(key string) bool {
		switch key {
		case "path":
			return p.text(&n.Path)
		case "hostPath":
			return p.text(&n.HostPath)
		case "type":
			return p.text(&n.Type)
		case "permissions":
			return p.text(&n.Permissions)
		}
		bits := 32
		if key == "major" || key == "minor" {
			bits = 63
		}
		number, ok := p.number(bits)
		id := uint32(number)
		switch key {
		case "major":
			n.Major = int64(number)
		case "minor":
			n.Minor = int64(number)
		case "uid":
			n.UID = &id
		case "gid":
			n.GID = &id
		case "fileMode":
			mode := os.FileMode(number)
			n.FileMode = &mode
		default:
			return false
		}
		return ok
	})
}

func (p *plain) mount(m *specs.Mount) bool {
	return p.mapping(func(key string) bool {
		switch key {
		case "hostPath":
			return p.text(&m.HostPath)
		case "containerPath":
			return p.text(&m.ContainerPath)
		case "type":
			return p.text(&m.Type)
		case "options":
			return p.texts(&m.Options)
		}
		return false
	})
}

func (p *plain) hook(h *specs.Hook) bool {
	return p.mapping(func(key string) bool {
		switch key {
		case "hookName":
			return p.text(&h.HookName)
		case "path":
			return p.text(&h.Path)
		case "args":
			return p.texts(&h.Args)
		case "env":
			return p.texts(&h.Env)
		}
		return false
	})
}

// mapping calls each with every key, once. It has to read the value.
func (p *plain) mapping(each func(key string) bool) bool {
	if p.inline != "" {
		return p.inline == "{}"
	}
	indent, ok := p.below()
	if !ok || isItem(p.lines[p.next].text) {
		return false
	}
	had := make([]string, 0, 8)
	for p.next < len(p.lines) && p.lines[p.next].indent >= indent {
		line := p.lines[p.next]
		key, value, ok := cutKey(line.text)
		if !ok || line.indent > indent {
			return false
		}
		for _, other := range had {
			if other == key {
				return false
			}
		}
		had = append(had, key)
		p.next++
		p.inline, p.parent = value, indent
		if !each(key) || value != "" && p.next < len(p.lines) && p.lines[p.next].indent > indent {
			return false
		}
	}
	return true
}

// sequence calls each for every item. It has to read the item.
func (p *plain) sequence(each func() bool) bool {
	if p.inline != "" {
		return p.inline == "[]"
	}
	indent, ok := p.below()
	if !ok {
		return false
	}
	for p.next < len(p.lines) && p.lines[p.next].indent >= indent {
		line := &p.lines[p.next]
		if line.indent == indent && !isItem(line.text) {
			break // it belongs to a mapping around this
		}
		if line.indent > indent || line.text == "-" {
			return false
		}
		text := strings.TrimLeft(line.text[2:], " ")
		p.inline, p.parent = text, indent
		if _, _, ok := cutKey(text); ok {
			// What stands behind the dash is a line of its own, further to the right.
			line.indent += len(line.text) - len(text)
			line.text, p.inline = text, ""
		} else {
			p.next++
		}
		if !each() || p.inline != "" && p.next < len(p.lines) && p.lines[p.next].indent > indent {
			return false
		}
	}
	return true
}

// below returns the indentation of a value that stands below its key or dash.
func (p *plain) below() (indent int, ok bool) {
	if p.next == len(p.lines) {
		return 0, false
	}
	line := p.lines[p.next]
	return line.indent, line.indent > p.parent || line.indent == p.parent && isItem(line.text)
}

func isItem(text string) bool { return text == "-" || strings.HasPrefix(text, "- ") }

// cutKey splits "KEY: VALUE", where KEY consists of letters.
func cutKey(text string) (key, value string, ok bool) {
	i := 0
	for i < len(text) && isLetter(text[i]) {
		i++
	}
	if i == 0 || i == len(text) || text[i] != ':' || i+1 < len(text) && text[i+1] != ' ' {
		return "", "", false
	}
	return text[:i], strings.TrimLeft(text[i+1:], " "), true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

func (p *plain) texts(list *[]string) bool {
	*list = make([]string, 0, 6)
	return p.sequence(func() bool {
		*list = append(*list, "")
		return p.text(&(*list)[len(*list)-1])
	})
}

func (p *plain) text(s *string) bool {
	if p.inline == "" {
		return false
	}
	if quote := p.inline[0]; quote == '"' || quote == '\'' {
		inner, closed := strings.CutSuffix(p.inline[1:], string(quote))
		*s = inner
		return closed && !strings.ContainsAny(inner, `"'\`)
	}
	*s = p.inline
	return meaning(p.inline) == word
}

// number reads a number of so many bits, without sign.
func (p *plain) number(bits int) (uint64, bool) {
	if p.inline == "" || meaning(p.inline) != number {
		return 0, false
	}
	n, err := strconv.ParseUint(p.inline, 10, bits)
	return n, err == nil
}

// What a scalar without quotes is.
const (
	unknown = iota
	word    // a text
	number  // a decimal one
)

// meaning says what a scalar without quotes is, if that is beyond doubt in all versions of YAML.
func meaning(text string) int {
	switch c := text[0]; {
	case isLetter(c) || c == '/' || c == '_':
	case strings.HasPrefix(text, "./"), strings.HasPrefix(text, "../"):
	case c == '-':
		if len(text) < 2 || text[1] != '-' && !isLetter(text[1]) {
			return unknown
		}
	case isDigit(c):
		return numeral(text)
	default:
		return unknown
	}
	if strings.Contains(text, ": ") || strings.Contains(text, " #") || strings.HasSuffix(text, ":") {
		return unknown
	}
	switch strings.ToLower(text) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return unknown
	}
	if strings.HasPrefix(text, "-") && strings.Contains(" -inf -nan ", " "+strings.ToLower(text)+" ") {
		return unknown
	}
	return word
}

// numeral is for what begins with a digit: a short decimal number is one, and three numbers with dots between
// them, as a version has, are a text.
func numeral(text string) int {
	dots := 0
	for i := range len(text) {
		switch {
		case text[i] == '.':
			dots++
		case !isDigit(text[i]):
			return unknown
		}
	}
	switch {
	case dots >= 2 && text[len(text)-1] != '.':
		return word
	case dots == 0 && len(text) < 16 && (text[0] != '0' || text == "0"):
		return number
	}
	return unknown
}
