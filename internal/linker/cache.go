package linker

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// A Cache is the content of /etc/ld.so.cache: where the dynamic linker finds an object by its name. The format is
// that of glibc 2.2 and later (sysdeps/generic/dl-cache.h, elf/cache.c), alone or behind the older one.
type Cache struct {
	entries []entry
	order   binary.ByteOrder
	hwcaps  []string // subdirectories for processors with certain capabilities, which entries refer to
}

type entry struct {
	flags      int32
	osVersion  uint32
	hwcap      uint64
	name, path string
	namesHwcap bool // hwcap is an index into hwcaps
}

const (
	cacheMagic     = "glibc-ld.so.cache1.1"
	oldCacheMagic  = "ld.so-1.7.0"
	cacheHeader    = 48
	cacheEntry     = 24
	oldCacheHeader = 16
	oldCacheEntry  = 12

	littleEndian = 2 // in the header's flags
	bigEndian    = 3

	extensionMagic  = 0xeaa42174
	extensionHwcaps = 1 // tag of the section

	isExtension = 1 << 62 // in hwcap: the lower half is an index
)

// ErrNotCache is returned for what is not a cache, or not a whole one. The dynamic linker ignores such a file.
var ErrNotCache = errors.New("not a cache of glibc")

// NewCache returns an empty cache.
func NewCache() *Cache { return &Cache{order: binary.NativeEndian} }

// ParseCache reads the content of a cache file.
func ParseCache(data []byte) (*Cache, error) {
	if bytes.HasPrefix(data, []byte(oldCacheMagic)) {
		if len(data) < oldCacheHeader {
			return nil, ErrNotCache
		}
		count := binary.NativeEndian.Uint32(data[12:])
		end := (oldCacheHeader + oldCacheEntry*uint64(count) + 7) &^ 7 // the new one is aligned
		if end > uint64(len(data)) {
			return nil, ErrNotCache
		}
		data = data[end:]
	}
	if !bytes.HasPrefix(data, []byte(cacheMagic)) || len(data) < cacheHeader {
		return nil, ErrNotCache
	}
	c := NewCache()
	switch data[28] & 3 {
	case littleEndian:
		c.order = binary.LittleEndian
	case bigEndian:
		c.order = binary.BigEndian
	}
	count := uint64(c.order.Uint32(data[20:]))
	if cacheHeader+count*cacheEntry > uint64(len(data)) {
		return nil, ErrNotCache
	}
	all := string(data) // which the names and paths are parts of
	texts := 0
	c.entries = make([]entry, 0, count)
	for i := range count {
		b := data[cacheHeader+i*cacheEntry:]
		e := entry{flags: int32(c.order.Uint32(b)), osVersion: c.order.Uint32(b[12:]), hwcap: c.order.Uint64(b[16:])}
		e.name, e.path = part(all, c.order.Uint32(b[4:])), part(all, c.order.Uint32(b[8:]))
		texts += len(e.name) + len(e.path)
		if e.name == "" || e.path == "" || texts > maxTexts {
			return nil, ErrNotCache
		}
		e.namesHwcap = e.hwcap>>32 == isExtension>>32
		c.entries = append(c.entries, e)
	}
	return c, c.parseExtensions(data, all)
}

// maxTexts is how many bytes the names and paths may have, which can be parts of each other, and maxHwcaps how many
// subdirectories there may be for processors: a thousand times what is usual.
const (
	maxTexts  = 32 << 20
	maxHwcaps = 4096
)

// longestPath is how long a path can be, in bytes (PATH_MAX).
const longestPath = 4096

// part returns the string at an offset; "" if there is none that may be a path.
func part(all string, offset uint32) string {
	if uint64(offset) >= uint64(len(all)) {
		return ""
	}
	rest := all[offset:]
	s, _, ok := strings.Cut(rest[:min(len(rest), longestPath)], "\x00")
	if !ok {
		return ""
	}
	return s
}

// parseExtensions reads the table of names that entries refer to.
func (c *Cache) parseExtensions(data []byte, all string) error {
	at := uint64(c.order.Uint32(data[32:]))
	if at == 0 || at+8 > uint64(len(data)) || c.order.Uint32(data[at:]) != extensionMagic {
		return c.checkHwcaps()
	}
	for i := range uint64(c.order.Uint32(data[at+4:])) {
		section := at + 8 + 16*i
		if section+16 > uint64(len(data)) {
			return ErrNotCache
		}
		b := data[section:]
		offset, size := uint64(c.order.Uint32(b[8:])), uint64(c.order.Uint32(b[12:]))
		if c.order.Uint32(b) != extensionHwcaps {
			continue
		}
		if offset+size > uint64(len(data)) || size/4 > maxHwcaps {
			return ErrNotCache
		}
		for names := data[offset : offset+size]; len(names) >= 4; names = names[4:] {
			c.hwcaps = append(c.hwcaps, part(all, c.order.Uint32(names)))
		}
	}
	return c.checkHwcaps()
}

func (c *Cache) checkHwcaps() error {
	for _, e := range c.entries {
		if e.namesHwcap && e.hwcap&0xffffffff >= uint64(len(c.hwcaps)) {
			return ErrNotCache
		}
	}
	return nil
}

// Lookup returns the path of the first object of that name and machine, as the dynamic linker prefers it on any
// processor; "" if there is none.
func (c *Cache) Lookup(name string, machine Machine) string {
	for _, e := range c.entries {
		if e.name == name && e.hwcap == 0 && (machine == AnyMachine || e.flags == entryFlags(machine)) {
			return e.path
		}
	}
	return ""
}

// entryFlags are what an entry for an object of the GNU C library 2 says of its machine; 0 for a machine that is not
// known here.
func entryFlags(machine Machine) int32 {
	const libc6 = 3
	switch machine {
	case X8664:
		return 0x0300 | libc6
	case AArch64:
		return 0x0a00 | libc6
	case ARM:
		return 0x0900 | libc6 // with the hard-float ABI
	case I386:
		return libc6
	}
	return 0
}

// A Library is an object that is to be found by its name.
type Library struct {
	Name, Path string
	Machine    Machine
}

// Add makes the linker find the libraries, the first of a name, before others that are in the cache already.
func (c *Cache) Add(libraries []Library) {
	added := make(map[Library]bool, len(libraries)) // without path
	fresh := make([]entry, 0, len(libraries)+len(c.entries))
	for _, l := range libraries {
		flags := entryFlags(l.Machine)
		key := Library{Name: l.Name, Machine: l.Machine}
		if flags == 0 || added[key] {
			continue
		}
		added[key] = true
		fresh = append(fresh, entry{flags: flags, name: l.Name, path: l.Path})
	}
	kept := slices.DeleteFunc(c.entries, func(e entry) bool { return added[Library{Name: e.name, Machine: machineOf(e.flags)}] })
	c.entries = append(fresh, kept...)
}

// machineOf returns the machine that entries with these flags are for; AnyMachine for others.
func machineOf(flags int32) Machine {
	for _, m := range [...]Machine{X8664, AArch64, ARM, I386} {
		if entryFlags(m) == flags {
			return m
		}
	}
	return AnyMachine
}

// Bytes returns the content of the cache file.
func (c *Cache) Bytes() []byte {
	// The linker searches by halves, in descending order of names. Among equals the first that fits counts.
	slices.SortStableFunc(c.entries, func(a, b entry) int { return CompareNames(b.name, a.name) })

	room := 0
	for _, e := range c.entries {
		room += len(e.name) + len(e.path) + 2
	}
	texts := make([]byte, 0, room)
	start := uint32(cacheHeader + cacheEntry*len(c.entries))
	place := func(s string) uint32 {
		at := start + uint32(len(texts))
		texts = append(append(texts, s...), 0)
		return at
	}
	b := append(make([]byte, 0, int(start)+room+4096), cacheMagic...)
	b = c.append32(b, uint32(len(c.entries)), 0)
	b = append(b, byte(c.endianness()), 0, 0, 0)
	b = c.append32(b, 0, 0, 0, 0)
	for _, e := range c.entries {
		path := place(e.path)
		name := path + uint32(len(e.path)-len(e.name)) // the path ends with the name, usually
		if !strings.HasSuffix(e.path, e.name) {
			name = place(e.name)
		}
		b = c.append32(b, uint32(e.flags), name, path, e.osVersion)
		b = c.appendOrder().AppendUint64(b, e.hwcap)
	}
	names := make([]uint32, len(c.hwcaps))
	for i, name := range c.hwcaps {
		names[i] = place(name)
	}
	for len(texts)%4 != 0 {
		texts = append(texts, 0)
	}
	b = append(b, texts...)
	c.order.PutUint32(b[24:], uint32(len(texts)))
	if len(names) > 0 {
		at := uint32(len(b))
		c.order.PutUint32(b[32:], at)
		b = c.append32(b, extensionMagic, 1, extensionHwcaps, 0, at+8+16, uint32(4*len(names)))
		b = c.append32(b, names...)
	}
	return b
}

func (c *Cache) endianness() int {
	var probe [2]byte
	c.order.PutUint16(probe[:], 1)
	if probe[0] == 1 {
		return littleEndian
	}
	return bigEndian
}

func (c *Cache) appendOrder() binary.AppendByteOrder {
	if c.endianness() == bigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (c *Cache) append32(b []byte, values ...uint32) []byte {
	order := c.appendOrder()
	for _, v := range values {
		b = order.AppendUint32(b, v)
	}
	return b
}

// CompareNames is the order of the cache: by bytes, but numbers by their value, and digits after everything else
// (_dl_cache_libcmp in elf/dl-cache.c of glibc).
func CompareNames(a, b string) int {
	digit := func(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }
	for a != "" {
		switch {
		case digit(a) && digit(b):
			var x, y uint64
			x, a = number(a)
			y, b = number(b)
			if x != y {
				return cmp.Compare(x, y)
			}
		case digit(a):
			return 1
		case digit(b):
			return -1
		case b == "" || a[0] != b[0]:
			if b == "" {
				return 1
			}
			return cmp.Compare(int8(a[0]), int8(b[0]))
		default:
			a, b = a[1:], b[1:]
		}
	}
	if b == "" {
		return 0
	}
	return -1
}

func number(s string) (n uint64, rest string) {
	for s != "" && s[0] >= '0' && s[0] <= '9' {
		n, s = n*10+uint64(s[0]-'0'), s[1:]
	}
	return n, s
}
