//go:build !nolibdeflate || !nolibzstd || !noliblz4

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

// freeWith has the contexts freed after the last use of d, when none is in use.
func (c contexts[C]) freeWith(d *Decompressor, free func(C)) {
	runtime.AddCleanup(d, func(idle chan C) {
		close(idle)
		for one := range idle {
			free(one)
		}
	}, c.idle)
}
