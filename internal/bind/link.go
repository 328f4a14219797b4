package bind

import (
	"path"
	"slices"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// A linkDirectory is a directory of the tree that gets links. It may have to be made.
type linkDirectory struct {
	point
	handle  kernel.FD // -1 if it has to be made
	names   map[string]int
	links   []link
	checked int // how many solid mounts are known not to cover it
	covered bool
}

// A link is a symbolic link that is to be made.
type link struct {
	name, target string
	need         Need
	inTheWay     occupant
	old          string // of a link in the way, what it says
}

// An occupant is what has the name of a link already.
type occupant int

const (
	nothing  occupant = iota
	original          // something of the image, which is kept
	ours              // a link that an earlier launch has left in the image
)

// set adds the link. The last one of a name counts.
func (d *linkDirectory) set(l link) {
	if i, ok := d.names[l.name]; ok {
		d.links[i] = l
		return
	}
	d.names[l.name] = len(d.links)
	d.links = append(d.links, l)
}

func (d *linkDirectory) has(name string) bool {
	_, ok := d.names[name]
	return ok
}

// remove takes a link back.
func (d *linkDirectory) remove(name string) {
	delete(d.names, name)
	d.links = slices.DeleteFunc(d.links, func(l link) bool { return l.name == name })
}

// points returns the links as what has to be made in the tree.
func (m *merger) points() []point {
	n := 0
	for _, d := range m.directories {
		n += len(d.links)
	}
	points := make([]point, 0, n)
	for _, d := range m.directories {
		for _, l := range d.links {
			points = append(points, point{d.resolved(), d.ancestor, path.Join(d.rest, l.name), isSymlink, l.target})
		}
	}
	return points
}

// makeInPlace makes the links in the image, all of them or none.
func (m *merger) makeInPlace() (err error) {
	made := 0
	for n, d := range m.directories {
		if made, err = m.makeLinks(d); err != nil {
			m.unmakeLinks(d, made)
			for _, earlier := range m.directories[:n] {
				m.unmakeLinks(earlier, len(earlier.links))
			}
			return err
		}
	}
	return nil
}

// open opens the directory, which is made if need be.
func (m *merger) open(d *linkDirectory) (err error) {
	if d.handle >= 0 {
		return nil
	}
	if d.handle, err = kernel.MkdirAllInRoot(m.tree.root, d.resolved()); err != nil {
		return message.Wrap(err, "can't mkdir: %s", m.tree.shown(d.resolved()))
	}
	return nil
}

// makeLinks returns how many links it has made, or begun to make.
func (m *merger) makeLinks(d *linkDirectory) (made int, err error) {
	if len(d.links) == 0 {
		return 0, nil
	}
	if err := m.open(d); err != nil {
		return 0, err
	}
	defer d.close()
	for i, l := range d.links {
		shown := m.tree.shown(path.Join(d.resolved(), l.name))
		switch l.inTheWay {
		case ours:
			err = kernel.Unlink(d.handle, l.name)
		case original:
			err = kernel.Rename(d.handle, l.name, l.name+originalSuffix)
		}
		if err != nil {
			return i, message.Wrap(err, "can't replace %s", shown)
		}
		if err := kernel.Symlink(l.target, d.handle, l.name); err != nil {
			return i + 1, message.Wrap(err, "can't make symlink: %s", shown)
		}
	}
	return len(d.links), nil
}

// unmakeLinks restores what the first links have replaced, as far as it can.
func (m *merger) unmakeLinks(d *linkDirectory, made int) {
	if made == 0 || m.open(d) != nil {
		return
	}
	defer d.close()
	for _, l := range slices.Backward(d.links[:made]) {
		if target, err := kernel.Readlink(d.handle, l.name); err == nil && target == l.target {
			_ = kernel.Unlink(d.handle, l.name)
		}
		switch l.inTheWay {
		case ours:
			_ = kernel.Symlink(l.old, d.handle, l.name)
		case original:
			_ = kernel.Rename(d.handle, l.name+originalSuffix, l.name)
		}
	}
}

func (d *linkDirectory) close() {
	if d.handle >= 0 {
		d.handle.Close()
		d.handle = -1
	}
}
