package cdi

import (
	"bytes"
	"slices"
	"strings"
)

// plainToJSON converts YAML of the plain kind that programs write to JSON: mappings and sequences in block style,
// scalars on one line. It returns nil for whatever may be anything else: a comment behind a value, an anchor,
// a folded text, a word that may stand for a number. It can so be wrong about nothing but time; a test
// compares it with the library.
func plainToJSON(data []byte) []byte {
	p := plain{json: make([]byte, 0, len(data)+len(data)/4)}
	if !p.split(data) || len(p.lines) == 0 || !p.block(p.lines[0].indent, 0) || p.next < len(p.lines) {
		return nil
	}
	return p.json
}

type plain struct {
	lines []plainLine
	next  int
	json  []byte
}

type plainLine struct {
	indent int
	text   string // without indentation and trailing blanks
}

const plainDepth = 12 // of nesting; specifications have 6

// split finds the lines that say something. It returns false if there is more than printable ASCII.
func (p *plain) split(data []byte) bool {
	for number := 0; len(data) > 0; number++ {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		for _, c := range line {
			if c < ' ' || c > '~' {
				return false
			}
		}
		text := strings.TrimRight(string(line), " ")
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

// block converts the mapping or sequence that begins at the next line, which is indented so.
func (p *plain) block(indent, depth int) bool {
	switch {
	case depth > plainDepth:
		return false
	case isItem(p.lines[p.next].text):
		return p.sequence(indent, depth)
	}
	return p.mapping(indent, depth)
}

func isItem(text string) bool { return text == "-" || strings.HasPrefix(text, "- ") }

func (p *plain) sequence(indent, depth int) bool {
	p.json = append(p.json, '[')
	for first := true; p.next < len(p.lines); first = false {
		line := &p.lines[p.next]
		if line.indent < indent || line.indent == indent && !isItem(line.text) {
			break // what follows belongs to a mapping around this
		}
		if line.indent > indent || line.text == "-" {
			return false
		}
		if !first {
			p.json = append(p.json, ',')
		}
		// What stands behind the dash is a line of its own, further to the right.
		text := strings.TrimLeft(line.text[2:], " ")
		line.indent += len(line.text) - len(text)
		line.text = text
		if _, _, isMapping := cutKey(text); isMapping || isItem(text) {
			if !p.block(line.indent, depth+1) {
				return false
			}
			continue
		}
		p.next++
		if !p.scalar(text) || p.next < len(p.lines) && p.lines[p.next].indent > indent {
			return false
		}
	}
	p.json = append(p.json, ']')
	return true
}

func (p *plain) mapping(indent, depth int) bool {
	var had []string
	p.json = append(p.json, '{')
	for p.next < len(p.lines) {
		line := p.lines[p.next]
		if line.indent < indent {
			break
		}
		key, value, ok := cutKey(line.text)
		if line.indent > indent || !ok || slices.Contains(had, key) {
			return false
		}
		if len(had) > 0 {
			p.json = append(p.json, ',')
		}
		had = append(had, key)
		p.json = append(append(append(p.json, '"'), key...), `":`...)
		p.next++
		if value != "" {
			if !p.scalar(value) || p.next < len(p.lines) && p.lines[p.next].indent > indent {
				return false
			}
			continue
		}
		if p.next == len(p.lines) {
			return false
		}
		below := p.lines[p.next]
		if below.indent < indent || below.indent == indent && !isItem(below.text) {
			return false // no value
		}
		if !p.block(below.indent, depth+1) {
			return false
		}
	}
	p.json = append(p.json, '}')
	return true
}

// keys are the words of the standard. Package encoding/json would take them in any case.
const keys = " cdiVersion kind devices name containerEdits env deviceNodes path hostPath type major minor fileMode permissions uid gid " +
	"mounts containerPath options hooks hookName args timeout additionalGids netDevices hostInterfaceName " +
	"intelRdt closID l3CacheSchema memBwSchema schemata enableMonitoring "

// cutKey splits "KEY: VALUE", where KEY is a word of the standard.
func cutKey(text string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(text, ":")
	if !ok || value != "" && value[0] != ' ' || strings.Contains(key, " ") || !strings.Contains(keys, " "+key+" ") {
		return "", "", false
	}
	return key, strings.TrimLeft(value, " "), true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

func (p *plain) scalar(text string) bool {
	if quote := text[0]; quote == '"' || quote == '\'' {
		inner := text[1:]
		if len(inner) == 0 || inner[len(inner)-1] != quote {
			return false
		}
		inner = inner[:len(inner)-1]
		if strings.ContainsAny(inner, `"'\`) {
			return false
		}
		p.json = append(append(append(p.json, '"'), inner...), '"')
		return true
	}
	if text == "{}" || text == "[]" {
		p.json = append(p.json, text...)
		return true
	}
	switch meaning(text) {
	case unknown:
		return false
	case literal:
		p.json = append(p.json, text...)
		return true
	}
	p.json = append(p.json, '"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			p.json = append(p.json, '\\')
		}
		p.json = append(p.json, text[i])
	}
	p.json = append(p.json, '"')
	return true
}

// What a scalar without quotes is.
const (
	unknown = iota
	word    // a text
	literal // the same in JSON: a number, or a truth value
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
	case "true", "false":
		if text[0] == 't' || text[0] == 'f' {
			return literal
		}
		return unknown
	case "null", "yes", "no", "on", "off", "y", "n":
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
		return literal
	}
	return unknown
}
