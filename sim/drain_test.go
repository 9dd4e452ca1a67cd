package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// orchestratorOf returns the machine of a node, to ask what it reports.
func (c *cluster) orchestratorOf(node int) *orchestrator.Orchestrator {
	c.t.Helper()
	o, ours := c.w.bodies[node].orchestrator.machine.(*orchestrator.Orchestrator)
	if !ours {
		c.t.Fatal("the node has another orchestrator")
	}
	return o
}

// changesNode has something asked of a node from now on.
func (c *cluster) changesNode(by, node int, change volume.NodeChange) *cluster {
	c.t.Helper()
	b := c.w.bodies[node]
	return c.insist(by, volume.Command{Kind: volume.ChangeNode, Node: b.id, Name: b.name, Change: change, Time: c.w.wall().Format(time.RFC3339)})
}

func (c *cluster) drain(by, node int, is bool) *cluster {
	c.t.Helper()
	return c.changesNode(by, node, volume.NodeChange{Drained: &is})
}

// chores has the nodes do every second what is due of what was asked of them, as
// their bodies would that have a clock.
func (c *cluster) chores() *cluster {
	var turn func()
	turn = func() {
		for i, b := range c.w.bodies {
			if b.life == 0 {
				continue
			}
			for _, due := range c.orchestratorOf(i).NodeChores(c.w.wall()) {
				c.w.operator.send(b, due)
			}
		}
		c.w.after(time.Second, callClient, turn)
	}
	c.w.after(time.Second, callClient, turn)
	return c
}

// operation returns what a node reports of an operation of a kind, and whether there
// is one.
func (c *cluster) operation(by int, kind volume.OperationKind) (op volume.Operation, found bool) {
	c.t.Helper()
	for _, op := range c.orchestratorOf(by).UnderWayInRecords() {
		if op.Kind == kind {
			return op, true
		}
	}
	return op, false
}

// drained waits until no copy is on a node, as many as before are in sync elsewhere, and
// nobody reports the drain any more.
func (c *cluster) drained(by, node, copies int) *cluster {
	c.t.Helper()
	return c.within(2*time.Minute, "the node is drained", func() bool {
		for i := range c.v.config.Members {
			if c.v.config.Members[i].Node == c.w.bodies[node].id {
				return false
			}
		}
		_, busy := c.operation(by, volume.DrainOperation)
		return !busy && c.v.config.Count(volume.InSync) == copies && len(c.v.config.Members) == copies && !c.v.placement.Changing()
	})
}

// neverBelow insists that never fewer copies are in sync while something is done.
func (c *cluster) neverBelow(copies int, do func() *cluster) *cluster {
	c.t.Helper()
	least, done := copies, false
	var turn func()
	turn = func() {
		if least = min(least, c.v.config.Count(volume.InSync)); !done {
			c.w.after(5*time.Millisecond, callClient, turn)
		}
	}
	turn()
	do()
	done = true
	if least < copies {
		c.t.Fatalf("%d copies were in sync meanwhile", least)
	}
	return c
}

func TestNodeIsDrainedUnderWritesWithoutFewerCopiesMeanwhile(t *testing.T) {
	for seed := uint64(1); seed <= races/4; seed++ {
		c := newClusterOf(t, seed, 4, 0, 1).attach(2, time.Second).write(0, 32)
		c.insist(3, volume.Command{Kind: volume.SetVolume, Name: c.v.name, Spec: volume.Spec{MinWritable: 2}}).run(time.Second)
		if c.v.config.MinWritable != 2 {
			t.Fatalf("writes need %d copies", c.v.config.MinWritable)
		}
		c.busy(2*time.Millisecond).drain(3, 1, true)
		asked := c.w.counts.Acknowledged
		c.neverBelow(2, func() *cluster { return c.drained(3, 1, 2) })
		if c.w.counts.Acknowledged == asked {
			t.Fatal("nothing was answered meanwhile")
		}
		c.calm().read(0, 32).drain(0, 1, false).run(time.Second).flush().compare().rests()
	}
}

// Whichever other node dies in whichever moment: the copies end up elsewhere, and
// nothing is lost. One of them is the first, which drives the drain.
func TestNodeIsDrainedThoughAnotherOneDies(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 5, 1, 2).attach(2, time.Second).write(0, 32).flush().busy(5 * time.Millisecond)
		c.drain(4, 1, true).run(time.Duration(seed*seed) * 2 * time.Millisecond)
		dies := [...]int{0, 2, 3, 4}[seed%4]
		if seed%8 < 4 {
			c.kill(dies)
		} else {
			c.power(dies)
		}
		if dies == 2 {
			c.attach(3, 20*time.Second)
		}
		if seed%3 == 0 { // it stays away while the copy moves
			c.run(20 * time.Second)
		}
		c.up(dies).drained(4, 1, 2).calm().read(0, 32).run(time.Second).flush().compare().rests()
	}
}

func TestDrainForWhichThereIsNoPlaceSaysSoAndLosesNothing(t *testing.T) {
	c := newCluster(t, 3, 0, 1, 2).attach(0, time.Second).write(0, 32)
	c.drain(0, 1, true).run(10 * time.Second)
	op, found := c.operation(2, volume.DrainOperation)
	if !found || !op.Failed || !op.Cancellable || !strings.Contains(op.Reason, "every other node has a copy") {
		t.Fatalf("it reports %+v", op)
	}
	if !c.is(1, volume.InSync) || len(c.v.config.Members) != 3 {
		t.Fatalf("the copy should stay: %s", configText(c.v.config))
	}
	c.write(0, 8).drain(2, 1, false).run(time.Second)
	if op, found := c.operation(2, volume.DrainOperation); found {
		t.Fatalf("it is undrained, and reports %+v", op)
	}
	c.read(0, 32).flush().compare().rests()
}

func TestNodeThatLeavesIsRemovedOnceNothingIsThere(t *testing.T) {
	for seed := uint64(1); seed <= races/4; seed++ {
		c := newClusterOf(t, seed, 4, 1, 2).attach(2, time.Second).write(0, 32).busy(5 * time.Millisecond).chores()
		leaves := true
		c.changesNode(3, 2, volume.NodeChange{Leaves: &leaves}).run(20 * time.Second)
		if _, found := c.operation(3, volume.DecommissionOperation); !found {
			t.Fatal("it left with a volume attached there")
		}
		if seed%2 == 0 {
			c.kill(0).run(time.Duration(seed) * time.Second) // the first, which sees to it
		}
		c.attach(1, 20*time.Second).up(0)
		c.within(time.Minute, "it has left", func() bool {
			_, removed := c.w.metadata.record(volume.RemovedKey(c.w.bodies[2].id))
			return removed
		})
		c.drained(1, 2, 2).calm().read(0, 32).rests()
	}
}

func TestMaintenanceKeepsCopiesFromBeingMadeAnewUntilItIsOver(t *testing.T) {
	c := healing(t, 2*time.Second, 4, 0, 1).attach(0, time.Second).write(0, 32).chores()
	until := c.w.wall().Add(time.Minute).Format(time.RFC3339)
	c.changesNode(2, 1, volume.NodeChange{Maintained: &until}).power(1).run(50 * time.Second)
	if c.v.placement != nil {
		t.Fatalf("a copy is made anew: %s", c.w.placementText(c.v.placement))
	}
	c.write(0, 8).within(time.Minute, "another copy is made when it is over", func() bool {
		return len(c.v.config.Members) == 2 && c.v.config.Count(volume.InSync) == 2 && !c.is(1, volume.InSync)
	})
	c.up(1).read(0, 32).run(time.Second).flush().compare().rests()
}

func TestNodeThatComesBackFromMaintenanceHasItsCopy(t *testing.T) {
	c := healing(t, 2*time.Second, 4, 0, 1).attach(0, time.Second).write(0, 32).chores()
	until := c.w.wall().Add(time.Minute).Format(time.RFC3339)
	c.changesNode(2, 1, volume.NodeChange{Maintained: &until}).power(1).run(30*time.Second).write(4, 8).up(1)
	c.becomes(1, volume.InSync, 20*time.Second).run(time.Minute)
	if c.v.placement != nil || !c.is(1, volume.InSync) {
		t.Fatalf("a copy was made anew: %s", c.w.placementText(c.v.placement))
	}
	c.read(0, 32).flush().compare().rests()
}

// TestDisksAreBalancedUnderWrites: two nodes have all copies of five volumes, two have
// none; one volume is written to meanwhile.
func TestDisksAreBalancedUnderWrites(t *testing.T) {
	for seed := uint64(1); seed <= races/8; seed++ {
		c := newClusterOf(t, seed, 4, 0, 1).attach(0, time.Second).write(0, 32)
		cordon := func(is bool) {
			for _, n := range []int{2, 3} {
				c.changesNode(0, n, volume.NodeChange{Cordoned: &is})
			}
		}
		cordon(true)
		size := c.w.plan.DiskSize / 16
		for _, name := range []string{"a", "b", "d", "e"} {
			c.insist(0, c.creation(name, int(size)/block.PerChunk/c.w.plan.BlockSize, 2))
		}
		cordon(false)
		c.busy(2 * time.Millisecond)
		c.insist(3, volume.Command{Kind: volume.BalanceDisks, Spread: 5, Time: c.w.wall().Format(time.RFC3339)})
		if seed%2 == 0 {
			c.run(time.Duration(seed*300)*time.Millisecond).kill(0).run(2*time.Second).up(0).attach(1, 20*time.Second)
		}
		c.within(2*time.Minute, "disks are balanced", func() bool {
			_, found := c.w.metadata.record(volume.RebalanceKey)
			return !found
		})
		moved := 0
		for _, d := range c.orchestratorOf(3).Disks() {
			if d.Node == c.w.bodies[2].id || d.Node == c.w.bodies[3].id {
				moved += int(d.Promised / size)
			}
		}
		if plan := c.orchestratorOf(3).Balance(5); len(plan.Moves) > 0 || plan.Waiting > 0 || moved < 3 {
			t.Fatalf("seed %d: %d copies moved, and more are to: %+v", seed, moved, plan)
		}
		c.calm().read(0, 32).run(time.Second).flush().compare().rests()
	}
}
