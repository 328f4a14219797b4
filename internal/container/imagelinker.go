package container

import (
	"path"
	"runtime"

	"ch-run/internal/kernel"
	"ch-run/internal/linker"
	"ch-run/internal/message"
)

// An imageLinker is what an image has for programs that are linked dynamically.
type imageLinker struct {
	machine linker.Machine
	libc    *linker.Libc  // nil: none of GNU
	cache   *linker.Cache // nil: none
}

// cannotUse says why the object is of no use in the image, or "". Whether an object for the companion of the image's
// processor would find its own C library there is not looked into.
func (i imageLinker) cannotUse(object *linker.Object) string {
	switch {
	case !object.Machine.Companion(i.machine):
		return "it is for " + object.Machine.String() + ", and the image for " + i.machine.String()
	case object.Machine != i.machine:
		return ""
	}
	lacking := i.libc.Lacks(object)
	switch {
	case lacking == "":
		return ""
	case i.libc == nil:
		return "it needs " + lacking + ", and the image has no GNU C library"
	}
	return "it needs " + lacking + ", and the image's C library has " + i.libc.Newest()
}

// readImageLinker finds out about the C library of the image. Of what cannot be read, it has none.
func (i *injection) readImageLinker(root kernel.FD, log *message.Log) (found imageLinker) {
	found.machine = machineOf(runtime.GOARCH)
	if data, err := kernel.ReadFileInRoot(root, linkerCacheFile); err == nil {
		if found.cache, err = linker.ParseCache(data); err != nil {
			found.cache = nil
			log.Verbose("%s of the image: %v", linkerCacheFile, err)
		}
	}
	var candidates []string
	if found.cache != nil {
		candidates = append(candidates, found.cache.Lookup(linker.LibcName, found.machine), found.cache.Lookup(linker.LibcName, linker.AnyMachine))
	}
	for _, folder := range [...]string{"/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		candidates = append(candidates, path.Join(folder, linker.LibcName))
	}
	for _, candidate := range candidates {
		if candidate == "" {
			continue
		}
		object, err := i.readObjectInRoot(root, candidate)
		if err != nil {
			continue
		}
		found.libc, found.machine = linker.NewLibc(object), object.Machine
		log.Verbose("C library of the image: %s (%s)", candidate, found.libc.Newest())
		return found
	}
	log.Verbose("C library of the image: none of GNU")
	return found
}

func machineOf(architecture string) linker.Machine {
	if architecture == "arm64" {
		return linker.AArch64
	}
	return linker.X8664
}

func (i *injection) readObjectInRoot(root kernel.FD, unsafePath string) (*linker.Object, error) {
	fd, err := kernel.OpenInRoot(root, unsafePath)
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	return i.readOpen(fd)
}
