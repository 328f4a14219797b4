package bind

import (
	"path"
	"slices"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// places are where the directories are mounted that the links of merged files lead to: the first that no mount is on,
// and in which the image has nothing of its own. Most images have a /run. An overlay for the sake of the last one is on
// "/", in the way of every lookup.
var places = [...]string{"/run/ch-run", "/opt/ch-run", "/ch-run"}

// maxTarget is the length that what a symbolic link says has to be below, in bytes (symlink(7), PATH_MAX).
const maxTarget = 4096

// A merger puts symbolic links into the tree, a hundred of them at little more than the cost of one.
//
// A file is merged by a link to it in a mount of the directory that it is in on the host: one mount for however many
// files there are in that directory, or below it. What had the link's name before has it with ".orig" at
// the end.
type merger struct {
	tree        *Tree
	log         *message.Log
	locked      kernel.FD // the image, if it is to be written to; else -1
	place       string
	solid       []OpenMount // the mounts that are no links, so far
	landings    []string    // where they will be; "" if not yet known
	directories []*linkDirectory
	byPath      map[string]*linkDirectory
	needed      map[string]bool // directories that links need and the tree lacks
	bad         map[string]bool // those that cannot be had, as destinations have them
	parents     []string        // directories of the host
	most        int             // how many links there can be
}

// IsLink says whether the mount comes to be a symbolic link, where one can be made.
func (m *OpenMount) IsLink() bool { return m.Kind == Symlink || m.file != "" }

// spread takes the links out of the mounts and adds the mounts that they need. Where an earlier mount covers the place
// of a link, that would be made in a directory of the host; there, a file to be merged gets a mount of its own. Nothing
// is changed by that.
func (t *Tree) spread(mounts []OpenMount, log *message.Log) ([]OpenMount, *merger, error) {
	m := &merger{tree: t, log: log, locked: -1}
	for i := range mounts {
		if mounts[i].IsLink() {
			m.most++
		}
	}
	if m.most == 0 {
		return mounts, m, nil
	}
	m.lock()
	m.byPath, m.needed, m.bad = map[string]*linkDirectory{}, map[string]bool{}, map[string]bool{}
	if err := m.choosePlace(mounts); err != nil {
		return nil, m, err
	}
	first := -1
	for i := range mounts {
		mount := &mounts[i]
		if !mount.IsLink() {
			m.add(*mount)
			continue
		}
		if first < 0 {
			first = len(m.solid)
		}
		if err := m.link(mount); err != nil {
			return nil, m, err
		}
	}
	extra, err := m.mountParents()
	if err != nil {
		return nil, m, err
	}
	originals, err := m.keepOriginals()
	if err != nil {
		return nil, m, err
	}
	extra = append(extra, originals...)
	if t.writing == InPlace && len(extra) > 0 { // of all the mount points, the image gets but one
		extra = slices.Insert(extra, 0, OpenMount{Mount: Mount{Kind: Tmpfs, Destination: m.place, Need: Create}})
	}
	return slices.Insert(m.solid, first, extra...), m, nil
}

// lock keeps others from changing the image at the same time: what is found out about it is to stay true. Where the
// file system has no locks, nobody does.
func (m *merger) lock() {
	if m.tree.writing != InPlace {
		return
	}
	fd, err := kernel.OpenForReading(m.tree.root)
	if err == nil {
		m.locked = fd
		_ = kernel.Lock(fd)
	}
}

func (m *merger) unlock() {
	if m.locked >= 0 {
		m.locked.Close()
	}
}

func (m *merger) add(mount OpenMount) {
	m.solid = append(m.solid, mount)
	m.landings = append(m.landings, "")
}

// choosePlace chooses one that no mount is on, above or below, whether it comes earlier or later.
func (m *merger) choosePlace(mounts []OpenMount) error {
	var solid []OpenMount
	for i := range mounts {
		if !mounts[i].IsLink() {
			solid = append(solid, mounts[i])
		}
	}
	landings := make([]string, len(solid))
	for _, place := range places {
		p, err := m.tree.locatePath(place, isDirectory)
		if err == nil && m.isFree(p) && !m.tree.covered(p, solid, landings) && !mountedAt(solid, place) {
			m.place = place
			return nil
		}
	}
	return message.Errorf("can't merge files of the host: in each of %s the image has something, or something is mounted there, or nothing can be made", strings.Join(places[:], " "))
}

// isFree says whether the image can have directories of ours at a place, and has nothing of its own there. In one that
// is written to, they are on a mount, and beside them there is a list of links.
func (m *merger) isFree(p point) bool {
	fd, err := kernel.HandleInRoot(m.tree.root, p.ancestor)
	if err != nil {
		return false
	}
	defer fd.Close()
	if m.tree.writing == InPlace && kernel.Access(fd.Path(), "w") != nil {
		return false
	}
	if p.rest != "" {
		return true
	}
	names, err := kernel.Names(fd)
	return err == nil && !slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, leftFile) })
}

// mountedAt says whether a mount, the destination of which may have to be made, is on the path, above it or below.
func mountedAt(mounts []OpenMount, p string) bool {
	return slices.ContainsFunc(mounts, func(m OpenMount) bool {
		at := path.Clean(m.Destination)
		return Within(p, at) || Within(at, p)
	})
}

// link turns a mount into a link, or adds it as it is.
func (m *merger) link(mount *OpenMount) error {
	d, name, err := m.directory(mount.Destination)
	if err == nil && d != nil && len(m.needed) > 0 {
		err = m.checkFree(path.Join(d.resolved(), name))
	}
	if err != nil {
		mount.close()
		return m.tree.leaveOut(mount.Destination, mount.Need, err, m.log)
	}
	covered := d != nil && (m.covers(d) || slices.Contains(d.exact, name))
	switch parent := path.Dir(mount.file); {
	case d == nil: // said already
		mount.close()
	case covered && mount.Kind == Symlink:
		m.add(*mount)
	case mount.Kind == Symlink:
		d.set(link{name: name, target: mount.Source, need: mount.Need})
	case covered || parent == "/":
		mount.close()
		mount.Merge, mount.file = false, ""
		if err := mount.open(nil); err != nil {
			return m.tree.leaveOut(mount.Destination, mount.Need, message.Wrap(err, "can't bind: can't open source: %s", mount.Source), m.log)
		}
		m.add(*mount)
	case len(m.place)+len("/host")+len(mount.file) >= maxTarget:
		mount.close()
		return m.tree.leaveOut(mount.Destination, mount.Need, message.Wrap(syscall.ENAMETOOLONG, "can't bind %s", mount.Source), m.log)
	default:
		mount.close()
		d.set(link{name: name, target: m.place + "/host" + mount.file, need: mount.Need})
		if n := len(m.parents); n == 0 || m.parents[n-1] != parent {
			m.parents = append(m.parents, parent)
		}
	}
	return nil
}

// directory returns the directory that the destination is in, and its name there. It is nil if another destination has
// shown that there can be no such directory.
func (m *merger) directory(destination string) (*linkDirectory, string, error) {
	if err := m.tree.checkClimb(destination); err != nil {
		return nil, "", err
	}
	parent, name := path.Split(strings.TrimRight(destination, "/"))
	if name == "." || name == ".." || name == "" {
		return nil, "", message.Errorf("can't bind: not the name of a file: %s", destination)
	}
	if d := m.byPath[parent]; d != nil || m.bad[parent] {
		return d, name, nil
	}
	d, err := m.newDirectory(parent)
	if err != nil {
		m.bad[parent] = true
		return nil, "", err
	}
	m.byPath[parent] = d
	return d, name, nil
}

func (m *merger) newDirectory(parent string) (*linkDirectory, error) {
	p, err := m.tree.locatePath(parent, isDirectory)
	if err != nil {
		return nil, err
	}
	if d := m.byPath[p.resolved()]; d != nil {
		return d, nil
	}
	d := &linkDirectory{point: p, handle: -1, names: make(map[string]int, m.most), links: make([]link, 0, m.most)}
	m.most = manyLinks // most are in the first directory, usually
	if p.rest == "" {
		if d.handle, err = kernel.HandleInRoot(m.tree.root, p.ancestor); err != nil {
			return nil, message.Wrap(err, "can't open: %s", m.tree.shown(p.ancestor))
		}
	}
	for made := range p.missing {
		if m.hasLink(made) {
			return nil, notDirectory(m.tree.shown(made))
		}
	}
	for made := range p.missing {
		m.needed[made] = true
	}
	m.directories = append(m.directories, d)
	m.byPath[p.resolved()] = d
	return d, nil
}

// hasLink says whether there will be a link at the path.
func (m *merger) hasLink(p string) bool {
	d := m.byPath[path.Dir(p)]
	return d != nil && d.has(path.Base(p))
}

// checkFree returns an error if what is merged already needs a directory at the path.
func (m *merger) checkFree(p string) error {
	if !m.needed[p] {
		return nil
	}
	return message.Wrap(syscall.EISDIR, "can't bind: %s", m.tree.shown(p))
}

// makeWay returns an error if links are in the way of a mount point, or it in theirs.
func (m *merger) makeWay(p point) error {
	for made := range p.missing {
		if m.hasLink(made) {
			return notDirectory(m.tree.shown(made))
		}
	}
	if p.kind != isDirectory {
		return m.checkFree(p.resolved())
	}
	return nil
}

// giveWay takes back the link that has the place of a mount, or what it replaces would have.
func (m *merger) giveWay(mount OpenMount) error {
	if len(m.directories) == 0 || !mount.Need.is(Create) {
		return nil
	}
	parent, name := path.Split(strings.TrimRight(mount.Destination, "/"))
	at, err := m.tree.Resolve(parent)
	if err != nil {
		return nil // which is said where the mount point is to be made
	}
	d := m.byPath[at]
	if d == nil {
		return nil
	}
	d.remove(name)
	if replacing, ok := strings.CutSuffix(name, originalSuffix); ok && m.tree.writing == InPlace && d.replaces(replacing) {
		need := d.links[d.index(replacing)].need
		d.remove(replacing)
		shown := m.tree.shown(path.Join(at, replacing))
		return m.tree.leaveOut(path.Join(at, replacing), need, message.Wrap(syscall.EEXIST, "can't rename %s to %s", shown, name), m.log)
	}
	return nil
}

// covers says whether a mount so far is on the directory, or above it.
func (m *merger) covers(d *linkDirectory) bool {
	if !d.covered {
		d.covered = m.tree.covered(d.point, m.solid[d.checked:], m.landings[d.checked:])
		for _, landing := range m.landings[d.checked:] {
			if path.Dir(landing) == d.resolved() {
				d.exact = append(d.exact, path.Base(landing))
			}
		}
		d.checked = len(m.solid)
	}
	return d.covered
}

// mountParents returns mounts of the directories that links lead to; none of one that is below another.
func (m *merger) mountParents() ([]OpenMount, error) {
	slices.Sort(m.parents)
	var roots []Mount
	for _, parent := range m.parents {
		if !slices.ContainsFunc(roots, func(r Mount) bool { return Within(parent, r.Source) }) {
			roots = append(roots, Mount{Source: parent, Destination: m.place + "/host" + parent, ReadOnly: true, Need: Create})
		}
	}
	return Open(roots, nil)
}
