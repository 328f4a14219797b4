//go:build nolibdeflate

package decompress

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/zlib"
)

// An inflater is a reader of zlib's format with its source.
type inflater struct {
	zlib io.ReadCloser
	src  bytes.Reader
}

// newGzip has d decompress zlib's format, in Go. The reader has a window of 32 kB, whatever the block says,
// and checks the check sum.
func newGzip(d *Decompressor) {
	inflaters := newContexts[*inflater]()
	d.decode = func(dst, src []byte) (int, error) {
		i := inflaters.take()
		if i == nil {
			i = &inflater{}
		}
		defer func() { inflaters.put(i) }()
		n, err := i.inflate(dst, src)
		var known damage
		switch {
		case err == nil || errors.As(err, &known):
			return n, err
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			return 0, truncated
		}
		return 0, invalid
	}
}

func (i *inflater) inflate(dst, src []byte) (int, error) {
	i.src.Reset(src)
	defer i.src.Reset(nil) // or src would stay in memory
	var err error
	if i.zlib == nil {
		i.zlib, err = zlib.NewReader(&i.src)
	} else {
		err = i.zlib.(zlib.Resetter).Reset(&i.src, nil)
	}
	if err != nil {
		return 0, err
	}
	for n := 0; ; {
		into := dst[n:]
		if n == len(dst) {
			into = make([]byte, 1) // to see the end, and the check sum before it
		}
		more, err := i.zlib.Read(into)
		switch {
		case more > 0 && n == len(dst):
			return 0, tooLong
		case err == io.EOF: // which is the very value, and another one where src ends too soon
			return n + more, nil
		case err != nil:
			return 0, err
		}
		n += more
	}
}
