// Package yaml reads configuration files in YAML 1.2 (https://yaml.org/spec/1.2.2), and so in JSON, into structures,
// and is strict about it: unknown fields, keys that are there twice and values of another kind are errors.
//
// It is not from a library because every launch pays for what is linked, whether it is used or not. By medians of 600
// launches in turns, gopkg.in/yaml.v3 takes 3 to 7 % of a launch, version 4 of it 2 %, and github.com/goccy/go-yaml 2
// to 3 %: tables are filled and regular expressions compiled when the program starts, and the code that does run is
// spread over more pages. The tests compare with libraries.
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

// Unmarshal reads the document in data into what v points to: structures, the fields of which have the names of their
// json tags, slices, maps of text, pointers to such, text, whole numbers, and bool. The error gives the line.
func Unmarshal(data []byte, v any) error {
	p := parser{text: strings.TrimPrefix(string(data), "\ufeff"), left: maxValues}
	p.checkCharacters()
	p.document(reflect.ValueOf(v).Elem())
	return p.err
}

// Limits, which keep short files from taking long.
const (
	maxDepth  = 100     // of collections in collections
	maxValues = 1 << 20 // with those that aliases stand for
	maxReread = 8 << 20 // bytes that aliases stand for
)

// A parser reads a document from left to right, and puts what it reads into values. The first thing that is wrong takes
// it to the end, so that only what cares has to ask.
type parser struct {
	text    string
	at      int
	line    int // where the line begins
	depth   int
	left    int // how many more values there may be
	anchors map[string]anchor
	aliases int // how many are being read, in each other
	reread  int // how many bytes aliases have stood for
	fields  map[reflect.Type]map[string]int
	err     error
}

// An anchor is a name for a part of the document, which is read once more wherever an alias stands for it.
type anchor struct {
	at, line int
	read     func(reflect.Value) kind
}

// A kind is what has been read. What a value is set to stays as it is for null.
type kind int

const (
	null kind = iota // nothing where a value could be, or a word for it
	text
	sequence
	mapping
)

func (k kind) String() string { return [...]string{"nothing", "text", "a sequence", "a mapping"}[k] }

// A scalar is a text, or what has another meaning without quotes.
type scalar struct {
	text  string
	plain bool // without quotes
	at    int  // where it begins
}

func (p *parser) fail(format string, args ...any) kind { return p.failAt(p.at, format, args...) }

func (p *parser) failAt(at int, format string, args ...any) kind {
	if p.err == nil {
		line := 1 + strings.Count(p.text[:min(at, len(p.text))], "\n")
		p.err = fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
	}
	p.at = len(p.text)
	return null
}

// checkCharacters accepts printable ones, and those that begin a new line as UNIX and Windows have it (YAML 1.2.2,
// 5.1).
func (p *parser) checkCharacters() {
	p.text = strings.ReplaceAll(p.text, "\r\n", "\n")
	begin := 0
	for begin < len(p.text) && (p.text[begin] >= ' ' && p.text[begin] < 0x7f || p.text[begin] == '\n') { // most are no others
		begin++
	}
	for i, c := range p.text[begin:] {
		i += begin
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
func (p *parser) document(v reflect.Value) {
	p.skip()
	switch marked := p.atMarker(); {
	case p.peek(0) == '%' && p.column() == 0:
		p.fail("a directive is not supported")
	case marked && p.peek(0) == '.':
		p.fail("the end of a document that has not begun")
	case marked:
		p.step(len("---"))
		p.behind(-1, v)
	case p.at < len(p.text):
		p.content(-1, true, v)
	}
	p.skip()
	if p.atMarker() && p.peek(0) == '.' {
		p.step(len("..."))
		p.endLine()
		p.skip()
	}
	switch {
	case p.at == len(p.text):
	case p.atMarker():
		p.fail("more than one document")
	default:
		p.fail("unexpected text behind the document, or wrong indentation")
	}
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

// skip goes on to the next line that says something, if the rest of this one says nothing, and to its text. A comment
// has blanks before it, or nothing.
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
	p.count()
}

// count is called for each value.
func (p *parser) count() {
	if p.left--; p.left < 0 {
		p.fail("too many values")
	}
}

func (p *parser) leave() { p.depth-- }
