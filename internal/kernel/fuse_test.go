package kernel

import "testing"

func TestFuseLosesInodes(t *testing.T) {
	for release, want := range map[string]bool{
		"5.15.0-101-generic":  false,
		"6.8.0-31-generic":    false,
		"6.9.0":               true,
		"6.12.38+deb13-amd64": true,
		"6.12.70":             false,
		"6.17.4":              true,
		"6.18.0":              true,
		"6.18":                true,
		"6.18.44-fc-v669":     false,
		"6.19.0-rc1":          false,
		"7.0.1":               false,
		"junk":                false,
	} {
		if got := fuseLosesInodes(release); got != want {
			t.Errorf("%s: %v", release, got)
		}
	}
}
