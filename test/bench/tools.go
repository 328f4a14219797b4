package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// toolsAt is where the tools are mounted in the container: a directory that every image has.
const toolsAt = "/mnt"

// tools are the programs that run in the container, in a directory that is bind-mounted there. The fio of the
// host comes with all that it is linked with, as images have none.
type tools struct {
	dir string
	fio []string // the command, as seen in the container
}

func makeTools(ctx context.Context, dir string) (tools, error) {
	t := tools{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, "fio"), 0o755); err != nil {
		return t, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "workload"), "./test/bench/workload")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return t, fmt.Errorf("go build: %w\n%s", err, output)
	}
	var err error
	t.fio, err = copyProgram("fio", filepath.Join(dir, "fio"), toolsAt+"/fio")
	return t, err
}

// linked finds the paths in the output of ldd(1): those of libraries, and that of the loader.
var linked = regexp.MustCompile(`(/\S+) \(0x`)

// copyProgram copies a program and its libraries into a directory, and returns the command that runs it
// where that directory is mounted.
func copyProgram(name, dir, mounted string) ([]string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, err
	}
	libraries, err := exec.Command("ldd", path).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w", path, err)
	}
	loader := ""
	for _, match := range linked.FindAllStringSubmatch(string(libraries), -1) {
		library := filepath.Base(match[1])
		if err := copyFile(match[1], filepath.Join(dir, library)); err != nil {
			return nil, err
		}
		if strings.HasPrefix(library, "ld-") || strings.HasPrefix(library, "ld64") {
			loader = library
		}
	}
	if loader == "" {
		return nil, errors.New("ldd " + path + ": no loader among what it is linked with")
	}
	return []string{mounted + "/" + loader, "--library-path", mounted, mounted + "/" + name},
		copyFile(path, filepath.Join(dir, name))
}
