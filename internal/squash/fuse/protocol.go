package fuse

import "encoding/binary"

// The protocol of /dev/fuse, as include/uapi/linux/fuse.h of Linux 6.18 defines it, as far as a read-only
// file system needs it. All numbers are in the machine's byte order.
const (
	protocolMajor = 7
	protocolMinor = 31 // what this server speaks; Linux 5.4 and later do
	oldestMinor   = 23 // which has all structures in the sizes below

	rootNode = 1

	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opReadlink    = 5
	opOpen        = 14
	opRead        = 15
	opStatfs      = 17
	opRelease     = 18
	opGetxattr    = 22
	opListxattr   = 23
	opInit        = 26
	opReaddir     = 28
	opInterrupt   = 36
	opDestroy     = 38
	opBatchForget = 42
	opReaddirplus = 44

	// Capabilities, negotiated by INIT. Those that every read-only server has by not implementing a
	// request (NO_OPEN_SUPPORT, NO_OPENDIR_SUPPORT) are only told for the record.
	capAsyncRead      = 1 << 0
	capReaddirplus    = 1 << 13
	capAsyncDIO       = 1 << 15
	capNoOpen         = 1 << 17
	capParallelDirops = 1 << 18
	capMaxPages       = 1 << 22
	capCacheSymlinks  = 1 << 23
	capNoOpendir      = 1 << 24

	notifyStore = 4

	openKeepCache = 1 << 1 // what the page cache has of a file stays when it is opened

	inHeaderSize    = 40
	outHeaderSize   = 16
	initInSize      = 16
	initOutSize     = 64
	attrSize        = 88
	attrOutSize     = 16 + attrSize
	entryOutSize    = 40 + attrSize
	readInSize      = 40
	statfsOutSize   = 80
	getxattrInSize  = 8
	getxattrOutSize = 8
	openOutSize     = 16
	storeOutSize    = 24
	direntSize      = 24

	// minReadBuffer is what the kernel wants a server to have room for at least (FUSE_MIN_READ_BUFFER).
	minReadBuffer = 8192
	// maxWrite is as small as can be: nobody writes. It is part of what there must be room for.
	maxWrite = 4096
	// maxPages limits a READ to 128 KiB on machines with pages of 4 KiB; more gains nothing.
	maxPages = 32
	// maxBackground is how many readahead requests the kernel has on the way at a time; 12 if nothing is said.
	maxBackground = 64

	// forever is how long the kernel may keep names and attributes, in seconds. They never change.
	forever = 1 << 40
)

var native = binary.NativeEndian

// A request is what the kernel asks.
type request struct {
	opcode uint32
	unique uint64
	node   uint64
	task   uint32 // thread ID of who asks, in the PID namespace of who mounted; 0 for those outside, and for the kernel
	body   []byte
}

func parseRequest(data []byte) (request, bool) {
	if len(data) < inHeaderSize || int(native.Uint32(data)) != len(data) {
		return request{}, false
	}
	return request{
		opcode: native.Uint32(data[4:]),
		unique: native.Uint64(data[8:]),
		node:   native.Uint64(data[16:]),
		task:   native.Uint32(data[32:]),
		body:   data[inHeaderSize:],
	}, true
}

// A readIn is what the kernel wants of a file or directory.
type readIn struct {
	offset uint64
	size   uint32
}

func parseReadIn(body []byte) (readIn, bool) {
	if len(body) < readInSize {
		return readIn{}, false
	}
	return readIn{native.Uint64(body[8:]), native.Uint32(body[16:])}, true
}

// attributes are those of a file, in the form of struct fuse_attr.
type attributes struct {
	inode, size, blocks, time   uint64
	mode, links, uid, gid, rdev uint32
}

func appendAttributes(b []byte, a attributes) []byte {
	for _, v := range [...]uint64{a.inode, a.size, a.blocks, a.time, a.time, a.time} {
		b = native.AppendUint64(b, v)
	}
	for _, v := range [...]uint32{0, 0, 0, a.mode, a.links, a.uid, a.gid, a.rdev, 0, 0} {
		b = native.AppendUint32(b, v)
	}
	return b
}

// appendEntry appends a struct fuse_entry_out that is valid forever. A node of 0 says that there is no such name.
func appendEntry(b []byte, node uint64, a attributes) []byte {
	for _, v := range [...]uint64{node, 0, forever, forever, 0} {
		b = native.AppendUint64(b, v)
	}
	return appendAttributes(b, a)
}

func appendAttrOut(b []byte, a attributes) []byte {
	b = native.AppendUint64(b, forever)
	b = native.AppendUint64(b, 0)
	return appendAttributes(b, a)
}

// appendOpen appends a struct fuse_open_out.
func appendOpen(b []byte) []byte {
	b = native.AppendUint64(b, 0)
	b = native.AppendUint32(b, openKeepCache)
	return native.AppendUint32(b, 0)
}

// direntLength is how long a struct fuse_dirent with a name is.
func direntLength(name int) int { return (direntSize + name + 7) &^ 7 }

func appendDirent(b []byte, inode, next uint64, kind uint32, name []byte) []byte {
	b = native.AppendUint64(b, inode)
	b = native.AppendUint64(b, next)
	b = native.AppendUint32(b, uint32(len(name)))
	b = native.AppendUint32(b, kind)
	b = append(b, name...)
	for range direntLength(len(name)) - direntSize - len(name) {
		b = append(b, 0)
	}
	return b
}

// appendInit appends the answer to INIT, of which body is the request. ok is false for a kernel that is
// too old.
func appendInit(b, body []byte) (answer []byte, ok bool) {
	if len(body) < initInSize {
		return b, false
	}
	major, minor := native.Uint32(body), native.Uint32(body[4:])
	if major < protocolMajor || major == protocolMajor && minor < oldestMinor {
		return b, false
	}
	const wanted = capAsyncRead | capReaddirplus | capAsyncDIO | capNoOpen |
		capParallelDirops | capMaxPages | capCacheSymlinks | capNoOpendir
	b = native.AppendUint32(b, protocolMajor)
	b = native.AppendUint32(b, protocolMinor)
	b = native.AppendUint32(b, native.Uint32(body[8:])) // readahead: as the kernel likes
	b = native.AppendUint32(b, native.Uint32(body[12:])&wanted)
	b = native.AppendUint16(b, maxBackground)
	b = native.AppendUint16(b, maxBackground*3/4) // where it counts as congested
	b = native.AppendUint32(b, maxWrite)
	b = native.AppendUint32(b, 1) // granularity of times, in nanoseconds
	b = native.AppendUint16(b, maxPages)
	return append(b, make([]byte, initOutSize-30)...), true
}
