package yaml

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	library "go.yaml.in/yaml/v3"
)

// A sample has fields of each kind that can be read.
type sample struct {
	Text    string            `json:"text" yaml:"text"`
	List    []string          `json:"list" yaml:"list"`
	Deep    *sample           `json:"deep" yaml:"deep"`
	Samples []*sample         `json:"samples" yaml:"samples"`
	Map     map[string]string `json:"map" yaml:"map"`
	Number  int64             `json:"number" yaml:"number"`
	ID      *uint32           `json:"id" yaml:"id"`
	IDs     []uint32          `json:"ids" yaml:"ids"`
	Yes     bool              `json:"yes" yaml:"yes"`
}

// stricter is where the library, which follows YAML 1.1 in places, refuses what YAML 1.2 or JSON have: by its message,
// and by what is in the text.
var stricter = []struct{ message, text *regexp.Regexp }{
	{regexp.MustCompile(`cannot start any token|violates indentation|an indentation space`), regexp.MustCompile(`(?m)^ *\t`)}, // a line that says nothing, or of a block of text
	{regexp.MustCompile(``), regexp.MustCompile(`(?s)[\[{].*\?`)},                                                             // a question mark in brackets
	{regexp.MustCompile(`unknown escape character`), regexp.MustCompile(`\\/`)},                                               // a slash with a backslash, as JSON may have it
	{regexp.MustCompile(`invalid Unicode character`), regexp.MustCompile(`(?i)\\ud[89a-f]`)},                                  // and a character in two parts
	{regexp.MustCompile(`expected ',' or '}'`), regexp.MustCompile(`\n\s*:`)},                                                 // a colon below its key
}

func isStricter(err error, data []byte) bool {
	for _, s := range stricter {
		if s.message.MatchString(err.Error()) && s.text.Match(data) {
			return true
		}
	}
	return false
}

// byLibrary is what the library makes of a text.
func byLibrary(data []byte) (s sample, err error) {
	decoder := library.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	err = decoder.Decode(&s)
	return s, err
}

// checkSame fails if this package reads the text, and the library does not or as something else.
func checkSame(t *testing.T, data []byte) (accepted bool) {
	t.Helper()
	var got sample
	if Unmarshal(data, &got) != nil {
		return false
	}
	want, err := byLibrary(data)
	if err != nil && isStricter(err, data) {
		return true
	}
	if err != nil && err.Error() != "EOF" {
		t.Errorf("the library refuses it: %v\n%q", err, data)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v\n%q", got, want, data)
	}
	return true
}

// accepted is what people and programs write.
var accepted = []string{
	"", "\n", "# only a comment\n", "---\n", "---\ntext: a\n...\n", "--- # c\ntext: a\n", "\ufefftext: a\n", "text: a\r\nnumber: 1\r\n", "text: a", "{}", "--- {text: a}\n", "null\n", "~", "text:\n", "text: ~\n", "list:\n",
	"text: a # c\nnumber: 1 # d\n", "text: a#b\n", "text: a b  c \n", "text: a:b\n", "text: http://a/b\n", "text: -a\n", "text: --a=b\n", "text: ?a\n", "text: :a\n", "text: a'b\"c\n", "text: a\\b\n",
	"text: 'a'\n", "text: 'it''s'\n", "text: ''\n", "text: 'a\n\n  b\n   c '\n", "text: \"a\\n\\t\\\"\\\\\\x41\\u00e9\\U0001F600\\e\\0\\_\"\n", "text: \"a \\\n   b\\\n c\"\n", "text: \"a  \n\n\n  b\"\n", "text: \"a\\  \n  b\"\n", "\"text\": a\n", "'text' : a\n", "text   : a\n",
	"text: a\n  b\n  c\n", "text: a\n\n  b\n\n\n  c\nnumber: 1\n", "text:\n  a\n  b\n", "text: a\n  - b\n", "text: a\n  # c\nnumber: 1\n", "text: a\n b # c\nnumber: 1\n",
	"list:\n- a\n- b\n", "list:\n  - a\n  -   b\n", "list:\n-\n  a\n- # c\n  b\n", "list: [a, b]\n", "list: [ a , 'b' , \"c\" , ]\n", "list: [a,\n  b, # c\n  c d\n   e]\n", "list: []\n", "list:\n  [a,\nb]\n", "list: [a:b, \"c\"]\n", "list: [--a=b, -c]\n", "list: [a b#c]\n",
	"deep:\n  text: a\n  deep:\n    text: b\n  number: 2\nnumber: 1\n", "deep: {text: a, deep: {number: 2}}\n", "deep: {text: a,\n  number: 1,}\n", "deep: {\"text\":\"a\",\"number\":1}\n", "deep: {text: , number: 1}\n", "deep: {text}\n", "deep: {}\n", "deep: {'text':a}\n",
	"samples:\n- text: a\n  number: 1\n- text: b\n-   number: 2\n    text: c\n", "samples:\n- samples:\n  - text: a\n  - text: b\n  text: c\n", "samples:\n  - {text: a}\n  - deep:\n      text: b\n", "samples: [{text: a}, {text: b}]\n", "samples:\n- \n  text: a\n", "samples: [null, ~, {}]\n",
	"map:\n  a: b\n  c.d/e: f\n  \"x y\": 'z'\n  1: 2\n", "map: {a: b, 1: 2, \"c\": }\n",
	"number: 1\n", "number: -1\n", "number: +1\n", "number: 0x1F\n", "number: 0o17\n", "number: 017\n", "number: 0\n", "id: 4294967295\n", "ids: [1, 2]\n", "ids:\n- 3\n", "yes: true\n", "yes: False\n", "text: 1\n", "text: 1.50\n", "text: true\n", "text: 0x10\n", "text: null\n", "text: 2001-01-01\n",
	"text: |\n  a\n   b\n\n  c\n\nnumber: 1\n", "text: |-\n  a\n", "text: |+\n  a\n\n\n", "text: |2\n    a\n  b\n", "text: >\n  a\n  b\n\n  c\n   d\n  e\n", "text: >-\n  a\n  b\n", "text: >+\n\n  a\n\n  b\n\n", "list:\n- |\n  a\n- b\n", "text: |\nnumber: 1\n", "text: | # c\n  a\n # d\n", "text: |\n  a",
	"list: &l [a, b]\nsamples:\n- list: *l\n- list: *l\n", "list: &l\n- a\ndeep:\n  list: *l\n", "text: &t a\nlist: [*t, *t]\n", "deep: &d\n  text: a\nsamples:\n- *d\n- &e\n  text: b\n- *e\n", "list: [&a x, *a]\n", "text: &t\n", "text: &t a\nlist:\n- *t\n", "samples:\n- &a {list: [&b x]}\n- {text: &c y}\n- *a\n- {text: *b}\n",
	"list:\n  - a\n# c\n  - b\n    # d\n", "\n\n# a\n\n  # b\ntext: a\n", "deep:\n\n  text: a\n\n\n  number: 1\n", "  text: a\n  number: 1\n",
	"{\"text\": \"a/b\\u00e9\", \"list\": [\"x\", \"y\"], \"deep\": {\"number\": 5}, \"samples\": [], \"id\": null, \"yes\": true}\n", "{\n\t\"text\": \"a\",\n\t\"list\": [\n\t\t\"b\"\n\t]\n}\n",
}

// It has to be read, and what it says is what the library says.
func TestAccepted(t *testing.T) {
	for _, text := range accepted {
		if !checkSame(t, []byte(text)) {
			var s sample
			t.Errorf("refused: %v\n%s", Unmarshal([]byte(text), &s), text)
		}
	}
}

// JSON has escapes that the library does not know, and colons where it does not expect them.
func TestJSON(t *testing.T) {
	var other sample
	if err := Unmarshal([]byte("{\"text\"\n:\"a\",\n\"number\"\t: 1}"), &other); err != nil || other.Text != "a" || other.Number != 1 {
		t.Errorf("%v, got %+v", err, other)
	}
	var got sample
	err := Unmarshal([]byte(`{"text": "a\/b\ud83d\ude00\udc00\ud83dx"}`), &got)
	if want := "a/b\U0001F600\ufffd\ufffdx"; err != nil || got.Text != want {
		t.Errorf("%v, got %q, want %q", err, got.Text, want)
	}
}

// What is wrong is said, with the line; and what is not supported is not taken for something else.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"text: a\nother: b\n":                `line 2: unknown field "other"`,
		"text: a\ntext: b\n":                 `line 2: "text" twice`,
		"{\"text\": \"a\", \"text\": \"b\"}": `line 1: "text" twice`,
		"text:\n- a\n":                       "line 2: a sequence where text is expected",
		"text: {a: b}\n":                     "line 1: a mapping where text is expected",
		"list: a\n":                          "line 1: text where a sequence is expected",
		"deep: a\n":                          "line 1: text where a mapping is expected",
		"number: a\n":                        `line 1: "a" is not of type int64`,
		"number: '1'\n":                      `line 1: "1" is not of type int64`,
		"number: 1.0\n":                      `line 1: "1.0" is not of type int64`,
		"id: -1\n":                           `line 1: "-1" is not of type uint32`,
		"id: 4294967296\n":                   "is not of type uint32",
		"list: [a, null]\n":                  "line 1: nothing where text is expected",
		"ids:\n-\n- 1\n":                     "line 2: nothing where text is expected",
		"yes: perhaps\n":                     "is not of type bool",
		"text: a: b\n":                       "line 1: a mapping in the line of its key",
		"text: - a\n":                        "line 1: a sequence in the line of its key",
		"text: a\n  list: b\n":               "line 2: a key in the middle of a text",
		"deep:\n  text: a\n   number: 1\n":   "line 3: a key in the middle of a text",
		"list:\n  - a\n - b\n":               "line 3: ",
		"list: [a]\n  text: b\n":             "line 2: wrong indentation",
		"text: a\n- b\n":                     "line 2: an item of a sequence among the keys",
		"text\n":                             "line 1: text where a mapping is expected",
		"text: a\nb\n":                       "line 2: no colon behind a key",
		"text: 'a\n":                         "line 1: no quote at the end",
		"text: \"a\n\n":                      "line 1: no quote at the end",
		"text: \"\\q\"\n":                    `line 1: unknown escape: \q`,
		"text: \"\\x4\"\n":                   "line 1: not a character",
		"text: \"\\U00110000\"\n":            "line 1: not a character",
		"text: 'a' b\n":                      "line 1: unexpected text",
		"list: [a\n":                         "line 2: ] is missing",
		"list: [a,\nb c":                     "line 2: ] is missing",
		"deep: {text: a":                     "line 1: } is missing",
		"text: [a]\n":                        "line 1: a sequence where text is expected",
		"list: [a b: c]\n":                   "line 1: a key in a sequence",
		"list: [a, , b]\n":                   "line 1: no text can begin with ','",
		"list: [a] b\n":                      "line 1: unexpected text",
		"list: [a}\n":                        "line 1: neither , nor ]",
		"deep: {text: a b: c}\n":             "line 1: neither , nor }",
		"text: @a\n":                         "line 1: no text can begin with '@'",
		"text: `a\n":                         "line 1: no text can begin with '`'",
		"text: %a\n":                         "line 1: no text can begin with '%'",
		"text: !!str a\n":                    "line 1: a tag is not supported",
		"%YAML 1.2\n---\ntext: a\n":          "line 1: a directive is not supported",
		"text: a\n---\ntext: b\n":            "line 2: more than one document",
		"? text\n: a\n":                      "line 1: a key that is no text is not supported",
		"map:\n  a: b\n  [c]: d\n":           "line 3: a key that is no text is not supported",
		"list: &l[a, b]\n":                   "line 1: not the name of an anchor",
		"map:\n  ~: a\n":                     "line 2: a key that is no text is not supported",
		"map: {[c]: d}\n":                    "line 1: a key that is no text is not supported",
		"list: [a]: b\n":                     "line 1: a key that is no text is not supported",
		"deep: &d\n  text: a\nsamples:\n- <<: *d\n":  "line 4: merging mappings (<<) is not supported",
		"samples:\n- &a text: b\n":                   "line 2: a mapping in the line of its key",
		"text: *a\n":                                 "line 1: unknown alias: *a",
		"list: &a [*a]\n":                            "line 1: unknown alias: *a",
		"list: [&a x, &a y]\n":                       "line 1: an anchor twice is not supported: &a",
		"list: [&a x, &b *a]\n":                      "line 1: an anchor in front of an anchor or an alias",
		"list: [&a &b x]\n":                          "line 1: an anchor in front of an anchor or an alias",
		"text:\n  &a\n &b\n":                         "line 3: an anchor in front of an anchor or an alias",
		"list: [&a x, &a *a, *a]\n":                  "line 1: an anchor in front of",
		"deep: &a\n  text: *a\n":                     "line 2: unknown alias: *a",
		"list: [" + strings.Repeat("&a ", 1_000_000): "line 1: an anchor in front of",
		"deep:\n\ttext: a\n":                         "line 2: a tab in the indentation",
		"list:\n-\ta\n":                              "line 2: a tab in the indentation",
		"text: a\x01\n":                              `line 1: control character '\x01'`,
		"text: a\n\x00":                              `line 2: control character '\x00'`,
		"text: a\rb\n":                               "control character",
		"text: \xff\n":                               "not UTF-8",
		"text: |\n    \n  a\n":                       "an empty line is indented more",
		"text: |x\n  a\n":                            "line 1: unexpected text",
		strings.Repeat("[", 1_000_000):               "line 1: a sequence where a mapping is expected",
		strings.Repeat("- ", 1_000_000):              "line 1: a sequence where a mapping is expected",
		strings.Repeat("{deep: ", 1_000_000):         "line 1: nested too deeply",
		"samples: " + strings.Repeat("[{samples: ", 1_000_000):  "line 1: nested too deeply",
		"samples:\n" + strings.Repeat("- samples: ", 1_000_000): "line 2: a sequence in the line of its key",
		strings.Repeat("k", 1_000_000) + ": a\n":                `line 1: unknown field "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"`,
		"deep:\n" + strings.Repeat("&a ", 1_000_000):            "line 2: ",
	} {
		var s sample
		if err := Unmarshal([]byte(text), &s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q\ngot %v, want %s", text, err, want)
		}
	}
}

// Aliases that stand for ever more end soon.
func TestBombs(t *testing.T) {
	laughs := "deep: &a0 {}\nsamples:\n"
	for i := range 9 {
		laughs += fmt.Sprintf("- &a%d {samples: [%s]}\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	wide := "list: &e [" + strings.Repeat("a=b,", 2000) + "]\nsamples:\n" + strings.Repeat("- list: *e\n", 2000)
	long := "list:\n- &l \"\\t" + strings.Repeat("a", 60_000) + "\"\n" + strings.Repeat("- *l\n", 15_000)
	for _, text := range []string{laughs, wide, long} {
		var s sample
		if err := Unmarshal([]byte(text), &s); err == nil || !strings.Contains(err.Error(), "too m") {
			t.Errorf("%v: %.60q", err, text)
		}
	}
}

// A long document takes no longer than it has to, in one line or in many.
func TestLong(t *testing.T) {
	var block, flow strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&block, "- text: a%d\n  list: [b, 'c', \"d\\n\"]\n", i)
		fmt.Fprintf(&flow, `{"text":"a%d","list":["b",'c',"d\n"]},`, i)
	}
	many := 1_000_000
	for name, text := range map[string]string{
		"block":           "samples:\n" + block.String(),
		"flow":            `{"samples":[` + strings.TrimSuffix(flow.String(), ",") + "]}",
		"folded":          "text: a\n" + strings.Repeat(" b\n", many),
		"folded in flow":  "list: [a\n" + strings.Repeat(" b\n", many) + "]",
		"quoted":          "text: \"a\n" + strings.Repeat(" b\n", many) + "\"",
		"single":          "text: '" + strings.Repeat("a''", many) + "'",
		"empty lines":     "text: a\n" + strings.Repeat("\n", many) + "number: 1\n",
		"comments":        "text: a\n" + strings.Repeat("# b\n", many) + "number: 1\n",
		"a block of text": "text: >\n" + strings.Repeat("  b\n", many),
		"keys":            "map:\n" + keys(200_000),
	} {
		var s sample
		begin := time.Now()
		if err := Unmarshal([]byte(text), &s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %d bytes in %v", name, len(text), time.Since(begin))
	}
}

func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  k%d: v\n", i)
	}
	return b.String()
}

func FuzzUnmarshal(f *testing.F) {
	for _, text := range accepted {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1024 { // the longest key of YAML
			return
		}
		if !bytes.ContainsAny(data, "\u0085\u2028\u2029\ufeff") { // ends of lines in YAML 1.1, which the library follows
			checkSame(t, data)
		}
	})
}
