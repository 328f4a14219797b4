// Package cdi finds devices in the specifications of the Container Device Interface that a site has: which
// files, environment and hooks they bring into a container.
//
// The types, the check of versions and the syntax of names are those of the canonical module,
// tags.cncf.io/container-device-interface. Its package cdi, the cache of specifications, is not used, for the time
// that the YAML library in it takes from every launch, with devices or without; see package yaml. The rules of that
// cache, by which a device is found and conflicts are resolved, are in this package.
package cdi

import (
	"path"
	"strings"

	"ch-run/internal/message"

	"tags.cncf.io/container-device-interface/pkg/parser"
)

// A Request is what the user asks for.
type Request struct {
	Text string // as given
	Kind string // VENDOR/CLASS; "" for a file
	Name string // of the device; "" for all of the kind
	File string // a specification, for all devices in it
}

// ParseRequest reads the argument of --device: VENDOR/CLASS=NAME, VENDOR/CLASS, or the path of a specification.
// A relative path needs something that no kind has: it begins with a dot, or ends as specifications do.
func ParseRequest(text string) (Request, error) {
	r := Request{Text: text}
	switch path.Ext(text) {
	case ".json", ".yaml", ".yml":
		if !strings.Contains(text, "=") {
			r.File = text
			return r, nil
		}
	}
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		r.File = text
		return r, nil
	}
	kind, name, named := strings.Cut(text, "=")
	vendor, class := parser.ParseQualifier(kind)
	err := parser.ValidateVendorName(vendor)
	if err == nil {
		err = parser.ValidateClassName(class)
	}
	if err == nil && named {
		err = parser.ValidateDeviceName(name)
	}
	if err != nil {
		return r, message.Errorf("--device: not a device: %s", text).
			Hint("give VENDOR/CLASS=NAME, as nvidia.com/gpu=0, or VENDOR/CLASS for all, or the path of a specification")
	}
	r.Kind, r.Name = kind, name
	return r, nil
}

// Directories splits a list of specification directories at colons.
func Directories(list string) []string {
	var directories []string
	for directory := range strings.SplitSeq(list, ":") {
		if directory != "" {
			directories = append(directories, directory)
		}
	}
	return directories
}
