package cdi

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ch-run/internal/message"

	"go.yaml.in/yaml/v3"
	specs "tags.cncf.io/container-device-interface/specs-go"
)

// real are specifications as the vendors' programs write them.
func real(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../container/testdata/devices/*.[yj]*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d specifications: %v", len(files), err)
	}
	texts := map[string][]byte{}
	for _, file := range files {
		if texts[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// byLibrary is what the YAML library makes of a text.
func byLibrary(data []byte) (specs.Spec, error) {
	var spec specs.Spec
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	err := decoder.Decode(&spec)
	return spec, err
}

// What programs write is read as the library of the canonical module reads it.
func TestAsTheLibrary(t *testing.T) {
	for name, data := range real(t) {
		want, err := byLibrary(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		spec, err := parse(data)
		if err == nil {
			err = validate(spec)
		}
		if err != nil || !reflect.DeepEqual(*spec, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every field that there is can be read, from JSON and from YAML.
func TestAllFields(t *testing.T) {
	number, mode, id := 7, os.FileMode(0o640), uint32(5)
	edits := specs.ContainerEdits{
		Env:         []string{"A=b: c # d", "E='"},
		DeviceNodes: []*specs.DeviceNode{{Path: "/p", HostPath: "/h", Type: "c", Major: 1, Minor: 2, FileMode: &mode, Permissions: "rw", UID: &id, GID: &id}},
		NetDevices:  []*specs.LinuxNetDevice{{HostInterfaceName: "h", Name: "n"}},
		Hooks:       []*specs.Hook{{HookName: "prestart", Path: "/p", Args: []string{"a", "-b", "", "c\nd"}, Env: []string{"A=b"}, Timeout: &number}},
		Mounts:      []*specs.Mount{{HostPath: "/h", ContainerPath: "/c", Options: []string{"ro"}, Type: "none"}},
		IntelRdt:    &specs.IntelRdt{ClosID: "c", L3CacheSchema: "l", MemBwSchema: "m", Schemata: []string{"s"}, EnableMonitoring: true}, AdditionalGIDs: []uint32{1, 2},
	}
	want := specs.Spec{
		Version: "1.1.0", Kind: "v.example/c", Annotations: map[string]string{"a/b": "é\u2028"}, ContainerEdits: edits,
		Devices: []specs.Device{{Name: "0", Annotations: map[string]string{"c": "d"}, ContainerEdits: edits}},
	}
	checkSet(t, reflect.ValueOf(want), "Spec")
	for name, write := range map[string]func(any) ([]byte, error){
		"JSON":     json.Marshal,
		"indented": func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "\t") },
		"YAML":     yaml.Marshal,
	} {
		data, err := write(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parse(data); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %v, got %+v\n%s", name, err, got, data)
		}
	}
}

// checkSet fails for a field that is not set.
func checkSet(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			checkSet(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer, reflect.Slice:
		if v.IsNil() {
			t.Errorf("%s is not set", path)
		} else if v.Kind() == reflect.Pointer {
			checkSet(t, v.Elem(), path)
		} else {
			checkSet(t, v.Index(0), path)
		}
	default:
		if v.IsZero() {
			t.Errorf("%s is not set", path)
		}
	}
}

const good = `{"cdiVersion": "0.5.0", "kind": "v.example/c", "devices": [{"name": "d", "containerEdits": {"env": ["A=b"]}}]}`

// What a specification must not be, and what is said about it.
func TestBadSpecifications(t *testing.T) {
	for text, want := range map[string]string{
		"":        "no cdiVersion",
		"- a\n":   "line 1: a sequence where a mapping is expected",
		"kind: [": "line 1: a sequence where text is expected",
		"{":       "line 1: unexpected end",
		strings.Replace(good, "0.5.0", "9.0.0", 1):                                                                                      `invalid version "9.0.0"; known are versions up to 1.1.0`,
		strings.Replace(good, `"0.5.0"`, `""`, 1):                                                                                       "no cdiVersion",
		strings.Replace(good, `"kind"`, `"future": 1, "kind"`, 1):                                                                       `unknown field "future"`,
		strings.Replace(good, "v.example/c", "v.example", 1):                                                                            "kind",
		strings.Replace(good, "v.example/c", "../x", 1):                                                                                 "kind",
		strings.Replace(good, "v.example/c", "v/c=d", 1):                                                                                "kind",
		strings.Replace(good, `"d"`, `"d/e"`, 1):                                                                                        "invalid character",
		strings.Replace(good, `"A=b"`, `"A"`, 1):                                                                                        `not NAME=VALUE: "A"`,
		strings.Replace(good, `"A=b"`, `"=b"`, 1):                                                                                       `not NAME=VALUE: "=b"`,
		strings.Replace(good, `"A=b"`, `"A=\u0000"`, 1):                                                                                 "NUL",
		strings.Replace(good, `{"name"`, `{"name": "d", "containerEdits": {}}, {"name"`, 1):                                             `device "d" twice`,
		strings.Replace(good, `[{"name": "d", "containerEdits": {"env": ["A=b"]}}]`, `[]`, 1):                                           "no devices",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [{"hostPath": "a", "containerPath": "/b"}]`, 1):                              "hostPath must be absolute",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [{"hostPath": "/a", "containerPath": "b"}]`, 1):                              "containerPath must be absolute",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [{"hostPath": "/a", "containerPath": "/b/.."}]`, 1):                          "containerPath can't be /",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [{"hostPath": "/a"}]`, 1):                                                    "without hostPath or containerPath",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [{"hostPath": "/a", "containerPath": "`+strings.Repeat("/x", 2048)+`"}]`, 1): "a path of more than 4095 bytes",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [null]`, 1):                                                                  "without hostPath or containerPath",
		strings.Replace(good, `"env": ["A=b"]`, `"deviceNodes": [{"path": "dev/x"}]`, 1):                                                "without an absolute path",
		strings.Replace(good, `"env": ["A=b"]`, `"hooks": [{"hookName": "later", "path": "/x"}]`, 1):                                    "unknown moment",
		strings.Replace(good, `"env": ["A=b"]`, `"hooks": [{"hookName": "poststart"}]`, 1):                                              "without path",
		strings.Replace(good, `"env": ["A=b"]`, `"netDevices": [{"hostInterfaceName": "eth0", "name": "a"}]`, 1):                        "must be at least v1.1.0",
	} {
		file := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := read(file, ""); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\ngot %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"\ufeff" + good, "\ufeff# a comment\n" + good} {
		if spec, err := parse([]byte(text)); err != nil || spec.Kind != "v.example/c" {
			t.Errorf("with a byte order mark: %v", err)
		}
	}
	for _, version := range []string{"0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0", "v1.0.0"} {
		spec, err := parse([]byte(strings.Replace(good, "0.5.0", version, 1)))
		if err == nil {
			err = validate(spec)
		}
		if err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
}

// What lies in a directory is not waited for; what the user names may be a pipe.
func TestFIFO(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "x.yaml")
	if err := syscall.Mkfifo(file, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Find([]Request{{Text: "v.example/c=d", Kind: "v.example/c", Name: "d"}}, []string{directory}, &message.Log{})
	if err == nil || !strings.Contains(err.Error(), file+": not a regular file") {
		t.Errorf("in a directory: %v", err)
	}
	go func() {
		if err := os.WriteFile(file, []byte(good), 0); err != nil {
			t.Error(err)
		}
	}()
	selections, err := Find([]Request{{Text: file, File: file}}, nil, &message.Log{})
	if err != nil || !slices.Equal(selections[0].Devices, []string{"v.example/c=d"}) {
		t.Errorf("named: %v, %v", selections, err)
	}
}
