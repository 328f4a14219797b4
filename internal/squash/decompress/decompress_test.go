package decompress

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// check has d decompress s, into exactly enough room, and into more.
func check(t *testing.T, d *Decompressor, s sample) {
	t.Helper()
	for _, more := range []int{0, 5000} {
		dst := bytes.Repeat([]byte{0xa5}, len(s.plain)+more+64)
		n, err := d.Decompress(dst[:len(s.plain)+more], s.block)
		if err != nil {
			t.Errorf("%s, %d more: %v", s.name, more, err)
		} else if !bytes.Equal(dst[:n], s.plain) {
			t.Errorf("%s, %d more: different after %d of %d bytes", s.name, more, n, len(s.plain))
		}
		if bytes.Count(dst[len(s.plain)+more:], []byte{0xa5}) != 64 {
			t.Errorf("%s, %d more: written beyond the end", s.name, more)
		}
	}
	for _, less := range []int{1, 17, len(s.plain)} {
		if less > len(s.plain) {
			continue
		}
		var corrupt *CorruptError
		_, err := d.Decompress(make([]byte, len(s.plain)-less), s.block)
		if !errors.As(err, &corrupt) || corrupt.Method != d.method {
			t.Errorf("%s, %d bytes less: %v", s.name, less, err)
		}
	}
}

func TestDecompress(t *testing.T) {
	for _, m := range methods {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			d := newDecompressor(t, m, maxBlockSize)
			for _, s := range samples(t, m, 1, 2, 5, 64, 1000, 8192, 8193, 300000) {
				check(t, d, s)
			}
		})
	}
}

// TestImages decompresses what mksquashfs makes.
func TestImages(t *testing.T) {
	for _, m := range methods {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			for _, blockSize := range []int{4 << 10, 128 << 10, 1 << 20} {
				for _, more := range squashOptions(m) {
					if blockSize == 4<<10 && strings.HasPrefix(strings.Join(more, ""), "-Xdict") {
						continue // no dictionary is as small as that
					}
					d := newDecompressor(t, m, blockSize)
					var plain []byte
					for _, content := range contents() {
						plain = append(plain, content[:192<<10]...)
					}
					list := squash(t, m, plain, blockSize, more...)
					if len(list) == 0 {
						t.Errorf("%d %v: no compressed block", blockSize, more)
					}
					for _, s := range list {
						check(t, d, s)
					}
				}
			}
		})
	}
}

func TestConcurrency(t *testing.T) {
	for _, m := range methods {
		t.Run(m.String(), func(t *testing.T) {
			d := newDecompressor(t, m, 128<<10)
			list := samples(t, m, 4096, 128<<10)
			var group sync.WaitGroup
			for range 3 * maxContexts {
				group.Go(func() {
					for _, i := range rand.Perm(len(list)) {
						dst := make([]byte, len(list[i].plain))
						if n, err := d.Decompress(dst, list[i].block); err != nil || !bytes.Equal(dst[:n], list[i].plain) {
							t.Errorf("%v, %s: %v", m, list[i].name, err)
						}
					}
				})
			}
			group.Wait()
		})
	}
}

// TestTruncation cuts blocks off at every length. Only LZ4 cannot always tell.
func TestTruncation(t *testing.T) {
	for _, m := range methods {
		t.Run(m.String(), func(t *testing.T) {
			d := newDecompressor(t, m, 4096)
			dst := make([]byte, 4096)
			for _, s := range samples(t, m, 4096) {
				for size := range s.block {
					n, err := d.Decompress(dst, bytes.Clone(s.block[:size])) // at the end of its memory
					if err == nil && (m != LZ4 || n >= len(s.plain)) {
						t.Fatalf("%v, %s: no error for %d of %d bytes", m, s.name, size, len(s.block))
					}
				}
			}
		})
	}
}

// TestMutation changes blocks at random, as nobody writes them but an attacker. There is to be an error or
// not, but no panic; and no more time nor memory than for a good one.
func TestMutation(t *testing.T) {
	const blockSize, rounds = 16 << 10, 20000
	for _, m := range methods {
		t.Run(m.String(), func(t *testing.T) {
			d := newDecompressor(t, m, blockSize)
			list := samples(t, m, 100, 5000, blockSize)
			r := rand.New(rand.NewSource(int64(m)))
			dst := make([]byte, blockSize+64)
			before, slowest := peakMemory(t), time.Duration(0)
			for range rounds {
				block := mutate(r, list[r.Intn(len(list))].block)
				size := 1 + r.Intn(blockSize)
				start := time.Now()
				n, err := d.Decompress(dst[:size], block)
				slowest = max(slowest, time.Since(start))
				var corrupt *CorruptError
				if err != nil && !errors.As(err, &corrupt) || n < 0 || n > size {
					t.Fatalf("%d bytes, %v, of %x", n, err, block)
				}
			}
			if slowest > time.Second {
				t.Errorf("one took %v", slowest)
			}
			if more := peakMemory(t) - before; more > 64<<20 {
				t.Errorf("%d MB more", more>>20)
			}
			// It has not broken anything for later.
			for _, s := range list {
				check(t, d, s)
			}
		})
	}
}

func mutate(r *rand.Rand, block []byte) []byte {
	block = bytes.Clone(block)
	for range 1 + r.Intn(4) {
		at := r.Intn(len(block))
		if r.Intn(2) == 0 { // in the header, most of which is in the first bytes
			at = r.Intn(min(len(block), 40))
		}
		switch r.Intn(5) {
		case 0:
			block[at] ^= 1 << r.Intn(8)
		case 1:
			block[at] = byte(r.Int())
		case 2:
			block[at] = []byte{0, 255}[r.Intn(2)]
		case 3:
			from := r.Intn(len(block))
			copy(block[at:], block[from:min(len(block), from+r.Intn(20))])
		case 4:
			if len(block) > 1 {
				block = block[:len(block)-r.Intn(min(len(block)-1, 10))]
			}
		}
	}
	return block
}

func peakMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// TestNothing has empty source and destination be errors.
func TestNothing(t *testing.T) {
	for _, m := range methods {
		d := newDecompressor(t, m, 4096)
		for _, s := range samples(t, m, 64) {
			if _, err := d.Decompress(nil, s.block); err == nil {
				t.Errorf("%v: no error without destination", m)
			}
			if _, err := d.Decompress(make([]byte, 64), nil); err == nil {
				t.Errorf("%v: no error without source", m)
			}
		}
	}
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		method    Method
		options   []byte
		blockSize int
		want      string
	}{
		{Gzip, nil, 4096, ""},
		{Gzip, make([]byte, 8), 1 << 20, ""},
		{Gzip, make([]byte, 7), 4096, "7 bytes"},
		{XZ, make([]byte, 8), 4096, ""},
		{XZ, []byte{}, 4096, "0 bytes"},
		{LZO, make([]byte, 8), 4096, ""},
		{LZO, make([]byte, 4), 4096, "4 bytes"},
		{Zstd, make([]byte, 4), 4096, ""},
		{Zstd, make([]byte, 3), 4096, "3 bytes"},
		{LZ4, nil, 4096, "missing"},
		{LZ4, make([]byte, 3), 4096, "3 bytes"},
		{LZ4, []byte{2, 0, 0, 0, 0, 0, 0, 0}, 4096, "version 2"},
		{LZ4, []byte{1, 0, 0, 0, 1, 0, 0, 0}, 4096, ""},
		{LZMA, nil, 4096, ""},
		{0, nil, 4096, "unknown (0)"},
		{7, nil, 4096, "unknown (7)"},
		{Gzip, nil, 0, "block size"},
		{Gzip, nil, 1<<20 + 1, "block size"},
	} {
		_, err := New(c.method, c.options, c.blockSize)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, %v, %d: %v, want %q", c.method, c.options, c.blockSize, err, c.want)
		}
	}
}

func TestErrorNamesMethod(t *testing.T) {
	for _, m := range methods {
		_, err := newDecompressor(t, m, 4096).Decompress(make([]byte, 10), []byte("nothing of the kind"))
		if err == nil || !strings.HasPrefix(err.Error(), "damaged "+m.String()+" block: ") {
			t.Errorf("%v", err)
		}
	}
}

// FuzzDecompress decompresses with the method that the first byte chooses.
func FuzzDecompress(f *testing.F) {
	var list []*Decompressor
	for i, m := range methods {
		list = append(list, newDecompressor(f, m, 4096))
		for _, s := range samples(f, m, 5, 300) {
			f.Add(append([]byte{byte(i)}, s.block...))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 {
			return
		}
		dst := make([]byte, metadataBlock)
		n, err := list[int(input[0])%len(list)].Decompress(dst, input[1:])
		if err != nil && n != 0 || n < 0 || n > len(dst) {
			t.Fatalf("%d bytes, %v", n, err)
		}
	})
}

// BenchmarkDecompress decompresses blocks of the size that is usual, of an executable.
func BenchmarkDecompress(b *testing.B) {
	for _, m := range methods {
		b.Run(m.String(), func(b *testing.B) {
			plain := contents()["executable"][512<<10:][:128<<10]
			list := squash(b, m, plain, 128<<10)
			if len(list) != 1 {
				b.Fatal("no compressed block")
			}
			d := newDecompressor(b, m, 128<<10)
			dst := make([]byte, 128<<10)
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decompress(dst, list[0].block); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestContextsAreFreed makes many decompressors, the memory of which is C's.
func TestContextsAreFreed(t *testing.T) {
	for _, m := range []Method{Gzip, Zstd} {
		t.Run(m.String(), func(t *testing.T) {
			s := samples(t, m, 1000)[0]
			before := peakMemory(t)
			for i := range 2000 {
				d := newDecompressor(t, m, 4096)
				if _, err := d.Decompress(make([]byte, 1000), s.block); err != nil {
					t.Fatal(err)
				}
				if i%50 == 0 {
					runtime.GC()
				}
			}
			if more := peakMemory(t) - before; more > 64<<20 {
				t.Errorf("%d MB more", more>>20)
			}
		})
	}
}

// TestNoAllocation has blocks decompressed without making garbage.
func TestNoAllocation(t *testing.T) {
	for _, m := range []Method{LZMA, LZO, XZ, LZ4} {
		s := samples(t, m, 5000)[0]
		d, dst := newDecompressor(t, m, 8192), make([]byte, 5000)
		if n := testing.AllocsPerRun(100, func() { _, _ = d.Decompress(dst, s.block) }); n > 0 {
			t.Errorf("%v: %v allocations", m, n)
		}
	}
}
