package coordinator_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

func (w *world) tellRemoved(members ...int) {
	var nodes []block.NodeID
	for _, i := range members {
		nodes = append(nodes, w.members[i].node)
	}
	w.step(step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.NodesRemoved, Nodes: nodes}})
}

func TestMemberOfARemovedNodeIsDroppedOnceItIsOut(t *testing.T) {
	w := newWorld(t, 3)
	w.start()
	w.tellRemoved(1)
	if len(w.config.Members) != 3 {
		t.Fatal("a member that is in sync was dropped")
	}
	w.members[1].down, w.members[1].mute = true, true
	w.write(1, 5)
	w.pass(3 * time.Second)
	w.expectAnswer(1, step.RequestOK)
	if len(w.config.Members) != 2 || w.config.Member(w.members[1].id) != nil {
		t.Fatalf("members %+v, want the one of the removed node dropped", w.config.Members)
	}
	w.write(2, 6)
	w.expectAnswer(2, step.RequestOK)
	w.pass(time.Minute)
	if len(w.config.Members) != 2 {
		t.Errorf("members %+v", w.config.Members)
	}
}

func TestTakeoverDropsTheMemberOfANodeThatWasRemovedMeanwhile(t *testing.T) {
	w := newWorld(t, 2)
	w.members[1].down = true
	w.step(step.Event{Kind: step.EventStart})
	w.tellRemoved(1)
	w.unknown = 2
	w.pass(5 * time.Second)
	if !w.c.Serving() || len(w.config.Members) != 1 {
		t.Fatalf("serving %v with members %+v", w.c.Serving(), w.config.Members)
	}
	w.expectState(0, volume.InSync)
}

func TestLastValidMemberIsNotDroppedWithItsNode(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.tellRemoved(0, 1)
	w.members[0].mute, w.members[1].mute = true, true
	w.write(1, 5)
	w.pass(time.Minute)
	w.expectNoAnswer(1)
	w.expectState(0, volume.InSync)
	w.expectState(1, volume.InSync)
}
