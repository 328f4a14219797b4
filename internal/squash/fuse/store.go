package fuse

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
	defer w.stored()
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

// mayStore says whether the worker may now store pages of a file, while the request that it has is not answered.
//
// The kernel locks the pages that somebody has asked for until the answer comes, and a worker that stores them waits for
// that, in a way that no signal ends. As long as another worker answers it is but a moment. But were the server killed
// in that moment, as it is with everything else when a job is cancelled, it could not end, the kernel would keep
// the connection as the server has the device open, and who had asked could not end either. So nothing is stored of
// what has been asked for, nor unless one task alone asks, which most often asks for no more until it has this answer. That
// it does, as it reads ahead, or that a task which has not asked for anything lately now asks for just these pages in just
// this moment, cannot be foreseen.
//
// Should it come to that, nobody is to wait in a circle: so one worker stores at a time, and there must be another one.
func (w *worker) mayStore(s span) bool {
	if !w.askers.alone() || w.device.HasInput() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for other, r := range w.reading {
		if other != w && r.overlaps(s) {
			return false
		}
	}
	if w.storing || w.workers < 2 {
		return false
	}
	w.storing = true
	return true
}

func (c *connection) stored() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storing = false
}
