package container

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"ch-run/internal/bind"
	"ch-run/internal/kernel"
	"ch-run/internal/linker"
	"ch-run/internal/message"
)

// linkerCacheFile is where the dynamic linker of the GNU C library finds libraries, see ld.so(8).
const linkerCacheFile = "/etc/ld.so.cache"

// A library is an object that is injected.
type library struct {
	*linker.Object
	destination string
	name        string // that others look for it by
	path        string // where they look for it: a link of that name, or the file itself
}

func newLibrary(object *linker.Object, destination string) library {
	directory, name := path.Split(destination)
	if object.Name != "" && !strings.Contains(object.Name, "/") {
		name = object.Name
	}
	return library{object, destination, name, directory + name}
}

// inFolder says whether the file is in one of the folders that a hook names. A hook that names none means all.
func (i *injection) inFolder(file string) bool {
	return i.AllFolders || i.folder(file) < len(i.Folders)
}

// folder returns which of the folders the file is in, or how many there are.
func (i *injection) folder(file string) int {
	directory, _ := path.Split(file)
	directory = i.resolve(directory)
	n := slices.IndexFunc(i.Folders, func(folder string) bool { return i.resolve(folder) == directory })
	if n < 0 {
		return len(i.Folders)
	}
	return n
}

// linkerCache has the dynamic linker of the image find the libraries. Running the image's ldconfig(8) would take
// longer than all else, as it looks at every library that the image has.
func (i *injection) linkerCache(s *stage) error {
	libraries := i.compatLibraries(s)
	if i.Cache {
		for _, l := range i.libraries {
			if i.inFolder(l.destination) {
				libraries = append(libraries, linker.Library{Name: l.name, Path: l.path, Machine: l.Machine})
			}
		}
		libraries = append(libraries, i.linkedLibraries()...)
		libraries = append(libraries, i.librariesOfDirectories(s.log)...)
	}
	switch {
	case len(libraries) == 0:
		return nil
	case i.image.libc == nil:
		s.log.Verbose("no linker cache: the image has no GNU C library")
		return nil
	}
	write := func() []byte { return i.writeCache(libraries, s.log) }
	file, err := bind.Open([]bind.Mount{{Kind: bind.Content, Late: write, Destination: linkerCacheFile, Need: i.need()}}, nil)
	s.mounts = append(s.mounts, file...)
	return err
}

// writeCache returns the content of the cache, with those libraries that are where they should be.
func (i *injection) writeCache(libraries []linker.Library, log *message.Log) []byte {
	cache := i.image.cache
	if cache == nil {
		cache = linker.NewCache()
	}
	libraries = slices.DeleteFunc(libraries, func(l linker.Library) bool { return i.file(l.Path) == "" })
	if len(i.Folders) > 1 {
		slices.SortStableFunc(libraries, func(a, b linker.Library) int { return i.folder(a.Path) - i.folder(b.Path) })
	}
	cache.Add(libraries)
	log.Verbose("linker cache: %d libraries added", len(libraries))
	return cache.Bytes()
}

// linkedLibraries returns the other names that libraries have by links of hooks, as ldconfig(8) has them, too.
func (i *injection) linkedLibraries() (libraries []linker.Library) {
	byFile := make(map[string]library, len(i.libraries))
	for _, l := range i.libraries {
		byFile[l.destination] = l
	}
	for _, link := range i.hookLinks {
		if l, ok := byFile[i.file(link)]; ok && isLibrary(link) && i.inFolder(link) {
			libraries = append(libraries, linker.Library{Name: path.Base(link), Path: link, Machine: l.Machine})
		}
	}
	return libraries
}

// librariesOfDirectories returns the libraries in folders that are, or are in, directories which are injected as a
// whole.
func (i *injection) librariesOfDirectories(log *message.Log) (libraries []linker.Library) {
	for _, folder := range i.Folders {
		for _, m := range i.sources {
			if m.Kind != bind.Host || m.IsLink() {
				continue
			}
			below, ok := i.below(folder, m.Destination)
			if !ok {
				continue
			}
			directory := path.Join(m.Source, below)
			fd, err := kernel.DirectoryHandle(kernel.CWD, directory)
			if err != nil {
				continue // a file, or there is no such directory
			}
			names, err := kernel.Names(fd)
			fd.Close()
			if err != nil {
				log.Verbose("can't read: %s: %s", directory, message.Reason(err))
			}
			for _, name := range names {
				object, err := i.readObject(path.Join(directory, name))
				if err == nil && isLibrary(name) && i.image.cannotUse(object) == "" {
					libraries = append(libraries, linker.Library{Name: name, Path: path.Join(folder, name), Machine: object.Machine})
				}
			}
		}
	}
	return libraries
}

// below returns the path from one directory of the image to another, if that is in it.
func (i *injection) below(folder, directory string) (string, bool) {
	folder, directory = i.resolve(folder), i.resolve(directory)
	return strings.TrimPrefix(folder, directory), bind.Within(folder, directory)
}

// compatLibraries returns those that the image has for the case that it needs a newer CUDA driver library than the
// host's, if it is newer: https://docs.nvidia.com/deploy/cuda-compatibility, "Forward Compatibility".
func (i *injection) compatLibraries(s *stage) []linker.Library {
	if i.Compat == nil {
		return nil
	}
	directory, err := kernel.HandleInRoot(s.tree.Root(), i.Compat.folder)
	if err != nil {
		return nil // most images have none
	}
	defer directory.Close()
	names, err := kernel.Names(directory)
	if err != nil {
		return nil // it is not a directory
	}
	const driver = "libcuda.so."
	versions := 0
	newer := false
	var libraries []linker.Library
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, driver); ok && strings.Contains(rest, ".") {
			versions++
			newer = major(rest) > major(i.Compat.hostVersion)
		}
		if !isLibrary(name) {
			continue
		}
		if object, err := i.readObjectInRoot(s.tree.Root(), path.Join(i.Compat.folder, name)); err == nil {
			libraries = append(libraries, linker.Library{Name: name, Path: path.Join(i.Compat.folder, name), Machine: object.Machine})
		}
	}
	if versions != 1 || !newer || i.Compat.hostVersion == "" {
		return nil
	}
	s.log.Verbose("CUDA driver library of the image is newer, and used: %s", i.Compat.folder)
	return libraries
}

// major returns the first number of a version, or 0.
func major(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}
