package decompress

// wide is what a processor copies as fast as one byte. Most literals and matches are shorter.
const wide = 16

// copyWide copies the first 16 bytes, which overlap only if they are the same.
func copyWide(dst, src []byte) {
	copy(dst[:wide], src[:wide])
}

// copyMatch copies n bytes within dst to at, from distance before. They repeat if n is more than distance.
// It may overwrite what comes after them in dst.
//
// Preconditions: 0 < distance <= at, n <= len(dst)-at.
func copyMatch(dst []byte, at, distance, n int) {
	from, end := at-distance, at+n
	if n <= wide && distance >= wide && at+wide <= len(dst) {
		copyWide(dst[at:], dst[from:])
		return
	}
	if distance == 1 {
		value, run := dst[from], dst[at:end]
		for i := range run {
			run[i] = value
		}
		return
	}
	for at < end { // each time there is twice as much to copy from
		at += copy(dst[at:end], dst[from:at])
	}
}
