package fuse

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"syscall"

	"ch-run/internal/squash"
)

// An image is what is served.
type image struct {
	*squash.Reader
	uid, gid uint32 // of all files
	opens    bool   // whether the server opens files, where it is not safe to leave that to the kernel
	faults   faults
	streams  streams
}

// node returns the kernel's number for the file at ref. As it says where the inode is, nothing needs to be
// remembered about the files that the kernel knows.
func (m *image) node(ref squash.Ref) uint64 {
	if ref == m.Root() {
		return rootNode
	}
	return uint64(ref) + rootNode + 1
}

// ref is the inverse of node.
func (m *image) ref(node uint64) squash.Ref {
	if node == rootNode {
		return m.Root()
	}
	return squash.Ref(node - rootNode - 1)
}

func (m *image) inode(node uint64) (*squash.Inode, error) { return m.Inode(m.ref(node)) }

func (m *image) attributes(i *squash.Inode) attributes {
	return attributes{
		inode: uint64(i.Number), size: uint64(i.Size), blocks: uint64(i.Blocks), time: uint64(i.MTime),
		mode: uint32(i.Mode) | fileType(i.Type)<<12, links: i.Links, uid: m.uid, gid: m.gid, rdev: i.Device,
	}
}

// fileType returns the type as in a directory entry (readdir(3), d_type) and, shifted, in a mode.
func fileType(t squash.Type) uint32 {
	types := [...]uint32{
		squash.Directory: syscall.DT_DIR, squash.Regular: syscall.DT_REG, squash.Symlink: syscall.DT_LNK,
		squash.BlockDevice: syscall.DT_BLK, squash.CharDevice: syscall.DT_CHR, squash.FIFO: syscall.DT_FIFO,
		squash.Socket: syscall.DT_SOCK,
	}
	if int(t) >= len(types) {
		return syscall.DT_UNKNOWN
	}
	return types[t]
}

// answer answers a request. What is not implemented is ENOSYS, and the kernel then does not ask again: for
// OPEN and OPENDIR it opens by itself, and keeps pages and listings of directories.
func (w *worker) answer(r request) {
	w.begin()
	var err error
	switch r.opcode {
	case opForget, opBatchForget, opInterrupt:
		return // there is no answer to these
	case opRead:
		w.read(r)
		return
	case opLookup:
		err = w.lookup(r)
	case opGetattr:
		err = w.getattr(r)
	case opReadlink:
		err = w.readlink(r)
	case opReaddir, opReaddirplus:
		err = w.readdir(r)
	case opGetxattr:
		err = w.getxattr(r)
	case opListxattr:
		err = w.listxattr(r)
	case opStatfs:
		w.statfs()
	case opInit:
		var ok bool
		if w.reply, ok = appendInit(w.reply, r.body); !ok {
			err = syscall.EPROTO
		}
	case opOpen, opRelease:
		switch {
		case !w.image.opens:
			err = syscall.ENOSYS
		case r.opcode == opOpen:
			w.reply = appendOpen(w.reply)
		}
	case opDestroy:
	default:
		err = syscall.ENOSYS
	}
	w.finish(r, err)
}

// begin makes room for an answer's header.
func (w *worker) begin() {
	w.reply = append(w.reply[:0], make([]byte, outHeaderSize)...)
	w.vector = append(w.vector[:0], nil) // where send puts the reply
}

// finish sends the answer, or if there is an error that.
func (w *worker) finish(r request, err error) {
	errno := syscall.Errno(0)
	if err != nil {
		errno = w.image.errno(r, err)
		w.reply, w.vector = w.reply[:outHeaderSize], w.vector[:1]
	}
	w.send(r.unique, -int32(errno))
}

// errno returns what the application gets, and sees to it that somebody learns of a damaged image.
func (m *image) errno(r request, err error) syscall.Errno {
	var errno syscall.Errno
	var damaged *squash.CorruptError
	var unread *squash.ReadError
	switch {
	case errors.Is(err, squash.ErrNotFound):
		return syscall.ENOENT
	case errors.Is(err, squash.ErrNotDirectory):
		return syscall.ENOTDIR
	case errors.As(err, &damaged), errors.As(err, &unread):
		m.faults.report(fault{r.node, m.describe(r) + ": " + err.Error()})
		return syscall.EIO
	case errors.As(err, &errno):
		return errno
	}
	return syscall.EINVAL
}

// describe says which file a request is about, as far as that can be found out.
func (m *image) describe(r request) string {
	ref := m.ref(r.node)
	text := "inode at " + ref.String()
	if i, err := m.Inode(ref); err == nil {
		text = "inode " + strconv.FormatUint(uint64(i.Number), 10)
	}
	if in, ok := parseReadIn(r.body); ok && r.opcode == opRead {
		text += ", offset " + strconv.FormatUint(in.offset, 10)
	}
	return text
}

func (w *worker) lookup(r request) error {
	name, _, _ := bytes.Cut(r.body, []byte{0})
	directory, err := w.image.inode(r.node)
	if err != nil {
		return err
	}
	ref, err := w.image.Lookup(directory, string(name))
	if errors.Is(err, squash.ErrNotFound) {
		w.reply = appendEntry(w.reply, 0, attributes{}) // so that the kernel remembers it
		return nil
	}
	if err != nil {
		return err
	}
	i, err := w.image.Inode(ref)
	if err != nil {
		return err
	}
	w.reply = appendEntry(w.reply, w.image.node(ref), w.image.attributes(i))
	return nil
}

func (w *worker) getattr(r request) error {
	i, err := w.image.inode(r.node)
	if err != nil {
		return err
	}
	w.reply = appendAttrOut(w.reply, w.image.attributes(i))
	return nil
}

func (w *worker) readlink(r request) error {
	i, err := w.image.inode(r.node)
	if err != nil {
		return err
	}
	target, err := w.image.Readlink(i)
	w.reply = append(w.reply, target...)
	return err
}

// read answers straight from the cache of decompressed blocks. It first gives the kernel what else is in
// them, as long as that is decompressed: the application, as soon as it has its answer, is likely to
// want just that.
func (w *worker) read(r request) {
	in, ok := parseReadIn(r.body)
	if !ok {
		w.finish(r, syscall.EINVAL)
		return
	}
	w.reads(span{r.node, int64(in.offset), int64(in.offset) + int64(in.size)})
	defer w.reads(span{})
	i, err := w.image.inode(r.node)
	if err == nil {
		err = w.image.Read(i, int64(in.offset), int(in.size), &w.data)
	}
	if err != nil {
		w.finish(r, err)
		return
	}
	whole := w.storeRest(r.node, int64(in.offset))
	defer w.data.Release(whole)
	w.begin()
	for _, part := range w.data.Parts {
		w.vector = append(w.vector, part.Bytes)
	}
	w.finish(r, nil)
}

// readdir lists a directory. A listing with the attributes of the files (READDIRPLUS) spares the kernel a
// LOOKUP for each of them.
func (w *worker) readdir(r request) error {
	in, ok := parseReadIn(r.body)
	if !ok {
		return syscall.EINVAL
	}
	d, err := w.image.inode(r.node)
	if err != nil {
		return err
	}
	if d.Type != squash.Directory {
		return syscall.ENOTDIR
	}
	room := min(int(in.size), maxPages*syscall.Getpagesize())
	plus := r.opcode == opReaddirplus
	add := func(inode uint64, next uint64, kind uint32, name []byte, ref *squash.Ref) bool {
		length := direntLength(len(name))
		if plus {
			length += entryOutSize
		}
		if room < length {
			return false
		}
		room -= length
		if plus {
			w.reply = w.appendListed(w.reply, ref)
		}
		w.reply = appendDirent(w.reply, inode, next, kind, name)
		return true
	}
	// Places in the listing: 0 is before ".", 1 before "..", 2 before the first entry.
	const first = 2
	if in.offset == 0 && !add(uint64(d.Number), 1, syscall.DT_DIR, []byte("."), nil) {
		return nil
	}
	if in.offset <= 1 && !add(uint64(d.Parent), first, syscall.DT_DIR, []byte(".."), nil) {
		return nil
	}
	return w.image.ReadDir(d, squash.Cookie(max(in.offset, first)-first), func(e squash.Entry) bool {
		return add(uint64(e.Number), uint64(e.Next)+first, fileType(e.Type), e.Name, &e.Ref)
	})
}

// appendListed appends what READDIRPLUS tells of a file: nothing about those that are there only in name,
// nor about one whose inode is damaged, so that only those who use that file get the error.
func (w *worker) appendListed(b []byte, ref *squash.Ref) []byte {
	if ref != nil {
		if i, err := w.image.Inode(*ref); err == nil {
			return appendEntry(b, w.image.node(*ref), w.image.attributes(i))
		}
	}
	return appendEntry(b, 0, attributes{})
}

// xattrs returns the attributes that a process in a user namespace can see: trusted.* is for the
// administrator of the host (xattr(7)).
func (w *worker) xattrs(r request) ([]squash.Xattr, error) {
	if !w.image.HasXattrs() {
		return nil, syscall.ENOSYS // the kernel will not ask again
	}
	i, err := w.image.inode(r.node)
	if err != nil {
		return nil, err
	}
	all, err := w.image.Xattrs(i)
	var visible []squash.Xattr
	for _, x := range all {
		if !strings.HasPrefix(x.Name, "trusted.") {
			visible = append(visible, x)
		}
	}
	return visible, err
}

func (w *worker) getxattr(r request) error {
	if len(r.body) < getxattrInSize {
		return syscall.EINVAL
	}
	name, _, _ := bytes.Cut(r.body[getxattrInSize:], []byte{0})
	all, err := w.xattrs(r)
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.Name != string(name) {
			continue
		}
		value, err := x.Value()
		if err != nil {
			return err
		}
		return w.xattrReply(r, value)
	}
	return syscall.ENODATA
}

func (w *worker) listxattr(r request) error {
	if len(r.body) < getxattrInSize {
		return syscall.EINVAL
	}
	all, err := w.xattrs(r)
	if err != nil {
		return err
	}
	var names []byte
	for _, x := range all {
		names = append(append(names, x.Name...), 0)
	}
	return w.xattrReply(r, names)
}

// xattrReply answers with content, or where the caller has no room only with its length.
func (w *worker) xattrReply(r request, content []byte) error {
	switch room := int(native.Uint32(r.body)); {
	case room == 0:
		w.reply = native.AppendUint32(w.reply, uint32(len(content)))
		w.reply = native.AppendUint32(w.reply, 0)
	case room < len(content):
		return syscall.ERANGE
	default:
		w.reply = append(w.reply, content...)
	}
	return nil
}

func (w *worker) statfs() {
	s := w.image.Superblock()
	size := uint64(s.BlockSize)
	for _, v := range [...]uint64{(uint64(s.BytesUsed) + size - 1) / size, 0, 0, uint64(s.Inodes), 0} {
		w.reply = native.AppendUint64(w.reply, v)
	}
	for _, v := range [...]uint32{s.BlockSize, maxNameLength, s.BlockSize, 0} {
		w.reply = native.AppendUint32(w.reply, v)
	}
	w.reply = append(w.reply, make([]byte, statfsOutSize-56)...)
}

// maxNameLength is what statfs(2) says, in bytes.
const maxNameLength = 256
