package decompress

import "encoding/binary"

// newLZMA has d decompress the format of lzma_alone: a header with the properties, the size of the dictionary,
// and that of the result or -1, and LZMA. It has no check sum.
func newLZMA(d *Decompressor) {
	states := newContexts[*lzma]()
	d.decode = func(dst, src []byte) (int, error) {
		l := states.take()
		if l == nil {
			l = &lzma{}
		}
		defer func() { states.put(l) }()
		return l.decodeAlone(dst, src)
	}
}

func (l *lzma) decodeAlone(dst, src []byte) (int, error) {
	const header, anySize = 13, 1<<64 - 1
	if len(src) < header {
		return 0, truncated
	}
	if !l.setProperties(src[0]) {
		return 0, badHeader
	}
	size := binary.LittleEndian.Uint64(src[5:])
	if size != anySize {
		if size > uint64(len(dst)) {
			return 0, tooLong
		}
		dst = dst[:size]
	}
	l.reset()
	if err := l.start(src[header:]); err != nil {
		return 0, err
	}
	l.dst, l.base, l.at = dst, 0, 0
	defer l.forget()

	var err error
	if size != anySize {
		err = l.decode(len(dst), false)
		if err == nil && l.rc.atEnd() {
			return l.at, nil
		}
	}
	// Here there is an end marker, as there may be also after a known size.
	if err == nil {
		err = l.decode(len(dst), true)
	}
	if err == nil && !l.rc.atEnd() {
		err = l.rc.notAtEnd()
	}
	return l.at, err
}

// LZMA codes bits, each with the probability that it has had so far in its place. There are places for what
// comes next (a literal, a match, a match at one of the last four distances), by the state, that is the kinds
// of the last few; for lengths; for distances; and for literals.
type lzma struct {
	literalContext, literalPosition uint   // how many bits of the byte before, and of the position, matter to literals
	positionMask                    uint32 // which bits of the position matter to everything else

	dst  []byte
	at   int // where dst ends so far
	base int // where the dictionary begins in it, and positions are counted from

	rc        rangeDecoder
	state     uint32
	distances [4]uint32 // the last four, less 1

	probabilities
}

// The numbers of bits and values in LZMA.
const (
	states             = 12
	maxPositionBits    = 4
	maxLiteralBits     = 4 // literalContext + literalPosition, as in xz; lzma_alone allows more, nobody uses it
	minMatch           = 2
	slotsWithTree      = 14 // distances of higher slots have bits of equal probability
	alignBits          = 4
	endMarker          = 1<<32 - 1 // as a distance
	initialProbability = 1 << (probabilityBits - 1)
)

type probabilities struct {
	isMatch    [states << maxPositionBits]probability
	isRep      [states]probability
	isRep0     [states]probability // 0 means the last distance
	isRep0Long [states << maxPositionBits]probability
	isRep1     [states]probability
	isRep2     [states]probability
	matchLen   lengthProbabilities
	repLen     lengthProbabilities
	slot       [4][64]probability // by length
	distance   [1 + 128 - slotsWithTree]probability
	align      [1 << alignBits]probability
	literal    [1 << maxLiteralBits][0x300]probability
}

type lengthProbabilities struct {
	notLow, notMiddle probability
	low, middle       [1 << maxPositionBits][8]probability
	high              [256]probability
}

// setProperties returns whether properties are ones that we support.
func (l *lzma) setProperties(properties byte) bool {
	rest := uint(properties)
	l.literalContext = rest % 9
	rest /= 9
	l.literalPosition = rest % 5
	positionBits := rest / 5
	l.positionMask = 1<<positionBits - 1
	return positionBits <= maxPositionBits && l.literalContext+l.literalPosition <= maxLiteralBits
}

// reset forgets what has been learned.
func (l *lzma) reset() {
	l.state, l.distances = 0, [4]uint32{}
	p := &l.probabilities
	for _, list := range [][]probability{
		p.isMatch[:], p.isRep[:], p.isRep0[:], p.isRep0Long[:], p.isRep1[:], p.isRep2[:], p.distance[:], p.align[:],
	} {
		fill(list)
	}
	for i := range p.slot {
		fill(p.slot[i][:])
	}
	for i := range p.literal[:1<<(l.literalContext+l.literalPosition)] {
		fill(p.literal[i][:])
	}
	for _, p := range []*lengthProbabilities{&p.matchLen, &p.repLen} {
		p.notLow, p.notMiddle = initialProbability, initialProbability
		for i := range p.low {
			fill(p.low[i][:])
			fill(p.middle[i][:])
		}
		fill(p.high[:])
	}
}

func fill(list []probability) {
	for i := range list {
		list[i] = initialProbability
	}
}

// start begins with src.
func (l *lzma) start(src []byte) error { return l.rc.start(src) }

// forget lets go of memory that is the caller's.
func (l *lzma) forget() { l.dst, l.rc.src = nil, nil }

// decode decompresses up to limit in dst, and with marker up to an end marker, which may come before limit
// and must not come after it. Without marker, it must not come at all.
//
// A source that ends too soon reads as zeros: only rangeDecoder.atEnd tells. That takes no longer than a
// good one, as everything but the end marker adds to dst.
func (l *lzma) decode(limit int, marker bool) error {
	rc := &l.rc
	for l.at < limit || marker {
		position := uint32(l.at - l.base)
		positionState := position & l.positionMask
		index := l.state<<maxPositionBits | positionState
		if rc.bit(&l.isMatch[index]) == 0 {
			if l.at == limit {
				return tooLong
			}
			l.literalByte(position)
			continue
		}

		var n int
		if rc.bit(&l.isRep[l.state]) == 0 {
			n = l.length(&l.matchLen, positionState)
			distance := l.readDistance(n)
			if distance == endMarker {
				if !marker {
					return invalid
				}
				return nil
			}
			l.distances = [4]uint32{distance, l.distances[0], l.distances[1], l.distances[2]}
			l.state = afterMatch(l.state, 7)
		} else if short := l.chooseDistance(index); short {
			n = 1
			l.state = afterMatch(l.state, 9)
		} else {
			n = l.length(&l.repLen, positionState)
			l.state = afterMatch(l.state, 8)
		}

		if l.distances[0] >= position {
			return badDistance
		}
		if n > limit-l.at {
			return tooLong
		}
		copyMatch(l.dst, l.at, int(l.distances[0])+1, n)
		l.at += n
	}
	return nil
}

// afterMatch returns the state after a match of the kind that has state kind after a literal.
func afterMatch(state, kind uint32) uint32 {
	switch {
	case state < 7:
		return kind
	case kind == 7:
		return 10
	}
	return 11
}

func (l *lzma) literalByte(position uint32) {
	var before uint32
	if position > 0 {
		before = uint32(l.dst[l.at-1])
	}
	context := position&(1<<l.literalPosition-1)<<l.literalContext | before>>(8-l.literalContext)
	p := &l.literal[context]
	if l.state < 7 { // after a literal
		l.dst[l.at] = l.rc.byte(p)
	} else { // it differs from what a match would have gone on with
		l.dst[l.at] = l.rc.byteUnlike(p, l.dst[l.at-1-int(l.distances[0])])
	}
	l.at++
	switch {
	case l.state < 4:
		l.state = 0
	case l.state < 10:
		l.state -= 3
	default:
		l.state -= 6
	}
}

// chooseDistance makes one of the last four distances the last, and returns whether a match of one byte is
// all that is to be copied.
func (l *lzma) chooseDistance(index uint32) (short bool) {
	d := l.distances
	switch {
	case l.rc.bit(&l.isRep0[l.state]) == 0:
		return l.rc.bit(&l.isRep0Long[index]) == 0
	case l.rc.bit(&l.isRep1[l.state]) == 0:
		l.distances = [4]uint32{d[1], d[0], d[2], d[3]}
	case l.rc.bit(&l.isRep2[l.state]) == 0:
		l.distances = [4]uint32{d[2], d[0], d[1], d[3]}
	default:
		l.distances = [4]uint32{d[3], d[0], d[1], d[2]}
	}
	return false
}

// length returns the length of a match: 2 to 9, 10 to 17, or 18 to 273.
func (l *lzma) length(p *lengthProbabilities, positionState uint32) int {
	switch {
	case l.rc.bit(&p.notLow) == 0:
		return minMatch + int(l.rc.tree(p.low[positionState][:], 3))
	case l.rc.bit(&p.notMiddle) == 0:
		return minMatch + 8 + int(l.rc.tree(p.middle[positionState][:], 3))
	}
	return minMatch + 16 + int(l.rc.tree(p.high[:], 8))
}

// readDistance returns the distance, less 1, of a match of length n. Its slot says how many bits it has and
// what the first two are. The rest, lowest first, has a tree for each of the lower slots; and in higher ones
// equal probabilities, but for the last four bits.
func (l *lzma) readDistance(n int) uint32 {
	slot := l.rc.tree(l.slot[min(n-minMatch, len(l.slot)-1)][:], 6)
	if slot < 4 {
		return slot
	}
	bits := uint(slot>>1 - 1)
	distance := (2 | slot&1) << bits
	if slot < slotsWithTree {
		return distance + l.rc.reverseTree(l.distance[distance-slot:], bits)
	}
	distance += l.rc.equal(bits-alignBits) << alignBits
	return distance + l.rc.reverseTree(l.align[:], alignBits)
}
