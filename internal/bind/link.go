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
	exact   []string // names that solid mounts are on
}

// A link is a symbolic link that is to be made.
type link struct {
	name, target string
	need         Need
	inTheWay     occupant
	old          string // of a link in the way, what it says
	cleared      bool   // what was in the way is not any more
	made         bool
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

// index returns where the link of that name is, or -1.
func (d *linkDirectory) index(name string) int {
	return slices.IndexFunc(d.links, func(l link) bool { return l.name == name })
}

// replaces says whether there is a link of that name, in place of something of the image.
func (d *linkDirectory) replaces(name string) bool {
	i := d.index(name)
	return i >= 0 && d.links[i].inTheWay == original
}

// remove takes a link back, if there is one, and the one that shows what it replaces.
func (d *linkDirectory) remove(name string) {
	if !d.has(name) {
		return
	}
	delete(d.names, name)
	shown := name + originalSuffix
	d.links = slices.DeleteFunc(d.links, func(l link) bool { return l.name == name || l.name == shown && !d.has(shown) })
}

// points returns what has to be made in the tree: the given points, and the links.
func (m *merger) points(others []point) []point {
	n := len(others)
	for _, d := range m.directories {
		n += len(d.links)
	}
	points := append(make([]point, 0, n), others...)
	for _, d := range m.directories {
		asked, rest := d.resolved(), d.rest
		if rest != "" {
			rest += "/"
		}
		for _, l := range d.links {
			points = append(points, point{asked: asked, ancestor: d.ancestor, rest: rest + l.name, kind: isSymlink, text: l.target})
		}
	}
	return points
}

// makeInPlace makes the links in the image, all of them or none.
func (m *merger) makeInPlace() error {
	if !slices.ContainsFunc(m.directories, func(d *linkDirectory) bool { return len(d.links) > 0 }) {
		return nil
	}
	if err := m.writeLeft(); err != nil {
		return err
	}
	for n, d := range m.directories {
		if err := m.makeLinks(d); err != nil {
			for _, made := range m.directories[:n+1] {
				m.unmakeLinks(made)
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
	if err := m.tree.removeStale(d.point); err != nil {
		return err
	}
	if d.handle, err = kernel.MkdirAllInRoot(m.tree.root, d.resolved()); err != nil {
		return message.Wrap(err, "can't mkdir: %s", m.tree.shown(d.resolved()))
	}
	return nil
}

func (m *merger) makeLinks(d *linkDirectory) error {
	if len(d.links) == 0 {
		return nil
	}
	if err := m.open(d); err != nil {
		return err
	}
	defer d.close()
	for i := range d.links {
		l := &d.links[i]
		shown := m.tree.shown(path.Join(d.resolved(), l.name))
		if err := l.clear(d.handle); err != nil {
			return message.Wrap(err, "can't replace %s", shown)
		}
		if err := kernel.Symlink(l.target, d.handle, l.name); err != nil {
			return message.Wrap(err, "can't make symlink: %s", shown)
		}
		l.made = true
	}
	return nil
}

// clear takes away what is in the way of the link.
func (l *link) clear(directory kernel.FD) (err error) {
	switch l.inTheWay {
	case ours:
		err = kernel.Unlink(directory, l.name)
	case original:
		err = kernel.Rename(directory, l.name, l.name+originalSuffix)
	}
	l.cleared = err == nil
	return err
}

// unmakeLinks takes back what has been made, as far as it can, and restores what that has replaced.
func (m *merger) unmakeLinks(d *linkDirectory) {
	if !slices.ContainsFunc(d.links, func(l link) bool { return l.made || l.cleared }) || m.open(d) != nil {
		return
	}
	defer d.close()
	for _, l := range slices.Backward(d.links) {
		if l.made {
			_ = kernel.Unlink(d.handle, l.name)
		}
		switch {
		case l.cleared && l.inTheWay == ours:
			_ = kernel.Symlink(l.old, d.handle, l.name)
		case l.cleared && l.inTheWay == original:
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
