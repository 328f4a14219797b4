package test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
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
	library := makeLibrary(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			v := makeVendor(t, file, library)
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
				if got := run("cat", v.destinations); got != v.contents.String() {
					t.Errorf("%s: the files are others: %d bytes, want %d", way, len(got), v.contents.Len())
				}
				if got, want := strings.TrimSpace(run("readlink", v.links)), strings.Join(v.targets, "\n"); got != want {
					t.Errorf("%s: links: got\n%s\nwant\n%s", way, got, want)
				}
			}
		})
	}
}

// soname is in place of the name that the library is known by.
const soname = "libPLACEHOLDER-OF-A-NAME-THAT-IS-LONG-ENOUGH-FOR-ALL.so.1"

// makeLibrary returns a library that needs no other.
func makeLibrary(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "library")
	cmd := exec.Command("gcc", "-shared", "-nostdlib", "-Wl,-soname,"+soname, "-o", file, "-x", "c", "-")
	cmd.Stdin = strings.NewReader("int vendor;")
	output(t, cmd)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A vendor is a host on which everything is that a specification names. Each file contains the path that it has there,
// and libraries are some.
type vendor struct {
	root           string
	file           string // the specification
	library        []byte
	destinations   []string
	contents       strings.Builder // of all files
	links, targets []string
}

func makeVendor(t *testing.T, file string, library []byte) *vendor {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var spec specs.Spec
	if err := yaml.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	v := &vendor{root: t.TempDir(), library: library}
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
		content := v.content(m.HostPath)
		m.HostPath = filepath.Join(v.root, m.HostPath)
		if err := os.MkdirAll(filepath.Dir(m.HostPath), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.HostPath, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if !isDevice(m.ContainerPath) {
			v.destinations = append(v.destinations, m.ContainerPath)
			v.contents.Write(content)
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

func (v *vendor) content(path string) []byte {
	text := []byte(path + "\n")
	name, _, isLibrary := strings.Cut(filepath.Base(path), ".so")
	if !isLibrary {
		return text
	}
	padded := make([]byte, len(soname))
	copy(padded, name+".so.1")
	return append(bytes.ReplaceAll(v.library, []byte(soname), padded), text...)
}

// isDevice says whether the path is in a directory that is the host's, so that nothing can be made there.
func isDevice(path string) bool { return strings.HasPrefix(path, "/dev/") }
