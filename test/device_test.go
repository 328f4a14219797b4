package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	specs "tags.cncf.io/container-device-interface/specs-go"
)

// Of each specification as the vendors' programs write them, every file is where it belongs, and every link.
func TestVendorDevices(t *testing.T) {
	files, err := filepath.Glob(inputs + "/devices/*.[yj]*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d specifications: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			v := makeVendor(t, file)
			img := image(t)
			for _, way := range []string{"--private-tmp", "--write-fake"} {
				run := func(verb string, paths []string) string {
					cmd := chRun(append([]string{way, "--private-tmp", "-d", v.file, img, "--", "probe", verb}, paths...)...)
					cmd.Stderr = nil // device nodes that are missing here
					out, err := cmd.Output()
					if err != nil {
						t.Errorf("%s: %v", way, err)
					}
					return string(out)
				}
				for what, pair := range map[string][2]string{
					"files": {run("cat", v.destinations), strings.Join(v.sources, "\n")},
					"links": {run("readlink", v.links), strings.Join(v.targets, "\n")},
				} {
					if got := strings.TrimSpace(pair[0]); got != pair[1] {
						t.Errorf("%s: %s: got\n%s\nwant\n%s", way, what, got, pair[1])
					}
				}
			}
		})
	}
}

// A vendor is a host on which everything is that a specification names. Each file contains the path that it has there.
type vendor struct {
	file                  string // the specification
	destinations, sources []string
	links, targets        []string
	root                  string
}

func makeVendor(t *testing.T, file string) *vendor {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var spec specs.Spec
	if err := yaml.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	v := &vendor{root: t.TempDir()}
	v.edit(t, &spec.ContainerEdits)
	for i := range spec.Devices {
		v.edit(t, &spec.Devices[i].ContainerEdits)
	}
	if data, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
	v.file = filepath.Join(v.root, "specification.json")
	if err := os.WriteFile(v.file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return v
}

// edit makes the files, and changes the paths to what they are.
func (v *vendor) edit(t *testing.T, e *specs.ContainerEdits) {
	t.Helper()
	for _, m := range e.Mounts {
		source := m.HostPath
		m.HostPath = filepath.Join(v.root, source)
		if err := os.MkdirAll(filepath.Dir(m.HostPath), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.HostPath, []byte(source+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if !isDevice(m.ContainerPath) {
			v.destinations, v.sources = append(v.destinations, m.ContainerPath), append(v.sources, source)
		}
	}
	for _, h := range e.Hooks {
		for i, argument := range h.Args {
			if target, link, ok := strings.Cut(argument, "::"); ok && h.Args[i-1] == "--link" && !isDevice(link) {
				v.links, v.targets = append(v.links, link), append(v.targets, target)
			}
		}
	}
}

// isDevice says whether the path is in a directory that is the host's, so that nothing can be made there.
func isDevice(path string) bool { return strings.HasPrefix(path, "/dev/") }
