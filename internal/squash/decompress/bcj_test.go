package decompress

import (
	"encoding/binary"
	"math/rand"
	"strings"
	"testing"
)

// TestFilters has xz filter what is full of the instructions that each filter looks for, and of what only
// resembles them.
func TestFilters(t *testing.T) {
	d := newDecompressor(t, XZ, maxBlockSize)
	r := rand.New(rand.NewSource(1))
	for option, instructions := range map[string][]uint32{
		"--x86":      {0xe8, 0xe9, 0xff00e8, 0x00e9, 0xe8e8e8, 0xe9ff, 0xe800e8},
		"--powerpc":  {0x01000048, 0x02000048, 0xfdffff4b},
		"--arm":      {0xeb000000, 0xebffffff, 0xea000000},
		"--armthumb": {0xf800f000, 0xffffffff, 0xf0fff7f0},
		"--arm64":    {0x94000000, 0x97ffffff, 0x90000000, 0xb0000000, 0xf0ffffe0, 0x90800000},
		"--sparc":    {0x00000040, 0xffffff7f, 0x00004040},
	} {
		for _, size := range []int{1, 4, 5, 8, 9, 70000, 1 << 20} {
			code := make([]byte, size)
			// Few values of bytes, so that the filters meet all combinations of them.
			for i := range code {
				code[i] = []byte{0, 0xff, 0xe8, 0xe9, 1, 0xfe, byte(r.Int())}[r.Intn(7)]
			}
			for i := 0; i+4 <= size; i += 4 << r.Intn(2) {
				if option != "--x86" || r.Intn(2) == 0 {
					word := instructions[r.Intn(len(instructions))] | uint32(r.Int())>>(6+r.Intn(20))
					if r.Intn(4) == 0 {
						word ^= 1 << r.Intn(32)
					}
					binary.LittleEndian.PutUint32(code[i:], word)
				}
			}
			check(t, d, sample{option, code, run(t, code, "xz", "-c", "--check=crc32", "-T1", option, "--lzma2=preset=0")})
		}
	}
}

// TestUnsupported names what we refuse.
func TestUnsupported(t *testing.T) {
	d := newDecompressor(t, XZ, 4096)
	text := []byte("some text")
	for want, options := range map[string][]string{
		"kind of its check sum": {"--check=crc64"},
		"filters":               {"--check=crc32", "--delta", "--lzma2"},
		"filters are":           {"--check=crc32", "--ia64", "--lzma2"},
		"filters are not":       {"--check=crc32", "--x86=start=16", "--lzma2"},
	} {
		_, err := d.Decompress(make([]byte, 100), run(t, text, "xz", append(options, "-c")...))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", options, err, want)
		}
	}
}
