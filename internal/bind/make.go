package bind

import (
	"errors"
	"path"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// makeInPlace makes a mount point in the image.
func (t *Tree) makeInPlace(p point) error {
	if err := makePoint(t.root, p); err != nil {
		return message.Wrap(err, "can't mkdir: %s", t.shown(p.asked))
	}
	return nil
}

// makePoint makes a mount point below root.
func makePoint(root kernel.FD, p point) error {
	directory := p.resolved()
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
	var cover *OpenMount
	var where string
	for i := range t.mounted {
		if landing := t.landing(t.mounted[i]); within(p.ancestor, landing) {
			cover, where = &t.mounted[i], landing
		}
	}
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

// skeleton makes a directory called name in parent, which is on a tmpfs of the container's own. It looks
// like the one at inside and holds the points, whose paths are below that.
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
		if err := t.addPoint(skeleton, inside, p); err != nil {
			return -1, err
		}
	}
	return skeleton, nil
}

func (t *Tree) addPoint(skeleton kernel.FD, inside string, p point) error {
	components := strings.Split(strings.Trim(strings.TrimPrefix(p.resolved(), inside), "/"), "/")
	for i := range components {
		name := path.Join(components[:i+1]...)
		var err error
		if i == len(components)-1 && !p.directory {
			err = kernel.CreateFile(skeleton, name, nil, 0o644)
		} else {
			err = t.addDirectory(skeleton, inside, name)
		}
		if err != nil && !errors.Is(err, syscall.EEXIST) {
			return err
		}
	}
	return nil
}

// addDirectory makes a directory in the skeleton, and if it exists in the image gives it the same mode.
func (t *Tree) addDirectory(skeleton kernel.FD, inside, name string) error {
	if err := kernel.Mkdir(skeleton, name, 0o755); err != nil {
		return err
	}
	directory, err := kernel.DirectoryHandle(skeleton, name)
	if err != nil {
		return err
	}
	defer directory.Close()
	if err := t.copyMode(path.Join(inside, name), directory); !errors.Is(err, syscall.ENOENT) {
		return err
	}
	return nil
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
