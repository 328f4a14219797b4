package decompress

import "encoding/binary"

// codeFilter returns the inverse of one of xz's filters for executable code, nil if there is none such. They
// make the relative addresses of jumps and calls absolute, which repeat more. Itanium's, which the kernel has
// dropped, is not among ours.
func codeFilter(id uint64) func(code []byte) {
	switch id {
	case 4:
		return unfilterX86
	case 5:
		return unfilterPowerPC
	case 7:
		return unfilterARM
	case 8:
		return unfilterThumb
	case 9:
		return unfilterSPARC
	case 10:
		return unfilterARM64
	}
	return nil
}

// unfilterX86 changes the operands of CALL and JMP, e8 and e9, if they look like addresses within 16 MB, that
// is if the highest byte is all zeros or all ones. It is not alone in that: also a byte of data may be e8 or
// e9. Such bytes before an instruction, if they look like instructions to which its operand belongs, decide
// whether it is changed and how.
func unfilterX86(code []byte) {
	looksNear := func(b byte) bool { return b == 0 || b == 0xff }
	var recent uint // which of the last three bytes were e8 or e9 and unchanged; bit 0 is the last
	for i := 0; i+5 <= len(code); i++ {
		if code[i]&0xfe != 0xe8 {
			recent = recent << 1 & 7
			continue
		}
		operand := code[i+1 : i+5]
		overlap := 0 // how many bytes the operand of a recent one lacks of this operand
		more := false
		switch recent {
		case 0:
		case 1:
			overlap = 1
		case 2:
			overlap = 2
		case 4:
			overlap = 3
		default:
			more = true
		}
		if more || !looksNear(operand[3]) || overlap > 0 && looksNear(operand[3-overlap]) {
			recent = (recent<<1 | 1) & 7
			continue
		}

		here := uint32(i) + 5
		relative := binary.LittleEndian.Uint32(operand) - here
		if shift := 24 - 8*overlap; overlap > 0 && looksNear(byte(relative>>shift)) {
			// Then the filter did it twice, for the result not to look as if it had been left alone.
			relative = relative ^ (1<<(shift+8) - 1) - here
		}
		relative &= 1<<25 - 1
		relative |= -(relative & (1 << 24)) // the sign
		binary.LittleEndian.PutUint32(operand, relative)
		recent = 0
		i += 4
	}
}

// unfilterPowerPC changes BL with an absolute address bit of 0, in big endian.
func unfilterPowerPC(code []byte) {
	for i := 0; i+4 <= len(code); i += 4 {
		instruction := binary.BigEndian.Uint32(code[i:])
		if instruction&0xfc000003 == 0x48000001 {
			binary.BigEndian.PutUint32(code[i:], (instruction-uint32(i))&0x03fffffc|0x48000001)
		}
	}
}

// unfilterARM changes BL that is always executed. The processor counts from two instructions ahead.
func unfilterARM(code []byte) {
	for i := 0; i+4 <= len(code); i += 4 {
		if code[i+3] == 0xeb {
			instruction := binary.LittleEndian.Uint32(code[i:])
			target := instruction - uint32(i+8)/4
			binary.LittleEndian.PutUint32(code[i:], 0xeb000000|target&0x00ffffff)
		}
	}
}

// unfilterThumb changes BL, which is a pair of instructions of two bytes, eleven bits of address in each.
func unfilterThumb(code []byte) {
	for i := 0; i+4 <= len(code); i += 2 {
		high := binary.LittleEndian.Uint16(code[i:])
		low := binary.LittleEndian.Uint16(code[i+2:])
		if high&0xf800 == 0xf000 && low&0xf800 == 0xf800 {
			target := uint32(high&0x7ff)<<11 | uint32(low&0x7ff)
			target -= uint32(i+4) / 2
			binary.LittleEndian.PutUint16(code[i:], 0xf000|uint16(target>>11)&0x7ff)
			binary.LittleEndian.PutUint16(code[i+2:], 0xf800|uint16(target)&0x7ff)
			i += 2
		}
	}
}

// unfilterSPARC changes CALL with an operand within 16 MB, which is extended by its sign.
func unfilterSPARC(code []byte) {
	for i := 0; i+4 <= len(code); i += 4 {
		instruction := binary.BigEndian.Uint32(code[i:])
		if top := instruction >> 22; top == 0x100 || top == 0x1ff {
			target := instruction - uint32(i)/4
			sign := -(target >> 22 & 1) << 22 & 0x3fffffff
			binary.BigEndian.PutUint32(code[i:], 0x40000000|sign|target&0x003fffff)
		}
	}
}

// unfilterARM64 changes BL, and ADRP with a page within 512 MB.
func unfilterARM64(code []byte) {
	for i := 0; i+4 <= len(code); i += 4 {
		instruction := binary.LittleEndian.Uint32(code[i:])
		switch {
		case instruction>>26 == 0x25:
			instruction = 0x25<<26 | (instruction-uint32(i)/4)&0x03ffffff
		case instruction&0x9f000000 == 0x90000000:
			page := instruction>>29&3 | instruction>>3&0x1ffffc
			if (page+0x20000)&0x1c0000 != 0 {
				continue
			}
			page -= uint32(i) / 4096
			sign := -(page >> 17 & 1) & 7 << 21
			instruction = instruction&0x9000001f | page&3<<29 | page&0x3fffc<<3 | sign
		default:
			continue
		}
		binary.LittleEndian.PutUint32(code[i:], instruction)
	}
}
