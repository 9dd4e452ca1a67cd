package coordinator_test

import (
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// place records which copies are wanted, and lets the watch bring it.
func (w *world) place(wanted ...int) {
	w.record(wanted...)
	w.step(step.Event{Kind: step.EventControl, Control: step.Control{
		Kind: step.PlacementChanged, Placement: w.placement, Revision: int64(w.placementAt),
	}})
}

// record does so and tells nobody.
func (w *world) record(wanted ...int) {
	p := volume.Placement{Format: volume.Format, Volume: w.config.Volume}
	for i, m := range w.members {
		at := volume.Place{Replica: m.id, Node: m.node, Disk: block.DiskID{byte(i + 1)}}
		if slices.Contains(wanted, i) {
			p.Copies = append(p.Copies, at)
		} else {
			p.Leaving = append(p.Leaving, at)
		}
	}
	w.revision++
	w.placement, w.placementAt = &p, w.revision
}

// movedOn reports whether a transaction was proposed by another placement than the
// newest one.
func (w *world) movedOn(t *step.Transaction) bool {
	for _, g := range t.Txn.Guards {
		if g.Key == volume.PlacementKey(w.config.Volume) && g.Revision != w.placementAt {
			return true
		}
	}
	return false
}

// spare adds a member that no configuration lists.
func (w *world) spare() int {
	n := len(w.members)
	w.members = append(w.members, &fakeMember{
		id: block.ReplicaID{byte(n + 1)}, node: block.NodeID{byte(n + 1)}, incarnation: block.Incarnation(100 + n), boot: block.BootID{byte(n + 1)},
		down: true,
	})
	return n
}

func (w *world) expectMembers(want ...int) {
	w.t.Helper()
	var got []int
	for _, m := range w.config.Members {
		got = append(got, slices.IndexFunc(w.members, func(f *fakeMember) bool { return f.id == m.Replica }))
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("members %v, want %v: %+v", got, want, w.config.Members)
	}
}

func TestWantedCopyIsAddedAsOneThatLacksEverything(t *testing.T) {
	w := newWorld(t, 2)
	n := w.spare()
	w.start()
	w.place(0, 1, n)
	w.expectMembers(0, 1, n)
	w.expectState(n, volume.Out)
	w.write(1, 5)
	w.expectAnswer(1, step.RequestOK)
	w.pass(time.Minute)
	w.expectMembers(0, 1, n)
}

func TestCopyInSyncStaysUntilAllThatAreWantedAreInSync(t *testing.T) {
	w := newWorld(t, 2)
	n := w.spare()
	w.start()
	w.place(0, n)
	w.pass(time.Minute)
	w.expectMembers(0, 1, n)
	w.expectState(1, volume.InSync)
	w.place(0)
	w.expectMembers(0)
	w.write(1, 5)
	w.expectAnswer(1, step.RequestOK)
	if conns := len(w.conns); conns != 1 {
		t.Errorf("%d connections are left", conns)
	}
}

func TestLastValidCopyStaysThoughItIsNotWanted(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[0].mute = true
	w.pass(500 * time.Millisecond)
	w.restart(w.members[0], block.Position{})
	w.place(0)
	w.pass(time.Minute)
	w.expectMembers(0, 1)
	w.expectState(1, volume.InSync)
}

func TestCopyThatIsOutAndNotWantedIsDroppedAtOnce(t *testing.T) {
	w := newWorld(t, 3)
	w.start()
	w.members[1].down, w.members[1].mute = true, true
	w.write(1, 5)
	w.pass(3 * time.Second)
	w.expectState(1, volume.Out)
	w.unknown = 2
	w.place(0, 2)
	w.pass(time.Second)
	w.expectMembers(0, 2)
	w.write(2, 6)
	w.expectAnswer(2, step.RequestOK)
}

func TestTakeoverDropsTheCopyOfASilentNodeThatIsNotWanted(t *testing.T) {
	w := newWorld(t, 2)
	w.members[1].down = true
	w.record(0)
	w.step(step.Event{Kind: step.EventStart})
	w.unknown = 2
	w.pass(5 * time.Second)
	if !w.c.Serving() {
		t.Fatal("it does not serve")
	}
	w.expectMembers(0)
	w.expectState(0, volume.InSync)
}

func TestLostCopyStaysUntilTheOneInItsPlaceIsInSync(t *testing.T) {
	w := newWorld(t, 3)
	n := w.spare()
	w.start()
	w.members[1].down, w.members[1].mute = true, true
	w.write(1, 5)
	w.pass(3 * time.Second)
	w.record(0, 2, n)
	w.placement.Copies[2].Heals = &w.members[1].id
	w.step(step.Event{Kind: step.EventControl, Control: step.Control{
		Kind: step.PlacementChanged, Placement: w.placement, Revision: int64(w.placementAt),
	}})
	w.pass(time.Minute)
	w.expectMembers(0, 1, 2, n)
	w.place(0, 1, 2)
	w.expectMembers(0, 1, 2)
}

// A change proposed by a placement that was taken back meanwhile does not count:
// the space of a copy that it adds may be another volume's by now.
func TestCopyIsNotAddedByAPlacementThatWasTakenBack(t *testing.T) {
	w := newWorld(t, 2)
	n := w.spare()
	w.start()
	w.record(0, 1, n)
	old, at := w.placement, w.placementAt
	w.record(0, 1)
	w.step(step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.PlacementChanged, Placement: old, Revision: int64(at)}})
	w.pass(time.Minute)
	w.expectMembers(0, 1)
}

// Reads note by their places which members they have asked; those move up when one
// before them is dropped.
func TestReadThatFoundADamagedCopyIsAnsweredThoughAMemberIsDroppedMeanwhile(t *testing.T) {
	w := newWorld(t, 3)
	w.start()
	w.write(1, 5)
	w.members[0].down, w.members[0].mute = true, true
	w.write(2, 6)
	w.pass(3 * time.Second)
	w.expectState(0, volume.Out)
	w.members[1].rotten, w.members[2].mute = true, true
	w.request(3, step.ReadRequest, 5)
	w.place(1, 2)
	w.members[2].mute = false
	w.pass(time.Second)
	w.expectMembers(1, 2)
	w.expectAnswer(3, step.RequestOK)
}

func TestWritesWaitWhileFewerCopiesAreInSyncThanTheyNeed(t *testing.T) {
	needs := func(w *world, copies int) {
		w.record(0, 1)
		w.placement.MinWritable = copies
		w.step(step.Event{Kind: step.EventControl, Control: step.Control{
			Kind: step.PlacementChanged, Placement: w.placement, Revision: int64(w.placementAt),
		}})
	}
	w := newWorld(t, 2)
	w.start()
	needs(w, 2)
	if w.config.MinWritable != 2 {
		t.Fatalf("%d copies are needed for a write", w.config.MinWritable)
	}
	w.write(1, 5)
	w.expectAnswer(1, step.RequestOK)
	w.members[1].mute = true
	w.pass(10 * time.Second)
	w.expectState(1, volume.Out)
	w.write(2, 6)
	w.pass(10 * time.Second)
	w.expectNoAnswer(2)
	needs(w, 1)
	w.pass(time.Second)
	w.expectAnswer(2, step.RequestOK)
	if w.config.MinWritable != 1 {
		t.Errorf("%d copies are needed for a write", w.config.MinWritable)
	}
}

// A copy that a change drops is fenced by nobody once that is recorded: it must not
// answer for a session which does not know whether it is.
func TestMemberWhoseDropIsNotDefiniteIsNotRead(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.place(0, 1)
	w.unknown = 1
	w.place(1)
	w.members[1].mute = true
	w.request(1, step.ReadRequest, 3)
	w.expectNoAnswer(1)
}
