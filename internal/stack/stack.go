// Package stack makes the main goroutine's stack grow at once to the size that a launch needs.
//
// In steps of doubling, which begin with the initialisation of packages, it takes memory of every size on the way, each
// touched for the first time: 1 to 2 % of a launch (medians of 500, in turns). Go 1.26 initialises this package before all
// others of the program, as it imports none and its path sorts first (The Go Programming Language Specification, "Program
// initialization").
package stack

// size is what a launch needs, in bytes, less than the 32 KiB that the runtime rounds it to.
const size = 24 << 10

func init() { grow(false) }

// grow is called for its frame alone: the runtime makes room for the largest that a function may need.
//
//go:noinline
func grow(never bool) {
	if never {
		var room [size]byte
		use(&room)
	}
}

//go:noinline
func use(room *[size]byte) { room[0]++ }
