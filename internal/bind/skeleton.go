package bind

import (
	"errors"
	"path"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
)

// A skeleton is a directory on a tmpfs of the container's own that stands for one in the image, and holds what
// that lacks.
type skeleton struct {
	tree        *Tree
	inside      string // path of the directory in the image
	root        kernel.FD
	directories map[string]kernel.FD // those in it, by their path from there
}

// skeleton makes a directory called name in parent, which is on a tmpfs of the container's own. It looks
// like the one at inside and holds the points, whose paths are below that.
func (t *Tree) skeleton(parent kernel.FD, name, inside string, points []point) (kernel.FD, error) {
	if err := kernel.Mkdir(parent, name, 0o755); err != nil {
		return -1, err
	}
	root, err := kernel.DirectoryHandle(parent, name)
	if err != nil {
		return -1, err
	}
	s := skeleton{t, inside, root, map[string]kernel.FD{".": root}}
	defer s.close()
	if err := s.copyMode(".", root); err != nil {
		return -1, err
	}
	for _, p := range points {
		if err := s.add(p); err != nil {
			return -1, err
		}
	}
	return root, nil
}

func (s *skeleton) close() {
	for name, fd := range s.directories {
		if name != "." {
			fd.Close()
		}
	}
}

func (s *skeleton) add(p point) error {
	at := p.rest
	if p.ancestor != s.inside {
		at = strings.Trim(strings.TrimPrefix(p.resolved(), s.inside), "/")
	}
	if p.kind == isDirectory {
		_, err := s.directory(at)
		return err
	}
	directory, err := s.directory(path.Dir(at))
	if err != nil {
		return err
	}
	if p.kind == isSymlink {
		err = kernel.Symlink(p.text, directory, path.Base(at))
	} else {
		err = kernel.CreateFile(directory, path.Base(at), []byte(p.text), 0o644)
	}
	if errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

// directory returns one in the skeleton. It is made if need be, with the permissions that it has in the image.
func (s *skeleton) directory(at string) (kernel.FD, error) {
	if fd, ok := s.directories[at]; ok {
		return fd, nil
	}
	parent, err := s.directory(path.Dir(at))
	if err != nil {
		return -1, err
	}
	if err := kernel.Mkdir(parent, path.Base(at), 0o755); err != nil {
		return -1, err
	}
	fd, err := kernel.DirectoryHandle(parent, path.Base(at))
	if err != nil {
		return -1, err
	}
	s.directories[at] = fd
	if err := s.copyMode(at, fd); !errors.Is(err, syscall.ENOENT) {
		return fd, err
	}
	return fd, nil
}

// copyMode gives to the directory the permissions of the one in the image.
func (s *skeleton) copyMode(at string, to kernel.FD) error {
	from, err := kernel.HandleInRoot(s.tree.root, path.Join(s.inside, at))
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
