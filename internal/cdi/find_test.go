package cdi

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ch-run/internal/message"
)

func TestParseRequest(t *testing.T) {
	for text, want := range map[string]Request{
		"nvidia.com/gpu=0":               {Kind: "nvidia.com/gpu", Name: "0"},
		"nvidia.com/gpu=0:1":             {Kind: "nvidia.com/gpu", Name: "0:1"},
		"mellanox.com/rdma=0000:17:00.0": {Kind: "mellanox.com/rdma", Name: "0000:17:00.0"},
		"nvidia.com/gpu":                 {Kind: "nvidia.com/gpu"},
		"/etc/cdi/x.yaml":                {File: "/etc/cdi/x.yaml"},
		"/x":                             {File: "/x"},
		"./x":                            {File: "./x"},
		"../x":                           {File: "../x"},
		"x.json":                         {File: "x.json"},
		"a/b.yaml":                       {File: "a/b.yaml"},
		"a/b.yaml=c":                     {Kind: "a/b.yaml", Name: "c"},
	} {
		want.Text = text
		if got, err := ParseRequest(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "gpu", "gpu=0", "nvidia.com/", "/=", "=", "nvidia.com/gpu=", "nvidia.com/gpu=-", "nvidia.com/g/pu=0", "1.com/gpu=0", "nvidia.com/gpu=a b", "nvidia.com/gpu=a=b", "image"} {
		if got, err := ParseRequest(text); err == nil && got.File == "" {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// site makes directories of specifications. A file is given as "DIRECTORY/NAME" and its devices, each of which sets a
// variable to where it is from.
func site(t *testing.T, files map[string]string) (directories []string) {
	t.Helper()
	root := t.TempDir()
	for name, devices := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text := devices
		if kind, names, ok := strings.Cut(devices, ": "); ok {
			text = "cdiVersion: 0.5.0\nkind: " + kind + "\ncontainerEdits:\n  env:\n  - FILE=" + name + "\ndevices:\n"
			for device := range strings.FieldsSeq(names) {
				text += fmt.Sprintf("- name: \"%s\"\n  containerEdits:\n    env:\n    - D=%s:%s\n", device, name, device)
			}
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return []string{filepath.Join(root, "etc"), filepath.Join(root, "nothing"), filepath.Join(root, "run")}
}

func TestFind(t *testing.T) {
	files := map[string]string{
		"etc/a.yaml":      "v.example/gpu: 0 1 all",
		"etc/b.yaml":      "v.example/gpu: 2 clash",
		"etc/c.yaml":      "v.example/gpu: clash",
		"etc/d.yaml":      "v.example/nic: 0",
		"etc/e.yml":       "v.example/gpu: 9",
		"etc/sub/f.yaml":  "v.example/gpu: 8",
		"etc/broken.yaml": "kind: w.example/x\nnonsense",
		"etc/g.yaml":      "x.example/p: 1",
		"etc/h.yaml":      "x.example/p: 1",
		"run/a.yaml":      "v.example/gpu: 1",
		"run/g.yaml":      "x.example/p: 1",
	}
	for _, c := range []struct {
		requests string
		want     string // variables, or an error
	}{
		{"v.example/gpu=0", "FILE=etc/a.yaml D=etc/a.yaml:0"},
		{"v.example/gpu=1", "FILE=run/a.yaml D=run/a.yaml:1"}, // the later directory
		{"v.example/gpu=2", "FILE=etc/b.yaml D=etc/b.yaml:2"}, // though one of its devices clashes
		{"v.example/gpu=0 v.example/gpu=0", "FILE=etc/a.yaml D=etc/a.yaml:0"},
		{"v.example/gpu=all v.example/gpu=0 v.example/nic=0", "FILE=etc/a.yaml D=etc/a.yaml:all D=etc/a.yaml:0 FILE=etc/d.yaml D=etc/d.yaml:0"},
		{"v.example/gpu", "FILE=etc/a.yaml D=etc/a.yaml:0 FILE=run/a.yaml D=run/a.yaml:1 D=etc/a.yaml:all FILE=etc/b.yaml D=etc/b.yaml:2"},
		{"x.example/p=1", "FILE=run/g.yaml D=run/g.yaml:1"}, // which settles the conflict below it
		{"v.example/gpu=clash", "device not found: v.example/gpu=clash (hint: both"},
		{"v.example/gpu=7", "device not found: v.example/gpu=7 (hint: known: v.example/gpu=0 v.example/gpu=1 "},
		{"v.example/gpu=9", "device not found"}, // .yml is not a specification, nor is what is in a directory
		{"v.example/gpu=8", "device not found"},
		{"v.example/other=0", "device not found: v.example/other=0 (hint: no specification of v.example/other in"},
		{"v.example/other", "device not found: v.example/other (hint: no specification"},
		{"w.example/x=0", "device not found: w.example/x=0 (hint: can't use specification: "},
		{"w.example/x", "device not found: w.example/x (hint: can't use specification: "},
		{"./no.yaml", "can't use specification: ./no.yaml: No such file or directory"},
	} {
		var requests []Request
		for text := range strings.FieldsSeq(c.requests) {
			r, err := ParseRequest(text)
			if err != nil {
				t.Fatal(err)
			}
			requests = append(requests, r)
		}
		selections, err := Find(requests, site(t, files), &message.Log{})
		if err != nil {
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s: %v", c.requests, err)
			}
			continue
		}
		var got []string
		for _, s := range selections {
			for _, e := range s.Edits {
				got = append(got, e.Env...)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", c.requests, got, c.want)
		}
	}
}

// A file is all its devices, whatever the directories say, which are not even looked at.
func TestFindFile(t *testing.T) {
	directories := site(t, map[string]string{"etc/a.yaml": "v.example/gpu: 0 1"})
	file := filepath.Join(directories[0], "a.yaml")
	selections, err := Find([]Request{{Text: file, File: file}}, nil, &message.Log{})
	if err != nil || !slices.Equal(selections[0].Devices, []string{"v.example/gpu=0", "v.example/gpu=1"}) {
		t.Errorf("%v, %v", selections, err)
	}
}

func TestDirectories(t *testing.T) {
	if got := Directories(":/a::/b:"); !slices.Equal(got, []string{"/a", "/b"}) {
		t.Errorf("%q", got)
	}
}
