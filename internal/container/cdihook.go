package container

import (
	"path"
	"slices"
	"strings"

	"ch-run/internal/bind"
	"ch-run/internal/cdi"
	"ch-run/internal/message"

	specs "tags.cncf.io/container-device-interface/specs-go"
)

// A cudaCompat is where an image may have a newer CUDA driver library than the host.
type cudaCompat struct{ folder, hostVersion string }

// Of the hooks of NVIDIA's container toolkit (cmd/nvidia-cdi-hook there), which other vendors have taken over,
// those that make no difference here: device nodes are the host's, which nobody can change without
// privilege, and the application profile would list all GPUs.
var hooksWithoutEffect = []string{"chmod", "disable-device-node-modification", "update-nvidia-params", "update-application-profile", "check-requirements"}

// Those that do.
var hooksWithEffect = []string{"update-ldcache", "create-soname-symlinks", "create-symlinks", "enable-cuda-compat", "cuda-compat"}

func isKnownHook(name string) bool {
	return slices.Contains(hooksWithEffect, name) || slices.Contains(hooksWithoutEffect, name)
}

// addHook notes what a hook is to do; no program of the host is run for it. A hook is known by the word behind the
// program's name, as programs of several names and vendors have it: "nvidia-cdi-hook update-ldcache", "nvidia-ctk hook
// update-ldcache".
func (d *Devices) addHook(h *specs.Hook, links *placed) error {
	name, args := hookCommand(h)
	switch name {
	case "update-ldcache", "create-soname-symlinks":
		d.Links = true
		d.Cache = d.Cache || name == "update-ldcache"
		folders := flagValues(args, "folder")
		d.AllFolders = d.AllFolders || len(folders) == 0
		for _, folder := range folders {
			if folder = path.Clean(folder); !slices.Contains(d.Folders, folder) {
				d.Folders = append(d.Folders, folder)
			}
		}
	case "create-symlinks":
		for _, argument := range flagValues(args, "link") {
			target, name, ok := strings.Cut(argument, "::")
			if !ok || target == "" || !strings.HasPrefix(name, "/") || strings.Contains(argument, "\x00") {
				return message.Errorf("CDI hook create-symlinks: not TARGET::LINK with an absolute LINK: %s", argument)
			}
			if len(target) > cdi.MaxPath || len(name) > cdi.MaxPath {
				return message.Errorf("CDI hook create-symlinks: a path of more than %d bytes: %.40s…", cdi.MaxPath, argument)
			}
			links.set(bind.Mount{Kind: bind.Symlink, Source: target, Destination: path.Clean(name), Need: bind.Create})
		}
	case "enable-cuda-compat", "cuda-compat":
		d.Compat = &cudaCompat{folder: "/usr/local/cuda/compat"}
		for _, version := range flagValues(args, "host-driver-version") {
			d.Compat.hostVersion = version
		}
		for _, folder := range flagValues(args, "cuda-compat-container-root") {
			d.Compat.folder = path.Clean("/" + folder)
		}
	default:
		if !slices.Contains(hooksWithoutEffect, name) {
			d.note("hook is not known and not run: " + message.Quote(append([]string{h.Path}, hookArguments(h)...)))
		}
	}
	return nil
}

// hookCommand returns the word that says what the hook does, and the arguments behind it.
func hookCommand(h *specs.Hook) (name string, args []string) {
	args = hookArguments(h)
	isWord := func(a string) bool { return a == "hook" || isKnownHook(a) }
	if i := slices.IndexFunc(args, isWord); i >= 0 { // options that precede it may have values
		args = args[i:]
	}
	for len(args) > 0 && (strings.HasPrefix(args[0], "-") || args[0] == "hook") {
		args = args[1:]
	}
	if len(args) == 0 {
		return path.Base(h.Path), nil
	}
	return args[0], args[1:]
}

// hookArguments returns the arguments without the program's own name, which is the first, but may be missing. Where
// the program is installed by another name, the first argument is still that of a vendor's tool.
func hookArguments(h *specs.Hook) []string {
	if len(h.Args) == 0 {
		return nil
	}
	first := path.Base(h.Args[0])
	named := strings.Contains(first, "-ctk") || strings.HasSuffix(first, "-cdi-hook")
	if first == path.Base(h.Path) || named && len(h.Args) > 1 {
		return h.Args[1:]
	}
	return h.Args
}

// flagValues returns the values of a flag that can be repeated: "--name VALUE", "--name=VALUE", with one dash or two.
// Values are lists with commas.
func flagValues(args []string, name string) (values []string) {
	for i := 0; i < len(args); i++ {
		flag, value, attached := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(args[i], "-"), "-"), "=")
		if !strings.HasPrefix(args[i], "-") || flag != name {
			continue
		}
		if !attached {
			if i++; i == len(args) {
				break
			}
			value = args[i]
		}
		for v := range strings.SplitSeq(value, ",") {
			if v != "" {
				values = append(values, v)
			}
		}
	}
	return values
}
