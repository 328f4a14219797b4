//go:build nolibzstd

package decompress

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// newZstd has d decompress zstd frames, in Go. Like the kernel it refuses windows above size.
func newZstd(d *Decompressor, size int) {
	decoders := newContexts[*zstd.Decoder]()
	d.decode = func(dst, src []byte) (int, error) {
		c := decoders.take()
		defer func() { decoders.put(c) }()
		if c == nil {
			var err error
			c, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxMemory(uint64(size)), zstd.WithDecodeAllCapLimit(true))
			if err != nil {
				return 0, fmt.Errorf("zstd: %w", err)
			}
		}
		// The result is in dst: with the limit above, it never grows.
		result, err := c.DecodeAll(src, dst[:0:len(dst)])
		switch {
		case err == nil && len(result) == 0:
			return 0, invalid // which would be said of source that is skipped, too
		case err == nil:
			return len(result), nil
		case errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return 0, tooLong
		case errors.Is(err, io.ErrUnexpectedEOF):
			return 0, truncated
		}
		return 0, invalid
	}
}
