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
	if p.text != "" {
		return kernel.ReplaceFile(fd, path.Base(p.resolved()), []byte(p.text), 0o644)
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
		if landing := t.landing(t.mounted[i]); Within(p.ancestor, landing) {
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
