// Package squash reads SquashFS 4.0 images (Linux Documentation/filesystems/squashfs.rst; the layout of
// structures on disk is that of squashfs-tools).
//
// # Structure
//
// An image is a superblock, then data blocks and fragment blocks, then metadata: the inode table, the
// directory table, and small tables that are found through an index (fragments, extended attributes,
// IDs, exports). Metadata come in blocks of 8 KiB, data in blocks of the image's block size; either are
// compressed one by one, or not where that would not make them smaller.
//
//	superblock.go   what the superblock says, and which of it is believed
//	metadata.go     metadata blocks: the cache of them, and cursors that read across them
//	table.go        tables with an index
//	inode.go        inodes
//	directory.go    looking names up, and listing
//	file.go         where the blocks of a file are, and reading them
//	cache.go        decompressed data and fragment blocks, shared by all readers of them
//	xattr.go        extended attributes
//	prefetch.go     asking in advance for what storage far away takes long to give
//
// # Hostile images
//
// Every offset, count and size of an image is checked before it is used: against the image's size, the
// bounds of the table it belongs to and the limits of the format. Nothing is allocated because an image
// claims a size, only because data are there; the caches are bounded in bytes. Lookups follow
// references in one direction through the image, so that none of them can loop. What is wrong is
// returned as a [CorruptError], and concerns the file it was found in, not the whole image.
//
// A [Reader] may be used by any number of goroutines at the same time.
package squash

import (
	"io"
	"sync/atomic"
	"time"

	"ch-run/internal/squash/decompress"
)

// Options are how an image is read.
type Options struct {
	// Offset is where in the source the image begins, in bytes: formats that wrap SquashFS put
	// something before it.
	Offset int64
	// Prefetch asks for a part of the source in advance, without waiting for it. May be nil.
	Prefetch func(offset, length int64)
	// Share has somebody else do work, at the same time as the caller goes on, or says that nobody has time. May be nil:
	// nobody ever has.
	Share func(work func()) bool
}

// A Reader reads one image.
type Reader struct {
	source       io.ReaderAt
	offset       int64
	super        Superblock
	decompressor *decompress.Decompressor

	metadata *metadataCache
	blocks   *blockCache
	pace     atomic.Int64 // how long a block takes to load, in nanoseconds, the last ones most
	layouts  layoutCache
	places   placeCache

	xattrs  xattrTable
	buffers *buffers

	prefetcher prefetcher
	share      func(work func()) bool
}

// Open reads what there is to know about an image from its superblock. source has size bytes. The
// root directory is not looked at; [Reader.Inode] of [Reader.Root] does that.
func Open(source io.ReaderAt, size int64, o Options) (*Reader, error) {
	if o.Offset < 0 || o.Offset > size {
		return nil, corrupt("superblock", 0, "the image would begin at byte %d of a file of %d", o.Offset, size)
	}
	r := &Reader{source: source, offset: o.Offset, prefetcher: prefetcher{fetch: o.Prefetch}, share: o.Share}
	head := make([]byte, min(size-o.Offset, headSize))
	if err := r.readAt(head, 0, "superblock"); err != nil {
		return nil, err
	}
	var err error
	if r.super, err = parseSuperblock(head, size-o.Offset); err != nil {
		return nil, err
	}
	options, err := r.compressorOptions(head)
	if err != nil {
		return nil, err
	}
	r.decompressor, err = decompress.New(r.super.Compression, options, int(r.super.BlockSize))
	if err != nil {
		return nil, &CorruptError{Part: "superblock", Text: "cannot be decompressed", Err: err}
	}
	r.metadata = newMetadataCache()
	r.buffers = &buffers{size: int(r.super.BlockSize)}
	r.blocks = newBlockCache(r.buffers)
	if err := r.openXattrs(); err != nil {
		return nil, err
	}
	return r, nil
}

// Superblock returns what the image says about itself.
func (r *Reader) Superblock() Superblock { return r.super }

// Root returns where the inode of the root directory is.
func (r *Reader) Root() Ref { return r.super.Root }

// readAt fills p from the image, at the offset given from the image's start. part names what is there.
func (r *Reader) readAt(p []byte, offset int64, part string) error {
	start := time.Now()
	n, err := r.source.ReadAt(p, r.offset+offset)
	switch {
	case n == len(p):
		r.prefetchAfter(offset, time.Since(start))
		return nil
	case err == io.EOF || err == nil:
		return corrupt(part, offset, "the image ends after %d of %d bytes", n, len(p))
	}
	return &ReadError{Part: part, Offset: offset, Err: err}
}
