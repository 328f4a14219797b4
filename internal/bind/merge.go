package bind

import (
	"errors"
	"path"
	"slices"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// places are where the directories are mounted that the links of merged files lead to: the first that no mount is on.
// Most images have a /run. An overlay for the sake of the last one is on "/", in the way of every lookup.
var places = [...]string{"/run/ch-run", "/opt/ch-run", "/ch-run"}

// A merger puts symbolic links into the tree, a hundred of them at little more than the cost of one.
//
// A file is merged by a link to it in a mount of the directory that it is in on the host: one mount for however many
// files there are in that directory, or below it. What had the link's name before has it with ".orig" at
// the end.
type merger struct {
	tree        *Tree
	place       string
	solid       []OpenMount     // the mounts that are no links, so far
	landings    []string        // where they will be; "" if not yet known
	exact       map[string]bool // the landings that are known
	directories []*linkDirectory
	byPath      map[string]*linkDirectory
	parents     []string // directories of the host
	most        int      // how many links there can be
}

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
type link struct{ name, target string }

func (m *OpenMount) close() {
	if m.handle >= 0 {
		m.handle.Close()
		m.handle = -1
	}
}

func (m *OpenMount) isLink() bool { return m.Kind == Symlink || m.file != "" }

// spread takes the links out of the mounts and adds the mounts that they need. Where an earlier mount covers the place
// of a link, that would be made in a directory of the host; there, a file to be merged gets a mount of its own.
func (t *Tree) spread(mounts []OpenMount) ([]OpenMount, *merger, error) {
	m := &merger{tree: t}
	for i := range mounts {
		if mounts[i].isLink() {
			m.most++
		}
	}
	if m.most == 0 {
		return mounts, m, nil
	}
	m.byPath, m.exact = map[string]*linkDirectory{}, map[string]bool{}
	if err := m.choosePlace(mounts); err != nil {
		return nil, nil, err
	}
	first := -1
	for i := range mounts {
		mount := &mounts[i]
		if !mount.isLink() {
			m.add(*mount)
			continue
		}
		if first < 0 {
			first = i
		}
		if err := m.link(mount); err != nil {
			return nil, nil, err
		}
	}
	extra, err := m.mountParents()
	if err != nil {
		return nil, nil, err
	}
	originals, err := m.keepOriginals()
	if err != nil {
		return nil, nil, err
	}
	extra = append(extra, originals...)
	if t.writing == InPlace && len(extra) > 0 { // of all the mount points, the image gets but one
		extra = slices.Insert(extra, 0, OpenMount{Mount: Mount{Kind: Tmpfs, Destination: m.place, Need: Create}})
	}
	return slices.Insert(m.solid, first, extra...), m, nil
}

func (m *merger) add(mount OpenMount) {
	m.solid = append(m.solid, mount)
	m.landings = append(m.landings, "")
}

// choosePlace chooses one that no mount is on, whether it comes earlier or later.
func (m *merger) choosePlace(mounts []OpenMount) error {
	var solid []OpenMount
	for i := range mounts {
		if !mounts[i].isLink() {
			solid = append(solid, mounts[i])
		}
	}
	landings := make([]string, len(solid))
	for _, place := range places {
		p, err := m.tree.locatePath(place+"/host", isDirectory)
		if err == nil && !m.tree.covered(p, solid, landings) && !mountedAt(solid, place) {
			m.place = place
			return nil
		}
	}
	return message.Errorf("can't merge files of the host: something is mounted at all of %s", strings.Join(places[:], " "))
}

// mountedAt says whether a mount, the destination of which may have to be made, is on the path or above it.
func mountedAt(mounts []OpenMount, p string) bool {
	return slices.ContainsFunc(mounts, func(m OpenMount) bool { return within(p, path.Clean(m.Destination)) })
}

// link turns a mount into a link, or adds it as it is.
func (m *merger) link(mount *OpenMount) error {
	d, name, err := m.directory(mount.Destination)
	if err != nil {
		return err
	}
	covered := m.covers(d) || m.exact[path.Join(d.resolved(), name)]
	switch parent := path.Dir(mount.file); {
	case covered && mount.Kind == Symlink:
	case mount.Kind == Symlink:
		d.set(link{name, mount.Source})
	case covered || parent == "/":
		mount.close()
		mount.Merge, mount.file = false, ""
		if err := mount.open(nil); err != nil {
			return message.Wrap(err, "can't bind: can't open source: %s", mount.Source)
		}
		m.add(*mount)
	default:
		mount.close()
		d.set(link{name, m.place + "/host" + mount.file})
		if n := len(m.parents); n == 0 || m.parents[n-1] != parent {
			m.parents = append(m.parents, parent)
		}
	}
	return nil
}

// directory returns the directory that the destination is in, and its name there.
func (m *merger) directory(destination string) (*linkDirectory, string, error) {
	if err := m.tree.checkClimb(destination); err != nil {
		return nil, "", err
	}
	parent, name := path.Split(strings.TrimRight(destination, "/"))
	if name == "." || name == ".." || name == "" {
		return nil, "", message.Errorf("can't bind: not the name of a file: %s", destination)
	}
	if d := m.byPath[parent]; d != nil {
		return d, name, nil
	}
	p, err := m.tree.locatePath(parent, isDirectory)
	if err != nil {
		return nil, "", err
	}
	d := m.byPath[p.resolved()]
	if d == nil {
		d = &linkDirectory{point: p, handle: -1, names: make(map[string]int, m.most), links: make([]link, 0, m.most)}
		m.most = manyLinks // most are in the first directory, usually
		if p.rest == "" {
			if d.handle, err = kernel.HandleInRoot(m.tree.root, p.ancestor); err != nil {
				return nil, "", message.Wrap(err, "can't open: %s", m.tree.shown(p.ancestor))
			}
		}
		m.directories = append(m.directories, d)
		m.byPath[p.resolved()] = d
	}
	m.byPath[parent] = d
	return d, name, nil
}

// covers says whether a mount so far is on the directory, or above it.
func (m *merger) covers(d *linkDirectory) bool {
	if !d.covered {
		d.covered = m.tree.covered(d.point, m.solid[d.checked:], m.landings[d.checked:])
		for _, landing := range m.landings[d.checked:] {
			m.exact[landing] = true
		}
		d.checked = len(m.solid)
	}
	return d.covered
}

// set makes the link. The last one of a name counts.
func (d *linkDirectory) set(l link) {
	if i, ok := d.names[l.name]; ok {
		d.links[i] = l
		return
	}
	d.names[l.name] = len(d.links)
	d.links = append(d.links, l)
}

// mountParents returns mounts of the directories that links lead to; none of one that is below another.
func (m *merger) mountParents() ([]OpenMount, error) {
	slices.Sort(m.parents)
	var roots []Mount
	for _, parent := range m.parents {
		if !slices.ContainsFunc(roots, func(r Mount) bool { return within(parent, r.Source) }) {
			roots = append(roots, Mount{Source: parent, Destination: m.place + "/host" + parent, ReadOnly: true, Need: Create})
		}
	}
	return Open(roots, nil)
}

// keepOriginals sees to it that what a link replaces is there by another name: by a link again, into a mount of the
// image's directory. It has to be done before anything is put on top of that.
func (m *merger) keepOriginals() (mounts []OpenMount, err error) {
	if m.tree.writing == InPlace {
		return nil, nil // renamed
	}
	for _, d := range m.directories {
		if d.handle < 0 || d.covered {
			continue
		}
		replaced, err := d.originals(m.place + "/image")
		if err != nil {
			return nil, message.Wrap(err, "can't look at %s", m.tree.shown(d.ancestor))
		}
		if !replaced {
			continue
		}
		name, copied, err := m.tree.directory("original")
		if err == nil {
			err = kernel.Bind(d.handle, copied)
			copied.Close()
		}
		if err == nil {
			copied, err = kernel.DirectoryHandle(m.tree.scratch, name)
		}
		if err != nil {
			return nil, message.Wrap(err, "can't bind %s", m.tree.shown(d.ancestor))
		}
		mounts = append(mounts, OpenMount{
			Mount:  Mount{Source: m.tree.shown(d.ancestor), Destination: m.place + "/image" + d.ancestor, ReadOnly: true, Need: Create},
			handle: copied,
		})
	}
	return mounts, nil
}

// originals adds the links that show what is replaced. replaced says whether they need the directory at place. What is
// a link with the same target already is left alone.
func (d *linkDirectory) originals(place string) (replaced bool, err error) {
	there, err := d.there()
	if err != nil {
		return false, err
	}
	kept := make([]link, 0, len(d.links))
	var originals []link
	for i, l := range d.links {
		if there != nil && !there[i] {
			kept = append(kept, l)
			continue
		}
		st, err := kernel.LinkStat(d.handle, l.name)
		if errors.Is(err, syscall.ENOENT) {
			kept = append(kept, l)
			continue
		}
		if err != nil {
			return false, err
		}
		old := link{l.name + ".orig", path.Join(place+d.ancestor, l.name)}
		if st.IsSymlink() {
			if old.target, err = kernel.Readlink(d.handle, l.name); err != nil {
				return false, err
			}
			if old.target == l.target {
				continue
			}
		}
		kept = append(kept, l)
		if _, err := kernel.LinkStat(d.handle, old.name); err == nil {
			continue // of a name that the image has used
		}
		originals = append(originals, old)
		replaced = replaced || !st.IsSymlink()
	}
	d.links = append(kept, originals...)
	return replaced, nil
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

// makeInPlace makes the links in the image. One of an earlier launch is replaced, everything else renamed.
func (m *merger) makeInPlace() error {
	for _, d := range m.directories {
		if len(d.links) == 0 {
			continue
		}
		if err := m.makeLinks(d); err != nil {
			return err
		}
		d.handle.Close()
	}
	return nil
}

func (m *merger) makeLinks(d *linkDirectory) (err error) {
	if d.handle < 0 {
		if d.handle, err = kernel.MkdirAllInRoot(m.tree.root, d.resolved()); err != nil {
			return message.Wrap(err, "can't mkdir: %s", m.tree.shown(d.resolved()))
		}
	}
	for _, l := range d.links {
		shown := m.tree.shown(path.Join(d.resolved(), l.name))
		old, err := kernel.Readlink(d.handle, l.name)
		switch {
		case err == nil && old == l.target:
			continue
		case err == nil && isOurs(old):
			err = kernel.Unlink(d.handle, l.name)
		case errors.Is(err, syscall.ENOENT):
			err = nil
		default:
			err = kernel.Rename(d.handle, l.name, l.name+".orig")
			if errors.Is(err, syscall.EEXIST) {
				return message.Wrap(err, "can't rename %s to %s.orig", shown, l.name).Hint("remove one of the two, or use --write-fake in place of --write")
			}
		}
		if err == nil {
			err = kernel.Symlink(l.target, d.handle, l.name)
		}
		if err != nil {
			return message.Wrap(err, "can't make symlink: %s", shown)
		}
	}
	return nil
}

// isOurs says whether a link leads to where merged files are.
func isOurs(target string) bool {
	return slices.ContainsFunc(places[:], func(place string) bool { return strings.HasPrefix(target, place+"/") })
}
