//go:build !nolibdeflate

package decompress

/*
#cgo LDFLAGS: -ldeflate
#cgo noescape inflate
#cgo nocallback inflate

// Where this is not found: Debian package libdeflate-dev, or the build tag nolibdeflate.
#include <libdeflate.h>

typedef struct libdeflate_decompressor inflater;

static inflater *new_inflater(void) { return libdeflate_alloc_decompressor(); }
static void free_inflater(inflater *i) { libdeflate_free_decompressor(i); }

// Returns the length of the result, -1 if src is invalid, or -2 if dst is too small.
static long inflate(inflater *i, unsigned char *dst, size_t dst_size, unsigned char *src, size_t src_size)
{
	size_t n;

	switch (libdeflate_zlib_decompress(i, src, src_size, dst, dst_size, &n)) {
	case LIBDEFLATE_SUCCESS:
		return n;
	case LIBDEFLATE_INSUFFICIENT_SPACE:
		return -2;
	default:
		return -1;
	}
}
*/
import "C" //nolint:depguard // the import of unsafe is that of cgo, which has no other way to call C

import "errors"

// newGzip has d decompress zlib's format, with libdeflate. It checks the check sum.
func newGzip(d *Decompressor) {
	inflaters := newContexts[*C.inflater]()
	inflaters.freeWith(d, func(i *C.inflater) { C.free_inflater(i) })
	d.decode = func(dst, src []byte) (int, error) {
		i := inflaters.take()
		defer func() { inflaters.put(i) }()
		if i == nil {
			if i = C.new_inflater(); i == nil {
				return 0, errors.New("no memory for libdeflate")
			}
		}
		n := C.inflate(i, (*C.uchar)(&dst[0]), C.size_t(len(dst)), (*C.uchar)(&src[0]), C.size_t(len(src)))
		return cResult(int(n))
	}
}
