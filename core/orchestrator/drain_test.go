package orchestrator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

func (m *machine) drain(is bool) volume.Command {
	c := m.change(volume.NodeChange{Drained: &is})
	c.Time = noon
	return c
}

// draining returns the operation that drains a node, as another one reports it.
func (m *machine) draining(by *machine) (op volume.Operation, found bool) {
	all := by.o.UnderWayInRecords()
	i := slices.IndexFunc(all, func(o volume.Operation) bool { return o.Kind == volume.DrainOperation && o.Node == m.record.Name })
	if i < 0 {
		return op, false
	}
	return all[i], true
}

func TestDrainedNodeHasNoCopiesInTheEnd(t *testing.T) {
	for seed := range uint64(20) {
		c := newCluster(t, seed, 20*gib, 19*gib, 18*gib, 17*gib)
		a, b, d := c.nodes[0], c.nodes[1], c.nodes[3]
		var all []block.VolumeID
		for i := range 7 {
			all = append(all, a.create(fmt.Sprintf("name=v%d,size=1GiB,replicas=2,nodes=a+b+c+d", i)).Volume)
		}
		d.insist(volume.Command{Kind: volume.AttachVolume, Name: "v1"})
		c.unknown = int(seed)
		d.insist(b.drain(true))
		op, found := b.draining(a)
		if !found || !op.Cancellable || op.Since != noon || op.Failed || op.Total == 0 || !strings.Contains(op.Reason, "left") {
			t.Fatalf("seed %d: %+v", seed, op)
		}
		c.kill(a) // whoever is the first goes on
		c.pass(3 * time.Second)
		a.deaf = false
		a.start()
		c.pass(2 * time.Minute)
		for _, v := range all {
			p := c.placement(v)
			if strings.Contains(c.on(v), "b") || p.Changing() || !p.Reached(c.config(v)) {
				t.Fatalf("seed %d: copies on %s: %+v", seed, c.on(v), p)
			}
			if c.specOf(v).Replicas != 2 {
				t.Fatalf("seed %d: another number of copies is asked for", seed)
			}
		}
		if op, found := b.draining(d); found {
			t.Errorf("seed %d: still under way: %+v", seed, op)
		}
		if v := a.create("name=more,size=1GiB,replicas=2").Volume; strings.Contains(c.on(v), "b") {
			t.Errorf("seed %d: a new copy came to a drained node", seed)
		}
		c.check()
	}
}

func TestUndrainedNodeKeepsWhatHasNotLeft(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 19*gib, 10*gib, 10*gib)
	a, b := c.nodes[0], c.nodes[1]
	var all []block.VolumeID
	for i := range 6 {
		all = append(all, a.create(fmt.Sprintf("name=v%d,size=1GiB,replicas=2", i)).Volume)
	}
	for _, m := range c.nodes {
		m.idle = true // nobody fills anything
	}
	a.insist(b.drain(true))
	a.insist(b.drain(true)) // once more is no error
	c.pass(20 * time.Second)
	moving := 0
	for _, v := range all {
		if c.placement(v) != nil {
			moving++
		}
	}
	if op, _ := b.draining(a); moving != 4 || op.Reason != "6 copies left, 4 on their way" || op.Done != 0 {
		t.Fatalf("%d are moved at a time: %+v", moving, op)
	}
	a.insist(b.drain(false))
	c.pass(20 * time.Second)
	for _, v := range all {
		if p := c.placement(v); p != nil && (p.Changing() || !p.Reached(c.config(v))) {
			t.Errorf("the copy does not stay: %+v", p)
		}
		c.expectOn(v, "a b")
	}
	if op, found := b.draining(a); found {
		t.Errorf("still under way: %+v", op)
	}
	c.check()
}

func TestCopiesThatCannotBeMovedAreNamed(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib)
	a, b, e := c.nodes[0], c.nodes[1], c.nodes[2]
	bound := a.create("name=bound,size=1GiB,replicas=2,nodes=a+b").Volume
	free := a.create("name=free,size=1GiB,replicas=2,nodes=a+b+c").Volume
	all := a.create("name=all,size=1GiB,replicas=3").Volume
	single := a.create("name=single,size=1GiB,replicas=1,nodes=b").Volume
	if !strings.Contains(c.on(free), "b") {
		a.insist(volume.Command{Kind: volume.MoveReplica, Name: "free", From: e.record.ID, Node: b.record.ID})
		c.pass(15 * time.Second)
	}
	e.insist(b.drain(true))
	c.pass(time.Minute)
	c.expectOn(bound, "a b")
	c.expectOn(free, "a c")
	c.expectOn(all, "a b c")
	c.expectOn(single, "b")
	op, found := b.draining(e)
	if !found || !op.Failed {
		t.Fatalf("%+v", op)
	}
	for _, says := range []string{
		"3 copies left", "volume bound cannot be moved: node c: not among the nodes asked for",
		"volume all cannot be moved: every other node has a copy", "volume single cannot be moved: node a: not among the nodes asked for, node c:",
	} {
		if !strings.Contains(op.Reason, says) {
			t.Errorf("%q does not say %q", op.Reason, says)
		}
	}
	a.insist(volume.Command{Kind: volume.DeleteVolume, Name: "bound"})
	a.insist(volume.Command{Kind: volume.DeleteVolume, Name: "single"})
	set := set(2)
	set.Name = "all"
	a.insist(set)
	c.pass(time.Minute)
	if op, found := b.draining(e); found {
		t.Errorf("still under way: %+v", op)
	}
	c.check()
}

// A drained node may die meanwhile, and people change copies.
func TestDrainMeetsDeathAndOtherChanges(t *testing.T) {
	for seed := range uint64(40) {
		c := newHealing(t, seed, 20*time.Second, 20*gib, 19*gib, 18*gib, 17*gib)
		a, b, e, d := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3]
		v := a.create("name=db,size=1GiB,replicas=2").Volume
		w := a.create("name=other,size=1GiB,replicas=2").Volume
		c.unknown = 10
		x, y := d.ask(b.drain(true)), e.ask(move(b, e))
		c.run()
		c.pass(time.Duration(seed) * time.Second / 4)
		c.kill(b)
		c.pass(90 * time.Second)
		c.unknown = 0
		d.answer(x)
		e.answer(y)
		for _, id := range []block.VolumeID{v, w} {
			if p := c.placement(id); strings.Contains(c.on(id), "b") || len(c.config(id).Members) != 2 || p.Changing() {
				t.Fatalf("seed %d: copies on %q: %+v", seed, c.on(id), p)
			}
		}
		b.deaf = false
		b.start()
		c.pass(20 * time.Second)
		c.check()
	}
}
