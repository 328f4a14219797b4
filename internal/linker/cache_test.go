package linker

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const realCache = "/etc/ld.so.cache"

func readRealCache(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(realCache)
	if err != nil {
		t.Fatalf("%v; run 'ldconfig' as root", err)
	}
	return data
}

func thisMachine() Machine {
	if runtime.GOARCH == "arm64" {
		return AArch64
	}
	return X8664
}

// printed is what the C library's own program reads in a cache, a line for each entry.
func printed(t *testing.T, data []byte) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cache")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/sbin/ldconfig", "-p", "-C", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ldconfig: %v\n%s", err, out)
	}
	return regexp.MustCompile(`(?m)^\t.*$`).FindAllString(string(out), -1)
}

// Parsed and written again, the cache of this machine says the same to ldconfig(8), in the same order.
func TestCacheRoundTrip(t *testing.T) {
	data := readRealCache(t)
	cache, err := ParseCache(data)
	if err != nil {
		t.Fatal(err)
	}
	want := printed(t, data)
	if got := printed(t, cache.Bytes()); len(want) < 10 || !slices.Equal(got, want) {
		t.Errorf("got %d lines, want %d\n%s", len(got), len(want), strings.Join(got[:min(9, len(got))], "\n"))
	}
	if path := cache.Lookup(LibcName, thisMachine()); filepath.Base(path) != LibcName {
		t.Errorf("%s: %q", LibcName, path)
	}
	if path := cache.Lookup("libnothing.so.0", AnyMachine); path != "" {
		t.Errorf("found %q", path)
	}
}

// What is added is found first, whatever its name sorts next to.
func TestCacheAdd(t *testing.T) {
	cache, err := ParseCache(readRealCache(t))
	if err != nil {
		t.Fatal(err)
	}
	before := len(cache.entries)
	names := []string{"libcuda.so.1", "liba", "libz9.so.1", "libz10.so.1", "ld-new.so", "libc.so.6", "libz.so.1.2.3.4"}
	var libraries []Library
	for _, name := range names {
		libraries = append(libraries, Library{name, "/new/" + name, thisMachine()}, Library{name, "/second/" + name, thisMachine()})
	}
	cache.Add(append(libraries, Library{"libodd.so", "/odd", 8}))
	parsed, err := ParseCache(cache.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if got := parsed.Lookup(name, thisMachine()); got != "/new/"+name {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := len(parsed.entries); got != before+len(names)-1 { // one was there
		t.Errorf("%d entries, were %d", got, before)
	}
	lines := strings.Join(printed(t, cache.Bytes()), "\n")
	if !strings.Contains(lines, "=> /new/libcuda.so.1") || strings.Contains(lines, "/second/") || strings.Contains(lines, "/odd") {
		t.Error(lines)
	}
	if !slices.IsSortedFunc(parsed.entries, func(a, b entry) int { return CompareNames(b.name, a.name) }) {
		t.Error("not in the order in which the linker searches")
	}
}

func TestCacheFromNothing(t *testing.T) {
	cache := NewCache()
	cache.Add([]Library{{"libv.so.1", "/v/libv.so.1", thisMachine()}})
	if lines := printed(t, cache.Bytes()); len(lines) != 1 || !strings.Contains(lines[0], "/v/libv.so.1") {
		t.Error(lines)
	}
}

// Behind a cache of the older format, as glibc 2.31 and older write it, the one of the newer format is found.
func TestCacheOfBothFormats(t *testing.T) {
	cache := NewCache()
	cache.Add([]Library{{"libv.so.1", "/v/libv.so.1", thisMachine()}})
	old := append([]byte(oldCacheMagic+"\x00"), 1, 0, 0, 0)
	old = append(old, make([]byte, oldCacheEntry)...)
	for len(old)%8 != 0 {
		old = append(old, 0)
	}
	parsed, err := ParseCache(append(old, cache.Bytes()...))
	if err != nil {
		t.Fatal(err)
	}
	if got := parsed.Lookup("libv.so.1", thisMachine()); got != "/v/libv.so.1" {
		t.Errorf("%q", got)
	}
}

func TestDamagedCaches(t *testing.T) {
	data := readRealCache(t)
	random := rand.New(rand.NewPCG(3, 4))
	for range 5_000 {
		if cache, err := ParseCache(mutate(random, data[:64], data)); err == nil {
			cache.Add([]Library{{"libv.so.1", "/v", thisMachine()}})
			cache.Bytes()
		}
	}
	for _, data := range [][]byte{nil, []byte(cacheMagic), data[:cacheHeader], []byte(oldCacheMagic), bytes.Repeat([]byte(cacheMagic), 9)} {
		if _, err := ParseCache(data); err == nil {
			t.Errorf("%.30q is taken for a cache", data)
		}
	}
}

// A small file whose entries are all the same long text is not a cache that takes gigabytes.
func TestCacheOfLongTexts(t *testing.T) {
	for _, length := range []int{4000, 100_000, 1_000_000} {
		const count = 100_000
		c := NewCache()
		b := append([]byte(cacheMagic), make([]byte, cacheHeader-len(cacheMagic))...)
		c.order.PutUint32(b[20:], count)
		text := uint32(cacheHeader + count*cacheEntry)
		for range count {
			b = c.append32(b, 0, text, text, 0, 0, 0)
		}
		b = append(append(b, bytes.Repeat([]byte("a"), length)...), 0)
		if _, err := ParseCache(b); err == nil {
			t.Errorf("accepted with %d bytes", length)
		}
	}
}

// In glibc's words: "libz.so.10" comes before "libz.so.9", and a digit before everything else.
func TestCompareNames(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"libz.so.10", "libz.so.9", 1}, {"libz.so.1", "libz.so.1", 0}, {"libz.so.1", "libz.so.1.2", -1}, {"lib1", "liba", 1},
		{"liba", "libb", -1}, {"", "a", -1}, {"a", "", 1}, {"1", "", 1}, {"a9b", "a09b", 0}, {"a9", "a9x", -1},
	} {
		if got := CompareNames(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: %d", c.a, c.b, got)
		}
		if got := CompareNames(c.b, c.a); got != -c.want {
			t.Errorf("%q, %q: %d", c.b, c.a, got)
		}
	}
}
