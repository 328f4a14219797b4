package decompress

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var methods = []Method{Gzip, LZMA, LZO, XZ, LZ4, Zstd}

// options are the compressor options of an image that cannot do without them.
func options(m Method) []byte {
	if m == LZ4 {
		return []byte{1, 0, 0, 0, 0, 0, 0, 0}
	}
	return nil
}

func newDecompressor(t testing.TB, m Method, blockSize int) *Decompressor {
	t.Helper()
	d, err := New(m, options(m), blockSize)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A sample is a block, compressed and not.
type sample struct {
	name         string
	plain, block []byte
}

// contents returns what files in images are like, each of size bytes.
var contents = sync.OnceValue(func() map[string][]byte {
	const size = maxBlockSize
	executable, err := os.ReadFile(os.Args[0]) // of Go; and all that is around it
	if err != nil {
		panic(err)
	}
	var text strings.Builder
	words := strings.Fields("a block of text which holds few words of different lengths over and over again, not in order")
	for r := rand.New(rand.NewSource(1)); text.Len() < size; {
		text.WriteString(words[r.Intn(len(words))])
		text.WriteByte(" \n"[r.Intn(2)])
	}
	random := make([]byte, size)
	rand.New(rand.NewSource(2)).Read(random)
	mixed := bytes.Clone(random)
	for i := 0; i < size; i += 3000 {
		copy(mixed[i:min(i+2000, size)], text.String()[i/2:])
	}
	return map[string][]byte{
		"zeros":      make([]byte, size),
		"text":       []byte(text.String())[:size],
		"random":     random,
		"mixed":      mixed,
		"executable": executable[:size],
		"period":     bytes.Repeat([]byte("abcde"), size/5+1)[:size],
	}
})

// samples returns blocks of every kind of content, of several sizes up to blockSize.
func samples(t testing.TB, m Method, sizes ...int) []sample {
	t.Helper()
	var list []sample
	for name, content := range contents() {
		for _, size := range sizes {
			plain := content[len(content)/4*3:]
			if size > len(plain) {
				plain = content
			}
			plain = plain[:size]
			for variant, block := range compress(t, m, plain) {
				list = append(list, sample{name + " " + strconv.Itoa(size) + " " + variant, plain, block})
			}
		}
	}
	return list
}

// compress returns plain compressed in several ways. A compressor of mksquashfs gives none where the result
// would not be shorter.
func compress(t testing.TB, m Method, plain []byte) map[string][]byte {
	t.Helper()
	switch m {
	case Gzip:
		var b bytes.Buffer
		w := zlib.NewWriter(&b)
		_, _ = w.Write(plain) // to memory
		_ = w.Close()
		return map[string][]byte{"zlib": b.Bytes()}
	case Zstd:
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
		if err != nil {
			t.Fatal(err)
		}
		return map[string][]byte{"klauspost": e.EncodeAll(plain, nil)}
	case XZ:
		return map[string][]byte{
			"lzma2": run(t, plain, "xz", "-c", "-T1", "--check=crc32"),
			"x86":   run(t, plain, "xz", "-c", "-T1", "--check=crc32", "--x86", "--lzma2=dict=8KiB"),
			"none":  run(t, plain, "xz", "-c", "-T1", "--check=none", "--lzma2=lc=0,lp=2,pb=0,mode=fast"),
		}
	case LZMA:
		return map[string][]byte{
			"lzma": run(t, plain, "xz", "-c", "--format=lzma"),
			"lp":   run(t, plain, "xz", "-c", "--format=lzma", "--lzma1=lc=1,lp=3,pb=4,mf=hc3"),
		}
	}
	blocks := map[string][]byte{}
	for _, more := range squashOptions(m) {
		if list := squash(t, m, plain, maxBlockSize, more...); len(list) == 1 {
			blocks[strings.Join(more, "")] = list[0].block
		}
	}
	return blocks
}

// squashOptions returns options of mksquashfs that matter to what blocks look like.
func squashOptions(m Method) [][]string {
	switch m {
	case XZ:
		return [][]string{nil, {"-Xbcj", "x86"}, {"-Xbcj", "arm,armthumb,powerpc,sparc"}, {"-Xdict-size", "50%"}}
	case LZO:
		return [][]string{nil, {"-Xalgorithm", "lzo1x_1"}, {"-Xalgorithm", "lzo1x_1_11"}, {"-Xalgorithm", "lzo1x_1_15"}}
	case LZ4:
		return [][]string{nil, {"-Xhc"}}
	case Gzip:
		return [][]string{nil, {"-Xcompression-level", "1", "-Xstrategy", "huffman_only"}}
	case Zstd:
		return [][]string{nil, {"-Xcompression-level", "22"}}
	}
	return [][]string{nil}
}

func run(t testing.TB, input []byte, name string, arguments ...string) []byte {
	t.Helper()
	c := exec.Command(name, arguments...)
	var diagnostics bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(input), &diagnostics
	output, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v (Debian packages xz-utils, squashfs-tools)\n%s", c, err, &diagnostics)
	}
	return output
}

// squash returns the compressed blocks of a file that holds plain in an image of mksquashfs.
func squash(t testing.TB, m Method, plain []byte, blockSize int, more ...string) []sample {
	t.Helper()
	directory := t.TempDir()
	file, image := filepath.Join(directory, "file"), filepath.Join(directory, "image")
	if err := os.WriteFile(file, plain, 0o600); err != nil {
		t.Fatal(err)
	}
	arguments := []string{file, image, "-comp", m.String(), "-b", strconv.Itoa(blockSize),
		"-noI", "-no-fragments", "-no-xattrs", "-no-progress", "-quiet", "-processors", "1"}
	run(t, nil, "mksquashfs", append(arguments, more...)...)
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if got := Method(binary.LittleEndian.Uint16(data[20:])); got != m {
		t.Fatalf("the image's method is %v, want %v", got, m)
	}

	// The inodes, which are not compressed, begin behind a header of two bytes.
	inode := data[binary.LittleEndian.Uint64(data[64:])+2:]
	if kind := binary.LittleEndian.Uint16(inode); kind == 1 { // the directory
		inode = inode[32:]
	}
	at := int(binary.LittleEndian.Uint32(inode[16:]))
	var list []sample
	for i := 0; i*blockSize < len(plain); i++ {
		size := int(binary.LittleEndian.Uint32(inode[32+4*i:]))
		compressed := size&(1<<24) == 0
		size &= 1<<24 - 1
		if compressed && size > 0 {
			list = append(list, sample{
				name:  strings.Join(append(more, strconv.Itoa(i)), " "),
				plain: plain[i*blockSize : min((i+1)*blockSize, len(plain))],
				block: bytes.Clone(data[at : at+size]),
			})
		}
		at += size
	}
	return list
}
