// Package container makes containers. From the options of the command line and the environment it
// makes a plan, which is plain data, and then carries the plan out: [New] and [Plan.Run].
package container

import (
	"errors"
	"path"
	"strconv"
	"syscall"

	"ch-run/internal/bind"
	"ch-run/internal/cli"
	"ch-run/internal/early"
	"ch-run/internal/environ"
	"ch-run/internal/identity"
	"ch-run/internal/image"
	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// A Plan is a container to be made and the command to be run in it.
type Plan struct {
	Image       image.Image
	Root        string // where messages say that the image is mounted
	Writing     bind.Writing
	OverlaySize string // of the tmpfs for bind.InOverlay
	UID, GID    uint32 // in the container
	Mounts      []bind.Mount
	Devices     *Devices     // nil: none
	Binds       []bind.Mount // those of the user, which come last
	Home        string       // $HOME as --home sets it; "": by what the image has
	Changes     []Change
	Directory   string // initial working directory
	Command     []string
	Environment *environ.Environment // inherited; changed as the plan is carried out
	Seccomp     bool                 // fake privileged system calls
	Group       *Group               // whom the container is shared with; nil: with nobody

	hooks  hooks
	server kernel.FD // the socket to the server of the image; -1: there is none
	own    error     // what went wrong for this process, but does not keep its peers from the container
}

// A Change is a step of adapting the environment.
type Change struct {
	Unset       environ.Glob
	IsUnset     bool
	FromImage   bool // read the assignments from the image
	Delimiter   byte
	Assignments []environ.Assignment
	Expand      bool
}

// imageEnvironment is where an image says which variables it wants.
const imageEnvironment = "/ch/environment"

// New makes the plan for a launch, in a container that others will join if there is a group.
func New(o *cli.Options, caller early.Caller, group *Group, env *environ.Environment, log *message.Log) (*Plan, error) {
	p := &Plan{
		Group: group, hooks: newHooks(), server: -1,
		UID: caller.EUID, GID: caller.EGID,
		Directory: o.Directory, Command: o.Command,
		OverlaySize: o.WriteFake, Environment: env, Seccomp: o.Seccomp,
	}
	if o.UID != nil {
		p.UID = *o.UID
	}
	if o.GID != nil {
		p.GID = *o.GID
	}
	switch {
	case o.Write && o.WriteFake != "":
		return nil, message.Errorf("--write and --write-fake (or --home) are incompatible")
	case o.Write:
		p.Writing = bind.InPlace
	case o.WriteFake != "":
		p.Writing = bind.InOverlay
	}
	user := userName(env, caller)
	storage := storageDirectory(o, env, user, log)

	binds, err := userBinds(o.Binds)
	if err != nil {
		return nil, err
	}
	selections, variables, err := findDevices(o, env, log)
	if err != nil {
		return nil, err
	}
	if len(selections) > 0 {
		if p.Devices, err = planDevices(selections, o.Strict); err != nil {
			return nil, err
		}
	}
	p.Changes, p.own = changes(o.Environment, variables)
	if p.own != nil && group == nil {
		return nil, p.own
	}
	home, err := homeBind(o, env, user)
	if err != nil {
		return nil, err
	}
	if err := p.findImage(o, storage, user, log); err != nil {
		return nil, err
	}

	p.Mounts = append(p.Mounts, hostMounts...)
	if !o.NoPasswd {
		p.Mounts = append(p.Mounts, p.identityMounts(log)...)
	}
	p.Mounts = append(p.Mounts, tmpMount(o, env))
	if home != nil {
		p.Home = home.Destination
		p.Mounts = append(p.Mounts, *home)
	}
	p.Binds = binds

	log.Verbose("verbosity: %d", o.Verbosity)
	log.Verbose("image: %s", o.Image)
	log.Verbose("storage: %s", storage)
	log.Verbose("newroot: %s", p.Root)
	log.Verbose("container uid: %d", p.UID)
	log.Verbose("container gid: %d", p.GID)
	log.Verbose("private /tmp: %d", flag(o.PrivateTmp))
	log.Verbose("seccomp: %d", flag(o.Seccomp))
	group.log(log)
	if group == nil {
		adviseJoin(env, log)
	}
	return p, nil
}

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}

// userName returns $USER, or if that is not set the caller's name in the user database, or the number.
func userName(env *environ.Environment, caller early.Caller) string {
	if name, _ := env.Get("USER"); name != "" {
		return name
	}
	if u, ok := identity.LookupUser(caller.EUID); ok {
		return u.Name
	}
	return strconv.FormatUint(uint64(caller.EUID), 10)
}

// storageDirectory returns where images are kept that are run by name.
func storageDirectory(o *cli.Options, env *environ.Environment, user string, log *message.Log) string {
	if o.Storage != nil {
		if _, err := kernel.StatPath(kernel.CWD, *o.Storage); err != nil {
			log.Warning("storage directory not found: %s", *o.Storage)
		}
		return *o.Storage
	}
	if directory, _ := env.Get("CH_IMAGE_STORAGE"); directory != "" {
		return directory
	}
	return "/var/tmp/" + user + ".ch"
}

func (p *Plan) findImage(o *cli.Options, storage, user string, log *message.Log) (err error) {
	p.Image, err = image.Find(o.Image, storage, image.Access{Write: o.Write, Unsafe: o.Unsafe})
	if m := p.Image.Magic; len(m) == 4 {
		log.Verbose("image file magic expected: 6873 7173; actual: %02x%02x %02x%02x", m[0], m[1], m[2], m[3])
	}
	if err != nil {
		return err
	}
	if p.Image.Kind == image.SquashFS {
		return p.planSquashFS(o, user, log)
	}
	p.Root = p.Image.Path
	if o.Mount != nil {
		log.Warning("--mount invalid with directory image, ignoring")
	}
	return nil
}

// hostMounts are the files and directories of the host that every container has.
var hostMounts = []bind.Mount{
	{Source: "/dev", Destination: "/dev"},
	{Source: "/proc", Destination: "/proc"},
	{Source: "/sys", Destination: "/sys"},
	{Source: "/etc/hosts", Destination: "/etc/hosts", Need: bind.IfPresent},
	{Source: "/etc/machine-id", Destination: "/etc/machine-id", Need: bind.IfPresent},
	{Source: "/etc/resolv.conf", Destination: "/etc/resolv.conf", Need: bind.IfPresent},
	{Source: "/var/spool/slurmd", Destination: "/var/spool/slurmd", Need: bind.IfPresent},
	// HPE Cray: huge pages, interconnects of the XC and EX series.
	{Source: "/var/lib/hugetlbfs", Destination: "/var/lib/hugetlbfs", Need: bind.IfPresent},
	{Source: "/etc/opt/cray/wlm_detect", Destination: "/etc/opt/cray/wlm_detect", Need: bind.IfPresent},
	{Source: "/opt/cray/wlm_detect", Destination: "/opt/cray/wlm_detect", Need: bind.IfPresent},
	{Source: "/opt/cray/alps", Destination: "/opt/cray/alps", Need: bind.IfPresent},
	{Source: "/opt/cray/udreg", Destination: "/opt/cray/udreg", Need: bind.IfPresent},
	{Source: "/opt/cray/ugni", Destination: "/opt/cray/ugni", Need: bind.IfPresent},
	{Source: "/opt/cray/xpmem", Destination: "/opt/cray/xpmem", Need: bind.IfPresent},
	{Source: "/var/opt/cray/alps", Destination: "/var/opt/cray/alps", Need: bind.IfPresent},
}

func (p *Plan) identityMounts(log *message.Log) []bind.Mount {
	user, ok := identity.LookupUser(p.UID)
	if !ok {
		log.Verbose("UID %d not found; using dummy info", p.UID)
		user = identity.User{Name: "charlie", GECOS: "Charlie"}
	}
	group, ok := identity.LookupGroup(p.GID)
	if !ok {
		log.Verbose("GID %d not found; using dummy info", p.GID)
		group = "charliegroup"
	}
	return []bind.Mount{
		{Kind: bind.Content, Content: identity.Passwd(p.UID, p.GID, user), Destination: "/etc/passwd"},
		{Kind: bind.Content, Content: identity.Group(p.GID, group), Destination: "/etc/group"},
	}
}

func tmpMount(o *cli.Options, env *environ.Environment) bind.Mount {
	if o.PrivateTmp {
		return bind.Mount{Kind: bind.Tmpfs, Destination: "/tmp"}
	}
	m := bind.Mount{Source: "/tmp", Destination: "/tmp"}
	if directory, _ := env.Get("TMPDIR"); directory != "" {
		m.Source = directory
		m.Hint = "it is your $TMPDIR; create it, unset the variable, or use --private-tmp"
	}
	return m
}

// homeBind returns the mount of --home, or nil without that option.
func homeBind(o *cli.Options, env *environ.Environment, user string) (*bind.Mount, error) {
	if !o.Home {
		return nil, nil
	}
	home, _ := env.Get("HOME")
	if home == "" {
		return nil, message.Errorf("--home failed: $HOME not set")
	}
	if user == "." || user == ".." || user != path.Base("/"+user) {
		return nil, message.Errorf("--home failed: $USER is not a name: %s", user)
	}
	return &bind.Mount{Source: home, Destination: "/home/" + user, Need: bind.Create,
		Hint: "it is your $HOME"}, nil
}

func userBinds(arguments []string) ([]bind.Mount, error) {
	binds := make([]bind.Mount, len(arguments))
	for i, a := range arguments {
		var err error
		if binds[i], err = bind.Parse(a); err != nil {
			return nil, err
		}
	}
	return binds, nil
}

// changes reads the files of --set-env, once and before anything is mounted, since they belong to the
// host and may be pipes. variables are those that come with each device.
func changes(options []cli.EnvironmentChange, variables [][]environ.Assignment) ([]Change, error) {
	list := make([]Change, len(options))
	for i, o := range options {
		c := &list[i]
		*c = Change{Delimiter: o.Delimiter, Expand: o.Expand}
		switch {
		case o.Device > 0:
			c.Assignments = variables[o.Device-1]
		case o.Unset != "":
			c.IsUnset, c.Unset = true, environ.CompileGlob(o.Unset)
		case o.Set == "":
			c.FromImage = true
		default:
			a, err := environ.ParseOne(o.Set)
			switch {
			case err == nil:
				c.Assignments = []environ.Assignment{a}
				continue
			case errors.Is(err, environ.ErrEmptyName):
				return nil, message.Errorf("can't parse variable: %v: %s", err, o.Set)
			}
			data, err := kernel.ReadFile(kernel.CWD, o.Set)
			switch {
			case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.EFBIG):
				return nil, message.Wrap(err, "can't read: %s", o.Set)
			case err != nil:
				return nil, message.Wrap(err, "can't open: %s", o.Set)
			}
			if c.Assignments, err = environ.Parse(data, o.Delimiter, o.Set); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}
