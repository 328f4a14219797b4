package cdi

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"ch-run/internal/kernel"
	"ch-run/internal/yaml"

	"tags.cncf.io/container-device-interface/pkg/parser"
	specs "tags.cncf.io/container-device-interface/specs-go"
)

// A specification is a file that defines the devices of a kind.
type specification struct {
	*specs.Spec
	path string
}

// maxSpecification is the largest file that is read, in bytes. The largest in use have a few thousand lines.
const maxSpecification = 8 << 20

// read reads the file at path. Where kind is given, it returns nil for a file that cannot be about it,
// broken or not.
func read(path, kind string) (*specification, error) {
	data, err := readFile(path, kind != "")
	if err != nil {
		return nil, err
	}
	if kind != "" && !mentions(data, kind) {
		return nil, nil
	}
	if len(data) > maxSpecification {
		return nil, fmt.Errorf("larger than %d MiB", maxSpecification>>20)
	}
	spec, err := parse(data)
	if err == nil {
		err = validate(spec)
	}
	if err != nil {
		return nil, err
	}
	return &specification{spec, path}, nil
}

// readFile reads the file at path. One that was found in a directory has to be a regular file: of a FIFO that lies
// there, nobody knows whether anything will ever come out. Who names one, as in --device=<(nvidia-ctk cdi generate),
// does.
func readFile(path string, found bool) ([]byte, error) {
	if !found {
		return kernel.ReadFile(kernel.CWD, path)
	}
	fd, err := kernel.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	if st, err := fd.Stat(); err != nil || !st.IsRegular() {
		return nil, errors.New("not a regular file")
	}
	return kernel.ReadFile(kernel.CWD, fd.Path())
}

// mentions says whether the kind may stand in the text. With a backslash it may stand there in disguise.
func mentions(data []byte, kind string) bool {
	return bytes.Contains(data, []byte(kind)) || bytes.IndexByte(data, '\\') >= 0
}

func parse(data []byte) (*specs.Spec, error) {
	var spec specs.Spec
	if err := yaml.Unmarshal(data, &spec); err != nil {
		return nil, err
	}
	return &spec, nil
}

// validate returns an error if a specification is not one that the standard allows (SPEC.md of the CDI).
func validate(s *specs.Spec) error {
	if s.Version == "" {
		return errors.New("no cdiVersion")
	}
	vendor, class := parser.ParseQualifier(s.Kind)
	if err := parser.ValidateVendorName(vendor); err != nil {
		return fmt.Errorf("kind %q: %w", s.Kind, err)
	}
	if err := parser.ValidateClassName(class); err != nil {
		return fmt.Errorf("kind %q: %w", s.Kind, err)
	}
	if err := validateEdits(&s.ContainerEdits); err != nil {
		return err
	}
	if len(s.Devices) == 0 {
		return errors.New("no devices")
	}
	names := make(map[string]bool, len(s.Devices))
	for i := range s.Devices {
		d := &s.Devices[i]
		if err := parser.ValidateDeviceName(d.Name); err != nil {
			return err
		}
		if names[d.Name] {
			return fmt.Errorf("device %q twice", d.Name)
		}
		names[d.Name] = true
		if err := validateEdits(&d.ContainerEdits); err != nil {
			return fmt.Errorf("device %q: %w", d.Name, err)
		}
	}
	return validateVersion(*s)
}

// validateVersion goes by the canonical module, which takes for granted that nothing is null. Of what came before
// version 0.3.0 it only knows that it was there; its files differ from those in nothing but the number.
func validateVersion(s specs.Spec) error {
	switch strings.TrimPrefix(s.Version, "v") {
	case "0.1.0", "0.2.0":
		s.Version = "0.3.0"
	}
	if err := specs.ValidateVersion(&s); err != nil {
		return fmt.Errorf("%w; known are versions up to %s", err, specs.CurrentVersion)
	}
	return nil
}

// MaxPath is how long a path can be, in bytes, without the NUL byte at the end (PATH_MAX in linux/limits.h).
const MaxPath = 4095

// hookNames are the moments at which a runtime calls hooks (OCI runtime specification, config.md, "POSIX-platform
// Hooks").
const hookNames = " prestart createRuntime createContainer startContainer poststart poststop "

func validateEdits(e *specs.ContainerEdits) error {
	for _, entry := range e.Env {
		if name, _, ok := strings.Cut(entry, "="); !ok || name == "" {
			return fmt.Errorf("environment: not NAME=VALUE: %q", entry)
		}
		if strings.Contains(entry, "\x00") {
			return fmt.Errorf("environment: NUL byte: %q", entry)
		}
	}
	for _, n := range e.DeviceNodes {
		if n == nil || !isAbsolute(n.Path) || n.HostPath != "" && !isAbsolute(n.HostPath) {
			return errors.New("device node without an absolute path")
		}
		if climbs(n.Path) {
			return fmt.Errorf("device node: path leads above the root directory: %q", n.Path)
		}
	}
	for _, m := range e.Mounts {
		switch {
		case m == nil || m.HostPath == "" || m.ContainerPath == "":
			return errors.New("mount without hostPath or containerPath")
		case !isAbsolute(m.ContainerPath):
			return fmt.Errorf("mount: containerPath must be absolute: %q", m.ContainerPath)
		case len(m.ContainerPath) > MaxPath || len(m.HostPath) > MaxPath:
			return fmt.Errorf("mount: a path of more than %d bytes", MaxPath)
		case m.Type != "tmpfs" && !isAbsolute(m.HostPath):
			return fmt.Errorf("mount: hostPath must be absolute: %q", m.HostPath)
		case isRoot(m.ContainerPath):
			return errors.New("mount: containerPath can't be /")
		case climbs(m.ContainerPath):
			return fmt.Errorf("mount: containerPath leads above the root directory: %q", m.ContainerPath)
		}
	}
	for _, h := range e.Hooks {
		if h == nil || h.Path == "" || strings.ContainsAny(h.HookName, " ") || !strings.Contains(hookNames, " "+h.HookName+" ") {
			return errors.New("hook without path, or at an unknown moment")
		}
	}
	return nil
}

// isAbsolute says whether p is an absolute path that a system call can take.
func isAbsolute(p string) bool { return strings.HasPrefix(p, "/") && !strings.Contains(p, "\x00") }

// isRoot says whether the absolute path, as it is written, is that of the root directory.
func isRoot(p string) bool {
	return (strings.Contains(p, "..") || strings.Trim(p, "/.") == "") && path.Clean(p) == "/"
}

// climbs says whether the absolute path, read from left to right, goes above its root.
func climbs(p string) bool {
	return strings.Contains(p, "..") && strings.HasPrefix(path.Clean("."+p)+"/", "../")
}
