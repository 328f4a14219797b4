package fuse

// maxStoring is how many workers may store pages at a time: fewer than there are workers, and than
// requests that the kernel has on the way at a time (12 by default), see mayStore.
const maxStoring = minWorkers - 1

// A span is a part of a file.
type span struct {
	node     uint64
	from, to int64 // in bytes
}

func (s span) overlaps(t span) bool { return s.node == t.node && s.from < t.to && t.from < s.to }

// storeRest puts into the page cache what the blocks just read have before and after what was read, and says
// whether the kernel has everything then.
func (w *worker) storeRest(node uint64, from int64) (whole bool) {
	parts := w.data.Parts
	if len(parts) == 0 {
		return true
	}
	first, last := parts[0], parts[len(parts)-1]
	to, end := from+int64(w.data.Length), last.Offset+int64(len(last.Block))
	before, after := first.Block != nil && first.Offset < from, last.Block != nil && to < end
	if after && w.image.streams.continues(node, from, to) {
		return false // the kernel will ask for it, together with what comes after it
	}
	if !before && !after {
		return true
	}
	all := span{node, from, to}
	if before {
		all.from = first.Offset
	}
	if after {
		all.to = end
	}
	if !w.mayStore(all) {
		return false
	}
	defer w.stored(node)
	w.listening.passOn() // this may have to wait
	if before {
		w.store(node, all.from, first.Block[:from-all.from])
	}
	if after {
		w.store(node, to, last.Block[to-last.Offset:])
	}
	return true
}

// store puts data into the page cache of the file (FUSE_NOTIFY_STORE).
func (w *worker) store(node uint64, offset int64, data []byte) {
	w.begin()
	w.reply = native.AppendUint64(w.reply, node)
	w.reply = native.AppendUint64(w.reply, uint64(offset))
	w.reply = native.AppendUint32(w.reply, uint32(len(data)))
	w.reply = native.AppendUint32(w.reply, 0)
	w.vector = append(w.vector, data)
	w.send(0, notifyStore)
}

// reads notes what the worker will answer.
func (w *worker) reads(s span) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading[w] = s
}

// mayStore says whether the worker may now store pages of a file, while the request that it has is not answered. The
// pages of that request are locked meanwhile, and the worker waits for those that it stores, should they belong to
// another request: in a way that no signal ends, so that if the server were killed just then nobody could answer that
// request any more, nor the server end. Hence not if there is such a request, or one that nobody has read.
//
// Should one come after all, nobody is to wait in a circle: so only one worker at a time stores pages of one file,
// and who has the other request answers without storing. And there must be workers left to answer it, and room for
// the kernel to send it.
func (w *worker) mayStore(s span) bool {
	if w.device.HasInput() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for other, r := range w.reading {
		if other != w && r.overlaps(s) {
			return false
		}
	}
	if w.storing[s.node] || len(w.storing) >= min(maxStoring, w.workers-1) {
		return false
	}
	w.storing[s.node] = true
	return true
}

func (c *connection) stored(node uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.storing, node)
}
