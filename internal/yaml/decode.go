package yaml

import (
	"reflect"
	"strconv"
	"strings"
)

// A decoder puts nodes into values.
type decoder struct {
	parser *parser
	left   int // how many more scalars there may be
	fields map[reflect.Type]map[string]int
}

// names are those of kinds, for messages.
var names = [...]string{null: "nothing", plain: "text", quoted: "text", sequence: "a sequence", mapping: "a mapping"}

func (d *decoder) decode(v reflect.Value, n node) {
	if d.parser.err != nil || n.isNull() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(v.Elem(), n)
	case reflect.Struct:
		d.structure(v, n)
	case reflect.Slice:
		if d.expect(sequence, n) {
			v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
			for i, item := range n.items {
				d.item(v.Index(i), item)
			}
		}
	case reflect.Map:
		if d.expect(mapping, n) {
			v.Set(reflect.MakeMap(v.Type()))
			for i, key := range n.keys {
				value := reflect.New(v.Type().Elem()).Elem()
				d.decode(value, n.items[i])
				v.SetMapIndex(reflect.ValueOf(key.text), value)
			}
		}
	default:
		d.scalar(v, n)
	}
}

// item decodes an item of a sequence, which has to be something unless it is a structure.
func (d *decoder) item(v reflect.Value, n node) {
	if n.isNull() && v.Kind() != reflect.Pointer && v.Kind() != reflect.Struct {
		d.parser.failAt(n.at, "nothing where %s is expected", names[plain])
		return
	}
	d.decode(v, n)
}

// isNull says whether the node stands for nothing, by whichever of its names.
func (n node) isNull() bool {
	switch n.text {
	case "", "~", "null", "Null", "NULL":
		return n.kind == null || n.kind == plain
	}
	return false
}

func (d *decoder) expect(k kind, n node) bool {
	if n.kind != k {
		d.parser.failAt(n.at, "%s where %s is expected", names[n.kind], names[k])
	}
	return n.kind == k
}

func (d *decoder) structure(v reflect.Value, n node) {
	if !d.expect(mapping, n) {
		return
	}
	fields := d.fieldsOf(v.Type())
	for i, key := range n.keys {
		field, ok := fields[key.text]
		if !ok {
			d.parser.failAt(key.at, "unknown field %q", key.text)
			return
		}
		d.decode(v.Field(field), n.items[i])
	}
}

// fieldsOf returns the fields of a structure by their names.
func (d *decoder) fieldsOf(t reflect.Type) map[string]int {
	if fields, ok := d.fields[t]; ok {
		return fields
	}
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = i
	}
	if d.fields == nil {
		d.fields = map[reflect.Type]map[string]int{}
	}
	d.fields[t] = fields
	return fields
}

func (d *decoder) scalar(v reflect.Value, n node) {
	if n.kind != plain && n.kind != quoted {
		d.parser.failAt(n.at, "%s where text is expected", names[n.kind])
		return
	}
	if d.left--; d.left < 0 {
		d.parser.failAt(n.at, "too many values")
		return
	}
	if v.Kind() == reflect.String {
		v.SetString(n.text)
		return
	}
	var ok bool
	if n.kind == plain {
		ok = setPlain(v, n.text)
	}
	if !ok {
		d.parser.failAt(n.at, "%q is not of type %s", n.text, v.Kind())
	}
}

// setPlain sets what is not text. A number may be hexadecimal (0x) or octal (0o, and 0 as in YAML 1.1).
func setPlain(v reflect.Value, text string) bool {
	bits := v.Type().Bits
	switch {
	case v.Kind() == reflect.Bool:
		switch text {
		case "true", "True", "TRUE":
			v.SetBool(true)
		case "false", "False", "FALSE":
			v.SetBool(false)
		default:
			return false
		}
		return true
	case v.CanInt():
		i, err := strconv.ParseInt(text, 0, bits())
		v.SetInt(i)
		return err == nil
	case v.CanUint():
		u, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 0, bits())
		v.SetUint(u)
		return err == nil
	}
	return false
}
