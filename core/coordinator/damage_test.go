package coordinator_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// saysRotten has a member say what a scrub found lost of the first chunk of a layer.
func (w *world) saysRotten(of *fakeMember, layer block.LayerID, at block.Block) {
	for conn, m := range w.conns { // any order: there is one
		if m == of {
			w.step(step.Event{Kind: step.EventMessage, Conn: conn, Message: message.Message{
				Kind: message.Rotten, Era: 2, Layer: layer, Present: 1 << at, Zero: 1 << at,
			}})
			return
		}
	}
}

// A scrub says once what it found. Where one of the two that a repair asks is late,
// the block is repaired later.
func TestRepairThatIsNotAnsweredNowIsMadeLater(t *testing.T) {
	for _, late := range []int{0, 1} {
		for _, layer := range []block.LayerID{0, 7} {
			w := newWorld(t, 2)
			w.start()
			w.wantsSnapshot(7)
			w.pass(time.Second)
			w.members[1].rotten, w.members[late].noData = true, true
			w.saysRotten(w.members[1], layer, 5)
			w.pass(3 * time.Second)
			if repaired, _ := w.c.Damage(); repaired != 0 {
				t.Fatalf("%d blocks were repaired while member %d did not answer", repaired, late)
			}
			w.members[late].noData = false
			w.pass(3 * time.Second)
			if repaired, lost := w.c.Damage(); repaired != 1 || lost != 0 {
				t.Errorf("after member %d was late, of layer %d %d blocks were repaired and %d are lost, want 1 and 0", late, layer, repaired, lost)
			}
		}
	}
}

// A member that leaves answers nothing any more: what it was given of a snapshot is
// not waited for, and the volume can be detached.
func TestRepairOfAMemberThatLeavesIsGivenUp(t *testing.T) {
	w := newWorld(t, 3)
	w.start()
	w.place(0, 1, 2)
	w.wantsSnapshot(7)
	w.pass(time.Second)
	w.expectSnapshot(7, volume.SnapshotReady)
	leaves := w.members[2]
	leaves.rotten, leaves.noMend = true, true
	w.saysRotten(leaves, 7, 0)
	w.place(0, 1)
	w.pass(2 * time.Second)
	w.expectMembers(0, 1)
	w.step(step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.StopCoordinator}})
	w.pass(2 * time.Second)
	if last := w.controls[len(w.controls)-1]; last.Kind != step.VolumeDetached {
		t.Errorf("the session ended with %v, want it detached: %q", last.Kind, last.Text)
	}
}

// A block that no copy has may be on one again later: another volume that shares it
// there had it repaired. The others get it back, and nobody is told that it is lost.
func TestBlockThatNoMemberHadIsLookedForAgain(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[0].rotten, w.members[1].rotten = true, true
	w.request(1, step.ReadRequest, 5)
	w.pass(2 * time.Second)
	w.expectAnswer(1, step.RequestIO)
	if _, lost := w.c.Damage(); lost != 1 {
		t.Fatalf("%d blocks count as lost, want the one that neither member has", lost)
	}
	w.members[0].rotten = false
	w.pass(30 * time.Second)
	if repaired, lost := w.c.Damage(); lost != 0 || repaired != 1 {
		t.Errorf("%d blocks count as lost and %d were repaired, want 0 and 1", lost, repaired)
	}
	if log := w.members[1].log; len(log) == 0 || log[len(log)-1].Op != message.OpWrite && log[len(log)-1].Op != message.OpZero {
		t.Errorf("the member that lacks the block was sent %v, want the block last", log)
	}
}

// One of the two has it again, and is seen to: by a read, or by a repair that finds
// nothing to do. The other one lacks it still.
func TestBlockThatNoMemberHadIsGivenToAllOnceOneHasIt(t *testing.T) {
	for name, see := range map[string]func(*world){ // any order: each has a world of its own
		"read":   func(w *world) { w.request(2, step.ReadRequest, 5); w.expectAnswer(2, step.RequestOK) },
		"repair": func(w *world) { w.saysRotten(w.members[0], 0, 5) },
	} {
		w := newWorld(t, 2)
		w.start()
		w.members[0].rotten, w.members[1].rotten = true, true
		w.request(1, step.ReadRequest, 5)
		w.pass(2 * time.Second)
		w.expectAnswer(1, step.RequestIO)
		w.members[0].rotten = false
		see(w)
		w.pass(5 * time.Second) // before it is looked for again
		if repaired, lost := w.c.Damage(); lost != 0 || repaired != 1 {
			t.Errorf("after a %s %d blocks count as lost and %d were repaired, want 0 and 1", name, lost, repaired)
		}
	}
}

func TestBlockThatNoMemberHadIsNotLostOnceItIsRead(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	w.members[0].rotten = true
	w.request(1, step.ReadRequest, 5)
	w.expectAnswer(1, step.RequestIO)
	w.members[0].rotten = false
	w.request(2, step.ReadRequest, 5)
	w.expectAnswer(2, step.RequestOK)
	if _, lost := w.c.Damage(); lost != 0 {
		t.Errorf("%d blocks count as lost, and the only one was read", lost)
	}
}
