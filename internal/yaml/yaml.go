// Package yaml reads configuration files in YAML 1.2 (https://yaml.org/spec/1.2.2), and so in JSON, into structures, and
// is strict about it: unknown fields, keys that are there twice and values of another kind are errors.
//
// It is not from a library because every launch pays for what is linked, whether it is used or not. By medians of 600
// launches in turns, gopkg.in/yaml.v3 takes 3 to 7 % of a launch, version 4 of it 2 %, and github.com/goccy/go-yaml 2 to 3 %:
// tables are filled and regular expressions compiled when the program starts, and the code that does run is spread over
// more pages. The tests compare with libraries.
//
// What it does not know is an error, and never taken for something else: tags, merge keys, keys that are no text,
// directives, more than one document.
package yaml

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Unmarshal reads the document in data into what v points to. Fields have the names of their json tags. The error gives
// the line.
func Unmarshal(data []byte, v any) error {
	p := parser{text: strings.TrimPrefix(string(data), "\ufeff"), anchors: map[string]node{}}
	p.checkCharacters()
	root := p.document()
	if p.err == nil {
		d := decoder{parser: &p, left: maxValues}
		d.decode(reflect.ValueOf(v).Elem(), root)
	}
	return p.err
}

// Limits, which keep short files from taking long.
const (
	maxDepth  = 100     // of collections in collections
	maxValues = 1 << 20 // scalars, with those that aliases stand for
)

// A node is a part of a document.
type node struct {
	kind  kind
	text  string // of a scalar
	at    int    // where it begins
	keys  []node // of a mapping
	items []node // of a sequence, or the values of the keys
}

type kind int

const (
	null   kind = iota // nothing where a value could be
	plain              // a scalar without quotes
	quoted             // a scalar that is text, whatever it looks like
	sequence
	mapping
)

// A parser reads a document from left to right. The first thing that is wrong takes it to the end, so that only what
// cares has to ask.
type parser struct {
	text    string
	at      int
	line    int // where the line begins
	depth   int
	anchors map[string]node
	err     error
}

func (p *parser) fail(format string, args ...any) node { return p.failAt(p.at, format, args...) }

func (p *parser) failAt(at int, format string, args ...any) node {
	if p.err == nil {
		line := 1 + strings.Count(p.text[:min(at, len(p.text))], "\n")
		p.err = fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
	}
	p.at = len(p.text)
	return node{}
}

// checkCharacters accepts printable ones, and those that begin a new line as UNIX and Windows have it (YAML 1.2.2, 5.1).
func (p *parser) checkCharacters() {
	p.text = strings.ReplaceAll(p.text, "\r\n", "\n")
	for i, c := range p.text {
		switch {
		case c == '\n' || c == '\t' || c == 0x85 || c >= ' ' && c < 0x7f || c >= 0xa0 && c < 0xfffd || c > 0xffff:
		case c == utf8.RuneError && strings.HasPrefix(p.text[i:], "\ufffd"):
		case c == utf8.RuneError:
			p.failAt(i, "text that is not UTF-8")
			return
		default:
			p.failAt(i, "control character %q", c)
			return
		}
	}
}

// document reads all of the text.
func (p *parser) document() node {
	p.skip()
	if p.peek(0) == '%' && p.column() == 0 {
		return p.fail("a directive is not supported")
	}
	var root node
	switch marked := p.atMarker(); {
	case marked && p.peek(0) == '.':
		return p.fail("the end of a document that has not begun")
	case marked:
		p.step(len("---"))
		root = p.behind(-1)
	case p.at < len(p.text):
		root = p.content(-1, true)
	}
	p.skip()
	if strings.HasPrefix(p.text[p.at:], "...") && p.atMarker() {
		p.step(len("..."))
		p.endLine()
		p.skip()
	}
	if p.at < len(p.text) {
		if p.atMarker() {
			return p.fail("more than one document")
		}
		return p.fail("unexpected text behind the document, or wrong indentation")
	}
	return root
}

// peek returns the character that is n further, or 0 at the end.
func (p *parser) peek(n int) byte {
	if p.at+n >= len(p.text) {
		return 0
	}
	return p.text[p.at+n]
}

// step goes on, at most to the end.
func (p *parser) step(n int) { p.at = min(p.at+n, len(p.text)) }

// column counts from 0.
func (p *parser) column() int { return p.at - p.line }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isSpace says whether c separates words, as the ends of lines and of the text do.
func isSpace(c byte) bool { return isBlank(c) || c == '\n' || c == 0 }

// isFlow says whether c has a meaning in collections with brackets wherever it stands.
func isFlow(c byte) bool { return c == ',' || c == '[' || c == ']' || c == '{' || c == '}' }

// atMarker says whether this is the beginning of a line that begins or ends a document.
func (p *parser) atMarker() bool { return p.column() == 0 && isMarker(p.text[p.at:]) }

func isMarker(line string) bool {
	return (strings.HasPrefix(line, "---") || strings.HasPrefix(line, "...")) && (len(line) == 3 || isSpace(line[3]))
}

func (p *parser) newLine() {
	p.step(1)
	p.line = p.at
}

func (p *parser) skipBlanks() {
	for isBlank(p.peek(0)) {
		p.step(1)
	}
}

// skip goes on to the next line that says something, if the rest of this one says nothing, and to its text. A comment has
// blanks before it, or nothing.
func (p *parser) skip() {
	for p.at < len(p.text) {
		begin := p.at
		p.skipBlanks()
		switch p.peek(0) {
		case '#':
			if p.at > p.line && !isBlank(p.text[p.at-1]) {
				return
			}
			for p.at < len(p.text) && p.text[p.at] != '\n' {
				p.step(1)
			}
		case '\n':
			p.newLine()
		case 0:
		default:
			if begin == p.line && strings.Contains(p.text[begin:p.at], "\t") {
				p.fail("a tab in the indentation")
			}
			return
		}
	}
}

// endLine makes sure that there is nothing more in the line than a comment.
func (p *parser) endLine() {
	begin := p.at
	p.skipBlanks()
	if c := p.peek(0); c == '\n' || c == 0 || c == '#' && p.at > begin {
		return
	}
	p.fail("unexpected text: %.20q", p.restOfLine())
}

func (p *parser) restOfLine() string {
	rest, _, _ := strings.Cut(p.text[p.at:], "\n")
	return rest
}

// enter is called for each collection, and leave behind it.
func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested too deeply")
	}
}

func (p *parser) leave() { p.depth-- }
