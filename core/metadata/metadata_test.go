package metadata_test

import (
	"testing"

	"github.com/lagan-storage/lagan/core/metadata"
)

func TestItemsOfAResultAreFoundByTheirKeys(t *testing.T) {
	r := metadata.Result{Items: []metadata.Item{{Key: "a", Revision: 1}, {Key: "b/", Revision: 2}, {Key: "b/c", Revision: 3}}}
	for _, want := range r.Items {
		if got, found := r.Find(want.Key); !found || got.Revision != want.Revision {
			t.Errorf("%s: %+v, %v", want.Key, got, found)
		}
	}
	for _, key := range []string{"", "b", "b/d", "c"} {
		if got, found := r.Find(key); found {
			t.Errorf("%q: found %+v", key, got)
		}
	}
}
