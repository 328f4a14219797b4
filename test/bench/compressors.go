package main

import (
	"context"
	"fmt"
	"slices"
)

// allCompressors are those of mksquashfs, but lzma, which the kernel does not know.
var allCompressors = []string{"gzip", "zstd", "lz4", "xz", "lzo"}

// chooseCompressor prints what helps to choose one: figures of ch-run with images of the same tree. They
// are compared with each other, so they are measured together and not taken from other tables.
func (s stage) chooseCompressor(ctx context.Context, rounds, launches int) error {
	var images []image
	var matches []match
	var commands []command
	for _, compressor := range allCompressors {
		made, err := s.image(ctx, debianTree, compressor)
		if err != nil {
			return err
		}
		images = append(images, made)
		commands = append(commands, command{name: compressor, argv: s.launch(made.path)})
		for _, t := range s.tools.tasks() {
			if t.name == readName || t.name == importName {
				t.passes = 1
				matches = append(matches, match{compressor, t, []rival{{ours, s.serveOurselves}}})
			}
		}
	}
	for _, c := range commands {
		if _, err := s.l.run(ctx, c.argv); err != nil {
			return err
		}
	}
	all := results{}
	times, err := contest{copies: 1, warmUp: 3, rounds: launches, settle: s.settle}.times(ctx, s.l, commands)
	if err != nil {
		return err
	}
	if err := s.play(ctx, matches, rounds, all); err != nil {
		return err
	}
	fmt.Printf("\nWhich compressor to choose: a Debian root file system with Python and NumPy, and ch-run, cold:\n\n")
	table := [][]string{{"image", "mksquashfs", "/bin/true", "read everything", "import numpy", ""}}
	for i, compressor := range allCompressors {
		all.addTimes(key{compressor, launchRow, ours}, times[i])
		line := []string{megabytes(float64(images[i].size)), seconds(images[i].took.Seconds())}
		for _, name := range []string{launchRow, cold(readName), cold(importName)} {
			line = append(line, all.show(key{compressor, name, ours}, seconds))
		}
		table = append(table, append(slices.Clone(line), compressor))
	}
	return printTable(table)
}
