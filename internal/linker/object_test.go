package linker

import (
	"bytes"
	"debug/elf"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// objects calls f with each ELF file in the directories where Debian and Red Hat keep libraries.
func objects(t *testing.T, f func(path string, file *os.File, oracle *elf.File)) {
	t.Helper()
	found := 0
	for _, root := range []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/bin", "/usr/lib/gcc"} {
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return nil
			}
			file, err := os.Open(path)
			if err != nil {
				return nil
			}
			defer func() { _ = file.Close() }()
			oracle, err := elf.NewFile(file)
			if err != nil {
				return nil
			}
			if oracle.Type == elf.ET_DYN || oracle.Type == elf.ET_EXEC {
				found++
				f(path, file, oracle)
			}
			return nil
		})
	}
	if found < 50 {
		t.Errorf("only %d objects found on this machine", found)
	}
}

// Every object of this machine is read as package debug/elf reads it.
func TestReadObject(t *testing.T) {
	var reader Reader
	objects(t, func(path string, file *os.File, oracle *elf.File) {
		st, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		got, err := reader.Read(file, st.Size())
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		if elf.Machine(got.Machine) != oracle.Machine || got.Wide != (oracle.Class == elf.ELFCLASS64) {
			t.Errorf("%s: %v %v", path, got.Machine, got.Wide)
		}
		name := ""
		if names, _ := oracle.DynString(elf.DT_SONAME); len(names) > 0 {
			name = names[0]
		}
		if got.Name != name {
			t.Errorf("%s: name %q, want %q", path, got.Name, name)
		}
		var needs []Version
		needed, _ := oracle.DynamicVersionNeeds()
		for _, n := range needed {
			for _, v := range n.Needs {
				needs = append(needs, Version{n.Name, v.Dep})
			}
		}
		if !slices.Equal(got.Versions, needs) {
			t.Errorf("%s: needs %v, want %v", path, got.Versions, needs)
		}
		var offers []string
		defined, _ := oracle.DynamicVersions()
		for _, v := range defined {
			offers = append(offers, v.Name)
		}
		if !slices.Equal(got.Offers, offers) {
			t.Errorf("%s: offers %v, want %v", path, got.Offers, offers)
		}
	})
}

// A damaged object is an error or a wrong answer, and never a panic, a hang or a lot of memory.
func TestDamagedObjects(t *testing.T) {
	var reader Reader
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	libc, err := filepath.Glob("/usr/lib/*/libc.so.6")
	if err != nil || len(libc) == 0 {
		t.Fatal("no C library found; install libc6")
	}
	for _, path := range append(libc, "") {
		if path != "" {
			if data, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 20_000 {
			damaged := bytes.NewReader(mutate(random, data[:min(len(data), 1024)], data))
			if object, err := reader.Read(damaged, damaged.Size()); err == nil {
				(&Libc{[]string{"GLIBC_2.2.5"}}).Lacks(object)
			}
		}
	}
	whole, err := os.ReadFile(libc[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{nil, []byte("\x7fELF"), whole[:16], whole[:63], whole[:1024], whole[:8192], whole[:len(whole)/2], whole[:len(whole)*9/10]} {
		if _, err := reader.Read(bytes.NewReader(data), int64(len(data))); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes, %.20q: %v", len(data), data, err)
		}
	}
	for _, text := range []string{"#!/bin/sh\nexec true\n", "x", strings.Repeat("\xff", 4096)} {
		if _, err := reader.Read(strings.NewReader(text), int64(len(text))); !errors.Is(err, ErrNotObject) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// mutate returns data with a few bytes of its head changed.
func mutate(random *rand.Rand, head, data []byte) []byte {
	changed := slices.Clone(data[:min(len(data), 1<<16)])
	for range 1 + random.IntN(4) {
		at := random.IntN(len(head))
		if random.IntN(4) == 0 {
			at = random.IntN(len(changed))
		}
		changed[at] = byte(random.IntN(256))
	}
	if random.IntN(8) == 0 {
		changed = changed[:random.IntN(len(changed))]
	}
	return changed
}

func TestLacks(t *testing.T) {
	old := &Libc{[]string{"libc.so.6", "GLIBC_2.2.5", "GLIBC_2.3.4", "GLIBC_2.10", "GLIBC_2.31", "GLIBC_PRIVATE"}}
	for _, c := range []struct {
		libc  *Libc
		needs []Version
		want  string
	}{
		{old, nil, ""},
		{old, []Version{{"libc.so.6", "GLIBC_2.2.5"}, {"libc.so.6", "GLIBC_2.31"}}, ""},
		{old, []Version{{"libc.so.6", "GLIBC_2.34"}, {"libc.so.6", "GLIBC_2.38"}, {"libc.so.6", "GLIBC_2.4"}}, "GLIBC_2.38"},
		{old, []Version{{"libm.so.6", "GLIBC_2.29"}}, ""}, // not among those of libc.so.6, and older than its newest
		{old, []Version{{"libm.so.6", "GLIBC_2.35"}}, "GLIBC_2.35"},
		{old, []Version{{"libc.so.6", "GLIBC_2.36"}, {"libc.so.6", "GLIBC_ABI_DT_RELR"}}, "GLIBC_ABI_DT_RELR"},
		{old, []Version{{"libc.so.6", "GLIBC_PRIVATE"}}, ""},
		{old, []Version{{"libfoo.so.1", "GLIBC_9.9"}, {"libgcc_s.so.1", "GCC_3.0"}, {"libstdc++.so.6", "GLIBCXX_3.4.99"}}, ""},
		{nil, []Version{{"libc.so.6", "GLIBC_2.2.5"}}, "GLIBC_2.2.5"},
		{nil, []Version{{"libgcc_s.so.1", "GCC_3.0"}}, ""},
	} {
		if got := c.libc.Lacks(&Object{Versions: c.needs}); got != c.want {
			t.Errorf("%v: got %q, want %q", c.needs, got, c.want)
		}
	}
	if got := old.Newest(); got != "GLIBC_2.31" {
		t.Errorf("newest: %s", got)
	}
}

func TestCompanion(t *testing.T) {
	for _, c := range []struct {
		machine, image Machine
		want           bool
	}{
		{X8664, X8664, true}, {I386, X8664, true}, {ARM, AArch64, true},
		{X8664, I386, false}, {AArch64, X8664, false}, {ARM, X8664, false},
	} {
		if got := c.machine.Companion(c.image); got != c.want {
			t.Errorf("%v on %v: %v", c.machine, c.image, got)
		}
	}
}
