package squash

import (
	"sync/atomic"
	"time"
)

// Storage that is far away takes long to answer, however little is asked for: a parallel file system milliseconds for what
// memory has in one microsecond. A start of a command is then all waiting, for dozens of small reads that depend on each
// other. What is next to what was read is likely to be read soon, as mksquashfs puts the files of a directory one after
// the other; so it is worth asking for it at the same time. Where answers are quick, nothing is asked for in advance: there
// it only costs.

// SlowRead is how long a read takes that came from far away.
const SlowRead = time.Millisecond

// What is asked for in advance, in bytes: of data what is in the same piece of the image, of metadata, which are small,
// all of them. With larger pieces the time gets less, and the amount that is read more: with 5 ms for an operation and
// 100 MB/s, importing NumPy takes 0.60 of the time and 1.5 times the bytes with 256 KiB, 0.48 and 2 times with 512 KiB
// (docs/scale.md).
const (
	dataAhead     = 256 << 10
	metadataAhead = 4 << 20
)

// A prefetcher asks for parts of the image in advance.
type prefetcher struct {
	fetch    func(offset, length int64) // nil: nobody can be asked
	metadata atomic.Bool                // has been asked for
}

// prefetchAfter notes that a read from offset to end, in bytes from the image's start, took so long.
func (r *Reader) prefetchAfter(offset int64, took time.Duration) {
	p := &r.prefetcher
	if p.fetch == nil || took < SlowRead {
		return
	}
	begin := offset - offset%dataAhead
	length := min(dataAhead, r.super.BytesUsed-begin)
	if offset >= r.super.inodeTable && r.super.inodeTable > 0 {
		if p.metadata.Swap(true) {
			return
		}
		begin, length = r.super.inodeTable, min(metadataAhead, r.super.BytesUsed-r.super.inodeTable)
	}
	if length > 0 {
		p.fetch(r.offset+begin, length)
	}
}
