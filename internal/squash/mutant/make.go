package mutant

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Uncompressed are the options of mksquashfs for [Parse].
var Uncompressed = []string{"-noI", "-noD", "-noF", "-noX", "-noId"}

// Make makes an image of a small tree that has something of everything, and what a container needs, with blocks of 4 KiB.
func Make(t testing.TB, options ...string) []byte {
	t.Helper()
	return squash(t, tree(90), options)
}

// MakeSmall makes an image of a few kilobytes, of a tree that has no large directory.
func MakeSmall(t testing.TB, options ...string) []byte {
	t.Helper()
	return squash(t, tree(0), options)
}

func squash(t testing.TB, archive []byte, options []string) []byte {
	t.Helper()
	file := t.TempDir() + "/image"
	args := append([]string{"-", file, "-tar", "-noappend", "-quiet", "-no-progress", "-exports", "-b", "4096", "-nopad",
		"-processors", "1", "-mem", "64M", "-mkfs-time", "0", "-root-mode", "755"}, options...)
	cmd := exec.Command("mksquashfs", args...)
	cmd.Stdin = bytes.NewReader(archive)
	if output, err := cmd.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		t.Fatal("there is no mksquashfs; please install the package squashfs-tools")
	} else if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, output)
	}
	return read(t, file)
}

// tree returns an archive. The large directory has so many entries, or is not there.
func tree(large int) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	r := rand.New(rand.NewPCG(1, 2))
	add := func(kind byte, name, content string, xattrs ...string) {
		h := &tar.Header{Typeflag: kind, Name: name, Mode: 0o755, Uid: 1000 + len(name), ModTime: time.Unix(int64(len(name)), 0), Format: tar.FormatPAX}
		switch kind {
		case tar.TypeReg:
			h.Size = int64(len(content))
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname, content = content, ""
		case tar.TypeChar, tar.TypeBlock:
			h.Devmajor, h.Devminor = 1, 3
		}
		for i := 0; i+1 < len(xattrs); i += 2 {
			if h.PAXRecords == nil {
				h.PAXRecords = map[string]string{}
			}
			h.PAXRecords["SCHILY.xattr."+xattrs[i]] = xattrs[i+1]
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			panic(err)
		}
	}
	noise := func(n int) string {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return string(p)
	}
	if large == 0 {
		noise = func(n int) string { return strings.Repeat("no noise", n/8) }
	}
	for _, d := range strings.Fields("bin dev etc proc sys tmp mnt a a/b a/b/c a/b/c/d empty large crowd") {
		add(tar.TypeDir, d+"/", "")
	}
	add(tar.TypeReg, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	add(tar.TypeReg, "etc/group", "root:x:0:\n")
	add(tar.TypeReg, "a/empty", "")
	add(tar.TypeReg, "a/block", noise(4096))
	add(tar.TypeReg, "a/blocks", noise(4096)+strings.Repeat("text ", 2000)+noise(100))
	add(tar.TypeReg, "a/sparse", strings.Repeat("\x00", 300*4096)+"end")
	add(tar.TypeReg, "a/zeros", strings.Repeat("\x00", 10*4096))
	add(tar.TypeLink, "bin/hard", "a/blocks")
	add(tar.TypeSymlink, "a/short", "b")
	add(tar.TypeSymlink, "a/long", strings.Repeat("../a/", 200)+"block")
	add(tar.TypeSymlink, "a/xattr-link", "b", "trusted.link", "x")
	add(tar.TypeFifo, "a/fifo", "")
	add(tar.TypeFifo, "a/xattr-fifo", "", "trusted.fifo", "x")
	add(tar.TypeChar, "a/char", "")
	add(tar.TypeBlock, "a/block-device", "")
	add(tar.TypeBlock, "a/xattr-device", "", "security.device", "x")
	add(tar.TypeReg, "a/xattrs", "x", "user.one", "1", "user.two", noise(300), "security.three", "", "trusted.four", "4")
	shared := strings.Repeat("shared value ", 30)
	add(tar.TypeReg, "a/xattr-first", "x", "user.first", shared, "user.value", shared) // the second ones go out of line
	add(tar.TypeReg, "a/xattr-second", "y", "user.second", shared)
	add(tar.TypeDir, "a/xattr-directory/", "", "user.directory", shared, "security.other", "o")
	for i := range 12 {
		add(tar.TypeReg, fmt.Sprintf("crowd/%c%d", 'a'+i%26, i), fmt.Sprintf("file %d", i))
	}
	for i := range large { // of more than one metadata block of names, so that there is an index
		add(tar.TypeFifo, fmt.Sprintf("large/%03d-%s", i, strings.Repeat(string(rune('a'+i%26)), 100+i%50)), "")
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
