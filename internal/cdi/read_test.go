package cdi

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ch-run/internal/message"

	"github.com/goccy/go-yaml"
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
	err := yaml.UnmarshalWithOptions(data, &spec, yaml.Strict())
	return spec, err
}

// What programs write goes the short way, and the result is that of the library.
func TestShortWay(t *testing.T) {
	byHand := map[string]bool{"slingshot.yaml": true}
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
		if strings.HasSuffix(name, ".json") || byHand[name] || name == "rdma.yaml" { // names that look like numbers
			continue
		}
		if short := parsePlain(data); short == nil || !reflect.DeepEqual(*short, want) {
			t.Errorf("%s: not by the short way: %+v", name, short)
		}
	}
}

// checkShortWay fails if the short way gives a result and the library another, or none.
func checkShortWay(t *testing.T, data []byte) {
	t.Helper()
	short := parsePlain(data)
	if short == nil {
		return
	}
	want, err := byLibrary(data)
	if err != nil {
		t.Errorf("the library refuses it: %v\n%s", err, data)
		return
	}
	if !reflect.DeepEqual(*short, want) {
		t.Errorf("got %+v, want %+v\n%s", *short, want, data)
	}
}

// Scalars and layouts that mean something else than what they look like.
func TestShortWayIsCareful(t *testing.T) {
	for _, scalar := range []string{
		"a", "0", "1", "007", "0x1f", "0o17", "1e3", "1.5", "1.2.3", "0.5.0", "1.2.3.", "12:30", "12:30:45", "2001-01-01", "+1", "-1", "-.5", ".5", ".inf", "-.inf", ".nan",
		"true", "True", "yes", "No", "on", "y", "~", "null", "NULL", "''", `""`, `"a"`, `'a'`, `"a\n"`, `'it''s'`, "a b", "a:b", "a: b", "a:", "a #b", "a#b", "#a", "&a", "*a", "!a", "|", ">",
		"%a", "@a", "`a", "[a]", "[]", "{}", "{a: b}", "? a", "- a", "-", "--a", "-a", "--", "---", "a\\b", `a"b`, "a'b", `"a"b`, "'a' ", "a\tb", "é", "=", "=a", "/a b/c", "_a", "1_000", "0b1",
		"a, b", "<<", "-inf", "-nan", "1:2", "123456789012345678901234567890",
	} {
		for _, format := range []string{
			"kind: %s\n", "cdiVersion: 0.5.0\nkind:   %s   \ndevices: []\n", "containerEdits:\n  env:\n  - %s\n", "containerEdits:\n  env:\n    -   %s\n    - b\n",
			"devices:\n- name: %s\n  containerEdits:\n    deviceNodes:\n    - path: /dev/x\n      minor: 1\n", "containerEdits:\n  deviceNodes:\n  - path: a\n    major: %s\n",
			"containerEdits:\n  additionalGids:\n  - %s\n", "# c\n---\nkind: %s\n...\n", "kind: a\n %s\n", "kind:\n  %s\n", "%s: a\n", "annotations:\n  k: %s\n", "containerEdits:\n  hooks:\n  - hookName: a\n    timeout: %s\n",
			"containerEdits:\n  intelRdt:\n    enableMonitoring: %s\n",
		} {
			checkShortWay(t, fmt.Appendf(nil, format, scalar))
		}
	}
	for _, text := range []string{
		"", "\n", "---\n", "kind: a\nkind: b\n", "kind: a\n  cdiVersion: b\n", "  kind: a\n", "  kind: a\ncdiVersion: b\n", "kind: a\r\n", "kind: a\x00\n", "\ufeffkind: a\n", "devices:\n", "devices:\nkind: a\n",
		"devices:\n- name: a\n-\n", "devices:\n- - a\n", "devices:\n  - name: a\n - name: b\n", "devices:\n- name: a\n   containerEdits: b\n", "--- kind: a\n", "kind: a\n---\nkind: b\n", "kind: a\n...\n", "Kind: a\n",
		"containerEdits:\n  env:\n  - a\n    b\n", "containerEdits:\n  env:\n  - a\n  b: c\n", "kind: a\n# c\n  # d\ncdiVersion: b # e\n", "containerEdits:\n  env: a\n", strings.Repeat("- ", 50) + "a\n",
		strings.Repeat(" ", 100) + "kind: a\n", "kind: \"a\ncdiVersion: b\"\n", "containerEdits:\n  mounts:\n  - hostPath: /a\n    containerPath: /b\n    options:\n    - ro\n  env:\n  - a=b\n",
	} {
		checkShortWay(t, []byte(text))
	}
}

func FuzzShortWay(f *testing.F) {
	for _, data := range real(f) {
		f.Add(data[:min(len(data), 1500)])
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkShortWay(t, data) })
}

const good = `{"cdiVersion": "0.5.0", "kind": "v.example/c", "devices": [{"name": "d", "containerEdits": {"env": ["A=b"]}}]}`

// What a specification must not be, and what is said about it.
func TestBadSpecifications(t *testing.T) {
	for text, want := range map[string]string{
		"":        "no cdiVersion",
		"- a\n":   "sequence was used",
		"kind: [": "sequence end token",
		"{":       "", // some error
		strings.Replace(good, "0.5.0", "9.0.0", 1):                                                               `invalid version "9.0.0"; known are versions up to 1.1.0`,
		strings.Replace(good, `"0.5.0"`, `""`, 1):                                                                "no cdiVersion",
		strings.Replace(good, `"kind"`, `"future": 1, "kind"`, 1):                                                `unknown field "future"`,
		strings.Replace(good, "v.example/c", "v.example", 1):                                                     "kind",
		strings.Replace(good, "v.example/c", "../x", 1):                                                          "kind",
		strings.Replace(good, "v.example/c", "v/c=d", 1):                                                         "kind",
		strings.Replace(good, `"d"`, `"d/e"`, 1):                                                                 "invalid character",
		strings.Replace(good, `"A=b"`, `"A"`, 1):                                                                 `not NAME=VALUE: "A"`,
		strings.Replace(good, `"A=b"`, `"=b"`, 1):                                                                `not NAME=VALUE: "=b"`,
		strings.Replace(good, `"A=b"`, `"A=\u0000"`, 1):                                                          "NUL",
		strings.Replace(good, `{"name"`, `{"name": "d", "containerEdits": {}}, {"name"`, 1):                      `device "d" twice`,
		strings.Replace(good, `[{"name": "d", "containerEdits": {"env": ["A=b"]}}]`, `[]`, 1):                    "no devices",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [{"hostPath": "a", "containerPath": "/b"}]`, 1):       "hostPath must be absolute",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [{"hostPath": "/a", "containerPath": "b"}]`, 1):       "containerPath must be absolute",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [{"hostPath": "/a", "containerPath": "/b/.."}]`, 1):   "containerPath can't be /",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [{"hostPath": "/a"}]`, 1):                             "without hostPath or containerPath",
		strings.Replace(good, `"env": ["A=b"]`, `"mounts": [null]`, 1):                                           "without hostPath or containerPath",
		strings.Replace(good, `"env": ["A=b"]`, `"deviceNodes": [{"path": "dev/x"}]`, 1):                         "without an absolute path",
		strings.Replace(good, `"env": ["A=b"]`, `"hooks": [{"hookName": "later", "path": "/x"}]`, 1):             "unknown moment",
		strings.Replace(good, `"env": ["A=b"]`, `"hooks": [{"hookName": "poststart"}]`, 1):                       "without path",
		strings.Replace(good, `"env": ["A=b"]`, `"netDevices": [{"hostInterfaceName": "eth0", "name": "a"}]`, 1): "must be at least v1.1.0",
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

// Aliases that stand for ever more text, and nesting, end soon.
func TestBombs(t *testing.T) {
	laughs := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 10; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10))
	}
	nested := "containerEdits:\n  env: &e [" + strings.Repeat("a=b,", 1000) + "]\n  mounts:\n" + strings.Repeat("  - options: *e\n", 1000)
	for _, text := range []string{laughs, nested, strings.Repeat("[", 1_000_000), strings.Repeat("{a: ", 1_000_000), strings.Repeat("[", 999), strings.Repeat("- ", 10_000) + "a", strings.Repeat("a:\n ", 2_000)} {
		if _, err := parse([]byte(text)); err == nil {
			if _, err := parse([]byte(text + "\nnonsense: 1\n")); err == nil {
				t.Errorf("accepted: %.60q", text)
			}
		}
	}
}
