package volume_test

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

func place(n byte) volume.Place {
	return volume.Place{Replica: block.ReplicaID{n}, Node: block.NodeID{n}, Disk: block.DiskID{n}}
}

func placed(states ...volume.State) *volume.Config {
	c := &volume.Config{}
	for i, s := range states {
		if s != "" {
			at := place(byte(i + 1))
			c.Members = append(c.Members, volume.Member{Replica: at.Replica, Node: at.Node, Disk: at.Disk, State: s})
		}
	}
	return c
}

func TestPlacementIsSettledByWhatTheConfigurationLists(t *testing.T) {
	former := &volume.Former{Copies: []volume.Place{place(1), place(2)}, Replicas: 2}
	move := volume.Placement{Copies: []volume.Place{place(1), place(3)}, Leaving: []volume.Place{place(2)}, Before: former}
	add := volume.Placement{Copies: []volume.Place{place(1), place(2), place(3)}, Before: former}
	for _, test := range []struct {
		name            string
		p               volume.Placement
		c               *volume.Config
		differs, change bool
	}{
		{"moved, not begun", move, placed(volume.InSync, volume.InSync), false, true},
		{"moved, both in sync", move, placed(volume.InSync, volume.InSync, volume.InSync), false, true},
		{"moved, done", move, placed(volume.InSync, "", volume.InSync), true, false},
		{"added, being filled", add, placed(volume.InSync, volume.InSync, volume.Syncing), false, true},
		{"added, done though another one is out", add, placed(volume.InSync, volume.Out, volume.InSync), true, false},
	} {
		next, differs := test.p.Settled(test.c)
		if differs != test.differs || next.Changing() != test.change {
			t.Errorf("%s: differs %v, changing %v: %+v", test.name, differs, next.Changing(), next)
		}
		if again, differs := next.Settled(test.c); differs {
			t.Errorf("%s: settled twice, it is %+v", test.name, again)
		}
	}
}

func TestNoPlacementWantsWhatIsListed(t *testing.T) {
	var none *volume.Placement
	c := placed(volume.InSync, volume.Out)
	if !none.Wants(block.ReplicaID{9}) || len(none.Wanted(c)) != 2 || len(none.Promised(c)) != 2 || none.Changing() || none.Reached(c) {
		t.Errorf("wanted %+v, promised %+v", none.Wanted(c), none.Promised(c))
	}
	if !none.Reached(placed(volume.InSync)) {
		t.Error("one copy in sync is not all that is wanted")
	}
}

func TestPlacementThatWantsNothingOrOneDiskTwiceIsNotSound(t *testing.T) {
	for _, p := range []volume.Placement{
		{Leaving: []volume.Place{place(1)}},
		{Copies: []volume.Place{place(1), {Replica: block.ReplicaID{2}, Disk: block.DiskID{1}}}},
		{Copies: []volume.Place{place(1)}, Leaving: []volume.Place{place(1)}},
		{Copies: []volume.Place{place(1)}, Left: []volume.Place{place(1)}},
	} {
		if p.Check() == nil {
			t.Errorf("%+v is taken for sound", p)
		}
	}
	again := place(2)
	again.Disk = place(1).Disk
	if p := (volume.Placement{Copies: []volume.Place{place(1)}, Left: []volume.Place{again}}); p.Check() != nil {
		t.Errorf("a copy cannot be where another one left: %v", p.Check())
	}
}
