package early

// #include "early.h"
import "C"

// scan says whether the constructor takes args, argv[0] first, for those of a launch without peers. It and
// scanGroup are here for the tests that compare the constructor with the Go code: test files cannot call C.
func scan(args []string) bool {
	var s C.struct_early_scan
	return C.early_scan(C.int(len(args)), cStrings(args), &s) != 0 && s.join == 0 && s.pid == nil
}

// scanGroup returns the group that the constructor would join, if it takes args for those of a peer.
func scanGroup(args []string) (g Group, ok bool) {
	var s C.struct_early_scan
	var group C.struct_early_group
	if C.early_scan(C.int(len(args)), cStrings(args), &s) == 0 || s.join == 0 && s.pid == nil || C.early_find_group(&s, &group) == 0 {
		return g, false
	}
	return groupOf(&group), true
}
