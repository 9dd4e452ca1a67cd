package orchestrator_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

func (m *machine) change(c volume.NodeChange) volume.Command {
	return volume.Command{Kind: volume.ChangeNode, Node: m.record.ID, Name: m.record.Name, Change: c}
}

func (m *machine) cordonNode(is bool) volume.Command {
	return m.change(volume.NodeChange{Cordoned: &is})
}

func TestCordonedNodeGetsNoNewCopiesAndKeepsItsOwn(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 10*gib)
	a, b := c.nodes[0], c.nodes[1]
	v := a.create("name=old,size=1GiB,replicas=2").Volume
	c.expectOn(v, "a b")
	a.insist(b.cordonNode(true))
	b.insist(b.cordonNode(true)) // once more is no error
	c.expectOn(a.create("name=db,size=1GiB,replicas=2").Volume, "a c")
	c.expectOn(v, "a b")
	answer := a.do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=more,size=1GiB,replicas=3")})
	if !errors.Is(answer.Err, volume.ErrNoPlacement) || !strings.Contains(answer.Err.Error(), "node b: it is cordoned") {
		t.Errorf("created on a cordoned node: %v", answer.Err)
	}
	b.start() // its own record is written anew
	c.run()
	want(t, a.do(add(b)), volume.ErrNoPlacement)
	b.insist(b.cordonNode(false))
	a.create("name=more,size=1GiB,replicas=3")
	stranger := volume.Command{Kind: volume.ChangeNode, Node: block.NodeID{99}, Name: "z", Change: b.cordonNode(true).Change}
	want(t, a.do(stranger), volume.ErrNodeNotFound)
	c.kill(b)
	a.insist(a.cordonNode(true))
	a.insist(b.cordonNode(true)) // also one that is away
	c.check()
}

func TestNothingIsLeftOfWhatWasAskedOfARemovedNode(t *testing.T) {
	for seed := range uint64(20) {
		c := newCluster(t, seed, 20*gib, 20*gib, 20*gib)
		a, b := c.nodes[0], c.nodes[1]
		c.kill(b)
		x, y := a.ask(b.remove()), c.nodes[2].ask(b.cordonNode(true))
		c.run()
		c.pass(5e9)
		if a.answer(x).Err != nil {
			t.Fatal(a.answer(x).Err)
		}
		if err := c.nodes[2].answer(y).Err; err != nil && !errors.Is(err, volume.ErrNodeNotFound) {
			t.Fatal(err)
		}
		if _, left := c.items[volume.NodeSpecKey(b.record.ID)]; left {
			t.Fatalf("seed %d: what was asked of a removed node is left", seed)
		}
	}
}

// A volume is created through one node while another one is cordoned, in every order
// that the seeds bring: what was planned before is planned anew.
func TestNoCopyIsPlacedOnANodeThatIsBeingCordoned(t *testing.T) {
	there, elsewhere := 0, 0
	for seed := range uint64(60) {
		c := newCluster(t, seed, 20*gib, 20*gib, 10*gib)
		a, b := c.nodes[0], c.nodes[1]
		create := a.ask(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=db,size=1GiB,replicas=2")})
		cordon := c.nodes[2].ask(b.cordonNode(true))
		c.run()
		made := a.answer(create)
		if made.Err != nil || c.nodes[2].answer(cordon).Err != nil {
			t.Fatal(made.Err, c.nodes[2].answer(cordon).Err)
		}
		created, cordoned := c.items[volume.ConfigKey(made.Volume)].Revision, c.items[volume.NodeSpecKey(b.record.ID)].Revision
		if strings.Contains(c.on(made.Volume), "b") {
			there++
			if created > cordoned {
				t.Errorf("seed %d: a copy was placed on a cordoned node", seed)
			}
		} else {
			elsewhere++
		}
	}
	if there < 3 || elsewhere < 3 {
		t.Errorf("there in %d runs, elsewhere in %d: one of them hardly ever happens", there, elsewhere)
	}
}
