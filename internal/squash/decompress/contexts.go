package decompress

import "runtime"

// maxContexts bounds the memory that contexts need; the largest are libzstd's, of about 96 kB.
const maxContexts = 16

// Contexts are what a decoder works with besides source and destination: expensive to make, good for any
// number of blocks, for one at a time. There are at most two more than processors, or maxContexts; whoever comes
// when all are busy waits, which costs nothing where the processors are busy as well.
type contexts[C comparable] struct {
	busy chan struct{}
	idle chan C // pointers
}

func newContexts[C comparable]() contexts[C] {
	most := min(runtime.NumCPU()+2, maxContexts)
	return contexts[C]{make(chan struct{}, most), make(chan C, most)}
}

// take returns a context, nil if one is to be made. It has to be put back, nil if making one failed.
func (c contexts[C]) take() (one C) {
	c.busy <- struct{}{}
	select {
	case one = <-c.idle:
	default:
	}
	return one
}

func (c contexts[C]) put(one C) {
	if one != *new(C) {
		c.idle <- one
	}
	<-c.busy
}
