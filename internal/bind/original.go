package bind

import (
	"errors"
	"path"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// originalSuffix is at the end of the name of what a link has replaced.
const originalSuffix = ".orig"

// keepOriginals looks at what the links replace, and sees to it that it is there by another name. It returns the
// mounts that this needs, which have to be made before anything is put on top of the image.
func (m *merger) keepOriginals() (mounts []OpenMount, err error) {
	for _, d := range m.directories {
		if d.handle < 0 {
			continue
		}
		if err := m.examine(d); err != nil {
			return nil, err
		}
		if m.tree.writing == InPlace {
			continue // they are renamed
		}
		if !m.linkOriginals(d, m.place+"/image") {
			continue
		}
		mount, err := m.mountOriginals(d)
		if err != nil {
			return nil, message.Wrap(err, "can't bind %s", m.tree.shown(d.ancestor))
		}
		mounts = append(mounts, mount)
	}
	return mounts, nil
}

// examine finds out what is in the way of each link. A link that is there already is taken out, and one that cannot
// replace what is there.
func (m *merger) examine(d *linkDirectory) error {
	there, err := d.there()
	if err != nil {
		return message.Wrap(err, "can't read: %s", m.tree.shown(d.ancestor))
	}
	kept := make([]link, 0, len(d.links))
	for i, l := range d.links {
		useful := true
		if there == nil || there[i] {
			useful, err = m.look(d, &l)
		}
		if useful {
			kept = append(kept, l)
			continue
		}
		delete(d.names, l.name)
		if err == nil {
			continue
		}
		if err := m.tree.leaveOut(path.Join(d.ancestor, l.name), l.need, err, m.log); err != nil {
			return err
		}
		if errors.Is(err, syscall.EACCES) { // it is the directory that may not be searched, for none of them
			clear(d.names)
			kept = nil
			break
		}
	}
	d.links = kept
	return nil
}

// look finds out what has the link's name. It returns false if that is this very link.
func (m *merger) look(d *linkDirectory, l *link) (useful bool, err error) {
	shown := m.tree.shown(path.Join(d.ancestor, l.name))
	st, err := kernel.LinkStat(d.handle, l.name)
	switch {
	case errors.Is(err, syscall.ENOENT):
		return true, nil
	case err != nil:
		return false, message.Wrap(err, "can't bind: %s", shown)
	}
	l.inTheWay = original
	if st.IsSymlink() {
		if l.old, err = kernel.Readlink(d.handle, l.name); err != nil {
			return false, message.Wrap(err, "can't bind: %s", shown)
		}
		if l.old == l.target {
			return false, nil
		}
		if m.tree.isOurs(path.Join(d.ancestor, l.name)) {
			l.inTheWay = ours
			return true, nil
		}
		if fd, err := kernel.HandleInRoot(m.tree.root, path.Join(d.ancestor, l.name)); err == nil {
			st, err = fd.Stat()
			fd.Close()
			if err != nil {
				return false, message.Wrap(err, "can't bind: %s", shown)
			}
		}
	}
	if st.IsDir() {
		return false, message.Wrap(syscall.EISDIR, "can't bind: %s", shown)
	}
	if m.tree.writing != InPlace {
		return true, nil
	}
	_, err = kernel.LinkStat(d.handle, l.name+originalSuffix)
	switch {
	case d.has(l.name + originalSuffix), err == nil:
		err = syscall.EEXIST
	case errors.Is(err, syscall.ENOENT):
		return true, nil
	}
	return false, message.Wrap(err, "can't rename %s to %s%s", shown, l.name, originalSuffix).
		Hint("remove one of the two, or use --write-fake in place of --write")
}

// linkOriginals adds the links that show what is replaced. It returns whether they need the directory at place.
func (m *merger) linkOriginals(d *linkDirectory, place string) (replaced bool) {
	for _, l := range d.links {
		if l.inTheWay != original {
			continue
		}
		shown := link{name: l.name + originalSuffix, target: l.old}
		_, err := kernel.LinkStat(d.handle, shown.name)
		if !errors.Is(err, syscall.ENOENT) || d.has(shown.name) || m.needed[path.Join(d.ancestor, shown.name)] {
			continue // of a name that is in use, or cannot be
		}
		if shown.target == "" { // no link itself
			shown.target = path.Join(place+d.ancestor, l.name)
			replaced = true
		}
		d.links = append(d.links, shown)
	}
	return replaced
}

// mountOriginals returns a mount of the image's directory as it is now.
func (m *merger) mountOriginals(d *linkDirectory) (mount OpenMount, err error) {
	name, copied, err := m.tree.directory("original")
	if err != nil {
		return mount, err
	}
	err = kernel.Bind(d.handle, copied)
	copied.Close()
	if err != nil {
		return mount, err
	}
	copied, err = kernel.DirectoryHandle(m.tree.scratch, name)
	return OpenMount{
		Mount:  Mount{Source: m.tree.shown(d.ancestor), Destination: m.place + "/image" + d.ancestor, ReadOnly: true, Need: Create},
		handle: copied,
	}, err
}

// manyLinks is how many of them are looked for by listing the directory. Of a file system in user space, the kernel
// gets a hundred names in the time of one lookup.
const manyLinks = 16

// there says which of the links have a name that is in the directory already, if that can be told at once; else nil.
func (d *linkDirectory) there() ([]bool, error) {
	if len(d.links) < manyLinks {
		return nil, nil
	}
	there := make([]bool, len(d.links))
	err := kernel.EachName(d.handle, func(name []byte) {
		if i, ok := d.names[string(name)]; ok {
			there[i] = true
		}
	})
	if errors.Is(err, syscall.EACCES) { // a directory that can be searched but not listed
		return nil, nil
	}
	return there, err
}
