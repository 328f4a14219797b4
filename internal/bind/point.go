package bind

import (
	"errors"
	"path"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// Prepare makes the mount points that mounts ask for and the image lacks, and with it the overlay that
// --write-fake puts on top of the image, whose size is overlaySize. It returns the mounts that are to be made then:
// some of those given may have come to be links.
//
// In an image that is written to they are simply made. In any other they are first made in a
// skeleton on the scratch tmpfs, and then the skeleton is merged with the image by overlayfs: as the
// upper directory of the one overlay on the whole image for --write-fake, or else as a second lower
// directory on top of the nearest ancestor that exists. A skeleton can be made whoever owns the
// image; mkdir(2) in an overlay could not, since the owner of the image's directories, if it is not
// the user, is not mapped in the user namespace.
//
// All that happens before anything else is mounted, when every destination can still be looked up in the
// image itself. What cannot be made is found out before the image is changed.
func (t *Tree) Prepare(mounts []OpenMount, overlaySize string, log *message.Log) ([]OpenMount, error) {
	mounts, links, err := t.spread(mounts, log)
	defer links.unlock()
	if err != nil {
		return nil, err
	}
	mounts, missing, err := t.missing(mounts, links, log)
	if err != nil {
		return nil, err
	}
	switch t.writing {
	case InPlace:
		mounts, err := t.makeAllInPlace(mounts, missing, log)
		if err != nil {
			return nil, err
		}
		return mounts, links.makeInPlace()
	case InOverlay:
		return mounts, t.overlayAll(links.points(missing), overlaySize)
	default:
		return mounts, t.overmount(links.points(missing))
	}
}

// A point is something that has to be made in the tree.
type point struct {
	asked    string // the destination as the user wrote it
	ancestor string // the nearest directory that exists, resolved
	rest     string // the path from there
	kind     pointKind
	text     string   // what a file contains, or a symbolic link says
	stale    []string // links of earlier launches that have to go, as nothing is behind them
}

// A pointKind is what a point is to be.
type pointKind int

const (
	isFile pointKind = iota
	isDirectory
	isSymlink
)

func (p point) resolved() string { return path.Join(p.ancestor, p.rest) }

// missing calls yield with the paths that do not exist, from the first directory to the point itself.
func (p point) missing(yield func(string) bool) {
	if p.rest == "" {
		return
	}
	at := p.ancestor
	for name := range strings.SplitSeq(p.rest, "/") {
		at = path.Join(at, name)
		if !yield(at) {
			return
		}
	}
}

// missing returns the mount points to be made, and notes in mounts where they will be. A generated file that
// is to be made needs no mount, and is taken out of them; so is a mount that can have no place and is not required.
func (t *Tree) missing(mounts []OpenMount, links *merger, log *message.Log) (left []OpenMount, points []point, err error) {
	landings := make([]string, len(mounts)) // where they will be mounted; "" if not yet known
	left = make([]OpenMount, 0, len(mounts))
	for i := range mounts {
		m := &mounts[i]
		if err := links.giveWay(*m); err != nil {
			return nil, nil, err
		}
		p, err := t.toBeMade(*m)
		switch {
		case err != nil:
		case p.rest != "":
			landings[i] = p.resolved()
			if t.covered(p, mounts[:i], landings) {
				p.rest = ""
			} else {
				err = links.makeWay(p)
			}
		case m.Need.is(Create) && m.Need.is(DestinationOptional):
			err = t.checkKind(*m, mounts[:i], landings)
		}
		if err != nil {
			landings[i] = nowhere
			m.close()
			if err := t.leaveOut(m.Destination, m.Need, err, log); err != nil {
				return nil, nil, err
			}
			continue
		}
		if p.rest != "" {
			m.resolved = p.resolved()
			isContent := m.Kind == Content && t.writing != InPlace && m.Late == nil
			if !isContent {
				p.text = ""
			}
			points = append(points, p)
			if isContent {
				landings[i] = nowhere
				continue
			}
		}
		left = append(left, *m)
	}
	return left, points, nil
}

// checkKind returns an error if a mount could not be made on what the image has at its destination, before anything
// else relies on it.
func (t *Tree) checkKind(m OpenMount, earlier []OpenMount, landings []string) error {
	if m.Kind != Host {
		return nil
	}
	fd, err := kernel.HandleInRoot(t.root, m.Destination)
	if err != nil {
		return nil // which is found out later
	}
	defer fd.Close()
	inside, err := t.inside(fd)
	if err != nil || t.covered(point{ancestor: inside}, earlier, landings) {
		return nil
	}
	if err := sameKind(m.handle, fd); err != nil {
		return message.Wrap(err, "can't bind %s at %s", m.Source, t.shown(m.Destination))
	}
	return nil
}

// toBeMade returns the mount point if it has to be made. Else, the rest of the point is "".
func (t *Tree) toBeMade(m OpenMount) (p point, err error) {
	if !m.Need.is(Create) {
		return p, nil
	}
	if err := t.checkClimb(m.Destination); err != nil {
		return p, err
	}
	fd, err := kernel.HandleInRoot(t.root, m.Destination)
	switch {
	case err == nil:
		fd.Close()
		if m.Kind != Content || t.writing != InOverlay {
			return p, nil
		}
	case !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ENOTDIR):
		return p, t.noDestination(m, err)
	}
	return t.locate(m)
}

// locate finds how much of the destination of a mount exists.
func (t *Tree) locate(m OpenMount) (point, error) {
	directory, err := m.directory()
	if err != nil {
		return point{}, message.Wrap(err, "can't stat: %s", m.Source)
	}
	if directory {
		return t.locatePath(m.Destination, isDirectory)
	}
	p, err := t.locatePath(m.Destination, isFile)
	if err == nil && p.rest == "" { // it is there, and will be replaced
		p.ancestor, p.rest = path.Dir(p.ancestor), path.Base(p.ancestor)
	}
	p.text = string(m.Content)
	return p, err
}

// Resolve returns the path of a place in the tree without symbolic links. What does not exist has none.
func (t *Tree) Resolve(unsafePath string) (string, error) {
	p, err := t.locatePath(unsafePath, isDirectory)
	return p.resolved(), err
}

// locatePath finds how much of a path exists. What exists is walked as the kernel would, with
// ".." leading to the parent of the directory that a symbolic link led to; in what does not, ".."
// takes back the component before it.
func (t *Tree) locatePath(unsafePath string, kind pointKind) (point, error) {
	at := "/"
	var rest, stale []string
	for c := range strings.SplitSeq(unsafePath, "/") {
		switch {
		case c == "" || c == ".":
		case c == ".." && len(rest) > 0:
			rest = rest[:len(rest)-1]
		case c == "..":
			at = path.Dir(at)
		case len(rest) > 0:
			rest = append(rest, c)
		default:
			next, err := t.step(at, c)
			if errors.Is(err, errStale) {
				stale = append(stale, path.Join(at, c))
				err = syscall.ENOENT
			}
			if errors.Is(err, syscall.ENOENT) {
				rest = append(rest, c)
				continue
			}
			if err != nil {
				return point{}, err
			}
			at = next
		}
	}
	return point{asked: unsafePath, ancestor: at, rest: path.Join(rest...), kind: kind, stale: stale}, nil
}

// errStale says that there is nothing but a link that an earlier launch has left.
var errStale = errors.New("stale link")

// step returns the resolved path of an entry of the directory at, which is resolved. The error is ENOENT
// if there is none, errStale, or else a [message.Error].
func (t *Tree) step(at, name string) (string, error) {
	next := path.Join(at, name)
	fd, err := kernel.HandleInRoot(t.root, next)
	switch {
	case err == nil:
		defer fd.Close()
		resolved, err := t.inside(fd)
		if err != nil {
			return "", message.Wrap(err, "can't find out where %s is", t.shown(next))
		}
		return resolved, nil
	case errors.Is(err, syscall.ENOTDIR):
		return "", notDirectory(t.shown(at))
	case !errors.Is(err, syscall.ENOENT):
		return "", message.Wrap(err, "can't mkdir: %s", t.shown(next))
	}
	directory, err := kernel.HandleInRoot(t.root, at)
	if err != nil {
		return "", message.Wrap(err, "can't mkdir: %s", t.shown(next))
	}
	defer directory.Close()
	if _, err := kernel.LinkStat(directory, name); err != nil {
		return "", syscall.ENOENT
	}
	if t.isOurs(next) {
		return "", errStale
	}
	return "", message.Errorf("can't mkdir: broken symlink: %s", t.shown(next))
}

func notDirectory(shown string) *message.Error {
	return message.Errorf("can't mkdir: exists but not a directory: %s", shown)
}

// covered says whether one of the mounts made earlier will be on top of the point. Then it is that
// mount's content that it has to exist in.
func (t *Tree) covered(p point, earlier []OpenMount, landings []string) bool {
	for i, m := range earlier {
		if landings[i] == "" {
			landings[i] = t.landing(m)
		}
		if Within(p.resolved(), landings[i]) {
			return true
		}
	}
	return false
}

// nowhere is what nothing is within.
const nowhere = "nowhere"

// landing returns the resolved destination of a mount whose destination exists, or will be made, and else nowhere.
func (t *Tree) landing(m OpenMount) string {
	fd, err := kernel.HandleInRoot(t.root, m.point())
	if err != nil && m.Need.is(Create) {
		if p, err := t.locatePath(m.Destination, isDirectory); err == nil {
			return p.resolved()
		}
	}
	if err != nil {
		return nowhere
	}
	defer fd.Close()
	inside, err := t.inside(fd)
	if err != nil {
		return nowhere
	}
	return inside
}

// Within says whether p is directory or below it.
func Within(p, directory string) bool {
	return p == directory || strings.HasPrefix(p, strings.TrimSuffix(directory, "/")+"/")
}
