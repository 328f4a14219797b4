package bind

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// Writing says how the container may change the image.
type Writing int

// The ways of writing.
const (
	ReadOnly  Writing = iota
	InPlace           // changes go to the image (--write)
	InOverlay         // changes go to a tmpfs on top of it (--write-fake)
)

// A Tree is the root directory of a container while it is being put together.
type Tree struct {
	root     kernel.FD // the mount that will be the container's root
	scratch  kernel.FD // a directory on a tmpfs that only this process sees
	path     string    // of the image, for messages
	writing  Writing
	rootName string          // of root, as the kernel knows it; "" if not yet known
	made     int             // number of names used up in scratch
	mounted  []OpenMount     // in order
	left     left            // nil if not yet known
	leftOut  map[string]bool // destinations at which there is nothing in the end
}

// Attach has the image at imagePath mounted on the scratch tmpfs and returns the tree of it. mount gets the
// directory to mount it on.
//
// Preconditions: the process is in a mount namespace of its own, with all capabilities in it, and its
// umask is 0.
func Attach(mount func(dst kernel.FD) error, scratch kernel.FD, imagePath string, writing Writing) (*Tree, error) {
	t := &Tree{scratch: scratch, path: imagePath, writing: writing}
	return t, t.replaceRoot(mount)
}

// AttachDirectory is [Attach] for an image that is a directory. It is made read-only unless it is to be
// written to.
func AttachDirectory(image, scratch kernel.FD, imagePath string, writing Writing) (*Tree, error) {
	t, err := Attach(func(dst kernel.FD) error { return kernel.Bind(image, dst) }, scratch, imagePath, writing)
	if err != nil {
		return nil, message.Wrap(err, "can't bind image: %s", imagePath)
	}
	if writing == ReadOnly {
		if err := kernel.MakeReadOnly(t.root); err != nil {
			return nil, message.Wrap(err, "can't re-mount image read-only: %s", imagePath).
				Hint("the host's mount has the flags %s, which may be locked", kernel.MountFlags(t.root))
		}
	}
	return t, nil
}

// Root returns the mount that holds the tree now.
func (t *Tree) Root() kernel.FD { return t.root }

// shown returns a path in the container as messages name it: below the image.
func (t *Tree) shown(inside string) string { return path.Join(t.path, inside) }

// Mount makes the mounts, in order.
func (t *Tree) Mount(mounts []OpenMount, log *message.Log) error {
	for _, m := range mounts {
		before := len(t.mounted)
		if err := t.mount(m); err != nil {
			if err := t.leaveOut(m.Destination, m.Need, err, log); err != nil {
				return err
			}
			continue
		}
		if len(t.mounted) == before {
			log.Debug("not in the image: %s", m.Destination)
			continue
		}
		log.Debug("mount: %s", m)
		if m.Kind == Host && log.Admits(message.LevelTrace) {
			log.Trace("mount flags of %s: %s", m.Source, kernel.MountFlags(m.handle))
		}
	}
	return nil
}

// leaveOut returns the error for which there will be nothing at the destination, or no more than warns of it if that
// was to be made but is not required.
func (t *Tree) leaveOut(destination string, need Need, err error, log *message.Log) error {
	if !need.is(Create) || !need.is(DestinationOptional) {
		return err
	}
	if t.leftOut == nil {
		t.leftOut = map[string]bool{}
	}
	t.leftOut[destination] = true
	log.Warning("%v; left out: %s", err, destination)
	return nil
}

// LeavesOut says whether there is anything that [Tree.LeftOut] would say that of.
func (t *Tree) LeavesOut() bool { return len(t.leftOut) > 0 }

// LeftOut says whether a mount with that destination, which was to be made but is not required, was not possible.
func (t *Tree) LeftOut(destination string) bool { return t.leftOut[destination] }

func (t *Tree) mount(m OpenMount) error {
	if err := t.checkClimb(m.Destination); err != nil {
		return err
	}
	if m.Kind == Symlink {
		return t.linkLate(m)
	}
	point, err := kernel.HandleInRoot(t.root, m.point())
	if errors.Is(err, syscall.ENOENT) && m.Need.is(Create) {
		point, err = t.makeLate(m)
		var e *message.Error
		if errors.As(err, &e) {
			return err
		}
	}
	if err != nil {
		return t.noDestination(m, err)
	}
	defer point.Close()
	if same, err := kernel.SameFile(point, t.root); err != nil || same {
		return message.Errorf("can't bind: %s not subdirectory of %s", t.shown(m.Destination), t.path)
	}

	switch m.Kind {
	case Tmpfs:
		err = kernel.Tmpfs(point, "mode=1777")
		if err != nil {
			return message.Wrap(err, "can't mount tmpfs at %s", t.shown(m.Destination))
		}
	case Content:
		err = t.bindContent(m, point)
	case Host:
		err = t.bindHost(m, point)
	}
	if err != nil {
		return err
	}
	t.mounted = append(t.mounted, m)
	return nil
}

func (t *Tree) noDestination(m OpenMount, err error) error {
	shown := t.shown(m.Destination)
	switch {
	case m.Need.is(DestinationOptional) && !m.Need.is(Create):
		return nil
	case m.Kind == Tmpfs:
		return message.Wrap(err, "can't mount tmpfs at %s", shown)
	case errors.Is(err, syscall.ENOENT):
		return message.Errorf("can't bind: destination not found: %s", shown).
			Hint("an image needs %s; create it there", m.Destination)
	case m.Kind == Content:
		return message.Wrap(err, "can't bind: %s", shown)
	}
	return message.Wrap(err, "can't bind %s at %s", m.Source, shown)
}

// bindContent writes the file on the scratch tmpfs, so that no trace of it is on the host even if
// the process is killed here.
func (t *Tree) bindContent(m OpenMount, point kernel.FD) error {
	if m.Late != nil {
		m.Content = m.Late()
		if t.writing == InOverlay && m.resolved != "" && kernel.RewriteFile(point, m.Content) == nil {
			return nil // a file in the upper directory, which programs in the container can replace
		}
	}
	shown := t.shown(m.Destination)
	name := t.name("file")
	if err := kernel.CreateFile(t.scratch, name, m.Content, 0o644); err != nil {
		return message.Wrap(err, "can't write contents for %s", shown)
	}
	file, err := kernel.LinkHandle(t.scratch, name)
	if err != nil {
		return message.Wrap(err, "can't open contents for %s", shown)
	}
	defer file.Close()
	if err := kernel.Bind(file, point); err != nil {
		return message.Wrap(err, "can't bind generated file at %s", shown)
	}
	return nil
}

func (t *Tree) bindHost(m OpenMount, point kernel.FD) error {
	shown := t.shown(m.Destination)
	var err error
	if m.ReadOnly {
		err = kernel.BindReadOnly(m.handle, point)
		if errors.Is(err, syscall.ENOSYS) {
			return t.bindThenProtect(m, point)
		}
	} else {
		err = kernel.Bind(m.handle, point)
	}
	if errors.Is(err, syscall.EINVAL) {
		if kind := sameKind(m.handle, point); kind != nil {
			err = kind
		}
	}
	if err != nil {
		return explainMount(message.Wrap(err, "can't bind %s at %s", m.Source, shown), err)
	}
	return nil
}

// bindThenProtect is the read-only bind for kernels before 5.12. The destination has to be looked up a
// second time to get at the new mount; should another process have redirected the path in between,
// what is found is not what was bound.
func (t *Tree) bindThenProtect(m OpenMount, point kernel.FD) error {
	shown := t.shown(m.Destination)
	if err := kernel.Bind(m.handle, point); err != nil {
		return explainMount(message.Wrap(err, "can't bind %s at %s", m.Source, shown), err)
	}
	top, err := kernel.HandleInRoot(t.root, m.point())
	if err != nil {
		return message.Wrap(err, "can't find bind-mount %s again", shown)
	}
	defer top.Close()
	if same, err := kernel.SameFile(top, m.handle); err != nil || !same {
		return message.Errorf("can't find bind-mount %s again: the image was changed meanwhile", shown)
	}
	if err := kernel.MakeReadOnly(top); err != nil {
		return message.Wrap(err, "can't re-mount read-only: %s", shown).
			Hint("the host's mount has the flags %s, which may be locked", kernel.MountFlags(top))
	}
	return nil
}

// explainMount adds to the error of a bind what its reason does not tell.
func explainMount(e *message.Error, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return e.Hint("the mount namespace is full; see fs.mount-max in /proc/sys")
	}
	return e
}

// sameKind returns an error if one is a directory and the other is not. The kernel's word for it is EINVAL, which is
// also its word for much else.
func sameKind(source, point kernel.FD) error {
	a, err := source.Stat()
	if err != nil {
		return err
	}
	b, err := point.Stat()
	switch {
	case err != nil || a.IsDir() == b.IsDir():
		return err
	case a.IsDir():
		return syscall.ENOTDIR
	}
	return syscall.EISDIR
}

// inside returns the path of an open file of the tree as the container will see it.
func (t *Tree) inside(fd kernel.FD) (string, error) {
	if t.rootName == "" {
		var err error
		if t.rootName, err = t.root.Name(); err != nil {
			return "", err
		}
	}
	name, err := fd.Name()
	if err != nil {
		return "", err
	}
	inside, ok := strings.CutPrefix(name, t.rootName)
	if !ok {
		return "", syscall.EXDEV
	}
	return path.Join("/", inside), nil
}

// checkClimb refuses a destination that, taken literally, is not in the image. Whether one that
// follows symbolic links is in it never is a question: they cannot leave it.
func (t *Tree) checkClimb(destination string) error {
	if !climbs(destination) {
		return nil
	}
	outside := t.shown(destination)
	for p := outside; ; p = path.Dir(p) {
		if _, err := kernel.StatPath(kernel.CWD, p); err == nil {
			if p == outside {
				return message.Errorf("can't bind: %s not subdirectory of %s", outside, t.path)
			}
			missing, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(outside, p), "/"), "/")
			return message.Errorf("can't mkdir: %s not subdirectory of %s", path.Join(p, missing), t.path)
		}
		if p == "/" {
			return message.Errorf("can't mkdir: %s not subdirectory of %s", outside, t.path)
		}
	}
}

// name returns a new name in the scratch directory.
func (t *Tree) name(kind string) string {
	t.made++
	return fmt.Sprintf("%s-%d", kind, t.made)
}
