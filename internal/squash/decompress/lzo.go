package decompress

import "encoding/binary"

// decodeLZO decompresses a block of LZO1X, which says itself where it ends.
//
// It is a sequence of instructions. Each copies a match, and then up to three literals, the number of which
// is in two bits of the instruction; or it copies a run of literals. What an instruction below 16 means
// depends on how many literals the one before it copied: none, some after a match, or a run.
func decodeLZO(dst, src []byte) (int, error) {
	const run = 4 // as a number of literals: four or more
	o := lzo{dst: dst, src: src}
	literals := 0
	if src[0] > 17 { // the first instruction may be a run, without any instruction for it
		literals = int(src[0]) - 17
		o.in = 1
		if err := o.literals(literals); err != nil {
			return 0, err
		}
		literals = min(literals, run)
	}
	for {
		// The shortest instruction is one byte, which is followed by a literal or another byte; the end has
		// three bytes.
		if len(src)-o.in < 3 {
			return 0, truncated
		}
		instruction := int(src[o.in])
		o.in++

		var distance, n int
		switch {
		case instruction < 16 && literals == 0:
			n, ok := o.length(instruction, 15)
			if !ok {
				return 0, truncated
			}
			if err := o.literals(n + 3); err != nil {
				return 0, err
			}
			literals = run
			continue
		case instruction < 16:
			distance, n = instruction>>2+1, 2
			if literals == run {
				distance, n = distance+2048, 3
			}
			distance += int(src[o.in]) << 2
			o.in++
			literals = instruction & 3
		case instruction < 64: // a distance of two bytes
			bits := 5
			if instruction < 32 {
				bits = 3
			}
			var ok bool
			if n, ok = o.length(instruction&(1<<bits-1), 1<<bits-1); !ok || len(src)-o.in < 2 {
				return 0, truncated
			}
			n += 2
			low := int(binary.LittleEndian.Uint16(src[o.in:]))
			o.in += 2
			distance, literals = low>>2+1, low&3
			if bits == 3 {
				distance += 16383 + instruction&8<<11
				if distance == 16384 {
					return o.end(n, literals)
				}
			}
		case instruction < 128:
			distance, n = instruction>>2&7+int(src[o.in])<<3+1, instruction>>5&1+3
			o.in++
			literals = instruction & 3
		default:
			distance, n = instruction>>2&7+int(src[o.in])<<3+1, instruction>>5&3+5
			o.in++
			literals = instruction & 3
		}

		if distance > o.at {
			return 0, badDistance
		}
		if n > len(dst)-o.at {
			return 0, tooLong
		}
		copyMatch(dst, o.at, distance, n)
		o.at += n
		if err := o.literals(literals); err != nil {
			return 0, err
		}
	}
}

type lzo struct {
	dst, src []byte
	at, in   int
}

// length returns a length of at least 1, which is either in the instruction or, if that says 0, most plus the
// bytes that follow, up to the first that is not zero; each zero counts 255.
func (o *lzo) length(short, most int) (int, bool) {
	if short != 0 {
		return short, true
	}
	n := most
	for o.in < len(o.src) {
		b := int(o.src[o.in])
		o.in++
		if b != 0 {
			return n + b, true
		}
		n += 255
	}
	return 0, false
}

// literals copies n bytes from the source.
func (o *lzo) literals(n int) error {
	switch {
	case n <= wide && o.in+wide <= len(o.src) && o.at+wide <= len(o.dst):
		copyWide(o.dst[o.at:], o.src[o.in:])
	case n > len(o.src)-o.in:
		return truncated
	case n > len(o.dst)-o.at:
		return tooLong
	default:
		copy(o.dst[o.at:], o.src[o.in:o.in+n])
	}
	o.at += n
	o.in += n
	return nil
}

// end returns the result when the instruction that marks the end has come, which has a match's length and
// literals of its own.
func (o *lzo) end(n, literals int) (int, error) {
	if n != 3 || literals != 0 {
		return 0, invalid
	}
	if o.in != len(o.src) {
		return 0, trailing
	}
	return o.at, nil
}
