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

// makeInPlace makes a mount point in the image.
func (t *Tree) makeInPlace(p point) error {
	if err := t.removeStale(p); err != nil {
		return err
	}
	err := makePoint(t.root, p)
	switch {
	case err == nil:
		return nil
	case p.kind == isDirectory:
		return message.Wrap(err, "can't mkdir: %s", t.shown(p.asked))
	}
	return message.Wrap(err, "can't make file: %s", t.shown(p.asked))
}

// makeAllInPlace makes the mount points in the image, and returns the mounts that there is a point for.
func (t *Tree) makeAllInPlace(mounts []OpenMount, points []point, log *message.Log) ([]OpenMount, error) {
	for _, p := range points {
		err := t.makeInPlace(p)
		if err == nil {
			continue
		}
		i := slices.IndexFunc(mounts, func(m OpenMount) bool { return m.resolved == p.resolved() })
		if err := t.leaveOut(mounts[i].Destination, mounts[i].Need, err, log); err != nil {
			return nil, err
		}
		mounts[i].close()
		mounts = slices.Delete(mounts, i, i+1)
	}
	return mounts, nil
}

// removeStale removes the links of earlier launches that are in the way of the point.
func (t *Tree) removeStale(p point) error {
	for _, link := range p.stale {
		directory, err := kernel.HandleInRoot(t.root, path.Dir(link))
		if err == nil {
			err = kernel.Unlink(directory, path.Base(link))
			directory.Close()
		}
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return message.Wrap(err, "can't replace %s", t.shown(link))
		}
	}
	return nil
}

// makePoint makes a mount point, or a file, below root.
func makePoint(root kernel.FD, p point) error {
	directory := p.resolved()
	if p.kind != isDirectory {
		directory = path.Dir(directory)
	}
	fd, err := kernel.MkdirAllInRoot(root, directory)
	if err != nil {
		return err
	}
	defer fd.Close()
	if p.kind == isDirectory {
		return nil
	}
	err = kernel.CreateFile(fd, path.Base(p.resolved()), nil, 0o644)
	if errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

// makeLate makes a mount point below what is mounted already, which is allowed only on a tmpfs of
// the container's own. The error is a [message.Error] if the point cannot be made.
func (t *Tree) makeLate(m OpenMount) (kernel.FD, error) {
	p, err := t.locate(m)
	if err != nil {
		return -1, err
	}
	first, _, _ := strings.Cut(p.rest, "/")
	first = path.Join(p.ancestor, first)
	cover, where := t.cover(p.ancestor)
	switch {
	case cover == nil:
		return -1, message.Errorf("can't bind: destination not found: %s", t.shown(m.Destination))
	case cover.Kind != Tmpfs:
		return -1, message.Errorf("can't mkdir: %s under existing bind-mount %s", t.shown(first), t.shown(where))
	}
	if err := t.makeInPlace(p); err != nil {
		return -1, err
	}
	return kernel.HandleInRoot(t.root, p.resolved())
}

// cover returns the mount that is on top at a resolved path, and where it is mounted; nil for the image.
func (t *Tree) cover(resolved string) (cover *OpenMount, where string) {
	for i := range t.mounted {
		if landing := t.landing(t.mounted[i]); Within(resolved, landing) {
			cover, where = &t.mounted[i], landing
		}
	}
	return cover, where
}

// linkLate makes a symbolic link below what is mounted already, if that is a tmpfs of the container's own. Directories
// of the host have the links that they have.
func (t *Tree) linkLate(m OpenMount) error {
	p, err := t.locatePath(path.Dir(m.Destination), isDirectory)
	if err != nil {
		return err
	}
	if cover, _ := t.cover(p.ancestor); cover == nil || cover.Kind != Tmpfs {
		return nil
	}
	directory, err := kernel.MkdirAllInRoot(t.root, p.resolved())
	if err != nil {
		return message.Wrap(err, "can't mkdir: %s", t.shown(p.resolved()))
	}
	defer directory.Close()
	if err := kernel.Symlink(m.Source, directory, path.Base(m.Destination)); err != nil && !errors.Is(err, syscall.EEXIST) {
		return message.Wrap(err, "can't make symlink: %s", t.shown(m.Destination))
	}
	return nil
}
