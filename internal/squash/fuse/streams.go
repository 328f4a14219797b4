package fuse

import "sync"

// Streams remembers up to where files were read lately, to find out which are read in sequence.
type streams struct {
	mu     sync.Mutex
	recent [32]stream
	next   int
}

type stream struct {
	node uint64
	end  int64
}

// startsAt is how much the kernel asks for at the start of a file, in bytes, if somebody reads it and does not
// just look at its header or execute it.
const startsAt = 32 << 10

// continues says whether reading a file in sequence would bring the request for the bytes between from and
// end, and notes it.
func (s *streams) continues(node uint64, from, end int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.recent {
		if s.recent[i] == (stream{node, from}) {
			s.recent[i].end = end
			return true
		}
	}
	s.recent[s.next] = stream{node, end}
	s.next = (s.next + 1) % len(s.recent)
	return from == 0 && end >= startsAt
}
