package container

import (
	"path"
	"slices"
	"strings"

	"ch-run/internal/bind"
	"ch-run/internal/kernel"
	"ch-run/internal/linker"
)

// linkNames makes what ldconfig(8) makes: links by which libraries are found that have another name than their file. Of
// several with one name, the newest gets the link.
func (i *injection) linkNames(s *stage) error {
	newest := make(map[string]string, len(i.libraries))
	for _, l := range i.libraries {
		if other, ok := newest[l.path]; !ok || linker.CompareNames(path.Base(l.destination), path.Base(other)) > 0 {
			newest[l.path] = l.destination
		}
	}
	links := make([]bind.Mount, 0, len(i.libraries))
	for _, l := range i.libraries {
		name := l.path
		if newest[name] != l.destination || i.placed[name] || !i.inFolder(l.destination) {
			continue
		}
		i.placed[name], i.leads[name] = true, l.destination
		links = append(links, bind.Mount{Kind: bind.Symlink, Source: path.Base(l.destination), Destination: name, Need: i.need()})
	}
	opened, err := bind.Open(links, nil)
	s.mounts = append(s.mounts, opened...)
	return err
}

// links adds the links that lead somewhere. One to a library that is not there would hide what the image has by its
// name.
func (i *injection) links(links []*bind.OpenMount, s *stage) {
	asked := make(map[string]*bind.OpenMount, len(links))
	for _, m := range links {
		asked[m.Destination] = m
	}
	for _, m := range links {
		if isLibrary(m.Destination) && !i.exists(lastTarget(m, asked)) {
			i.skip(m, s.log)
			continue
		}
		i.placed[m.Destination], i.leads[m.Destination] = true, linkTarget(m)
		i.hookLinks = append(i.hookLinks, m.Destination)
		s.mounts = append(s.mounts, *m)
	}
}

// lastTarget returns the path that a link leads to, if need be by others of them; "" if it leads in a circle.
func lastTarget(m *bind.OpenMount, links map[string]*bind.OpenMount) string {
	for range maxLinks {
		target := linkTarget(m)
		next := links[target]
		if next == nil {
			return target
		}
		m = next
	}
	return ""
}

// linkTarget returns the path in the image that a link leads to.
func linkTarget(m *bind.OpenMount) string {
	if strings.HasPrefix(m.Source, "/") {
		return path.Clean(m.Source)
	}
	return path.Join(path.Dir(m.Destination), m.Source)
}

// exists says whether there will be something at the path: of a device, or of the image.
func (i *injection) exists(p string) bool {
	switch {
	case i.placed[p]:
		return true
	case p == "" || i.skipped[p]:
		return false
	}
	for n := range i.sources {
		if m := &i.sources[n]; m.Kind == bind.Host && i.placed[m.Destination] && bind.Within(p, m.Destination) {
			return true // in a directory that is mounted as a whole
		}
	}
	fd, err := kernel.HandleInRoot(i.tree.Root(), p)
	if err == nil {
		fd.Close()
	}
	return err == nil
}

// file returns what a path leads to, by links that devices bring along; "" if something is missing on the way.
func (i *injection) file(p string) string {
	for range maxLinks {
		if i.isGone(p) {
			return ""
		}
		target, ok := i.leads[p]
		if !ok {
			return p
		}
		p = target
	}
	return ""
}

// maxLinks is how many links one may lead to.
const maxLinks = 8

// isGone says whether there is nothing at the path, though there was to be: it is left out, in a directory that is, or
// hidden below a mount of the user's.
func (i *injection) isGone(p string) bool {
	if len(i.skipped) == 0 && !i.tree.LeavesOut() && len(i.binds) == 0 {
		return false
	}
	directory := i.resolve(path.Dir(p))
	for _, named := range [...]string{p, path.Join(directory, path.Base(p))} {
		for at := named; at != "/" && at != "."; at = path.Dir(at) {
			if i.skipped[at] || i.tree.LeftOut(at) {
				return true
			}
		}
	}
	return slices.ContainsFunc(i.binds, func(b bind.Mount) bool { return bind.Within(directory, i.resolve(b.Destination)) })
}
