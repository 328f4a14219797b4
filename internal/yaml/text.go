package yaml

import "strings"

// A chomping says what to do with the line breaks at the end of a block of text.
type chomping byte

const (
	clip  chomping = 0 // keep one
	strip chomping = '-'
	keep  chomping = '+'
)

// blockText reads a text in lines of their own that are indented more than the column: as they are (|), or
// folded (>). YAML 1.2.2, 8.1.
func (p *parser) blockText(column int) scalar {
	s := scalar{at: p.at}
	folded := p.peek(0) == '>'
	p.step(1)
	indent, chomp := p.textHeader(column)
	p.endLine()
	p.step(len(p.restOfLine()))
	lines, breaks, ended := p.textLines(column, indent)
	if folded {
		s.text = foldLines(lines)
	} else {
		s.text = strings.Join(lines, "\n")
	}
	if len(lines) > 0 && chomp != strip && ended {
		s.text += "\n"
	}
	if chomp == keep {
		s.text += strings.Repeat("\n", breaks)
	}
	return s
}

// textHeader reads how far the text is indented, -1 if that is left to its first line.
func (p *parser) textHeader(column int) (indent int, chomp chomping) {
	indent = -1
	for range 2 {
		switch c := p.peek(0); {
		case (c == '-' || c == '+') && chomp == clip:
			chomp = chomping(c)
		case c >= '1' && c <= '9' && indent < 0:
			indent = max(column, 0) + int(c-'0')
		default:
			return indent, chomp
		}
		p.step(1)
	}
	return indent, chomp
}

// textLines reads the lines up to the last that is not empty, and says whether that has an end. breaks counts the empty
// ones behind it.
func (p *parser) textLines(column, indent int) (lines []string, breaks int, ended bool) {
	widest := 0 // of the empty lines
	for p.peek(0) == '\n' {
		rest := p.text[p.at+1:]
		line, _, hasEnd := strings.Cut(rest, "\n")
		text := strings.TrimLeft(line, " ")
		width := len(line) - len(text)
		if text == "" && (indent < 0 || width <= indent) {
			widest = max(widest, width)
			if hasEnd {
				breaks++
			}
		} else {
			if indent < 0 && width > column {
				if indent = width; widest > indent {
					p.fail("an empty line is indented more than the text below it")
					return nil, 0, false
				}
			}
			if indent < 0 || width < indent || width == 0 && isMarker(line) {
				return lines, breaks, ended
			}
			lines = append(lines, make([]string, breaks)...)
			lines, breaks, ended = append(lines, line[indent:]), 0, hasEnd
		}
		p.newLine()
		p.step(len(line))
	}
	return lines, breaks, ended
}

// foldLines puts lines together, where neither begins with a blank.
func foldLines(lines []string) string {
	var b strings.Builder
	empty, above := 0, "" // the empty lines since the last other one, and that
	for _, line := range lines {
		if line == "" {
			empty++
			continue
		}
		switch {
		case b.Len() == 0:
			b.WriteString(strings.Repeat("\n", empty))
		case isBlank(line[0]) || isBlank(above[0]):
			b.WriteString(strings.Repeat("\n", empty+1))
		default:
			b.WriteString(fold(empty + 1))
		}
		b.WriteString(line)
		empty, above = 0, line
	}
	return b.String()
}
