// Package image finds out what the IMAGE of the command line is.
package image

import (
	"errors"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// Kind is the form an image has.
type Kind int

// The kinds.
const (
	Directory Kind = iota
	SquashFS
)

// magic is the start of a SquashFS 4.0 superblock in little-endian byte order.
const magic = "hsqs"

// An Image is something that a container can be made of.
type Image struct {
	Kind Kind
	// Path is absolute and without symbolic links.
	Path string
	// Handle refers to the very file or directory that was looked at.
	Handle kernel.FD
	// Magic is how the file begins; nil for a directory.
	Magic []byte
}

// Access is how an image may be used.
type Access struct {
	Write  bool // the container will change it
	Unsafe bool // allow what is otherwise refused
}

// Find returns the image that reference stands for: the name of a directory image in storage, else a
// path. An image of unknown type is returned together with the error.
func Find(reference, storage string, access Access) (Image, error) {
	if path, ok := pathOfName(reference, storage); ok {
		if i, err := open(path); err == nil && i.Kind == Directory {
			if access.Write && !access.Unsafe {
				return i, message.Errorf("--write invalid when running by name").
					Hint("others may be using the image; --unsafe allows it")
			}
			return i, nil
		}
	}

	i, err := open(reference)
	switch {
	case err != nil:
		return i, message.Wrap(err, "can't stat: %s", reference)
	case i.Kind == Directory && inside(i.Path, storage) && !access.Unsafe:
		return i, message.Errorf("can't run directory images from storage").Hint("run by name")
	case i.Kind == Directory:
		return i, nil
	}
	i.Magic, err = kernel.ReadStart(i.Handle.Path(), len(magic))
	if errors.Is(err, syscall.EAGAIN) { // a pipe that nobody has written to yet
		return i, message.Errorf("can't open SquashFS: %s: not a regular file", reference)
	}
	if err != nil {
		return i, message.Wrap(err, "can't open: %s", reference)
	}
	if string(i.Magic) != magic {
		return i, message.Errorf("unknown image type: %s", reference).
			Hint("neither a directory, nor SquashFS, nor a name in storage directory %s", storage)
	}
	if st, err := i.Handle.Stat(); err != nil || !st.IsRegular() {
		return i, message.Errorf("can't open SquashFS: %s: not a regular file", reference)
	}
	return i, nil
}

// pathOfName returns where storage keeps the image called name.
func pathOfName(name, storage string) (path string, ok bool) {
	if name == "" || name == "." || name == ".." || storage == "" {
		return "", false
	}
	return storage + "/img/" + strings.NewReplacer("/", "%", ":", "+").Replace(name), true
}

func open(path string) (Image, error) {
	fd, err := kernel.Handle(kernel.CWD, path)
	if err != nil {
		return Image{}, err
	}
	st, err := fd.Stat()
	if err != nil {
		return Image{}, err
	}
	i := Image{Kind: SquashFS, Handle: fd}
	if st.IsDir() {
		i.Kind = Directory
	}
	if i.Path, err = fd.Name(); err != nil {
		i.Path = path // without procfs there is no container; what needs it first says so
		return i, nil
	}
	// A path such as /dev/fd/5 leads to the caller's mount namespace, in which nothing can be mounted. The
	// same file by its name is in this one.
	if again, err := kernel.Handle(kernel.CWD, i.Path); err == nil {
		if same, err := again.Stat(); err == nil && same.Device == st.Device && same.Inode == st.Inode {
			i.Handle = again
		}
	}
	return i, nil
}

// inside says whether path, which is canonical, is below the directory.
func inside(path, directory string) bool {
	i, err := open(directory)
	if err != nil {
		return false
	}
	i.Handle.Close()
	return strings.HasPrefix(path, strings.TrimSuffix(i.Path, "/")+"/")
}
