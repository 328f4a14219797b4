package decompress

import (
	"encoding/binary"
	"fmt"
)

// checkOptions returns an error if options are not those of m, as far as decompressing depends on them: the
// only values that it needs are LZ4's. The kernel is as lenient.
func checkOptions(m Method, options []byte) error {
	size := 0
	switch m {
	case Gzip, LZO, XZ, LZ4:
		size = 8
	case Zstd:
		size = 4
	case LZMA: // has none
	default:
		return fmt.Errorf("the compression method is %v", m)
	}
	if m == LZ4 {
		if options == nil {
			return fmt.Errorf("the compressor options of %v are missing", m)
		}
		if len(options) >= 4 {
			if version := binary.LittleEndian.Uint32(options); version != 1 {
				return fmt.Errorf("version %d of %v is unknown", version, m)
			}
		}
	}
	if options != nil && len(options) < size {
		return fmt.Errorf("the compressor options of %v are %d bytes, not %d", m, len(options), size)
	}
	return nil
}
