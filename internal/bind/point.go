package bind

import (
	"cmp"
	"errors"
	"path"
	"slices"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// Prepare makes the mount points that mounts ask for and the image lacks, and with it the overlay that
// --write-fake puts on top of the image, whose size is overlaySize.
//
// In an image that is written to they are simply made. In any other they are first made in a
// skeleton on the scratch tmpfs, and then the skeleton is merged with the image by overlayfs: as the
// upper directory of the one overlay on the whole image for --write-fake, or else as a second lower
// directory on top of the nearest ancestor that exists. A skeleton can be made whoever owns the
// image; mkdir(2) in an overlay could not, since the owner of the image's directories, if it is not
// the user, is not mapped in the user namespace.
//
// All that happens before anything else is mounted, when every destination can still be looked up in the
// image itself.
func (t *Tree) Prepare(sources []Source, overlaySize string) error {
	missing, err := t.missing(sources)
	if err != nil {
		return err
	}
	switch t.writing {
	case InPlace:
		for _, p := range missing {
			if err := t.makeInPlace(p); err != nil {
				return err
			}
		}
		return nil
	case InOverlay:
		return t.overlayAll(missing, overlaySize)
	default:
		return t.overmount(missing)
	}
}

// A point is a mount point that does not exist yet.
type point struct {
	asked     string // the destination as the user wrote it
	ancestor  string // the nearest directory that exists, resolved
	rest      string // the path from there
	directory bool
}

func (p point) resolved() string { return path.Join(p.ancestor, p.rest) }

// missing returns the mount points to be made.
func (t *Tree) missing(sources []Source) ([]point, error) {
	var points []point
	landings := make([]string, len(sources)) // where they will be mounted; "" if not yet known
	for i, s := range sources {
		if s.Need != Create {
			continue
		}
		if err := t.checkClimb(s.Destination); err != nil {
			return nil, err
		}
		fd, err := kernel.HandleInRoot(t.root, s.Destination)
		if err == nil {
			fd.Close()
			continue
		}
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ENOTDIR) {
			return nil, t.noDestination(s, err)
		}
		p, err := t.locate(s)
		if err != nil {
			return nil, err
		}
		landings[i] = p.resolved()
		if !t.covered(p, sources[:i], landings) {
			points = append(points, p)
		}
	}
	return points, nil
}

// locate finds how much of a missing destination exists.
func (t *Tree) locate(s Source) (point, error) {
	directory, err := s.directory()
	if err != nil {
		return point{}, message.Wrap(err, "can't stat: %s", s.Source)
	}
	existing, components := "/", strings.Split(strings.Trim(path.Clean(s.Destination), "/"), "/")
	for i, c := range components {
		next := path.Join(existing, c)
		fd, err := kernel.HandleInRoot(t.root, next)
		if err == nil {
			fd.Close()
			existing = next
			continue
		}
		if errors.Is(err, syscall.ENOTDIR) {
			return point{}, message.Errorf("can't mkdir: exists but not a directory: %s", t.shown(existing))
		}
		if !errors.Is(err, syscall.ENOENT) {
			return point{}, message.Wrap(err, "can't mkdir: %s", t.shown(next))
		}
		ancestor, err := kernel.HandleInRoot(t.root, existing)
		if err != nil {
			return point{}, message.Wrap(err, "can't mkdir: %s", t.shown(next))
		}
		defer ancestor.Close()
		if link, err := kernel.LinkHandle(ancestor, c); err == nil {
			link.Close()
			return point{}, message.Errorf("can't mkdir: broken symlink: %s", t.shown(next))
		}
		inside, err := t.inside(ancestor)
		if err != nil {
			return point{}, message.Wrap(err, "can't mkdir: %s", t.shown(next))
		}
		return point{s.Destination, inside, path.Join(components[i:]...), directory}, nil
	}
	// It has come into being since it was found missing.
	return point{s.Destination, existing, ".", directory}, nil
}

// covered says whether one of the mounts made earlier will be on top of the point. Then it is that
// mount's content that it has to exist in.
func (t *Tree) covered(p point, earlier []Source, landings []string) bool {
	for i, s := range earlier {
		if landings[i] == "" {
			landings[i] = t.landing(s)
		}
		if within(p.resolved(), landings[i]) {
			return true
		}
	}
	return false
}

// landing returns the resolved destination of a mount whose destination exists, and for others
// something that nothing is within.
func (t *Tree) landing(s Source) string {
	const nowhere = "nowhere"
	fd, err := kernel.HandleInRoot(t.root, s.Destination)
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

// within says whether p is directory or below it.
func within(p, directory string) bool {
	return p == directory || strings.HasPrefix(p, strings.TrimSuffix(directory, "/")+"/")
}

// makeInPlace makes a mount point in the image.
func (t *Tree) makeInPlace(p point) error {
	if err := makePoint(t.root, p); err != nil {
		return message.Wrap(err, "can't mkdir: %s", t.shown(p.asked))
	}
	return nil
}

// makePoint makes a mount point below root, following the symbolic links in the existing part of its
// path without leaving root.
func makePoint(root kernel.FD, p point) error {
	directory := path.Clean(p.asked)
	if !p.directory {
		directory = path.Dir(directory)
	}
	fd, err := kernel.MkdirAllInRoot(root, directory)
	if err != nil {
		return err
	}
	defer fd.Close()
	if p.directory {
		return nil
	}
	err = kernel.CreateFile(fd, path.Base(p.asked), nil, 0o644)
	if errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

// makeLate makes a mount point below what is mounted already, which is allowed only on a tmpfs of
// the container's own. The error is a [message.Error] if the point cannot be made.
func (t *Tree) makeLate(s Source) (kernel.FD, error) {
	p, err := t.locate(s)
	if err != nil {
		return -1, err
	}
	first, _, _ := strings.Cut(p.rest, "/")
	first = path.Join(p.ancestor, first)
	var cover *Source
	var where string
	for i := range t.mounted {
		if landing := t.landing(t.mounted[i]); within(p.ancestor, landing) {
			cover, where = &t.mounted[i], landing
		}
	}
	switch {
	case cover == nil:
		return -1, message.Errorf("can't bind: destination not found: %s", t.shown(s.Destination))
	case cover.Kind != Tmpfs:
		return -1, message.Errorf("can't mkdir: %s under existing bind-mount %s", t.shown(first), t.shown(where))
	}
	if err := t.makeInPlace(p); err != nil {
		return -1, err
	}
	return kernel.HandleInRoot(t.root, s.Destination)
}

// skeleton makes a directory on the scratch tmpfs, or in the directory parent there, that looks like
// the one at inside, with the points, whose paths are relative to it.
func (t *Tree) skeleton(parent kernel.FD, name, inside string, points []point) (kernel.FD, error) {
	if err := kernel.Mkdir(parent, name, 0o755); err != nil {
		return -1, err
	}
	skeleton, err := kernel.DirectoryHandle(parent, name)
	if err != nil {
		return -1, err
	}
	if err := t.copyMode(inside, skeleton); err != nil {
		return -1, err
	}
	for _, p := range points {
		relative := strings.TrimPrefix(strings.TrimPrefix(p.resolved(), inside), "/")
		made := ""
		for component := range strings.SplitSeq(relative, "/") {
			made = path.Join(made, component)
			if made == relative && !p.directory {
				err = kernel.CreateFile(skeleton, made, nil, 0o644)
			} else {
				err = kernel.Mkdir(skeleton, made, 0o755)
			}
			if err != nil && !errors.Is(err, syscall.EEXIST) {
				return -1, err
			}
			if err == nil && within(p.ancestor, path.Join(inside, made)) {
				directory, err := kernel.DirectoryHandle(skeleton, made)
				if err != nil {
					return -1, err
				}
				defer directory.Close()
				if err := t.copyMode(path.Join(inside, made), directory); err != nil {
					return -1, err
				}
			}
		}
	}
	return skeleton, nil
}

// copyMode gives to the directory the permissions of the one in the image.
func (t *Tree) copyMode(inside string, to kernel.FD) error {
	from, err := kernel.HandleInRoot(t.root, inside)
	if err != nil {
		return err
	}
	defer from.Close()
	st, err := from.Stat()
	if err != nil {
		return err
	}
	return kernel.Chmod(to, st.Permissions())
}

// overlayAll puts a writable overlay on top of the whole image.
func (t *Tree) overlayAll(points []point, size string) error {
	if strings.Contains(size, ",") {
		return message.Wrap(syscall.EINVAL, "cannot mount tmpfs for overlay: size %s", size)
	}
	name, base, err := t.directory("overlay")
	if err != nil {
		return message.Wrap(err, "can't make directory for overlay")
	}
	if err := kernel.Tmpfs(base, "mode=755,size="+size); err != nil {
		return message.Wrap(err, "cannot mount tmpfs for overlay").
			Hint("size %s; it is a number with suffix k, m, g or %%", size)
	}
	base, err = kernel.DirectoryHandle(t.scratch, name) // now the tmpfs's root
	if err != nil {
		return message.Wrap(err, "can't open tmpfs for overlay")
	}
	upper, err := t.skeleton(base, "upper", "/", points)
	if err != nil {
		return message.Wrap(err, "can't make mount points in overlay").Hint("is --write-fake=%s large enough?", size)
	}
	if err := kernel.Mkdir(base, "work", 0o755); err != nil {
		return message.Wrap(err, "can't make directory for overlay")
	}
	work, err := kernel.DirectoryHandle(base, "work")
	if err != nil {
		return message.Wrap(err, "can't make directory for overlay")
	}
	overlay := kernel.Overlay{Lower: []kernel.FD{t.root}, Upper: &kernel.UpperDirectory{Upper: upper, Work: work}, Like: t.root}
	if err := t.replaceRoot(overlay.Mount); err != nil {
		said := ""
		var explained *kernel.ExplainedError
		if errors.As(err, &explained) {
			said = "the kernel says: " + explained.Text + "; "
		}
		return message.Wrap(err, "can't overlay: %s", t.path).
			Hint("%s%s and a file system that it can be put on; --write changes the image itself", said,
				kernel.Overlayfs.Requirement())
	}
	return nil
}

// overmount makes the points visible in an image that stays as it is.
func (t *Tree) overmount(points []point) error {
	byAncestor := map[string][]point{}
	for _, p := range points {
		byAncestor[p.ancestor] = append(byAncestor[p.ancestor], p)
	}
	var ancestors []string
	for a := range byAncestor {
		ancestors = append(ancestors, a)
	}
	// From the root down, as a mount on a directory hides those made below it.
	slices.SortFunc(ancestors, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	for _, a := range ancestors {
		if err := t.overmountOne(a, byAncestor[a]); err != nil {
			return message.Wrap(err, "can't mkdir: %s", t.shown(byAncestor[a][0].asked)).
				Hint("the image is read-only and %s can't be overmounted; create the directory in the image, or use --write-fake", t.shown(a))
		}
	}
	return nil
}

func (t *Tree) overmountOne(inside string, points []point) error {
	name := t.name("skeleton")
	skeleton, err := t.skeleton(t.scratch, name, inside, points)
	if err != nil {
		return err
	}
	defer skeleton.Close()
	existing, err := kernel.HandleInRoot(t.root, inside)
	if err != nil {
		return err
	}
	defer existing.Close()

	mount := func(dst kernel.FD) error {
		overlay := kernel.Overlay{Lower: []kernel.FD{skeleton, existing}, Like: existing}
		if overlay.Mount(dst) == nil {
			return nil
		}
		// No overlayfs for users, or not on this file system: bind each of the entries.
		return t.bindEntries(name, existing, dst)
	}
	if inside == "/" {
		return t.replaceRoot(mount)
	}
	return mount(existing)
}

// bindEntries completes the named skeleton with the entries of the directory that it stands for, and puts
// it on top of dst. Binding it to itself first gives it a mount of its own to be made read-only,
// a property that the copy at dst takes over on every kernel.
func (t *Tree) bindEntries(name string, existing, dst kernel.FD) error {
	plain, err := kernel.DirectoryHandle(t.scratch, name)
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := kernel.Bind(plain, plain); err != nil {
		return err
	}
	skeleton, err := kernel.DirectoryHandle(t.scratch, name)
	if err != nil {
		return err
	}
	defer skeleton.Close()

	entries, err := kernel.Names(existing)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := bindEntry(skeleton, existing, entry); err != nil {
			return err
		}
	}
	if err := kernel.MakeReadOnly(skeleton); err != nil {
		return err
	}
	return kernel.Bind(skeleton, dst)
}

func bindEntry(skeleton, existing kernel.FD, name string) error {
	entry, err := kernel.LinkHandle(existing, name)
	if err != nil {
		return err
	}
	defer entry.Close()
	st, err := entry.Stat()
	if err != nil {
		return err
	}
	switch {
	case st.IsSymlink():
		target, err := kernel.Readlink(entry, "")
		if err != nil {
			return err
		}
		return kernel.Symlink(target, skeleton, name)
	case st.IsDir():
		err = kernel.Mkdir(skeleton, name, 0o755)
	default:
		err = kernel.CreateFile(skeleton, name, nil, 0o644)
	}
	if err != nil {
		return err
	}
	point, err := kernel.LinkHandle(skeleton, name)
	if err != nil {
		return err
	}
	defer point.Close()
	return kernel.Bind(entry, point)
}

// replaceRoot calls mount with a new directory to put the tree's new root on.
func (t *Tree) replaceRoot(mount func(dst kernel.FD) error) error {
	name, dst, err := t.directory("root")
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := mount(dst); err != nil {
		return err
	}
	t.root, err = kernel.DirectoryHandle(t.scratch, name)
	return err
}

// directory makes a directory on the scratch tmpfs.
func (t *Tree) directory(kind string) (name string, fd kernel.FD, err error) {
	name = t.name(kind)
	if err := kernel.Mkdir(t.scratch, name, 0o755); err != nil {
		return name, -1, err
	}
	fd, err = kernel.DirectoryHandle(t.scratch, name)
	return name, fd, err
}
