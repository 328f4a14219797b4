//go:build noliblz4

package decompress

import "encoding/binary"

// decodeLZ4 decompresses a block of LZ4. All of src is the block: its end is that of src, after literals.
//
// It is a sequence of literals and matches. A token holds both lengths, four bits each, and 15 means that
// bytes to be added follow, up to the first that is not 255. No match is shorter than 4.
func decodeLZ4(dst, src []byte) (int, error) {
	at, in := 0, 0
	for in < len(src) {
		token := int(src[in])
		in++

		n := token >> 4
		if n == 15 {
			var ok bool
			if n, in, ok = lz4Length(n, src, in); !ok {
				return 0, truncated
			}
		}
		switch {
		case n <= wide && in+wide <= len(src) && at+wide <= len(dst):
			copyWide(dst[at:], src[in:])
		case n > len(src)-in:
			return 0, truncated
		case n > len(dst)-at:
			return 0, tooLong
		default:
			copy(dst[at:], src[in:in+n])
		}
		at += n
		in += n
		if in == len(src) {
			return at, nil
		}

		if len(src)-in < 2 {
			return 0, truncated
		}
		distance := int(binary.LittleEndian.Uint16(src[in:]))
		in += 2
		if distance == 0 || distance > at {
			return 0, badDistance
		}
		n = token & 15
		if n == 15 {
			var ok bool
			if n, in, ok = lz4Length(n, src, in); !ok {
				return 0, truncated
			}
		}
		n += 4
		if n > len(dst)-at {
			return 0, tooLong
		}
		copyMatch(dst, at, distance, n)
		at += n
	}
	return 0, truncated // after a match
}

// lz4Length returns n plus the bytes of src from in on, up to and including the first that is not 255, and
// what comes after them. It is not ok if src ends before.
func lz4Length(n int, src []byte, in int) (int, int, bool) {
	for in < len(src) {
		b := int(src[in])
		in++
		n += b
		if b != 255 {
			return n, in, true
		}
	}
	return 0, 0, false
}
