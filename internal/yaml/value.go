package yaml

import (
	"reflect"
	"strconv"
	"strings"
)

// target returns what v points to, which is made, if it is a pointer.
func target(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return v.Elem()
	}
	return v
}

// wants returns what has to be read for a value.
func wants(v reflect.Value) kind {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return mapping
	case reflect.Slice:
		return sequence
	}
	return text
}

// expect fails if what begins at the place is not what has to be read for the value.
func (p *parser) expect(v reflect.Value, k kind, at int) bool {
	if want := wants(v); want != k {
		p.failAt(at, "%v where %v is expected", k, want)
		return false
	}
	return p.err == nil
}

// entries are what is read of a mapping.
type entries struct {
	p      *parser
	v      reflect.Value  // a structure or a map; invalid if neither can be
	fields map[string]int // of the structure
	had    uint64         // which of them there were
}

func (p *parser) entries(v reflect.Value, at int) entries {
	e := entries{p: p}
	if !p.expect(v, mapping, at) {
		return e
	}
	if e.v = target(v); e.v.Kind() == reflect.Struct {
		e.fields = p.fieldsOf(e.v.Type())
	} else {
		e.v.Set(reflect.MakeMap(e.v.Type()))
	}
	return e
}

// read has the value behind the key read.
func (e *entries) read(key scalar, read func(reflect.Value) kind) {
	switch {
	case e.p.err != nil:
	case key.isNull():
		e.p.failAt(key.at, "a key that is no text is not supported")
	case key.plain && key.text == "<<":
		e.p.failAt(key.at, "merging mappings (<<) is not supported")
	case e.v.Kind() == reflect.Map:
		name, value := reflect.ValueOf(key.text), reflect.New(e.v.Type().Elem()).Elem()
		if e.v.MapIndex(name).IsValid() {
			e.p.failAt(key.at, "%.40q twice", key.text)
		}
		read(value)
		e.v.SetMapIndex(name, value)
	default:
		field, ok := e.fields[key.text]
		if !ok {
			e.p.failAt(key.at, "unknown field %.40q", key.text)
			return
		}
		if e.had&(1<<field) != 0 {
			e.p.failAt(key.at, "%.40q twice", key.text)
		}
		e.had |= 1 << field
		read(e.v.Field(field))
	}
}

// fieldsOf returns the fields of a structure, of which there are up to 64, by their names.
func (p *parser) fieldsOf(t reflect.Type) map[string]int {
	if fields, ok := p.fields[t]; ok {
		return fields
	}
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = i
	}
	if p.fields == nil {
		p.fields = map[reflect.Type]map[string]int{}
	}
	p.fields[t] = fields
	return fields
}

// items are what is read of a sequence.
type items struct {
	p *parser
	v reflect.Value // a slice; invalid if it cannot be one
}

func (p *parser) items(v reflect.Value) items {
	i := items{p: p}
	if p.expect(v, sequence, p.at) {
		i.v = target(v)
		i.v.Set(reflect.MakeSlice(i.v.Type(), 0, 4))
	}
	return i
}

// read has an item read. It has to be something, unless it is a collection.
func (i *items) read(read func(reflect.Value) kind) {
	if i.p.err != nil {
		return
	}
	at, n := i.p.at, i.v.Len()
	i.v.Grow(1)
	i.v.SetLen(n + 1)
	item := i.v.Index(n)
	item.SetZero()
	if read(item) == null && wants(item) == text {
		i.p.failAt(at, "nothing where %v is expected", text)
	}
}

// isNull says whether the scalar stands for nothing, by one of its names.
func (s scalar) isNull() bool {
	if !s.plain {
		return false
	}
	switch s.text {
	case "~", "null", "Null", "NULL":
		return true
	}
	return false
}

// set sets the value to what the scalar says.
func (p *parser) set(v reflect.Value, s scalar) kind {
	if p.err != nil || s.isNull() || !p.expect(v, text, s.at) {
		return null
	}
	p.count()
	if v = target(v); v.Kind() == reflect.String {
		v.SetString(s.text)
	} else if !s.plain || !setPlain(v, s.text) {
		p.failAt(s.at, "%.40q is not of type %s", s.text, v.Kind())
	}
	return text
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
