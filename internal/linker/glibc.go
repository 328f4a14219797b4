package linker

import (
	"slices"
	"strconv"
	"strings"
)

// A Libc is the GNU C library of an image: what it offers to those linked with it.
type Libc struct{ offers []string }

// LibcName is the name of the GNU C library.
const LibcName = "libc.so.6"

// NewLibc returns what the object, of name [LibcName], offers.
func NewLibc(object *Object) *Libc { return &Libc{object.Offers} }

// glibcParts begin the names of the objects that are parts of the GNU C library and share its version.
var glibcParts = [...]string{"libc.so.", "libm.so.", "libpthread.so.", "libdl.so.", "librt.so.", "libresolv.so.", "libutil.so.", "ld-linux"}

// Lacks returns the newest version that the object needs of the library and that is not offered; "" if there is none.
// A nil Libc offers nothing.
func (l *Libc) Lacks(object *Object) string {
	worst := ""
	for _, need := range object.Versions {
		if !strings.HasPrefix(need.Name, "GLIBC_") || !isGlibc(need.Object) || l.has(need) {
			continue
		}
		if worst == "" || newer(need.Name, worst) {
			worst = need.Name
		}
	}
	return worst
}

func isGlibc(object string) bool {
	return slices.ContainsFunc(glibcParts[:], func(part string) bool { return strings.HasPrefix(object, part) })
}

// has goes by the list that the C library itself has; what its other parts offer is not looked up, but they have
// nothing newer than it has, and what is not newer they have kept.
func (l *Libc) has(need Version) bool {
	if l == nil {
		return false
	}
	if slices.Contains(l.offers, need.Name) {
		return true
	}
	return need.Object != LibcName && numbers(need.Name) != nil && !newer(need.Name, l.Newest())
}

// Newest returns the newest version that is offered, as GLIBC_2.36.
func (l *Libc) Newest() string {
	newest := ""
	if l == nil {
		return newest
	}
	for _, offer := range l.offers {
		if numbers(offer) != nil && (newest == "" || newer(offer, newest)) {
			newest = offer
		}
	}
	return newest
}

// numbers returns those in a name such as GLIBC_2.2.5; nil for others, as GLIBC_PRIVATE.
func numbers(name string) []int {
	rest, ok := strings.CutPrefix(name, "GLIBC_")
	if !ok {
		return nil
	}
	var list []int
	for part := range strings.SplitSeq(rest, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		list = append(list, n)
	}
	return list
}

// newer says whether version a comes after b. Names without numbers, as GLIBC_ABI_DT_RELR, are of new libraries.
func newer(a, b string) bool {
	x, y := numbers(a), numbers(b)
	if x == nil || y == nil {
		return x == nil && y != nil
	}
	return slices.Compare(x, y) > 0
}
