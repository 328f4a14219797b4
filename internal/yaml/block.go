package yaml

import (
	"reflect"
	"strings"
)

// isItem says whether an item of a sequence begins here.
func (p *parser) isItem() bool { return p.peek(0) == '-' && isSpace(p.peek(1)) }

// behind reads the value behind a key that is in the column: in the same line, or in those below it. They are indented
// more, but for the items of a sequence.
func (p *parser) behind(column int, v reflect.Value) kind {
	p.skipBlanks()
	if !p.isLineEnd() {
		return p.content(column, false, v)
	}
	p.skip()
	if p.at < len(p.text) && p.column() == column && !p.atMarker() && p.isItem() {
		return p.sequence(v)
	}
	return p.below(column, v)
}

// isLineEnd says whether the line says nothing more. There was a blank before this.
func (p *parser) isLineEnd() bool {
	c := p.peek(0)
	return c == '\n' || c == 0 || c == '#'
}

// below reads a value that is in lines of its own, indented more than the column.
func (p *parser) below(column int, v reflect.Value) kind {
	p.skip()
	if p.at == len(p.text) || p.atMarker() || p.column() <= column {
		return null
	}
	return p.content(column, true, v)
}

// content reads a value that begins here and is indented more than the column. A block is a collection without
// brackets; it cannot be in the same line as its key.
func (p *parser) content(column int, block bool, v reflect.Value) kind {
	begin := p.at
	switch c := p.peek(0); {
	case p.isItem() && block:
		return p.sequence(v)
	case p.isItem():
		return p.fail("a sequence in the line of its key")
	case c == '?' && isSpace(p.peek(1)):
		return p.fail("a key that is no text is not supported")
	case c == '&':
		return p.anchored(p.skip, func(v reflect.Value) kind { return p.behindAnchor(column, block, v) }, v)
	case c == '|' || c == '>':
		return p.set(v, p.blockText(column))
	case c == '[' || c == '{' || c == '*':
		k := p.flow(v)
		if p.isColon() {
			return p.fail("a key that is no text is not supported")
		}
		p.endLine()
		return k
	}
	s := p.scalar(false)
	if strings.Contains(p.text[begin:p.at], "\n") || !p.isColon() {
		if s.plain {
			p.continued(&s, column)
		}
		p.endLine()
		return p.set(v, s)
	}
	if !block {
		return p.fail("a mapping in the line of its key; should it be text, put it into quotes")
	}
	return p.mapping(s, begin-p.line, v)
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
func (p *parser) mapping(key scalar, column int, v reflect.Value) kind {
	p.enter()
	defer p.leave()
	e := p.entries(v, key.at)
	for {
		p.skipBlanks()
		p.step(1) // the colon
		e.read(key, func(v reflect.Value) kind { return p.behind(column, v) })
		if !p.nextLine(column) {
			return mapping
		}
		if p.isItem() {
			return p.fail("an item of a sequence among the keys of a mapping")
		}
		line := p.line
		if key = p.key(); !p.isColon() || p.line != line {
			return p.fail("no colon behind a key: %.20q", key.text)
		}
	}
}

// key reads a key, or fails for what begins here and is none.
func (p *parser) key() scalar {
	switch c := p.peek(0); {
	case c == '?' && isSpace(p.peek(1)), c == '[', c == '{', c == '*', c == '&':
		p.fail("a key that is no text is not supported")
		return scalar{}
	}
	return p.scalar(false)
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
func (p *parser) sequence(v reflect.Value) kind {
	p.enter()
	defer p.leave()
	column := p.column()
	i := p.items(v)
	for {
		p.step(1) // the dash
		i.read(func(v reflect.Value) kind { return p.item(column, v) })
		if !p.nextLine(column) || !p.isItem() { // a key in that column belongs to the mapping around the sequence
			return sequence
		}
	}
}

func (p *parser) item(column int, v reflect.Value) kind {
	for p.peek(0) == ' ' {
		p.step(1)
	}
	switch {
	case p.peek(0) == '\t':
		return p.fail("a tab in the indentation")
	case p.isLineEnd():
		return p.below(column, v)
	}
	return p.content(column, true, v)
}

// behindAnchor reads the value that has a name in front of it.
func (p *parser) behindAnchor(column int, block bool, v reflect.Value) kind {
	switch {
	case !p.isLineEnd():
		return p.content(column, false, v) // a key there would have the name, and not the mapping
	case block:
		return p.below(column, v)
	}
	return p.behind(column, v)
}

// anchored reads a name, and the value that has it, by read; skip goes on to where that begins. That a name is used
// again is refused: an alias in what an alias stands for would mean something else the second time.
func (p *parser) anchored(skip func(), read func(reflect.Value) kind, v reflect.Value) kind {
	begin := p.at
	p.step(1)
	name := p.name()
	p.skipBlanks()
	a := anchor{p.at, p.line, read}
	if skip(); p.err == nil && (p.peek(0) == '&' || p.peek(0) == '*') {
		return p.fail("an anchor in front of an anchor or an alias")
	}
	p.at, p.line = a.at, a.line
	k := read(v)
	if p.err != nil || p.aliases > 0 {
		return k
	}
	if _, ok := p.anchors[name]; ok {
		return p.failAt(begin, "an anchor twice is not supported: &%.40s", name)
	}
	if p.anchors == nil {
		p.anchors = map[string]anchor{}
	}
	p.anchors[name] = a // from here on: it cannot stand for itself
	return k
}

// alias reads a name, and the value that has it.
func (p *parser) alias(v reflect.Value) kind {
	begin := p.at
	p.step(1)
	a, ok := p.anchors[p.name()]
	if !ok {
		return p.failAt(begin, "unknown alias: %.40s", p.text[begin:p.at])
	}
	at, line := p.at, p.line
	p.at, p.line = a.at, a.line
	p.aliases++
	k := a.read(v)
	p.aliases--
	if p.err != nil {
		return k
	}
	if p.reread += p.at - a.at; p.reread > maxReread {
		return p.failAt(begin, "aliases stand for too much")
	}
	p.at, p.line = at, line
	return k
}

// name reads the name of an anchor: letters, digits, dashes and underscores.
func (p *parser) name() string {
	begin := p.at
	for c := p.peek(0); c == '-' || c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'; c = p.peek(0) {
		p.step(1)
	}
	if c := p.peek(0); p.at == begin || !isSpace(c) && c != ',' && c != ']' && c != '}' {
		p.fail("not the name of an anchor: %.20q", p.restOfLine())
	}
	return p.text[begin:p.at]
}
