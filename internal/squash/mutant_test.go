package squash

import (
	"runtime/debug"
	"testing"
	"time"

	"ch-run/internal/squash/mutant"
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
	compressed := images(t, mutant.Make)
	for _, image := range append([][]byte{whole.Data}, compressed...) {
		if found := walkImage(t, image, 100000); len(found) > 0 {
			t.Fatalf("the sound image is damaged: %v", found)
		}
	}
	debug.FreeOSMemory()
	resetPeak(t)
	before := peakMemory(t)
	outcomes := map[bool]int{}
	series := mutant.Choose(t, 3000)
	series.All(whole, compressed, func(_ int, image []byte, what string) {
		defer func() {
			if reason := recover(); reason != nil {
				t.Log(what)
				panic(reason)
			}
		}()
		start, failed := processorTime(), t.Failed()
		found := walkImage(t, image, walkBudget)
		outcomes[len(found) > 0]++
		if used := processorTime() - start; used > mostTime {
			t.Errorf("it took %v", used)
		}
		if !failed && t.Failed() || series.Only >= 0 {
			t.Fatal(what)
		}
	})
	if used := peakMemory(t) - before; used > mostMemory {
		t.Errorf("it took %d MiB", used>>20)
	}
	if series.Only < 0 && (outcomes[true] < series.Count/4 || outcomes[false] < series.Count/20) {
		t.Errorf("of %d images damage was found in %d: that is not what is to be tested", series.Count, outcomes[true])
	}
	t.Logf("damage was found in %d, not in %d", outcomes[true], outcomes[false])
}
