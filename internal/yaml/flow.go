package yaml

import "strings"

// flow reads a collection with brackets, or what can be in one.
func (p *parser) flow() node {
	switch p.peek(0) {
	case '[':
		return p.flowSequence()
	case '{':
		return p.flowMapping()
	case '*':
		at := p.at
		p.step(1)
		n, ok := p.anchors[p.name()]
		if !ok {
			return p.failAt(at, "unknown alias: %s", p.text[at:p.at])
		}
		return n
	case '&':
		p.step(1)
		name := p.name()
		p.skipFlow()
		n := p.flow()
		p.anchors[name] = n
		return n
	}
	n := p.scalar(true)
	if n.kind == plain {
		p.continuedInFlow(&n)
	}
	return n
}

func (p *parser) flowSequence() node {
	p.enter()
	defer p.leave()
	s := node{kind: sequence, at: p.at}
	p.step(1)
	for p.skipFlow(); p.peek(0) != ']'; p.skipFlow() {
		s.items = append(s.items, p.flow())
		if p.skipFlow(); p.peek(0) == ':' {
			return p.fail("a key in a sequence; should it be text, put it into quotes")
		}
		if !p.separator(']') {
			return s
		}
	}
	p.step(1)
	return s
}

func (p *parser) flowMapping() node {
	p.enter()
	defer p.leave()
	m := node{kind: mapping, at: p.at}
	p.step(1)
	for p.skipFlow(); p.peek(0) != '}'; p.skipFlow() {
		if c := p.peek(0); c == '[' || c == '{' || c == '*' || c == '&' || c == '?' && isSpace(p.peek(1)) {
			return p.fail("a key that is no text is not supported")
		}
		key := p.scalar(true)
		p.skipFlow()
		value := node{at: p.at}
		if p.peek(0) == ':' {
			p.step(1)
			if p.skipFlow(); p.peek(0) != ',' && p.peek(0) != '}' {
				value = p.flow()
				p.skipFlow()
			}
		}
		p.add(&m, key, value)
		if !p.separator('}') {
			return m
		}
	}
	p.step(1)
	return m
}

// separator reads the comma between two entries, or sees the bracket behind the last. It returns false for anything
// else.
func (p *parser) separator(closing byte) bool {
	switch c := p.peek(0); {
	case c == ',':
		p.step(1)
	case c == 0:
		p.fail("%c is missing", closing)
	case c != closing:
		p.fail("neither , nor %c: %.20q", closing, p.restOfLine())
	}
	return p.err == nil
}

// skipFlow goes on to what is next in brackets. It fails at the end of the document.
func (p *parser) skipFlow() {
	for p.at < len(p.text) {
		p.skipBlanks()
		switch c := p.peek(0); {
		case c == '#' && (p.at == p.line || isBlank(p.text[p.at-1])):
			p.step(len(p.restOfLine()))
		case c == '\n':
			p.newLine()
		case p.atMarker():
			p.fail("a document ends in brackets")
		default:
			return
		}
	}
}

// continuedInFlow adds to a scalar without quotes what belongs to it in the next lines.
func (p *parser) continuedInFlow(n *node) {
	for p.peek(0) == '\n' && p.err == nil {
		at, line, breaks := p.at, p.line, 0
		for ; p.peek(0) == '\n'; p.skipBlanks() {
			p.newLine()
			breaks++
		}
		if c := p.peek(0); c == 0 || c == '#' || isFlow(c) || c == ':' && (isSpace(p.peek(1)) || isFlow(p.peek(1))) || p.atMarker() {
			p.at, p.line = at, line
			return
		}
		n.text += fold(breaks) + p.plainLine(true)
	}
}

// fold returns what is in place of that many line breaks in text that is folded.
func fold(breaks int) string {
	if breaks == 1 {
		return " "
	}
	return strings.Repeat("\n", breaks-1)
}
