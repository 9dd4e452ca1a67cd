package coordinator_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

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
	for conn, m := range w.conns { // any order: there is one
		if m == leaves {
			w.step(step.Event{Kind: step.EventMessage, Conn: conn, Message: message.Message{
				Kind: message.Rotten, Era: 2, Layer: 7, Present: 1, Zero: 1,
			}})
			break
		}
	}
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
