package yaml

import (
	"reflect"
	"strings"
)

// flow reads a collection with brackets, or what can be in one.
func (p *parser) flow(v reflect.Value) kind {
	switch p.peek(0) {
	case '[':
		return p.flowSequence(v)
	case '{':
		return p.flowMapping(v)
	case '*':
		return p.alias(v)
	case '&':
		return p.anchored(p.skipFlow, func(v reflect.Value) kind {
			p.skipFlow()
			return p.flow(v)
		}, v)
	}
	s := p.scalar(true)
	if s.plain {
		p.continuedInFlow(&s)
	}
	return p.set(v, s)
}

func (p *parser) flowSequence(v reflect.Value) kind {
	p.enter()
	defer p.leave()
	i := p.items(v)
	p.step(1)
	for p.skipFlow(); p.peek(0) != ']'; p.skipFlow() {
		i.read(p.flow)
		if p.skipFlow(); p.peek(0) == ':' {
			return p.fail("a key in a sequence; should it be text, put it into quotes")
		}
		if !p.separator(']') {
			return null
		}
	}
	p.step(1)
	return sequence
}

func (p *parser) flowMapping(v reflect.Value) kind {
	p.enter()
	defer p.leave()
	e := p.entries(v, p.at)
	p.step(1)
	for p.skipFlow(); p.peek(0) != '}'; p.skipFlow() {
		if c := p.peek(0); c == '[' || c == '{' || c == '*' || c == '&' || c == '?' && isSpace(p.peek(1)) {
			return p.fail("a key that is no text is not supported")
		}
		line, key := p.line, p.scalar(true)
		if p.skipFlow(); key.plain && p.line != line && p.peek(0) == ':' && !isSpace(p.peek(1)) {
			return p.fail("no blank behind a colon")
		}
		e.read(key, p.flowValue)
		if !p.separator('}') {
			return null
		}
	}
	p.step(1)
	return mapping
}

// flowValue reads what is behind a key in brackets, if anything is.
func (p *parser) flowValue(v reflect.Value) (k kind) {
	if p.peek(0) != ':' {
		return null
	}
	p.step(1)
	if p.skipFlow(); p.peek(0) != ',' && p.peek(0) != '}' {
		k = p.flow(v)
		p.skipFlow()
	}
	return k
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
func (p *parser) continuedInFlow(s *scalar) {
	var all strings.Builder
	for p.peek(0) == '\n' && p.err == nil {
		at, line, breaks := p.at, p.line, 0
		for ; p.peek(0) == '\n'; p.skipBlanks() {
			p.newLine()
			breaks++
		}
		if c := p.peek(0); c == 0 || c == '#' || isFlow(c) || c == ':' && (isSpace(p.peek(1)) || isFlow(p.peek(1))) || p.atMarker() {
			p.at, p.line = at, line
			break
		}
		if all.Len() == 0 {
			all.WriteString(s.text)
		}
		all.WriteString(fold(breaks))
		all.WriteString(p.plainLine(true))
	}
	if all.Len() > 0 {
		s.text = all.String()
	}
}

// fold returns what is in place of that many line breaks in text that is folded.
func fold(breaks int) string {
	if breaks == 1 {
		return " "
	}
	return strings.Repeat("\n", breaks-1)
}
