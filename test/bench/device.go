package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// libraries is how many of them the device of a made-up vendor brings along: more than that of any real one.
const libraries = 120

// vendorFolder is where they go in the image.
const vendorFolder = "/usr/lib/x86_64-linux-gnu"

// measureDevices compares launches with such a device, and without, from a directory and from a SquashFS image. Where
// before, an earlier ch-run, is given, it shows what a launch without devices has come to cost.
func (s stage) measureDevices(ctx context.Context, before string, launches int) error {
	specification, err := s.makeDevice(ctx)
	if err != nil {
		return err
	}
	if before != "" {
		reachable := s.in.binary + ".before"
		if err := copyFile(before, reachable); err != nil {
			return err
		}
		before = reachable
	}
	made, err := s.image(ctx, debianTree, "zstd")
	if err != nil {
		return err
	}
	directory := filepath.Join(s.images, debianTree)
	if err := tool(ctx, "cp", "-a", filepath.Join(cacheDir, debianTree), directory); err != nil {
		return err
	}
	if err := s.compareDevices(ctx, before, specification, directory, contest{copies: 1, warmUp: 5, rounds: launches}); err != nil {
		return err
	}
	return s.compareDevices(ctx, before, specification, made.path,
		contest{copies: 1, warmUp: 3, rounds: max(1, launches/4), settle: s.settle})
}

func (s stage) compareDevices(ctx context.Context, before, specification, image string, ct contest) error {
	var commands []command
	if before != "" {
		commands = append(commands, command{name: "ch-run of before", argv: []string{before, image, "--", "/bin/true"}})
	}
	commands = append(commands,
		command{name: "ch-run", argv: s.launch(image)},
		command{name: fmt.Sprintf("ch-run -d with %d libraries", libraries), argv: []string{s.in.binary, "-d", specification, image, "--", "/bin/true"}})
	fmt.Printf("\n%d launches of each, with and without a device, from %s:\n\n", ct.rounds, filepath.Base(image))
	times, err := compare(ctx, s.l, commands, ct)
	if err != nil {
		return err
	}
	without, with := times[len(times)-2], times[len(times)-1]
	difference := func(q float64) float64 {
		return float64(quantile(with, q)-quantile(without, q)) / float64(time.Millisecond)
	}
	fmt.Printf("\nThe device adds %.2f ms (1st quartiles), %.2f ms (medians); the aim is 3 ms for a directory.\n", difference(0.25), difference(0.5))
	return nil
}

// makeDevice makes the libraries, and a specification as NVIDIA's nvidia-ctk writes it.
func (s stage) makeDevice(ctx context.Context) (specification string, err error) {
	vendor := filepath.Join(s.images, "vendor")
	if err := os.Mkdir(vendor, 0o755); err != nil {
		return "", err
	}
	source := filepath.Join(vendor, "vendor.c")
	if err := os.WriteFile(source, []byte("#include <math.h>\n#include <stdio.h>\nint vendor(int x) { return printf(\"%d\", x) + (int)pow(x, 2); }\n"), 0o644); err != nil {
		return "", err
	}
	var text strings.Builder
	fmt.Fprintf(&text, `---
cdiVersion: 0.5.0
kind: vendor.example/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/null
containerEdits:
  env:
  - VENDOR=void
  hooks:
  - hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
    args:
    - nvidia-cdi-hook
    - update-ldcache
    - --folder
    - %s
  mounts:
`, vendorFolder)
	progress("making %d libraries", libraries)
	for i := range libraries {
		name := fmt.Sprintf("libvendor%d.so.1", i)
		file := filepath.Join(vendor, name+".2.3")
		if err := tool(ctx, "gcc", "-shared", "-fPIC", "-Wl,-soname,"+name, "-o", file, source, "-lm"); err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "  - containerPath: %s/%s.2.3\n    hostPath: %s\n    options:\n    - ro\n    - nosuid\n    - nodev\n    - bind\n",
			vendorFolder, name, file)
	}
	specification = filepath.Join(vendor, "vendor.yaml")
	return specification, os.WriteFile(specification, []byte(text.String()), 0o644)
}
