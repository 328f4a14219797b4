package environ

import "strings"

// A Glob is a pattern of fnmatch(3) in the C locale, with the extensions of FNM_EXTMATCH:
// ?(LIST), *(LIST), +(LIST), @(LIST) and !(LIST), where LIST is patterns separated by "|".
//
// It is matched by following the set of all positions that the pattern so far can have reached, so
// that no pattern takes more than polynomial time.
type Glob struct{ elements []element }

type element interface {
	// advance returns the positions in s at which a match that began at one of from can end.
	advance(s string, from positions) positions
}

// positions has an element for each byte of the subject and one for its end.
type positions []bool

func (p positions) empty() bool {
	for _, set := range p {
		if set {
			return false
		}
	}
	return true
}

// add sets the positions of q too, and reports whether that made a difference.
func (p positions) add(q positions) (changed bool) {
	for i, set := range q {
		if set && !p[i] {
			p[i], changed = true, true
		}
	}
	return changed
}

// CompileGlob never fails: what does not parse stands for itself, as in the shell.
func CompileGlob(pattern string) Glob { return Glob{compile(pattern)} }

// Match says whether the pattern matches all of s.
func (g Glob) Match(s string) bool {
	start := make(positions, len(s)+1)
	start[0] = true
	return sequence(g.elements).advance(s, start)[len(s)]
}

type sequence []element

func (q sequence) advance(s string, from positions) positions {
	for _, e := range q {
		if from.empty() {
			break
		}
		from = e.advance(s, from)
	}
	return from
}

// byteSet matches one byte.
type byteSet [256]bool

func (b *byteSet) advance(s string, from positions) positions {
	to := make(positions, len(from))
	for i := range len(s) {
		to[i+1] = from[i] && b[s[i]]
	}
	return to
}

// star matches anything.
type star struct{}

func (star) advance(_ string, from positions) positions {
	to := make(positions, len(from))
	reached := false
	for i := range from {
		reached = reached || from[i]
		to[i] = reached
	}
	return to
}

// group matches its alternatives as often as operator says.
type group struct {
	operator     byte
	alternatives []sequence
}

func (g group) once(s string, from positions) positions {
	to := make(positions, len(from))
	for _, a := range g.alternatives {
		to.add(a.advance(s, from))
	}
	return to
}

func (g group) advance(s string, from positions) positions {
	if g.operator == '!' {
		return g.allBut(s, from)
	}
	to := g.once(s, from)
	if g.operator == '*' || g.operator == '+' {
		for to.add(g.once(s, to)) {
		}
	}
	if g.operator == '*' || g.operator == '?' {
		to.add(from)
	}
	return to
}

func (g group) allBut(s string, from positions) positions {
	to := make(positions, len(from))
	for i := range from {
		if !from[i] {
			continue
		}
		single := make(positions, len(from))
		single[i] = true
		excluded := g.once(s, single)
		for j := i; j < len(from); j++ {
			to[j] = to[j] || !excluded[j]
		}
	}
	return to
}

func compile(pattern string) (elements sequence) {
	for pattern != "" {
		if strings.IndexByte("?*+@!", pattern[0]) >= 0 && strings.HasPrefix(pattern[1:], "(") {
			if parts, rest, ok := splitGroup(pattern[2:]); ok {
				g := group{operator: pattern[0]}
				for _, part := range parts {
					g.alternatives = append(g.alternatives, compile(part))
				}
				elements = append(elements, g)
				pattern = rest
				continue
			}
		}
		switch c := pattern[0]; {
		case c == '*':
			elements = append(elements, star{})
			pattern = pattern[1:]
		case c == '?':
			var any byteSet
			for i := range any {
				any[i] = true
			}
			elements = append(elements, &any)
			pattern = pattern[1:]
		case c == '[':
			set, rest, ok := compileBracket(pattern[1:])
			if !ok {
				set, rest = literal('['), pattern[1:]
			}
			elements = append(elements, set)
			pattern = rest
		case c == '\\' && len(pattern) > 1:
			elements = append(elements, literal(pattern[1]))
			pattern = pattern[2:]
		default:
			elements = append(elements, literal(c))
			pattern = pattern[1:]
		}
	}
	return elements
}

func literal(c byte) *byteSet {
	var set byteSet
	set[c] = true
	return &set
}

// splitGroup splits what follows an opening parenthesis into alternatives, and the rest of the pattern
// behind the closing one.
func splitGroup(s string) (parts []string, rest string, ok bool) {
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '[':
			if _, after, ok := compileBracket(s[i+1:]); ok {
				i = len(s) - len(after) - 1
			}
		case '(':
			depth++
		case '|':
			if depth == 0 {
				parts = append(parts, s[start:i])
				start = i + 1
			}
		case ')':
			if depth == 0 {
				return append(parts, s[start:i]), s[i+1:], true
			}
			depth--
		}
	}
	return nil, "", false
}

// compileBracket compiles what follows "[", and returns what follows its "]".
func compileBracket(s string) (set *byteSet, rest string, ok bool) {
	set = new(byteSet)
	negated := s != "" && (s[0] == '!' || s[0] == '^')
	if negated {
		s = s[1:]
	}
	for first := true; s != "" && (first || s[0] != ']'); first = false {
		if class, after, found := strings.Cut(strings.TrimPrefix(s, "[:"), ":]"); found && strings.HasPrefix(s, "[:") {
			if _, known := inClass(class, 0); known {
				for c := range set {
					in, _ := inClass(class, byte(c))
					set[c] = set[c] || in
				}
				s = after
				continue
			}
		}
		low, after, good := bracketByte(s)
		if !good {
			return nil, "", false
		}
		high := low
		if len(after) >= 2 && after[0] == '-' && after[1] != ']' {
			if high, after, good = bracketByte(after[1:]); !good {
				return nil, "", false
			}
		}
		for c := int(low); c <= int(high); c++ {
			set[c] = true
		}
		s = after
	}
	if s == "" {
		return nil, "", false
	}
	if negated {
		for c := range set {
			set[c] = !set[c]
		}
	}
	return set, s[1:], true
}

func bracketByte(s string) (c byte, rest string, ok bool) {
	if s != "" && s[0] == '\\' {
		s = s[1:]
	}
	if s == "" {
		return 0, "", false
	}
	return s[0], s[1:], true
}

// inClass says whether c is in the named character class of the C locale; known, whether there is such
// a class.
func inClass(class string, c byte) (in, known bool) {
	digit := c >= '0' && c <= '9'
	lower := c >= 'a' && c <= 'z'
	upper := c >= 'A' && c <= 'Z'
	graph := c > ' ' && c < 0x7f
	switch class {
	case "alnum":
		return digit || lower || upper, true
	case "alpha":
		return lower || upper, true
	case "blank":
		return c == ' ' || c == '\t', true
	case "cntrl":
		return c < ' ' || c == 0x7f, true
	case "digit":
		return digit, true
	case "graph":
		return graph, true
	case "lower":
		return lower, true
	case "print":
		return graph || c == ' ', true
	case "punct":
		return graph && !digit && !lower && !upper, true
	case "space":
		return c == ' ' || c >= '\t' && c <= '\r', true
	case "upper":
		return upper, true
	case "xdigit":
		return digit || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F', true
	}
	return false, false
}
