package cdi

import (
	"errors"
	"path"
	"slices"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"

	specs "tags.cncf.io/container-device-interface/specs-go"
)

// A Selection is what a request has come to. Nothing is in two of them: neither a device that was asked for
// twice, nor what a specification brings along with each of its devices.
type Selection struct {
	Devices []string // qualified names
	Edits   []*specs.ContainerEdits
}

// Find looks up the requests, in files and in the given directories, of which later ones come before
// earlier ones. Only files that may be about a kind asked for are looked at, so others can be as broken as they
// like; and a broken one that may is an error only if the device is not found in another.
func Find(requests []Request, directories []string, log *message.Log) ([]Selection, error) {
	f := finder{directories: directories, log: log, files: map[string]*specification{}, kinds: map[string]*kind{}, taken: map[any]bool{}}
	var selections []Selection
	for _, r := range requests {
		s, err := f.find(r)
		if err != nil {
			return nil, err
		}
		log.Verbose("device %s: %s", r.Text, strings.Join(s.Devices, " "))
		selections = append(selections, s)
	}
	return selections, nil
}

type finder struct {
	directories []string
	log         *message.Log
	files       map[string]*specification // that have been read
	kinds       map[string]*kind
	taken       map[any]bool // specifications and devices that are in a selection
}

// A kind is what is known of the devices of one kind.
type kind struct {
	names    []string // in the order of the files
	devices  map[string]found
	conflict map[string][2]string // the files that define a device both
	broken   []brokenFile
}

type found struct {
	specification *specification
	device        *specs.Device
	priority      int
}

type brokenFile struct {
	path string
	err  error
}

func (f *finder) find(r Request) (s Selection, err error) {
	if r.File != "" {
		if st, err := kernel.StatPath(kernel.CWD, r.File); err == nil && st.IsDevice() {
			return s, message.Errorf("--device: not a specification: %s", r.File).
				Hint("device nodes need no option: the host's /dev is in every container")
		}
		spec, err := f.read(r.File, "")
		if err != nil {
			return s, brokenFile{r.File, err}.error()
		}
		for i := range spec.Devices {
			f.take(&s, found{specification: spec, device: &spec.Devices[i]})
		}
		return s, nil
	}
	k := f.kind(r.Kind)
	if r.Name != "" {
		d, ok := k.devices[r.Name]
		if !ok {
			return s, f.notFound(r, k)
		}
		f.take(&s, d)
		return s, nil
	}
	if len(k.names) == 0 {
		return s, f.notFound(r, k)
	}
	for _, b := range k.broken {
		f.log.Warning("there may be more devices of kind %s: %v", r.Kind, b.error())
	}
	for _, name := range k.names {
		f.take(&s, k.devices[name])
	}
	return s, nil
}

// read reads a file once.
func (f *finder) read(path, kind string) (*specification, error) {
	if spec := f.files[path]; spec != nil {
		return spec, nil
	}
	spec, err := read(path, kind)
	if err == nil && spec != nil {
		f.files[path] = spec
	}
	return spec, err
}

// take adds a device to the selection, and before the first device of a specification what all of them need.
func (f *finder) take(s *Selection, d found) {
	s.Devices = append(s.Devices, d.specification.Kind+"="+d.device.Name)
	for _, part := range []struct {
		key   any
		edits *specs.ContainerEdits
	}{{d.specification.path, &d.specification.ContainerEdits}, {d.device, &d.device.ContainerEdits}} {
		if !f.taken[part.key] {
			f.taken[part.key] = true
			s.Edits = append(s.Edits, part.edits)
		}
	}
}

// kind reads what is there of a kind. A device that two files define is that of the later directory; in one
// directory they are in conflict, and there is no such device.
func (f *finder) kind(name string) *kind {
	if k := f.kinds[name]; k != nil {
		return k
	}
	k := &kind{devices: map[string]found{}, conflict: map[string][2]string{}}
	f.kinds[name] = k
	for priority, directory := range f.directories {
		for _, file := range f.list(directory, k) {
			spec, err := f.read(file, name)
			switch {
			case errors.Is(err, syscall.ENOENT): // it went away meanwhile
			case err != nil:
				f.log.Verbose("%v", brokenFile{file, err}.error())
				k.broken = append(k.broken, brokenFile{file, err})
			case spec != nil && spec.Kind == name:
				f.log.Verbose("specification of %s: %s", name, file)
				k.add(spec, priority)
			}
		}
	}
	for device := range k.conflict {
		delete(k.devices, device)
		k.names = slices.DeleteFunc(k.names, func(n string) bool { return n == device })
	}
	return k
}

func (k *kind) add(spec *specification, priority int) {
	for i := range spec.Devices {
		d := &spec.Devices[i]
		other, known := k.devices[d.Name]
		switch {
		case !known:
			k.names = append(k.names, d.Name)
		case other.priority == priority:
			k.conflict[d.Name] = [2]string{other.specification.path, spec.path}
		default:
			delete(k.conflict, d.Name)
		}
		k.devices[d.Name] = found{spec, d, priority}
	}
}

// list returns the specifications in a directory, sorted. One that is not there has none.
func (f *finder) list(directory string, k *kind) []string {
	fd, err := kernel.DirectoryHandle(kernel.CWD, directory)
	var names []string
	if err == nil {
		defer fd.Close()
		names, err = kernel.Names(fd)
	}
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		f.log.Verbose("can't read: %s: %s", directory, message.Reason(err))
		k.broken = append(k.broken, brokenFile{directory, err})
	}
	var files []string
	for _, name := range names {
		if ext := path.Ext(name); ext == ".json" || ext == ".yaml" {
			files = append(files, path.Join(directory, name))
		}
	}
	slices.Sort(files)
	return files
}

func (b brokenFile) error() *message.Error {
	return message.Wrap(b.err, "can't use specification: %s", b.path)
}

func (f *finder) notFound(r Request, k *kind) error {
	e := message.Errorf("device not found: %s", r.Text)
	if files, ok := k.conflict[r.Name]; ok {
		return e.Hint("both %s and %s define it; remove one of them", files[0], files[1])
	}
	switch {
	case len(k.broken) > 0:
		return e.Hint("%v", k.broken[0].error())
	case len(k.names) > 0:
		return e.Hint("known: %s=%s", r.Kind, strings.Join(k.names, " "+r.Kind+"="))
	case len(k.conflict) > 0:
		for name, files := range k.conflict {
			return e.Hint("both %s and %s define %s=%s; remove one of them", files[0], files[1], r.Kind, name)
		}
	}
	return e.Hint("no specification of %s in %s; see --cdi-dirs, or have the administrator make one, as with 'nvidia-ctk cdi generate'",
		r.Kind, strings.Join(f.directories, ":"))
}
