package container

import (
	"strings"
	"testing"

	"ch-run/internal/cli"
	"ch-run/internal/early"
	"ch-run/internal/message"
)

// The command line offers the features that there are.
func TestOfferedFeatures(t *testing.T) {
	for _, o := range cli.Table() {
		if o.Long != "feature" {
			continue
		}
		words := strings.Fields(string(o.Complete))
		if want := len(features) + len(kernelFeatures) + 2; len(words) != want {
			t.Errorf("%d are offered, there are %d", len(words), want)
		}
		for _, word := range words {
			if NeedsNamespaces(word) {
				continue
			}
			if _, err := HasFeature(word, early.Caller{}, &message.Log{}); err != nil {
				t.Errorf("%s: %v", word, err)
			}
		}
	}
}
