package early

// #include "early.h"
import "C"

// scan says whether the constructor takes args, argv[0] first, for those of a launch. It is here for the
// test that compares the constructor with the parser: test files cannot call C.
func scan(args []string) bool {
	var image *C.char
	return C.early_scan(C.int(len(args)), cStrings(args), &image) != 0
}
