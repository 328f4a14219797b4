//go:build !nolibdeflate || !nolibzstd

package decompress

import "runtime"

// cResult makes length and error of what our C functions return.
func cResult(n int) (int, error) {
	switch {
	case n >= 0:
		return n, nil
	case n == -2:
		return 0, tooLong
	}
	return 0, invalid
}

// freeWith has the contexts, none of which is in use by then, freed after the last use of d.
func (c contexts[C]) freeWith(d *Decompressor, free func(C)) {
	runtime.AddCleanup(d, func(c contexts[C]) {
		for range cap(c) {
			if one := <-c; one != *new(C) {
				free(one)
			}
		}
	}, c)
}
