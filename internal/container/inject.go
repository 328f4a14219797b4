package container

import (
	"errors"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ch-run/internal/bind"
	"ch-run/internal/kernel"
	"ch-run/internal/linker"
	"ch-run/internal/message"
)

// An injection is devices on their way into a container.
type injection struct {
	*Devices
	sources   []bind.OpenMount
	image     imageLinker
	libraries []library
	reader    linker.Reader
	placed    map[string]bool // destinations of what is injected
	skipped   map[string]bool // and of what turned out not to be of use
}

// A library is an object that is injected.
type library struct {
	*linker.Object
	destination string
}

// name is the name that others look for it by.
func (l library) name() string {
	if l.Name == "" || strings.Contains(l.Name, "/") {
		return path.Base(l.destination)
	}
	return l.Name
}

// inject opens the sources, and adds the hooks that do the rest. Paths of the host mean what they say only before the
// scratch tmpfs is mounted.
func (d *Devices) inject(h *hooks, log *message.Log) error {
	i := &injection{Devices: d, placed: make(map[string]bool, 2*len(d.Mounts)), skipped: map[string]bool{}}
	if err := i.open(log); err != nil {
		return err
	}
	for _, step := range []struct {
		list *hookList
		hook hook
	}{
		{&h.host, hook{"files of devices", i.files}},
		{&h.host, hook{"linker cache", i.linkerCache}},
		{&h.guest, hook{"device nodes", i.nodes}},
	} {
		if err := step.list.add(failDuplicate, step.hook); err != nil {
			return err
		}
	}
	return nil
}

// problem reports something that cannot be had: as a warning, or as an error if the user wants that.
func (d *Devices) problem(e *message.Error, log *message.Log) error {
	if d.Strict {
		return e
	}
	log.Warning("%v", e)
	return nil
}

func (i *injection) open(log *message.Log) error {
	for _, note := range i.Notes {
		if err := i.problem(message.Errorf("device: %s", note), log); err != nil {
			return err
		}
	}
	for n := range i.Mounts {
		if !i.Strict {
			i.Mounts[n].Need |= bind.DestinationOptional
		}
		if m := &i.Mounts[n]; m.Kind == bind.Host && !m.Merge && kernel.IsReadOnlyFile(m.Source) {
			m.Merge, m.ReadOnly = true, true // as good, and cheaper
		}
	}
	var err error
	i.sources, err = bind.Open(i.Mounts, func(m bind.Mount, why *message.Error) error {
		i.skipped[m.Destination] = true
		if !i.Strict && isTransient(m.Source) && !isLibrary(m.Source) {
			log.Verbose("device: %v", why)
			return nil
		}
		return i.problem(why.Hint("has the driver been updated since the specification was made?"), log)
	})
	return err
}

// isTransient says whether what a specification names may well not be there: sockets of daemons, which may run or not.
func isTransient(p string) bool {
	return strings.HasPrefix(p, "/run/") || strings.HasPrefix(p, "/var/run/") || strings.HasPrefix(p, "/tmp/")
}

// files has the files of the devices mounted, and linked, but for those that would be of no use in this image.
func (i *injection) files(s *stage) error {
	i.image = i.readImageLinker(s.tree.Root(), s.log)
	s.mounts = slices.Grow(s.mounts, 2*len(i.sources))
	i.libraries = make([]library, 0, len(i.sources))
	for n := range i.sources {
		m := &i.sources[n]
		useful, err := i.isUseful(m, s.log)
		if err != nil {
			return err
		}
		if !useful {
			i.skipped[m.Destination] = true
			s.log.Verbose("device: not injected: %s", m)
			continue
		}
		i.placed[m.Destination] = true
		s.mounts = append(s.mounts, *m)
	}
	if i.Links {
		return i.linkNames(s)
	}
	return nil
}

// isUseful looks at libraries and programs, whether they can work in the image, and takes note of libraries.
func (i *injection) isUseful(m *bind.OpenMount, log *message.Log) (bool, error) {
	if m.Kind == bind.Symlink {
		target := m.Source
		if !strings.HasPrefix(target, "/") {
			target = path.Join(path.Dir(m.Destination), target)
		}
		return !i.skipped[path.Clean(target)], nil
	}
	if !isLibrary(m.Destination) && !isProgram(m.Destination) {
		return true, nil
	}
	file, path := m.TakeFile()
	if path == "" {
		return true, nil
	}
	object, err := i.readObject(file, path)
	switch {
	case errors.Is(err, linker.ErrNotObject): // a linker script, or a shell script
		return true, nil
	case err != nil:
		return false, i.problem(message.Wrap(err, "device: can't read: %s", m.Source), log)
	}
	if why := i.image.cannotUse(object); why != "" {
		return false, i.problem(message.Errorf("device: %s skipped: %s", m.Source, why), log)
	}
	if isLibrary(m.Destination) {
		i.libraries = append(i.libraries, library{object, m.Destination})
	}
	return true, nil
}

func isLibrary(p string) bool {
	name := path.Base(p)
	return strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")
}

func isProgram(p string) bool { return strings.HasSuffix(path.Dir(p), "bin") }

// readObject reads the object at a path, which may be open already.
func (i *injection) readObject(fd kernel.FD, path string) (object *linker.Object, err error) {
	if fd < 0 {
		if fd, err = kernel.OpenFile(path); err != nil {
			return nil, err
		}
	}
	defer fd.Close()
	return i.reader.Read(fd)
}

// linkNames makes what ldconfig(8) makes: links by which libraries are found that have another name than their file.
func (i *injection) linkNames(s *stage) error {
	links := make([]bind.Mount, 0, len(i.libraries))
	for _, l := range i.libraries {
		name := path.Join(path.Dir(l.destination), l.name())
		if !i.inFolder(l.destination) || i.placed[name] {
			continue
		}
		i.placed[name] = true
		links = append(links, bind.Mount{Kind: bind.Symlink, Source: path.Base(l.destination), Destination: name, Need: bind.Create})
	}
	opened, err := bind.Open(links, nil)
	s.mounts = append(s.mounts, opened...)
	return err
}

// inFolder says whether the file is in one of the folders that a hook names. A hook that names none means all.
func (i *injection) inFolder(file string) bool {
	if len(i.Folders) == 0 {
		return true
	}
	for _, folder := range i.Folders {
		if path.Dir(file) == folder {
			return true
		}
	}
	return false
}

// linkerCache has the dynamic linker of the image find the libraries. Running the image's ldconfig(8) would take
// longer than all else, as it looks at every library that the image has.
func (i *injection) linkerCache(s *stage) error {
	libraries, err := i.compatLibraries(s)
	if err != nil {
		return err
	}
	if i.Cache {
		for _, l := range i.libraries {
			if i.inFolder(l.destination) {
				libraries = append(libraries, linker.Library{Name: l.name(), Path: path.Join(path.Dir(l.destination), l.name()), Machine: l.Machine})
			}
		}
		libraries = append(libraries, i.librariesOfDirectories(s.log)...)
	}
	switch {
	case len(libraries) == 0:
		return nil
	case i.image.libc == nil:
		s.log.Verbose("no linker cache: the image has no GNU C library")
		return nil
	}
	cache := i.image.cache
	if cache == nil {
		cache = linker.NewCache()
	}
	cache.Add(libraries)
	s.log.Verbose("linker cache: %d libraries added", len(libraries))
	file, err := bind.Open([]bind.Mount{{Kind: bind.Content, Content: cache.Bytes(), Destination: linkerCacheFile, Need: bind.Create}}, nil)
	s.mounts = append(s.mounts, file...)
	return err
}

// librariesOfDirectories returns the libraries in folders that are, or are in, directories which are injected as a whole.
func (i *injection) librariesOfDirectories(log *message.Log) (libraries []linker.Library) {
	for _, folder := range i.Folders {
		for _, m := range i.sources {
			if m.Kind != bind.Host || folder != m.Destination && !strings.HasPrefix(folder, m.Destination+"/") {
				continue
			}
			directory := path.Join(m.Source, strings.TrimPrefix(folder, m.Destination))
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
				object, err := i.readObject(-1, path.Join(directory, name))
				if err == nil && isLibrary(name) && i.image.cannotUse(object) == "" {
					libraries = append(libraries, linker.Library{Name: name, Path: path.Join(folder, name), Machine: object.Machine})
				}
			}
		}
	}
	return libraries
}

// nodes says which device nodes are missing, or not for this user. It does not open them, as that does something
// with some devices.
func (i *injection) nodes(s *stage) error {
	for _, n := range i.Nodes {
		err := kernel.Access(n.Path, n.Permissions)
		if err == nil {
			s.log.Debug("device node: %s", n.Path)
			continue
		}
		if err := i.problem(explainNode(n.Path, err), s.log); err != nil {
			return err
		}
	}
	return nil
}

func explainNode(node string, err error) *message.Error {
	e := message.Wrap(err, "can't use device node: %s", node)
	switch {
	case errors.Is(err, syscall.ENOENT):
		return e.Hint("is the driver loaded on this host? or the specification is not up to date")
	case errors.Is(err, syscall.EPERM):
		return e.Hint("the batch system has not given you this device, or not on this host")
	case errors.Is(err, syscall.EACCES):
		return e.Hint("its owner, group and mode are those on the host, as your groups are")
	}
	return e
}

const linkerCacheFile = "/etc/ld.so.cache"

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
	if data, err := readInRoot(root, linkerCacheFile); err == nil {
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

// openInRoot opens a regular file of the image, which is not trusted: not a FIFO, of which reading may never end.
func openInRoot(root kernel.FD, unsafePath string) (kernel.FD, error) {
	handle, err := kernel.HandleInRoot(root, unsafePath)
	if err != nil {
		return -1, err
	}
	defer handle.Close()
	if st, err := handle.Stat(); err != nil || !st.IsRegular() {
		return -1, syscall.ENOENT
	}
	return kernel.OpenForReading(handle)
}

func readInRoot(root kernel.FD, unsafePath string) ([]byte, error) {
	fd, err := openInRoot(root, unsafePath)
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	return kernel.ReadFile(kernel.CWD, fd.Path())
}

func (i *injection) readObjectInRoot(root kernel.FD, unsafePath string) (*linker.Object, error) {
	fd, err := openInRoot(root, unsafePath)
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	return i.reader.Read(fd)
}

// compatLibraries returns those that the image has for the case that it needs a newer CUDA driver library than the
// host's, if it is newer: https://docs.nvidia.com/deploy/cuda-compatibility, "Forward Compatibility".
func (i *injection) compatLibraries(s *stage) ([]linker.Library, error) {
	if i.Compat == nil {
		return nil, nil
	}
	directory, err := kernel.HandleInRoot(s.tree.Root(), i.Compat.folder)
	if err != nil {
		return nil, nil // most images have none
	}
	defer directory.Close()
	names, err := kernel.Names(directory)
	if err != nil {
		return nil, nil // it is not a directory
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
		return nil, nil
	}
	s.log.Verbose("CUDA driver library of the image is newer, and used: %s", i.Compat.folder)
	return libraries, nil
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
