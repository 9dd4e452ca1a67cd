package usecase

import (
	"log/slog"
	"reflect"
	"testing"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/volume"
)

// A release that came as far as the unmount is tried again: what is not mounted
// any more is still attached, and was only by being mounted.
func TestUnmountThatIsRetriedStillEndsTheAttachment(t *testing.T) {
	n := New(Params{Filesystem: &disk{}, Log: slog.New(slog.DiscardHandler)})
	for _, c := range []struct {
		name string
		use  *use
		end  bool
	}{
		{name: "attached by its mount", use: &use{byUse: true, volume: &host.Volume{}}, end: true},
		{name: "attached by a person", use: &use{volume: &host.Volume{}}},
		{name: "mounted elsewhere too", use: &use{byUse: true, volume: &host.Volume{}, mounts: []mount{{target: "/other"}}}},
		{name: "not attached any more", use: &use{byUse: true}},
	} {
		last, err := n.unmountFrom(t.Context(), c.use, "/mnt/db")
		if last != c.end || err != nil {
			t.Errorf("%s: the attachment ends: %v, want %v; %v", c.name, last, c.end, err)
		}
	}
}

func TestVolumeLingersOnlyForMountsThatNobodyUses(t *testing.T) {
	web := volume.User{Mount: "id", Container: "web"}
	person := volume.User{Mount: "/mnt/db", Since: "then"}
	idle := mount{target: "/plugin/db", told: &volume.Uses{Lingering: true}}
	busy := mount{target: "/plugin/db", told: &volume.Uses{Users: []volume.User{web}}}
	hand := mount{target: "/mnt/db", since: "then"}
	for _, c := range []struct {
		name   string
		byUse  bool
		mounts []mount
		want   volume.Uses
	}{
		{"a container", true, []mount{busy}, volume.Uses{Users: []volume.User{web}}},
		{"nobody any more", true, []mount{idle}, volume.Uses{Lingering: true}},
		{"a person", true, []mount{hand}, volume.Uses{Users: []volume.User{person}}},
		{"a person and no container any more", true, []mount{idle, hand}, volume.Uses{Users: []volume.User{person}}},
		{"nobody, but a person attached it", false, []mount{idle}, volume.Uses{}},
		{"nobody has mounted it yet", true, nil, volume.Uses{}},
	} {
		u := &use{byUse: c.byUse, mounts: c.mounts}
		if got := u.uses(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
