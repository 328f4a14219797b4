package container

import (
	"errors"
	"path"
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
	binds     []bind.Mount // of the user, which come on top
	sources   []bind.OpenMount
	image     imageLinker
	libraries []library
	reader    linker.Reader
	placed    map[string]bool   // destinations of what is injected
	skipped   map[string]bool   // and of what turned out not to be of use
	leads     map[string]string // links to libraries, and their targets
	hookLinks []string          // those that hooks ask for
	tree      *bind.Tree
	resolved  map[string]string // directories of the image, without symbolic links
}

// inject opens the sources, and adds the hooks that do the rest. Paths of the host mean what they say only before the
// scratch tmpfs is mounted. binds are those that the user has asked for, which will be on top.
func (d *Devices) inject(h *hooks, binds []bind.Mount, log *message.Log) error {
	i := &injection{Devices: d, binds: binds, placed: make(map[string]bool, 2*len(d.Mounts)), skipped: map[string]bool{}}
	if err := i.open(log); err != nil {
		return err
	}
	for _, step := range []struct {
		list *hookList
		hook hook
	}{
		{&h.host, hook{"files of devices", i.files}},
		{&h.host, hook{"binds over devices", i.hidden}},
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
		i.Mounts[n].Need = i.need()
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

// need is that of everything that devices bring along.
func (d *Devices) need() bind.Need {
	if d.Strict {
		return bind.Create
	}
	return bind.Create | bind.DestinationOptional
}

// isTransient says whether what a specification names may well not be there: sockets of daemons, which may run or not.
func isTransient(p string) bool {
	return strings.HasPrefix(p, "/run/") || strings.HasPrefix(p, "/var/run/") || strings.HasPrefix(p, "/tmp/")
}

// files has the files of the devices mounted, and linked, but for those that would be of no use in this image.
func (i *injection) files(s *stage) error {
	i.tree, i.resolved, i.leads = s.tree, map[string]string{}, make(map[string]string, len(i.sources))
	i.image = i.readImageLinker(s.tree.Root(), s.log)
	s.mounts = slices.Grow(s.mounts, 2*len(i.sources))
	i.libraries = make([]library, 0, len(i.sources))
	var links []*bind.OpenMount
	for n := range i.sources {
		m := &i.sources[n]
		if m.Kind == bind.Symlink {
			links = append(links, m)
			continue
		}
		useful, err := i.isUseful(m, s.log)
		if err != nil {
			return err
		}
		if !useful {
			i.skip(m, s.log)
			continue
		}
		i.placed[m.Destination] = true
		s.mounts = append(s.mounts, *m)
	}
	if i.Links {
		if err := i.linkNames(s); err != nil {
			return err
		}
	}
	i.links(links, s)
	return nil
}

func (i *injection) skip(m *bind.OpenMount, log *message.Log) {
	i.skipped[m.Destination] = true
	log.Verbose("device: not injected: %s", m)
}

// isUseful looks at libraries and programs, whether they can work in the image, and takes note of libraries.
func (i *injection) isUseful(m *bind.OpenMount, log *message.Log) (bool, error) {
	if err := m.CheckRead(isProgram(m.Destination)); err != nil {
		return false, i.problem(message.Wrap(err, "device: can't read: %s", m.Source), log)
	}
	if !isLibrary(m.Destination) && !isProgram(m.Destination) {
		return true, nil
	}
	file, length, path := m.TakeFile()
	if path == "" {
		return true, nil
	}
	object, err := i.readTaken(file, length, path)
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
		i.libraries = append(i.libraries, newLibrary(object, m.Destination))
	}
	return true, nil
}

func isLibrary(p string) bool {
	name := path.Base(p)
	return strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")
}

func isProgram(p string) bool {
	directory, _ := path.Split(p)
	return strings.HasSuffix(directory, "bin/")
}

// readTaken reads the object of a file that may be open.
func (i *injection) readTaken(fd kernel.FD, length int64, path string) (*linker.Object, error) {
	if fd < 0 {
		return i.readObject(path)
	}
	defer fd.Close()
	return i.reader.Read(fd, length)
}

// readObject reads the object at a path.
func (i *injection) readObject(path string) (*linker.Object, error) {
	fd, err := kernel.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	return i.readOpen(fd)
}

func (i *injection) readOpen(fd kernel.FD) (*linker.Object, error) {
	st, err := fd.Stat()
	if err != nil {
		return nil, err
	}
	return i.reader.Read(fd, st.Size)
}

// resolve returns a directory of the image without symbolic links, or as it is if it cannot be had.
func (i *injection) resolve(directory string) string {
	resolved, ok := i.resolved[directory]
	if !ok {
		var err error
		if resolved, err = i.tree.Resolve(directory); err != nil {
			resolved = directory
		}
		i.resolved[directory] = resolved
	}
	return resolved
}

// hidden says what of the devices the user's own mounts cover, and takes note of it.
func (i *injection) hidden(s *stage) error {
	for _, b := range i.binds {
		at := i.resolve(b.Destination)
		var hidden []string
		for destination := range i.placed {
			if bind.Within(i.resolve(path.Dir(destination)), at) {
				hidden = append(hidden, destination)
				i.skipped[destination] = true
			}
		}
		if len(hidden) == 0 {
			continue
		}
		more := ""
		if n := len(hidden) - 1; n > 0 {
			more = " and " + strconv.Itoa(n) + " more"
		}
		e := message.Errorf("device: hidden below --bind %s at %s: %s%s", b.Source, b.Destination, slices.Min(hidden), more)
		if err := i.problem(e.Hint("bind to another directory, or what is in it one by one"), s.log); err != nil {
			return err
		}
	}
	return nil
}

// nodes says which device nodes are missing, or not for this user. It does not open them, as that does something
// with some devices.
func (i *injection) nodes(s *stage) error {
	for _, n := range i.Nodes {
		if i.skipped[n.Path] || i.tree.LeftOut(n.Path) { // said already
			continue
		}
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
