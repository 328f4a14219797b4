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

// CompileGlob never fails: brackets and parentheses that are not closed stand for themselves, and what
// is closed but makes no sense matches nothing.
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
		var e element
		if alternatives, rest, ok := splitGroup(pattern); ok {
			g := group{operator: pattern[0]}
			for _, a := range alternatives {
				g.alternatives = append(g.alternatives, compile(a))
			}
			elements, pattern = append(elements, g), rest
			continue
		}
		switch c := pattern[0]; c {
		case '*':
			e, pattern = star{}, pattern[1:]
		case '?':
			e, pattern = new(byteSet).invert(), pattern[1:]
		case '[':
			e, pattern = compileBracket(pattern)
		case '\\':
			if pattern == "\\" {
				return append(elements, new(byteSet)) // nothing to be escaped: no match
			}
			e, pattern = literal(pattern[1]), pattern[2:]
		default:
			e, pattern = literal(c), pattern[1:]
		}
		elements = append(elements, e)
	}
	return elements
}

func literal(c byte) *byteSet {
	var set byteSet
	set[c] = true
	return &set
}

func (b *byteSet) invert() *byteSet {
	for c := range b {
		b[c] = !b[c]
	}
	return b
}

// opensGroup says whether s begins with an operator and a parenthesis.
func opensGroup(s string) bool {
	return len(s) >= 2 && s[1] == '(' && strings.IndexByte("?*+@!", s[0]) >= 0
}

// splitGroup splits the group that pattern begins with into its alternatives, and the rest of the
// pattern. Only parentheses behind an operator nest, and a bracket ends at the first "]" behind its
// first character; one that does not end is an error.
func splitGroup(pattern string) (alternatives []string, rest string, ok bool) {
	if !opensGroup(pattern) {
		return nil, "", false
	}
	depth, start := 0, 2
	for i := start; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case c == '[':
			after, ok := skipBracket(pattern[i+1:])
			if !ok {
				return nil, "", false
			}
			i = len(pattern) - len(after) - 1
		case opensGroup(pattern[i:]):
			depth++
			i++
		case c == '|' && depth == 0:
			alternatives = append(alternatives, pattern[start:i])
			start = i + 1
		case c == ')' && depth == 0:
			return append(alternatives, pattern[start:i]), pattern[i+1:], true
		case c == ')':
			depth--
		}
	}
	return nil, "", false
}

// skipBracket returns what follows the "]" of a bracket expression, whose "[" has been taken off s.
func skipBracket(s string) (rest string, ok bool) {
	if s != "" && (s[0] == '!' || s[0] == '^') {
		s = s[1:]
	}
	s = strings.TrimPrefix(s, "]") // the first one stands for itself
	_, rest, ok = strings.Cut(s, "]")
	return rest, ok
}

// compileBracket compiles the bracket expression that pattern begins with, or if there is none a literal
// bracket, and returns the rest of the pattern.
func compileBracket(pattern string) (set *byteSet, rest string) {
	set = new(byteSet)
	s := pattern[1:]
	negated := s != "" && (s[0] == '!' || s[0] == '^')
	if negated {
		s = s[1:]
	}
	valid := true
	for first := true; s == "" || first || s[0] != ']'; first = false {
		if s == "" {
			return literal('['), pattern[1:]
		}
		if class, after, ok := cutSymbol(s, ':'); ok && strings.Trim(class, "abcdefghijklmnopqrstuvwxyz") == "" {
			for c := range set {
				in, known := inClass(class, byte(c))
				set[c] = set[c] || in
				valid = valid && known
			}
			s = after
			continue
		}
		low, after, ok := bracketByte(s)
		high := low
		if ok && len(after) >= 2 && after[0] == '-' && after[1] != ']' {
			high, after, ok = bracketByte(after[1:])
		}
		if !ok {
			return literal('['), pattern[1:]
		}
		for c := int(low); c <= int(high); c++ {
			set[c] = true
		}
		s = after
	}
	switch {
	case !valid:
		return new(byteSet), s[1:]
	case negated:
		set.invert()
	}
	return set, s[1:]
}

// cutSymbol cuts "[" kind NAME kind "]" off s.
func cutSymbol(s string, kind byte) (name, rest string, ok bool) {
	if len(s) < 2 || s[0] != '[' || s[1] != kind {
		return "", "", false
	}
	return strings.Cut(s[2:], string(kind)+"]")
}

// bracketByte takes one character off s: itself, escaped, or as a collating symbol or equivalence class,
// which in the C locale are one character.
func bracketByte(s string) (c byte, rest string, ok bool) {
	for _, kind := range []byte(".=") {
		if name, rest, ok := cutSymbol(s, kind); ok && len(name) == 1 {
			return name[0], rest, true
		}
	}
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
