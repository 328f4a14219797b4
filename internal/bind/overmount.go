package bind

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

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
		return message.Wrap(err, "can't overlay: %s", t.path).Hint("%s", t.whyNoOverlay(err))
	}
	return nil
}

// whyNoOverlay returns what is known about the reason for which overlayfs could not be put on the image.
func (t *Tree) whyNoOverlay(err error) string {
	if below := kernel.MountsBelow(t.root); len(below) > 0 {
		return "something is mounted at " + t.shown(below[0]) + ", and overlayfs cannot cover mounts; unmount it, or use --write"
	}
	said := ""
	var explained *kernel.ExplainedError
	if errors.As(err, &explained) {
		said = "the kernel says: " + explained.Text + "; "
	}
	return said + kernel.Overlayfs.Requirement() + " and a file system that it can be put on; --write changes the image itself"
}

// overmount makes the points visible in an image that stays as it is.
func (t *Tree) overmount(points []point) error {
	ancestors, byAncestor := group(points)
	for _, a := range ancestors {
		if err := t.overmountOne(a, byAncestor[a]); err != nil {
			e := message.Wrap(err, "can't mkdir: %s", t.shown(byAncestor[a][0].asked))
			if errors.Is(err, syscall.ENOSPC) {
				return explainMount(e, err)
			}
			return e.Hint("the image is read-only and %s can't be overmounted; create the directory in the image, or use --write-fake", t.shown(a))
		}
	}
	return nil
}

// group sorts the points by the directory that has to be overmounted. A directory below another such directory needs
// no mount: it is merged together with that.
func group(points []point) (ancestors []string, byAncestor map[string][]point) {
	byAncestor = map[string][]point{}
	for begin := 0; begin < len(points); { // most come in long rows, which need no copy
		a, end := points[begin].ancestor, begin+1
		for end < len(points) && points[end].ancestor == a {
			end++
		}
		if row, ok := byAncestor[a]; ok {
			byAncestor[a] = append(row, points[begin:end]...)
		} else {
			byAncestor[a] = points[begin:end:end]
		}
		begin = end
	}
	for _, a := range slices.Sorted(maps.Keys(byAncestor)) {
		above := slices.IndexFunc(ancestors, func(other string) bool { return Within(a, other) })
		if above < 0 {
			ancestors = append(ancestors, a)
			continue
		}
		other := ancestors[above]
		byAncestor[other] = append(byAncestor[other], byAncestor[a]...)
	}
	return ancestors, byAncestor
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
// it on top of dst. Binding it to itself first gives it a mount of its own, to be made read-only and to
// be moved.
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

	if err := bindAll(skeleton, existing); err != nil {
		return err
	}
	if err := kernel.MakeReadOnly(skeleton); err != nil {
		return err
	}
	return kernel.Move(skeleton, dst)
}

// bindAll completes a directory of a skeleton with what the existing one has and it has not.
func bindAll(skeleton, existing kernel.FD) error {
	entries, err := kernel.Names(existing)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		st, err := kernel.LinkStat(skeleton, entry)
		switch {
		case errors.Is(err, syscall.ENOENT):
			err = bindEntry(skeleton, existing, entry)
		case err == nil && st.IsDir():
			err = bindBelow(skeleton, existing, entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bindBelow does the same with an entry that both have. What is not a directory is replaced by that of the skeleton.
func bindBelow(skeleton, existing kernel.FD, name string) error {
	from, err := kernel.DirectoryHandle(existing, name)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := kernel.DirectoryHandle(skeleton, name)
	if err != nil {
		return err
	}
	defer to.Close()
	return bindAll(to, from)
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
	t.rootName = ""
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
