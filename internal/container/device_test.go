package container

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ch-run/internal/bind"
	"ch-run/internal/cli"
	"ch-run/internal/environ"
	"ch-run/internal/message"

	specs "tags.cncf.io/container-device-interface/specs-go"
)

// update says to write the plans in testdata/devices instead of comparing with them.
var update = os.Getenv("CH_RUN_TEST_UPDATE") != ""

// planned returns what is planned for the arguments of --device, as text.
func planned(t *testing.T, directory string, strict bool, what ...string) (string, error) {
	t.Helper()
	o := &cli.Options{Devices: what, CDIDirs: &directory}
	selections, variables, err := findDevices(o, environ.New(nil), &message.Log{})
	if err != nil {
		return "", err
	}
	d, err := planDevices(selections, strict)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, s := range selections {
		fmt.Fprintf(&b, "device %s\n", strings.Join(s.Devices, " "))
		for _, v := range variables[i] {
			fmt.Fprintf(&b, "variable %s=%s\n", v.Name, v.Value)
		}
	}
	for _, n := range d.Nodes {
		fmt.Fprintf(&b, "node %s %s\n", n.Path, n.Permissions)
	}
	for _, m := range d.Mounts {
		switch {
		case m.Kind == bind.Symlink:
			fmt.Fprintf(&b, "link %s -> %s\n", m.Destination, m.Source)
		case m.Kind == bind.Tmpfs:
			fmt.Fprintf(&b, "tmpfs %s\n", m.Destination)
		case m.Merge:
			fmt.Fprintf(&b, "merge %s at %s\n", m.Source, m.Destination)
		default:
			fmt.Fprintf(&b, "mount %s at %s\n", m.Source, m.Destination)
		}
	}
	for _, f := range d.Folders {
		fmt.Fprintf(&b, "folder %s\n", f)
	}
	if d.AllFolders && len(d.Folders) > 0 {
		fmt.Fprintf(&b, "and all other folders\n")
	}
	fmt.Fprintf(&b, "links %v, cache %v\n", d.Links, d.Cache)
	if d.Compat != nil {
		fmt.Fprintf(&b, "compat %s, host %s\n", d.Compat.folder, d.Compat.hostVersion)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note %s\n", n)
	}
	return b.String(), nil
}

// Specifications of the shapes that the vendors' programs write, and what comes of them: all devices of each, and
// single ones. The plans were read by a human being before they became what is expected.
func TestDevicePlans(t *testing.T) {
	cases := map[string][]string{
		"nvidia.yaml": {"nvidia.com/gpu=all", "nvidia.com/gpu=0", "nvidia.com/gpu"}, "nvidia-old.yaml": {"nvidia.com/gpu=all"},
		"nvidia-mig.yaml": {"nvidia.com/gpu=0:1"}, "nvidia-tegra.yaml": {"nvidia.com/gpu"}, "nvidia-imex.yaml": {""},
		"amd.json": {"amd.com/gpu=0", "amd.com/gpu=all"}, "intel.yaml": {"intel.com/gpu"}, "hpe-cxi.yaml": {"hpe.com/cxi=all"},
		"rdma.yaml": {""}, "slingshot.yaml": {"site.example.org/slingshot=all", "site.example.org/slingshot=replace-debian"},
	}
	for file, requests := range cases {
		data, err := os.ReadFile("testdata/devices/" + file)
		if err != nil {
			t.Fatal(err)
		}
		site := t.TempDir()
		if err := os.WriteFile(filepath.Join(site, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, request := range requests {
			what := request
			if request == "" {
				request, what = file, filepath.Join(site, file)
			}
			plan, err := planned(t, site, false, what)
			if err != nil {
				t.Errorf("%s: %v", request, err)
			}
			fmt.Fprintf(&text, "# %s\n%s\n", request, plan)
		}
		golden := "testdata/devices/" + strings.TrimSuffix(file, filepath.Ext(file)) + ".plan"
		if update {
			if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil || string(want) != text.String() {
			t.Errorf("%s: %v; got\n%s", golden, err, text.String())
		}
	}
}

// All of a specification, asked for twice, is no more than once: each destination has one mount, and a directory comes
// before what is in it.
func TestAllOfASpecification(t *testing.T) {
	files, err := filepath.Glob("testdata/devices/*.[yj]*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d specifications: %v", len(files), err)
	}
	for _, file := range files {
		once, err := planned(t, "", false, file)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := planned(t, "", false, file, file)
		if err != nil {
			t.Fatal(err)
		}
		devices, _, _ := strings.Cut(once, "\n")
		if strings.Count(twice, devices+"\n") != 2 || strings.ReplaceAll(twice, devices+"\n", "") != strings.Replace(once, devices+"\n", "", 1) {
			t.Errorf("%s: once\n%stwice\n%s", file, once, twice)
		}
		var destinations []string
		for line := range strings.Lines(once) {
			words := strings.Fields(line)
			switch words[0] {
			case "mount", "merge":
				destinations = append(destinations, words[3])
			case "link", "tmpfs":
				destinations = append(destinations, words[1])
			}
		}
		for i, d := range destinations {
			for _, earlier := range destinations[:i] {
				if d == earlier || strings.HasPrefix(earlier, d+"/") {
					t.Errorf("%s: %s comes after %s", file, d, earlier)
				}
			}
		}
	}
}

// specification writes one whose device "0" has the edits.
func specification(t *testing.T, edits string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.json")
	text := `{"cdiVersion": "1.1.0", "kind": "v.example/c", "devices": [{"name": "0", "containerEdits": ` + edits + `}]}`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// What is asked for twice, or at odds with itself, or cannot be had.
func TestOddDevices(t *testing.T) {
	mount := func(host, container, more string) string {
		return fmt.Sprintf(`{"hostPath": %q, "containerPath": %q%s}`, host, container, more)
	}
	for edits, want := range map[string]string{
		`{"mounts": [` + mount("/a", "/x", "") + `, ` + mount("/b", "/x/.", "") + `]}`:                                                                                                        "mount /b at /x\n",
		`{"mounts": [` + mount("/a", "/x/y/z", `, "options": ["ro"]`) + `, ` + mount("/b", "/x", `, "options": ["rw"]`) + `]}`:                                                                "mount /b at /x\nmerge /a at /x/y/z\n",
		`{"mounts": [` + mount("tmpfs", "/x", `, "type": "tmpfs"`) + `]}`:                                                                                                                     "tmpfs /x\n",
		`{"mounts": [` + mount("/a", "/x", `, "type": "l", "options": ["bind"]`) + `]}`:                                                                                                       "mount /a at /x\n",
		`{"mounts": [` + mount("/a", "/x", `, "type": "nfs"`) + `]}`:                                                                                                                          "note mount of type nfs at /x is not possible without privilege\n",
		`{"mounts": [` + mount("/a", "/x/..y/../z", "") + `]}`:                                                                                                                                "mount /a at /x/..y/../z\n",
		`{"deviceNodes": [{"path": "/dev/a"}, {"path": "/dev/a"}, {"path": "/dev/b", "permissions": "rm"}, {"path": "/dev/c", "permissions": "none"}]}`:                                       "node /dev/a rw\nnode /dev/b r\nnode /dev/c \n",
		`{"deviceNodes": [{"path": "/dev/a", "permissions": "r"}, {"path": "/dev/a", "permissions": "wm"}, {"path": "/dev/b", "permissions": "rw"}, {"path": "/dev/b", "permissions": "r"}]}`: "node /dev/a rw\nnode /dev/b rw\n",
		`{"mounts": [` + mount("/a", "/x/y", "") + `, ` + mount("/b", "/x/../x/./z/..", "") + `]}`:                                                                                            "mount /b at /x/../x/./z/..\nmount /a at /x/y\n",
		`{"deviceNodes": [{"path": "/dev/a", "hostPath": "/dev/b"}, {"path": "/vendor/c"}]}`:                                                                                                  "node /dev/a rw\nnode /vendor/c rw\nmount /dev/b at /dev/a\nmount /vendor/c at /vendor/c\n",
		`{"netDevices": [{"hostInterfaceName": "eth0", "name": "a"}], "intelRdt": {"closID": "x"}}`:                                                                                           "note network devices cannot be moved into a container without privilege\nnote a class of service (intelRdt) cannot be set without privilege\n",
	} {
		file := specification(t, edits)
		got, err := planned(t, "", false, file, file)
		got = strings.Replace(strings.ReplaceAll(got, "device v.example/c=0\n", ""), "links false, cache false\n", "", 1)
		if err != nil || got != want {
			t.Errorf("%s: %v, got\n%s", edits, err, got)
		}
	}
}

func TestManyMounts(t *testing.T) {
	var mounts []string
	for i := range 10_000 {
		mounts = append(mounts, fmt.Sprintf(`{"hostPath": "/usr/lib/lib%d.so", "containerPath": "/usr/lib/lib%d.so", "options": ["ro"]}`, i, i))
	}
	plan, err := planned(t, "", false, specification(t, `{"mounts": [`+strings.Join(mounts, ",")+`]}`))
	if err != nil || strings.Count(plan, "merge ") != 10_000 {
		t.Errorf("%v, %d", err, strings.Count(plan, "merge "))
	}
}

func TestHookCommands(t *testing.T) {
	for _, c := range []struct {
		path string
		args []string
		want string // the word, and the values of --folder
	}{
		{"/usr/bin/nvidia-cdi-hook", []string{"nvidia-cdi-hook", "update-ldcache", "--folder", "/a", "--folder=/b"}, "update-ldcache /a /b"},
		{"/usr/bin/nvidia-ctk", []string{"nvidia-ctk", "hook", "update-ldcache", "-folder", "/a,/b"}, "update-ldcache /a /b"},
		{"/usr/bin/nvidia-ctk", []string{"/usr/bin/nvidia-ctk", "--quiet", "hook", "update-ldcache", "--folder"}, "update-ldcache"},
		{"/usr/bin/nvidia-ctk", []string{"hook", "update-ldcache", "--ldconfig-path", "/x", "--folder", "/a"}, "update-ldcache /a"},
		{"/opt/toolkit/nvidia-ctk.real", []string{"nvidia-ctk", "hook", "update-ldcache"}, "update-ldcache"},
		{"/opt/toolkit/nvidia-cdi-hook.real", []string{"nvidia-cdi-hook", "update-ldcache", "--folder", "/a"}, "update-ldcache /a"},
		{"/usr/bin/nvidia-ctk", []string{"nvidia-ctk", "--log-level", "debug", "hook", "update-ldcache", "--folder", "/a"}, "update-ldcache /a"},
		{"/usr/bin/nvidia-cdi-hook", []string{"--log-level", "debug", "update-ldcache", "--folder", "hook"}, "update-ldcache hook"},
		{"/usr/bin/wrapper", []string{"tool", "chmod", "--path", "/a"}, "chmod"},
		{"/usr/bin/amd-ctk", []string{"amd-ctk", "hook", "update-ldcache", "--folder", "/a"}, "update-ldcache /a"},
		{"/usr/bin/other", nil, "other"},
	} {
		name, args := hookCommand(&specs.Hook{Path: c.path, Args: c.args})
		if got := strings.Join(slices.Concat([]string{name}, flagValues(args, "folder")), " "); got != c.want {
			t.Errorf("%s %q: got %s, want %s", c.path, c.args, got, c.want)
		}
	}
}

func TestHooksThatAreNotKnown(t *testing.T) {
	hook := func(args string) string {
		return `{"hooks": [{"hookName": "createContainer", "path": "/v/tool", "args": [` + args + `]}]}`
	}
	for args, want := range map[string]string{
		`"tool", "frobnicate", "-x"`:       "note hook is not known and not run: /v/tool frobnicate -x\n",
		``:                                 "note hook is not known and not run: /v/tool\n",
		`"frobnicate", "-x"`:               "note hook is not known and not run: /v/tool frobnicate -x\n",
		`"v-ctk", "hook", "frobnicate"`:    "note hook is not known and not run: /v/tool hook frobnicate\n",
		`"tool", "chmod", "--mode", "755"`: "",
		`"tool", "create-symlinks"`:        "",
		`"tool", "create-soname-symlinks", "--folder", "/l"`:                  "folder /l\nlinks true, cache false\n",
		`"tool", "enable-cuda-compat", "--host-driver-version=580.1"`:         "compat /usr/local/cuda/compat, host 580.1\n",
		`"tool", "create-symlinks", "--link", "a::/b/c", "--link", "d::/b/c"`: "link /b/c -> d\n",
	} {
		got, err := planned(t, "", false, specification(t, hook(args)))
		got = strings.Replace(strings.Replace(got, "device v.example/c=0\n", "", 1), "links false, cache false\n", "", 1)
		if err != nil || got != want {
			t.Errorf("%s: %v, got\n%s", args, err, got)
		}
	}
	ldcache := `{"hookName": "createContainer", "path": "/v/tool", "args": ["tool", "update-ldcache"%s]}`
	both := `{"hooks": [` + fmt.Sprintf(ldcache, "") + `, ` + fmt.Sprintf(ldcache, `, "--folder", "/a"`) + `]}`
	got, err := planned(t, "", false, specification(t, both))
	if err != nil || !strings.Contains(got, "folder /a\nand all other folders\nlinks true, cache true\n") {
		t.Errorf("the linker cache for a folder and for all: %v, got\n%s", err, got)
	}
	for _, link := range []string{"a", "a::b", "::/b", strings.Repeat("x/", 2048) + "::/b"} {
		if _, err := planned(t, "", false, specification(t, hook(`"tool", "create-symlinks", "--link", "`+link+`"`))); err == nil {
			t.Errorf("link %s is accepted", link)
		}
	}
}
