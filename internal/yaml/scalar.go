package yaml

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scalar reads a scalar in quotes, or the first line of one without.
func (p *parser) scalar(flow bool) scalar {
	s := scalar{at: p.at}
	switch c := p.peek(0); {
	case c == '"' || c == '\'':
		s.text = p.quoted(c)
	case c == '!':
		p.fail("a tag is not supported: %.20q", p.restOfLine())
	case c == 0:
		p.fail("unexpected end")
	case isFlow(c), strings.IndexByte("#&*|>%@`", c) >= 0, strings.IndexByte("-?:", c) >= 0 && (isSpace(p.peek(1)) || flow && (c != '-' || isFlow(p.peek(1)))):
		p.fail("no text can begin with %q unless it is in quotes", c)
	default:
		s.plain, s.text = true, p.plainLine(flow)
	}
	return s
}

// plainLine reads what there is in the line of a scalar without quotes.
func (p *parser) plainLine(flow bool) string {
	begin := p.at
	end := begin // behind the last character that is not blank
	for {
		switch c := p.peek(0); {
		case c == '\n' || c == 0, c == '#' && p.at > end, flow && isFlow(c):
			p.at = end
			return p.text[begin:end]
		case c == ':' && isSpace(p.peek(1)):
			p.at = end
			return p.text[begin:end]
		case c == ':' && flow && isFlow(p.peek(1)): // on which versions of YAML differ
			p.fail("no blank behind a colon: %.20q", p.text[begin:p.at+1])
			return ""
		default:
			p.step(1)
			if !isBlank(c) {
				end = p.at
			}
		}
	}
}

// continued adds to a scalar without quotes the following lines that belong to it: those that are indented more than
// the column, up to a comment.
func (p *parser) continued(s *scalar, column int) {
	var all strings.Builder
	for p.err == nil {
		at, line, breaks := p.at, p.line, 0
		for p.skipBlanks(); p.peek(0) == '\n'; p.skipBlanks() {
			p.newLine()
			breaks++
		}
		if breaks == 0 || p.at == len(p.text) || p.column() <= column || p.peek(0) == '#' || p.atMarker() {
			p.at, p.line = at, line
			break
		}
		if strings.Contains(p.text[p.line:p.at], "\t") {
			p.fail("a tab in the indentation")
			return
		}
		if all.Len() == 0 {
			all.WriteString(s.text)
		}
		all.WriteString(fold(breaks))
		all.WriteString(p.plainLine(false))
		if p.isColon() {
			p.fail("a key in the middle of a text, or wrong indentation")
			return
		}
	}
	if all.Len() > 0 {
		s.text = all.String()
	}
}

// quoted reads a scalar in quotes: single ones, in which such a quote is written twice, or double ones, with escapes.
func (p *parser) quoted(quote byte) string {
	begin := p.at
	p.step(1)
	if text, ok := p.simple(quote); ok {
		return text
	}
	var b []byte
	kept := 0 // how much of it is not to be trimmed at the end of a line
	for {
		switch c := p.peek(0); {
		case p.at == len(p.text):
			p.failAt(begin, "no quote at the end")
			return ""
		case c == '\\' && quote == '"':
			b = p.escape(b)
			kept = len(b)
		case c == '\'' && c == quote && p.peek(1) == c:
			b = append(b, c)
			p.step(2)
		case c == quote:
			p.step(1)
			return string(b)
		case c == '\n':
			b = p.foldQuoted(b, kept)
			kept = len(b)
		default:
			b = append(b, c)
			p.step(1)
		}
	}
}

// simple reads a scalar in quotes that has nothing special in it.
func (p *parser) simple(quote byte) (text string, ok bool) {
	rest := p.text[p.at:]
	end := strings.IndexByte(rest, quote)
	if end < 0 || strings.ContainsAny(rest[:end], "\\\n") || quote == '\'' && strings.HasPrefix(rest[end+1:], "'") {
		return "", false
	}
	p.step(end + 1)
	return rest[:end], true
}

// foldQuoted reads the ends of lines in a text in quotes, and returns the text so far with what is in place of them. The
// blanks around them do not count, but for those among what is to be kept.
func (p *parser) foldQuoted(b []byte, kept int) []byte {
	for len(b) > kept && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return append(b, fold(max(1, p.breaks()))...)
}

// breaks counts the ends of lines from here to the next text.
func (p *parser) breaks() (n int) {
	for ; p.peek(0) == '\n'; p.skipBlanks() {
		p.newLine()
		n++
		if p.atMarker() {
			p.fail("a document ends in quotes")
		}
	}
	return n
}

// escapes are those of one character (YAML 1.2.2, 5.7), and what they stand for.
var escapes = [...]string{
	"0\x00", "a\a", "b\b", "t\t", "\t\t", "n\n", "v\v", "f\f", "r\r", "e\x1b", "  ", "\"\"", "//", "\\\\", "N\u0085", "_\u00a0", "L\u2028", "P\u2029",
}

// escape reads an escape, and returns the text so far with what it stands for.
func (p *parser) escape(b []byte) []byte {
	c := p.peek(1)
	p.step(2)
	switch c {
	case '\n': // which does not count
		p.at--
		return append(b, strings.Repeat("\n", max(1, p.breaks())-1)...)
	case 'x':
		return utf8.AppendRune(b, p.hexadecimal(2))
	case 'u':
		r := p.hexadecimal(4)
		if utf16.IsSurrogate(r) && p.peek(0) == '\\' && p.peek(1) == 'u' { // as JSON has it
			at := p.at
			p.step(2)
			if pair := utf16.DecodeRune(r, p.hexadecimal(4)); pair != utf8.RuneError {
				r = pair
			} else if p.err == nil {
				p.at = at
			}
		}
		return utf8.AppendRune(b, r)
	case 'U':
		return utf8.AppendRune(b, p.hexadecimal(8))
	}
	for _, e := range escapes {
		if e[0] == c {
			return append(b, e[1:]...)
		}
	}
	p.failAt(p.at-2, "unknown escape: \\%c", c)
	return b
}

// hexadecimal reads a number of so many digits that stands for a character.
func (p *parser) hexadecimal(digits int) rune {
	text := p.text[min(p.at, len(p.text)):min(p.at+digits, len(p.text))]
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil || len(text) < digits || n > utf8.MaxRune {
		p.fail("not a character: %q", text)
		return 0
	}
	p.step(digits)
	return rune(n)
}
