package container

import (
	"path"
	"slices"
	"strings"

	"ch-run/internal/bind"
	"ch-run/internal/cdi"
	"ch-run/internal/cli"
	"ch-run/internal/environ"
	"ch-run/internal/message"

	specs "tags.cncf.io/container-device-interface/specs-go"
)

// Devices are what the devices that the user asked for bring into the container.
type Devices struct {
	Strict     bool // what cannot be had is an error
	Nodes      []Node
	Mounts     []bind.Mount // files, directories and links, in the order in which they are to be made
	Folders    []string     // of the container, for the cache of the dynamic linker
	AllFolders bool         // the cache is also for the others
	Links      bool         // libraries in the folders get links of the name that others know them by
	Cache      bool         // the cache of the dynamic linker has to know the libraries in the folders
	Compat     *cudaCompat  // nil: not asked for
	Notes      []string     // what a specification asks for that cannot be done
}

// A Node is a device that the container needs.
type Node struct {
	Path        string // in the container
	Permissions string // of "rw", what the user must be allowed
}

// findDevices looks up the devices that the options ask for, each together with the variables that it sets.
func findDevices(o *cli.Options, env *environ.Environment, log *message.Log) ([]cdi.Selection, [][]environ.Assignment, error) {
	if len(o.Devices) == 0 {
		return nil, nil, nil
	}
	requests := make([]cdi.Request, len(o.Devices))
	for i, text := range o.Devices {
		var err error
		if requests[i], err = cdi.ParseRequest(text); err != nil {
			return nil, nil, err
		}
	}
	list := "/etc/cdi:/var/run/cdi"
	if value, _ := env.Get("CH_RUN_CDI_DIRS"); value != "" {
		list = value
	}
	if o.CDIDirs != nil {
		list = *o.CDIDirs
	}
	selections, err := cdi.Find(requests, cdi.Directories(list), log)
	if err != nil {
		return nil, nil, err
	}
	variables := make([][]environ.Assignment, len(selections))
	for i, s := range selections {
		for _, edits := range s.Edits {
			for _, entry := range edits.Env {
				name, value, _ := strings.Cut(entry, "=")
				variables[i] = append(variables[i], environ.Assignment{Name: name, Value: value})
			}
		}
	}
	return selections, variables, nil
}

// planDevices works out what the selected devices bring along, without a look at the host or the image. A later
// mount takes the place of an earlier one with the same destination, and those of directories come before those in
// them, as the canonical module has it.
func planDevices(selections []cdi.Selection, strict bool) (*Devices, error) {
	d := &Devices{Strict: strict}
	var mounts, links placed
	mounts.grow(selections)
	for _, s := range selections {
		for _, e := range s.Edits {
			for _, n := range e.DeviceNodes {
				d.addNode(n, &mounts)
			}
			for _, m := range e.Mounts {
				d.addMount(m, &mounts)
			}
			for _, h := range e.Hooks {
				if err := d.addHook(h, &links); err != nil {
					return nil, err
				}
			}
			if len(e.NetDevices) > 0 {
				d.note("network devices cannot be moved into a container without privilege")
			}
			if e.IntelRdt != nil {
				d.note("a class of service (intelRdt) cannot be set without privilege")
			}
		}
	}
	slices.SortStableFunc(mounts.list, func(a, b bind.Mount) int { return depth(a.Destination) - depth(b.Destination) })
	d.Mounts = append(mounts.list, links.list...)
	return d, nil
}

func depth(p string) int {
	if strings.Contains(p, "..") {
		p = path.Clean(p)
	}
	return strings.Count(p, "/")
}

// placed are mounts, one for each destination.
type placed struct {
	list []bind.Mount
	at   map[string]int
}

// grow makes room for as many as devices can have.
func (p *placed) grow(selections []cdi.Selection) {
	n := 0
	for _, s := range selections {
		for _, e := range s.Edits {
			n += len(e.DeviceNodes) + len(e.Mounts)
		}
	}
	p.list, p.at = make([]bind.Mount, 0, n), make(map[string]int, n)
}

func (p *placed) set(m bind.Mount) {
	if i, ok := p.at[m.Destination]; ok {
		p.list[i] = m
		return
	}
	if p.at == nil {
		p.at = map[string]int{}
	}
	p.at[m.Destination] = len(p.list)
	p.list = append(p.list, m)
}

func (d *Devices) note(text string) {
	if !slices.Contains(d.Notes, text) {
		d.Notes = append(d.Notes, text)
	}
}

// addNode notes a device node. All those in /dev are there, as that is the host's; one with another name, or in another
// place, is mounted. Owner and permissions are those on the host.
func (d *Devices) addNode(n *specs.DeviceNode, mounts *placed) {
	node := Node{path.Clean(n.Path), "rw"}
	if n.Permissions != "" {
		node.Permissions = strings.Trim(strings.ReplaceAll(n.Permissions, "m", ""), " ")
	}
	if n.Permissions == "none" {
		node.Permissions = ""
	}
	if i := slices.IndexFunc(d.Nodes, func(n Node) bool { return n.Path == node.Path }); i < 0 {
		d.Nodes = append(d.Nodes, node)
	} else if !strings.Contains(d.Nodes[i].Permissions, node.Permissions) {
		d.Nodes[i].Permissions = "rw" // what two devices need of it
	}
	source := node.Path
	if n.HostPath != "" {
		source = path.Clean(n.HostPath)
	}
	if source != node.Path || !strings.HasPrefix(source, "/dev/") {
		mounts.set(bind.Mount{Source: source, Destination: node.Path, Need: bind.Create})
	}
}

// addMount notes a mount. What type it gives counts only where the options do not say that it is a bind mount:
// there are generators that give the type of the file.
func (d *Devices) addMount(m *specs.Mount, mounts *placed) {
	destination := m.ContainerPath
	if !strings.Contains(destination, "..") { // which is resolved in the image, or refused
		destination = path.Clean(destination)
	}
	bound := slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
	switch {
	case bound, m.Type == "", m.Type == "bind", m.Type == "none":
	case m.Type == "tmpfs":
		mounts.set(bind.Mount{Kind: bind.Tmpfs, Destination: destination, Need: bind.Create})
		return
	default:
		d.note("mount of type " + m.Type + " at " + destination + " is not possible without privilege")
		return
	}
	readOnly := slices.Contains(m.Options, "ro")
	mounts.set(bind.Mount{Source: path.Clean(m.HostPath), Destination: destination, ReadOnly: readOnly, Merge: readOnly, Need: bind.Create})
}
