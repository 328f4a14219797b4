//go:build !nolibzstd

package decompress

/*
#cgo LDFLAGS: -lzstd
#cgo noescape unzstd
#cgo nocallback unzstd

// Where these are not found: Debian package libzstd-dev, or the build tag nolibzstd.
#include <zstd.h>
#include <zstd_errors.h>

// Returns the length of the result, -1 if src is invalid, or -2 if dst is too small.
//
// libzstd would also decompress what follows, and the formats before 1.0 for which it has old code and
// allocates what they ask for; the kernel does neither.
static long unzstd(ZSTD_DCtx *context, unsigned char *dst, size_t dst_size, unsigned char *src, size_t src_size)
{
	static const unsigned char magic[] = {0x28, 0xb5, 0x2f, 0xfd};
	size_t n;

	if (src_size < sizeof magic)
		return -1;
	for (size_t i = 0; i < sizeof magic; i++)
		if (src[i] != magic[i])
			return -1;
	if (ZSTD_findFrameCompressedSize(src, src_size) != src_size)
		return -1;
	n = ZSTD_decompressDCtx(context, dst, dst_size, src, src_size);
	if (ZSTD_isError(n))
		return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ? -2 : -1;
	return n;
}
*/
import "C" //nolint:depguard // the import of unsafe is that of cgo, which has no other way to call C

import "errors"

// newZstd has d decompress zstd frames, with libzstd. Decompressing at once, it needs no window.
func newZstd(d *Decompressor, _ int) {
	unzstds := newContexts[*C.ZSTD_DCtx]()
	unzstds.freeWith(d, func(c *C.ZSTD_DCtx) { C.ZSTD_freeDCtx(c) })
	d.decode = func(dst, src []byte) (int, error) {
		c := unzstds.take()
		defer func() { unzstds.put(c) }()
		if c == nil {
			if c = C.ZSTD_createDCtx(); c == nil {
				return 0, errors.New("no memory for libzstd")
			}
		}
		n := C.unzstd(c, (*C.uchar)(&dst[0]), C.size_t(len(dst)), (*C.uchar)(&src[0]), C.size_t(len(src)))
		return cResult(int(n))
	}
}
