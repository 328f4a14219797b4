package yaml

import "strings"

// isItem says whether an item of a sequence begins here.
func (p *parser) isItem() bool { return p.peek(0) == '-' && isSpace(p.peek(1)) }

// behind reads the value behind a key that is in the column: in the same line, or in those below it. They are indented
// more, but for the items of a sequence.
func (p *parser) behind(column int) node {
	at := p.at
	p.skipBlanks()
	if c := p.peek(0); c != '\n' && c != 0 && c != '#' {
		return p.content(column, false)
	}
	p.skip()
	if p.at < len(p.text) && !p.atMarker() {
		switch {
		case p.column() > column:
			return p.content(column, true)
		case p.column() == column && p.isItem():
			return p.sequence()
		}
	}
	return node{at: at}
}

// content reads a node that begins here and is indented more than the column. A block is a collection without
// brackets; it cannot be in the same line as its key.
func (p *parser) content(column int, block bool) node {
	begin := p.at
	switch c := p.peek(0); {
	case p.isItem() && block:
		return p.sequence()
	case p.isItem():
		return p.fail("a sequence in the line of its key")
	case c == '?' && isSpace(p.peek(1)):
		return p.fail("a key that is no text is not supported")
	case c == '&':
		return p.anchored(column, block)
	case c == '|' || c == '>':
		return p.blockText(column)
	case c == '[' || c == '{' || c == '*':
		n := p.flow()
		if p.isColon() {
			return p.fail("a key that is no text is not supported")
		}
		p.endLine()
		return n
	}
	n := p.scalar(false)
	if strings.Contains(p.text[begin:p.at], "\n") || !p.isColon() {
		if n.kind == plain {
			p.continued(&n, column)
		}
		p.endLine()
		return n
	}
	if !block {
		return p.fail("a mapping in the line of its key; should it be text, put it into quotes")
	}
	return p.mapping(n, begin-p.line)
}

// isColon says whether what was read is a key.
func (p *parser) isColon() bool {
	for i := 0; ; i++ {
		if c := p.peek(i); !isBlank(c) {
			return c == ':' && isSpace(p.peek(i+1))
		}
	}
}

// mapping reads a mapping in the column, of which the first key is read.
func (p *parser) mapping(key node, column int) node {
	p.enter()
	defer p.leave()
	m := node{kind: mapping, at: key.at}
	for {
		p.skipBlanks()
		p.step(1) // the colon
		p.add(&m, key, p.behind(column))
		if !p.nextLine(column) {
			return m
		}
		if p.isItem() {
			return p.fail("an item of a sequence among the keys of a mapping")
		}
		line := p.line
		if key = p.key(); !p.isColon() || p.line != line {
			return p.fail("no colon behind a key: %.20q", p.text[key.at:p.at])
		}
	}
}

// key reads a key, or fails for what begins here and is none.
func (p *parser) key() node {
	switch c := p.peek(0); {
	case c == '?' && isSpace(p.peek(1)), c == '[', c == '{', c == '*', c == '&':
		return p.fail("a key that is no text is not supported")
	}
	return p.scalar(false)
}

func (p *parser) add(m *node, key, value node) {
	for _, other := range m.keys {
		if other.text == key.text {
			p.failAt(key.at, "%q twice", key.text)
			return
		}
	}
	if key.kind == plain && key.text == "<<" {
		p.failAt(key.at, "merging mappings (<<) is not supported")
		return
	}
	m.keys, m.items = append(m.keys, key), append(m.items, value)
}

// nextLine goes on to the next line of the collection that is in the column. It returns false behind the last one.
func (p *parser) nextLine(column int) bool {
	p.skip()
	if p.at == len(p.text) || p.atMarker() || p.column() < column {
		return false
	}
	if p.column() > column {
		p.fail("wrong indentation")
		return false
	}
	return true
}

// sequence reads a sequence, of which the first dash is here.
func (p *parser) sequence() node {
	p.enter()
	defer p.leave()
	column := p.column()
	s := node{kind: sequence, at: p.at}
	for {
		p.step(1) // the dash
		s.items = append(s.items, p.item(column))
		if !p.nextLine(column) || !p.isItem() { // a key in that column belongs to the mapping around the sequence
			return s
		}
	}
}

func (p *parser) item(column int) node {
	at := p.at
	for p.peek(0) == ' ' {
		p.step(1)
	}
	switch c := p.peek(0); c {
	case '\t':
		return p.fail("a tab in the indentation")
	case '\n', '#', 0:
		p.skip()
		if p.at == len(p.text) || p.atMarker() || p.column() <= column {
			return node{at: at}
		}
	}
	return p.content(column, true)
}

// anchored reads a node with a name in front of it.
func (p *parser) anchored(column int, block bool) node {
	p.step(1)
	name := p.name()
	p.skipBlanks()
	var n node
	switch c := p.peek(0); {
	case c != '\n' && c != 0 && c != '#':
		n = p.content(column, false) // a key there would have the name, and not the mapping
	case !block:
		n = p.behind(column)
	default:
		if p.skip(); p.at < len(p.text) && !p.atMarker() && p.column() > column {
			n = p.content(column, true)
		}
	}
	p.anchors[name] = n
	return n
}

// name reads the name of an anchor: letters, digits, dashes and underscores.
func (p *parser) name() string {
	begin := p.at
	for c := p.peek(0); c == '-' || c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'; c = p.peek(0) {
		p.step(1)
	}
	if c := p.peek(0); p.at == begin || !isSpace(c) && !isFlow(c) {
		p.fail("not the name of an anchor: %.20q", p.restOfLine())
	}
	return p.text[begin:p.at]
}
