package decompress

import "encoding/binary"

// A probability is that of a 0.
type probability uint16

const (
	probabilityBits = 11
	adaption        = 5       // a higher number makes probabilities adapt more slowly
	least           = 1 << 24 // of a width; below there is room for a further byte
)

// A rangeDecoder decodes bits. The source is a number, of as many digits as it has bytes, in a range that
// each bit makes narrower: its lower part, as wide as 0 is probable, is a 0.
type rangeDecoder struct {
	src   []byte
	in    int    // beyond the end of src, there are zeros
	width uint32 // of the range
	code  uint32 // where the number is in it
}

// start begins with src, the first byte of which is always zero.
func (r *rangeDecoder) start(src []byte) error {
	if len(src) < 5 {
		return truncated
	}
	if src[0] != 0 {
		return invalid
	}
	*r = rangeDecoder{src: src, in: 5, width: 1<<32 - 1, code: binary.BigEndian.Uint32(src[1:])}
	return nil
}

func (r *rangeDecoder) widen() {
	r.width <<= 8
	r.code <<= 8
	if r.in < len(r.src) {
		r.code |= uint32(r.src[r.in])
	}
	r.in++
}

// atEnd returns whether source and number end after the last bit decoded.
func (r *rangeDecoder) atEnd() bool {
	if r.width < least {
		r.widen()
	}
	return r.in == len(r.src) && r.code == 0
}

// notAtEnd returns the damage of a source that should be at its end and is not.
func (r *rangeDecoder) notAtEnd() error {
	switch {
	case r.in > len(r.src):
		return truncated
	case r.in < len(r.src):
		return trailing
	}
	return invalid
}

// bit returns a bit.
func (r *rangeDecoder) bit(p *probability) uint32 {
	if r.width < least {
		r.widen()
	}
	middle := r.width >> probabilityBits * uint32(*p)
	if r.code < middle {
		r.width = middle
		*p += (1<<probabilityBits - *p) >> adaption
		return 0
	}
	r.width -= middle
	r.code -= middle
	*p -= *p >> adaption
	return 1
}

// tree returns a number of that many bits, highest first. The probability of a bit depends on all before it.
func (r *rangeDecoder) tree(p []probability, bits uint) uint32 {
	n := uint32(1)
	for range bits {
		n = n<<1 | r.bit(&p[n])
	}
	return n - 1<<bits
}

// reverseTree is like tree, with the lowest bit first.
func (r *rangeDecoder) reverseTree(p []probability, bits uint) uint32 {
	n, result := uint32(1), uint32(0)
	for i := range bits {
		b := r.bit(&p[n])
		n = n<<1 | b
		result |= b << i
	}
	return result
}

// equal returns a number of that many bits, for each of which 0 and 1 are equally probable.
func (r *rangeDecoder) equal(bits uint) uint32 {
	var n uint32
	for range bits {
		if r.width < least {
			r.widen()
		}
		r.width >>= 1
		n <<= 1
		if r.code >= r.width {
			r.code -= r.width
			n |= 1
		}
	}
	return n
}

// byte returns what tree does for 8 bits. Most of the time of LZMA is spent here, so that it keeps in
// registers what bit has in memory.
func (r *rangeDecoder) byte(p *[0x300]probability) byte {
	width, code, in := r.width, r.code, r.in
	n := uint32(1)
	for n < 0x100 {
		if width < least {
			width <<= 8
			code <<= 8
			if in < len(r.src) {
				code |= uint32(r.src[in])
			}
			in++
		}
		chance := uint32(p[n])
		middle := width >> probabilityBits * chance
		if code < middle {
			width = middle
			p[n] = probability(chance + (1<<probabilityBits-chance)>>adaption)
			n <<= 1
		} else {
			width -= middle
			code -= middle
			p[n] = probability(chance - chance>>adaption)
			n = n<<1 | 1
		}
	}
	r.width, r.code, r.in = width, code, in
	return byte(n)
}

// byteUnlike returns a byte that probably differs from other: as long as its bits are the same, probabilities
// depend on the next bit of other, too.
func (r *rangeDecoder) byteUnlike(p *[0x300]probability, other byte) byte {
	n, same := uint32(1), uint32(0x100)
	for rest := uint32(other); n < 0x100; {
		rest <<= 1
		next := rest & same
		b := r.bit(&p[same+next+n])
		n = n<<1 | b
		if b == 0 {
			same &= ^next
		} else {
			same &= next
		}
	}
	return byte(n)
}
