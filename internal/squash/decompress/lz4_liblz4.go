//go:build !noliblz4

package decompress

/*
#cgo LDFLAGS: -llz4
#cgo noescape unlz4
#cgo nocallback unlz4

// Where this is not found: Debian package liblz4-dev, or the build tag noliblz4.
#include <lz4.h>

// Returns the length of the result, or -1 if src is invalid or dst too small, which LZ4 does not tell apart.
static long unlz4(unsigned char *dst, int dst_size, unsigned char *src, int src_size)
{
	int n = LZ4_decompress_safe((const char *)src, (char *)dst, src_size, dst_size);

	return n < 0 ? -1 : n;
}
*/
import "C" //nolint:depguard // cgo imports package unsafe

// decodeLZ4 decompresses a block of LZ4, with liblz4.
func decodeLZ4(dst, src []byte) (int, error) {
	return cResult(int(C.unlz4((*C.uchar)(&dst[0]), C.int(len(dst)), (*C.uchar)(&src[0]), C.int(len(src)))))
}
