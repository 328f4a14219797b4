package container

import (
	"path"
	"slices"
	"strings"

	"ch-run/internal/bind"
	"ch-run/internal/message"

	specs "tags.cncf.io/container-device-interface/specs-go"
)

// A cudaCompat is where an image may have a newer CUDA driver library than the host.
type cudaCompat struct{ folder, hostVersion string }

// Of the hooks of NVIDIA's container toolkit (cmd/nvidia-cdi-hook there), which other vendors have taken over,
// those that make no difference here: device nodes are the host's, which nobody can change without
// privilege, and the application profile would list all GPUs.
const hooksWithoutEffect = " chmod disable-device-node-modification update-nvidia-params update-application-profile check-requirements "

// addHook notes what a hook is to do; no program of the host is run for it. A hook is known by the word behind the
// program's name, as programs of several names and vendors have it: "nvidia-cdi-hook update-ldcache", "nvidia-ctk hook
// update-ldcache".
func (d *Devices) addHook(h *specs.Hook, links *placed) error {
	name, args := hookCommand(h)
	switch name {
	case "update-ldcache", "create-soname-symlinks":
		d.Links = true
		d.Cache = d.Cache || name == "update-ldcache"
		for _, folder := range flagValues(args, "folder") {
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
		if !strings.Contains(hooksWithoutEffect, " "+name+" ") {
			d.note("hook is not known and not run: " + message.Quote(append([]string{h.Path}, h.Args[min(1, len(h.Args)):]...)))
		}
	}
	return nil
}

// hookCommand returns the word that says what the hook does, and the arguments behind it. The program's own name,
// which is the first argument, may be missing.
func hookCommand(h *specs.Hook) (name string, args []string) {
	args = h.Args
	if len(args) > 0 && path.Base(args[0]) == path.Base(h.Path) {
		args = args[1:]
	} else if len(args) > 1 && !strings.HasPrefix(args[0], "-") && args[0] != "hook" && strings.Contains(path.Base(args[0]), "-ctk") {
		args = args[1:]
	}
	for len(args) > 0 && (strings.HasPrefix(args[0], "-") || args[0] == "hook") {
		args = args[1:]
	}
	if len(args) == 0 {
		return path.Base(h.Path), nil
	}
	return args[0], args[1:]
}

// flagValues returns the values of a flag that can be repeated: "--name VALUE", "--name=VALUE", with one dash or two. Values
// are lists with commas.
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
