package mutant

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Variable is the environment variable that says which images are made: their number, the seed, and the number of the only
// one: "5000", "5000 17" or "5000 17 4711". Image N of a seed is always the same.
const Variable = "CH_RUN_TEST_MUTANTS"

// Series are the images that are made.
type Series struct {
	Count int
	Seed  uint64
	Only  int // -1 for all
}

// Choose returns what [Variable] says, or count images if it says nothing.
func Choose(t testing.TB, count int) Series {
	s := Series{count, 1, -1}
	text := strings.Fields(os.Getenv(Variable))
	for i, set := range []func(uint64){
		func(n uint64) { s.Count = int(n) },
		func(n uint64) { s.Seed = n },
		func(n uint64) { s.Only = int(n) },
	}[:min(len(text), 3)] {
		n, err := strconv.ParseUint(text[i], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", Variable, err)
		}
		set(n)
	}
	return s
}

// All calls do for each image of the series, made of whole or of one of those that are compressed, with what is damaged in it.
func (s Series) All(whole *Image, compressed [][]byte, do func(n int, image []byte, what string)) {
	for n := range s.Count {
		if s.Only >= 0 && n != s.Only {
			continue
		}
		r := rand.New(rand.NewPCG(s.Seed, uint64(n)))
		image, what := []byte(nil), ""
		if n%5 == 4 {
			image, what = Damage(r, compressed[n/5%len(compressed)], []int{superblockSize})
		} else {
			image, what = whole.Mutate(r)
		}
		do(n, image, fmt.Sprintf("mutant %d of seed %d: %s", n, s.Seed, what))
	}
}

// Mutate returns the image with a few things changed, and what these are.
func (m *Image) Mutate(r *rand.Rand) (data []byte, what string) {
	n := m.Copy()
	var changes []string
	for range 1 + r.IntN(3)*r.IntN(2) {
		if r.IntN(5) == 0 {
			var change string
			n.Data, change = Damage(r, n.Data, m.boundaries())
			changes = append(changes, change)
			break // fields may have moved
		}
		f := m.pick(r)
		if len(f.at) == 0 {
			continue
		}
		value := m.value(r, f)
		n.set(f, value)
		changes = append(changes, fmt.Sprintf("%s = %#x", f.name, value))
	}
	return n.Data, strings.Join(changes, ", ")
}

// pick picks a field, each kind of them as often as others, how many there may be of it.
func (m *Image) pick(r *rand.Rand) field {
	kinds := [...]string{"superblock: ", ": header of block", "inode ", "inode ", "directory ", "directory ", "fragment", "xattr", "index", "ID", "export"}
	kind := kinds[r.IntN(len(kinds))]
	for range 1000 {
		if f := m.fields[r.IntN(len(m.fields))]; strings.Contains(f.name, kind) {
			return f
		}
	}
	return m.fields[r.IntN(len(m.fields))]
}

// value returns one to put into a field.
func (m *Image) value(r *rand.Rand, f field) uint64 {
	old := m.Get(f.name)
	bits := 8 * min(len(f.at), 8)
	switch r.IntN(8) {
	case 0:
		return r.Uint64()
	case 1: // near a power of two
		return 1<<r.IntN(bits) + r.Uint64N(3) - 1
	case 2:
		return []uint64{0, 1, ^uint64(0), 1 << (bits - 1), 1<<(bits-1) - 1, metadataSize, metadataSize - 1, uint64(len(m.Data))}[r.IntN(8)]
	case 3: // that of another field
		other := m.pick(r)
		return m.Get(other.name)
	case 4:
		return old ^ 1<<r.IntN(bits)
	case 5:
		return uint64(r.IntN(len(m.Data)))
	default:
		return old + r.Uint64N(33) - 16
	}
}

func (m *Image) boundaries() (list []int) {
	for _, t := range m.starts {
		list = append(list, t.start)
	}
	return list
}

// Damage changes bytes without regard to what they mean. Some of the places are near boundaries, as those of tables.
// The result may have another length.
func Damage(r *rand.Rand, image []byte, boundaries []int) (data []byte, what string) {
	data = slices.Clone(image)
	place := func() int {
		if len(boundaries) > 0 && r.IntN(2) == 0 {
			return max(0, min(len(data)-1, boundaries[r.IntN(len(boundaries))]+r.IntN(65)-32))
		}
		return r.IntN(len(data))
	}
	switch r.IntN(6) {
	case 0:
		at := place()
		if r.IntN(2) == 0 { // and it says so
			for i := range 8 {
				data[40+i] = byte(at >> (8 * i))
			}
		}
		return data[:at], fmt.Sprintf("truncated at %d", at)
	case 1:
		from, to, n := place(), place(), 1+r.IntN(64)
		n = min(n, len(data)-max(from, to))
		copy(data[to:to+n], image[from:])
		return data, fmt.Sprintf("%d bytes copied from %d to %d", n, from, to)
	case 2:
		at, n := place(), 1+r.IntN(16)
		n = min(n, len(data)-at)
		return slices.Delete(data, at, at+n), fmt.Sprintf("%d bytes deleted at %d", n, at)
	case 3:
		at, n := place(), 1+r.IntN(16)
		return slices.Insert(data, at, make([]byte, n)...), fmt.Sprintf("%d bytes inserted at %d", n, at)
	default:
		n, at := 1+r.IntN(4), 0
		for range n {
			at = place()
			data[at] ^= 1 << r.IntN(8)
		}
		return data, fmt.Sprintf("%d bits flipped, the last at %d", n, at)
	}
}
