package orchestrator_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

func balance(spread int) volume.Command {
	return volume.Command{Kind: volume.BalanceDisks, Spread: spread, Time: noon}
}

// balancing returns the operation that balances disks, as a node reports it.
func (m *machine) balancing() (op volume.Operation, found bool) {
	all := m.o.UnderWayInRecords()
	i := slices.IndexFunc(all, func(o volume.Operation) bool { return o.Kind == volume.RebalanceOperation })
	if i < 0 {
		return op, false
	}
	return all[i], true
}

// lopsided is a cluster of four equal nodes, of which two have all copies.
func lopsided(t *testing.T, seed uint64, volumes int) (c *cluster, all []block.VolumeID) {
	t.Helper()
	c = newCluster(t, seed, 20*gib, 20*gib, 20*gib, 20*gib)
	a := c.nodes[0]
	for _, m := range c.nodes[2:] {
		a.insist(m.cordonNode(true))
	}
	for i := range volumes {
		all = append(all, a.create(fmt.Sprintf("name=v%d,size=1GiB,replicas=2", i)).Volume)
	}
	for _, m := range c.nodes[2:] {
		a.insist(m.cordonNode(false))
	}
	c.run()
	return c, all
}

func TestDisksAreBalancedInTheEnd(t *testing.T) {
	for seed := range uint64(20) {
		c, all := lopsided(t, seed, 10)
		a, b, d := c.nodes[0], c.nodes[1], c.nodes[3]
		d.insist(volume.Command{Kind: volume.AttachVolume, Name: "v1"})
		c.unknown = int(seed)
		b.insist(balance(6))
		op, found := d.balancing()
		if !found || op.ID != "rebalance" || !op.Cancellable || op.Since != noon || op.Failed || op.Total != 10*gib || op.Done != 0 {
			t.Fatalf("seed %d: %+v", seed, op)
		}
		c.kill(a) // whoever is the first goes on
		c.pass(3 * time.Second)
		a.deaf = false
		a.start()
		c.pass(3 * time.Minute)
		if op, found := d.balancing(); found {
			t.Fatalf("seed %d: still under way: %+v", seed, op)
		}
		if plan := b.o.Balance(6); len(plan.Moves) > 0 || plan.Fullest-plan.Emptiest > 6 {
			t.Fatalf("seed %d: %+v", seed, plan)
		}
		for _, v := range all {
			if p := c.placement(v); p.Changing() || !p.Reached(c.config(v)) {
				t.Fatalf("seed %d: copies on %s: %+v", seed, c.on(v), p)
			}
		}
		c.check()
	}
}

func TestFourVolumesAreMovedAtATimeToBalanceDisks(t *testing.T) {
	c, all := lopsided(t, 1, 10)
	a, b := c.nodes[0], c.nodes[1]
	for _, m := range c.nodes {
		m.idle = true // nobody fills anything
	}
	a.insist(balance(5))
	a.insist(balance(5)) // once more is no error
	a.insist(balance(6)) // nor is another spread
	c.pass(20 * time.Second)
	moving := func() (n int) {
		for _, v := range all {
			if p := c.placement(v); p.Changing() {
				n++
			}
		}
		return n
	}
	op, _ := b.balancing()
	if moving() != 4 || op.Reason != "disks are to differ by at most 6 points, 4 copies on their way" || op.Done != 0 || op.Total != 10*gib {
		t.Fatalf("%d are moved at a time: %+v", moving(), op)
	}
	b.insist(balance(0))
	b.insist(balance(0))
	if op, found := a.balancing(); found {
		t.Errorf("still under way: %+v", op)
	}
	for _, m := range c.nodes {
		m.idle = false
		for _, v := range all {
			m.tend(v)
		}
	}
	c.pass(time.Minute)
	moved := 0
	for _, v := range all {
		if c.on(v) != "a b" {
			moved++
		}
	}
	if moving() != 0 || moved != 4 {
		t.Errorf("%d are under way, %d were moved: what is on its way arrives, nothing else is begun", moving(), moved)
	}
	c.check()
}

func TestMoveThatIsBrokenOffMovesNothing(t *testing.T) {
	c, all := lopsided(t, 1, 2)
	a := c.nodes[0]
	for _, m := range c.nodes {
		m.idle = true
	}
	a.insist(balance(5))
	c.pass(5 * time.Second)
	a.insist(a.cordonNode(true))
	for _, m := range c.nodes[2:] {
		a.insist(m.cordonNode(true)) // it is not planned again
	}
	for i, v := range all {
		if p := c.placement(v); p.Changing() {
			a.insist(volume.Command{Kind: volume.KeepReplicas, Name: fmt.Sprintf("v%d", i)})
		}
	}
	for _, m := range c.nodes {
		m.idle = false
	}
	c.pass(time.Minute)
	if op, found := a.balancing(); found {
		t.Errorf("still under way: %+v", op)
	}
	for _, v := range all {
		c.expectOn(v, "a b")
	}
	c.check()
}
