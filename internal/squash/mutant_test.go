package squash

import (
	"flag"
	"math/rand/v2"
	"runtime/debug"
	"testing"
	"time"

	"ch-run/internal/squash/testdata/mutant"
)

var (
	mutants = flag.Int("mutants", 2000, "how many damaged images the reader gets")
	seed    = flag.Uint64("seed", 1, "which ones: mutant number N of a seed is always the same")
	only    = flag.Int("only", -1, "the number of the only one")
)

const (
	// The limits for an image of some ten kilobytes, however it is damaged.
	mostTime   = time.Second
	mostMemory = 64 << 20
	walkBudget = 3000
)

// TestMutants opens and visits damaged images. No damage is more than an error that says what is wrong.
func TestMutants(t *testing.T) {
	whole := mutant.Parse(mutant.Make(t, mutant.Uncompressed...))
	compressed := images(t)
	for _, image := range append([][]byte{whole.Data}, compressed...) {
		if found := walkImage(t, image, 100000); len(found) > 0 {
			t.Fatalf("the sound image is damaged: %v", found)
		}
	}
	debug.FreeOSMemory()
	resetPeak(t)
	before := peakMemory(t)
	outcomes := map[bool]int{}
	for n := range *mutants {
		if *only >= 0 && n != *only {
			continue
		}
		r := rand.New(rand.NewPCG(*seed, uint64(n)))
		image, what := []byte(nil), ""
		if n%5 == 4 {
			image, what = mutant.Damage(r, compressed[n/5%len(compressed)], []int{96})
		} else {
			image, what = whole.Mutate(r)
		}
		if *only >= 0 {
			t.Log(what)
		}
		ok := t.Run("", func(t *testing.T) {
			start := processorTime()
			found := walkImage(t, image, walkBudget)
			outcomes[len(found) > 0]++
			if used := processorTime() - start; used > mostTime {
				t.Errorf("it took %v", used)
			}
		})
		if !ok {
			t.Errorf("mutant %d of seed %d: %s", n, *seed, what)
		}
	}
	if used := peakMemory(t) - before; used > mostMemory {
		t.Errorf("it took %d MiB", used>>20)
	}
	if *only < 0 && (outcomes[true] < *mutants/4 || outcomes[false] < *mutants/20) {
		t.Errorf("of %d mutants damage was found in %d: that is not what is to be tested", *mutants, outcomes[true])
	}
	t.Logf("damage was found in %d, not in %d", outcomes[true], outcomes[false])
}
