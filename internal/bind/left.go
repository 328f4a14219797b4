package bind

import (
	"maps"
	"path"
	"slices"
	"strings"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// leftFile, in the place where links lead to, lists the links that launches with --write have left in an image, for the
// next one to replace: path and target, with a NUL byte behind each. Only a link that is there as it is listed counts,
// so it can be written before the links are made.
const leftFile = "links"

// left are the targets of links that launches have left, by their resolved paths.
type left map[string][]string

// isOurs says whether a symbolic link, by its resolved path, is one that an earlier launch has left.
func (t *Tree) isOurs(link string) bool {
	if t.left == nil {
		t.readLeft()
	}
	return t.hasLeft(link, t.left[link])
}

// hasLeft says whether there is a link at the path with one of the targets.
func (t *Tree) hasLeft(link string, targets []string) bool {
	if len(targets) == 0 {
		return false
	}
	directory, err := kernel.HandleInRoot(t.root, path.Dir(link))
	if err != nil {
		return false
	}
	defer directory.Close()
	target, err := kernel.Readlink(directory, path.Base(link))
	return err == nil && slices.Contains(targets, target)
}

func (t *Tree) readLeft() {
	t.left = left{}
	for _, place := range places {
		data, err := kernel.ReadFileInRoot(t.root, path.Join(place, leftFile))
		if err != nil {
			continue // there is none
		}
		for fields := strings.Split(string(data), "\x00"); len(fields) >= 2; fields = fields[2:] {
			t.left[fields[0]] = append(t.left[fields[0]], fields[1])
		}
	}
}

// writeLeft lists the links that are about to be made, and those that are still there.
func (m *merger) writeLeft() error {
	listed := left{}
	for link, targets := range m.tree.left {
		if m.tree.hasLeft(link, targets) {
			listed[link] = targets
		}
	}
	for _, d := range m.directories {
		for _, l := range d.links {
			p := path.Join(d.resolved(), l.name)
			listed[p] = append(listed[p], l.target)
		}
	}
	var b strings.Builder
	for _, link := range slices.Sorted(maps.Keys(listed)) {
		slices.Sort(listed[link])
		for _, target := range slices.Compact(listed[link]) {
			b.WriteString(link + "\x00" + target + "\x00")
		}
	}
	directory, err := kernel.MkdirAllInRoot(m.tree.root, m.place)
	if err == nil {
		err = kernel.ReplaceFile(directory, leftFile, []byte(b.String()), 0o644)
		directory.Close()
	}
	if err != nil {
		return message.Wrap(err, "can't write: %s", m.tree.shown(path.Join(m.place, leftFile)))
	}
	return nil
}
