package squash

import (
	"testing"

	"ch-run/internal/squash/mutant"
)

// images returns images of every compressor, and one that is not compressed, as one of the functions of package mutant
// makes them.
func images(t testing.TB, make func(testing.TB, ...string) []byte) (list [][]byte) {
	t.Helper()
	for _, options := range [][]string{
		{"-comp", "gzip"},
		{"-comp", "gzip", "-Xcompression-level", "1", "-always-use-fragments"}, // with compressor options
		{"-comp", "lzma"},
		{"-comp", "lzo"},
		{"-comp", "lz4"},
		{"-comp", "xz"},
		{"-comp", "zstd"},
		append(mutant.Uncompressed, "-no-exports"),
	} {
		list = append(list, make(t, options...))
	}
	return list
}

// FuzzReader visits images. "make fuzz" looks for those that are badly received.
func FuzzReader(f *testing.F) {
	for _, image := range images(f, mutant.MakeSmall) {
		f.Add(image)
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		start := processorTime()
		walkImage(t, image, 500)
		if used := processorTime() - start; used > mostTime {
			t.Errorf("it took %v", used)
		}
	})
}
