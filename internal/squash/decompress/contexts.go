package decompress

import "runtime"

// maxContexts bounds the memory that contexts need; the largest are libzstd's, of about 160 kB.
const maxContexts = 16

// Contexts are what a decoder works with besides source and destination: expensive to make, good for any
// number of blocks, for one at a time. There are at most as many as processors, or maxContexts; whoever comes
// when all are busy waits, which costs nothing where the processors are busy as well.
type contexts[C comparable] chan C // pointers

func newContexts[C comparable]() contexts[C] {
	c := make(contexts[C], min(runtime.GOMAXPROCS(0), maxContexts))
	for range cap(c) {
		c <- *new(C) // nil, to be made by the first who gets it
	}
	return c
}

// take returns a context, nil if one is to be made. It has to be put back, nil if making one failed.
func (c contexts[C]) take() C   { return <-c }
func (c contexts[C]) put(one C) { c <- one }
