package sim

import (
	"errors"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// move asks a node to move the copy of one node to another.
func (c *cluster) move(by, from, to int) *cluster {
	c.t.Helper()
	return c.insist(by, volume.Command{Kind: volume.MoveReplica, Name: c.v.name, From: c.w.bodies[from].id, Node: c.w.bodies[to].id})
}

// copies waits until the volume has copies on these nodes alone, all in sync, and
// nothing is under way.
func (c *cluster) copies(within time.Duration, nodes ...int) *cluster {
	c.t.Helper()
	return c.within(within, "the copies are where they should be", func() bool {
		for _, n := range nodes {
			if !c.is(n, volume.InSync) {
				return false
			}
		}
		return len(c.v.config.Members) == len(nodes) && !c.v.placement.Changing()
	})
}

// refused insists that a command is refused for a reason.
func (c *cluster) refused(by int, command volume.Command, kind error) *cluster {
	c.t.Helper()
	command.Name = c.v.name
	if err := c.answered(c.command(by, command), 5*time.Second); !errors.Is(err, kind) {
		c.t.Fatalf("answered %v, want %v", err, kind)
	}
	return c
}

// detached waits until nobody has the volume, not for its upkeep either.
func (c *cluster) detached(within time.Duration) *cluster {
	c.t.Helper()
	return c.within(within, "it is detached", func() bool { return c.v.attachment.Node == block.NodeID{} })
}

func TestCopyIsMovedUnderWritesWithoutAPause(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 4, 0, 1).attach(2, time.Second).write(0, 32).busy(2 * time.Millisecond).run(time.Second)
		asked := c.w.counts.Acknowledged
		c.move(0, 1, 3).copies(5*time.Second, 0, 3)
		if c.w.counts.Acknowledged == asked {
			t.Fatal("nothing was answered meanwhile")
		}
		c.calm().read(0, 32).run(time.Second).flush().compare().rests()
	}
}

func TestNumberOfCopiesChangesUnderWritesInBothDirections(t *testing.T) {
	c := newCluster(t, 4, 0).attach(3, time.Second).write(0, 32).busy(2 * time.Millisecond)
	for _, n := range []int{3, 2, 1, 2} {
		c.insist(1, volume.Command{Kind: volume.SetVolume, Name: c.v.name, Spec: volume.Spec{Replicas: n}})
		c.within(10*time.Second, "as many copies as asked for", func() bool {
			return c.v.config.Count(volume.InSync) == n && len(c.v.config.Members) == n && !c.v.placement.Changing()
		})
	}
	c.calm().read(0, 32).run(time.Second).flush().compare().rests()
}

func TestMoveIsDoneThoughEveryNodeDiesInBetween(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 4, 0, 1).attach(0, time.Second).write(0, 32).flush()
		c.move(2, 1, 3).run(time.Duration(seed) * time.Millisecond)
		for n := range 4 {
			c.kill(n)
		}
		c.run(time.Second).up(0).up(1).up(2).up(3).copies(30*time.Second, 0, 3)
		c.attach(2, 5*time.Second).read(0, 32).write(0, 4).run(time.Second).flush().compare().rests()
	}
}

func TestMoveThatIsBrokenOffLeavesWhatWasThere(t *testing.T) {
	c := newCluster(t, 4, 0, 1).attach(0, time.Second).write(0, 32).power(3).run(leaseTime / 2)
	c.move(0, 1, 3).run(5 * time.Second)
	if !c.is(1, volume.InSync) || !c.is(3, volume.Out) {
		t.Fatalf("the copy should stay until the other one is there: %s", configText(c.v.config))
	}
	c.refused(2, volume.Command{Kind: volume.AddReplica}, volume.ErrReplicasChanging)
	c.insist(2, volume.Command{Kind: volume.KeepReplicas, Name: c.v.name}).copies(5*time.Second, 0, 1)
	c.refused(2, volume.Command{Kind: volume.KeepReplicas}, volume.ErrNotCancellable)
	c.up(3).run(5*time.Second).write(0, 8).read(0, 32).rests()
}

func TestVolumeThatNobodyHasIsRearrangedAndGivenUpToWhoWantsIt(t *testing.T) {
	c := newCluster(t, 4, 0, 1).attach(2, time.Second).write(0, 32).flush()
	c.insist(2, volume.Command{Kind: volume.DetachVolume, Name: c.v.name}).run(time.Second)
	c.move(3, 0, 3).copies(20*time.Second, 1, 3)
	c.detached(5 * time.Second)
	c.power(0).run(leaseTime/2).move(3, 1, 0).run(10 * time.Second) // to a node that is away
	began := c.w.now
	if err := c.answered(c.want(2), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Logf("given up in %v", time.Duration(c.w.now-began))
	c.within(5*time.Second, "served", func() bool { return c.serves(2) }).use(2).read(0, 32)
	c.up(0).copies(20*time.Second, 0, 3).read(0, 32).rests()
}

func TestLastCopyIsNeverRemoved(t *testing.T) {
	c := newCluster(t, 3, 0, 1).attach(2, time.Second).write(0, 16)
	on := func(n int) volume.Command { return volume.Command{Kind: volume.RemoveReplica, Node: c.w.bodies[n].id} }
	c.refused(0, on(2), volume.ErrReplicaNotFound)
	c.refused(0, volume.Command{Kind: volume.MoveReplica, From: c.w.bodies[0].id, Node: c.w.bodies[1].id}, volume.ErrReplicaExists)
	c.power(1).becomes(1, volume.Out, 5*time.Second).write(0, 4).refused(2, on(0), volume.ErrLastCopy)
	gone := on(1)
	gone.Name = c.v.name
	c.insist(2, gone).copies(5*time.Second, 0).refused(2, on(0), volume.ErrLastCopy)
	c.up(1).run(time.Second).write(0, 4).read(0, 16).rests()
}

func TestCopyThatWasJustAddedIsNotFreedByAnOlderConfiguration(t *testing.T) {
	c := newCluster(t, 3, 0).attach(0, time.Second).write(0, 16)
	old := c.v.config
	c.insist(1, volume.Command{Kind: volume.AddReplica, Name: c.v.name, Node: c.w.bodies[2].id}).copies(10*time.Second, 0, 2)
	b, m := c.w.bodies[2], c.v.config.Members[1]
	it := c.w.queue.push(c.w.now)
	it.kind, it.body, it.life, it.shard = itemEvent, b, b.life, b.disks[0]
	it.event.Kind = step.EventControl
	it.event.Control = step.Control{Kind: step.FreeReplica, Disk: m.Disk, Volume: c.v.id, Replica: m.Replica, Config: old}
	c.run(time.Second)
	if c.w.marks.Counts["disk: freeing a replica on a stale configuration refused"] == 0 {
		t.Fatal("it was not refused")
	}
	c.write(0, 4).run(time.Second).flush().compare().rests()
}

func healing(t *testing.T, after time.Duration, nodes int, copies ...int) *cluster {
	t.Helper()
	p := NewPlan(1, Quiet)
	p.Nodes, p.Faults, p.Clients, p.TailOneIn, p.ProbeOneIn = nodes, nil, nil, 0, 1
	p.ClockPPM, p.Snapshots, p.Copies, p.HealAfter = make([]int, nodes), 8, false, after
	p.Volumes = []VolumePlan{{Blocks: 32, Hot: 32, Members: copies}}
	return newClusterFrom(t, p)
}

func TestLostCopyIsMadeAnewElsewhere(t *testing.T) {
	for _, attached := range []bool{true, false} {
		c := healing(t, 5*time.Second, 4, 0, 1).attach(0, time.Second).write(0, 32).flush()
		if !attached {
			c.insist(0, volume.Command{Kind: volume.DetachVolume, Name: c.v.name})
		}
		c.power(1).run(leaseTime + 3*time.Second)
		if c.v.placement != nil {
			t.Fatal("it is not waited for")
		}
		c.within(30*time.Second, "another copy is made", func() bool {
			return len(c.v.config.Members) == 2 && c.v.config.Count(volume.InSync) == 2 && !c.is(1, volume.InSync)
		})
		if !attached {
			c.detached(5 * time.Second)
		}
		c.up(1).attach(0, 10*time.Second).read(0, 32).write(0, 4).run(time.Second).flush().compare().rests()
	}
}

func TestLostCopyThatComesBackFirstStays(t *testing.T) {
	c := healing(t, 2*time.Second, 4, 0, 1).attach(0, time.Second).write(0, 32)
	c.power(1).within(30*time.Second, "another copy is wanted", func() bool { return c.v.placement != nil })
	at := c.v.placement.Copies[1]
	c.power(c.w.bodyOf(at.Node).index).up(1).copies(20*time.Second, 0, 1)
	c.up(c.w.bodyOf(at.Node).index).run(5*time.Second).write(0, 4).read(0, 32).rests()
}

func TestNothingIsHealedWhileTooManyNodesAreSilent(t *testing.T) {
	c := healing(t, time.Second, 5, 0, 1).attach(0, time.Second).write(0, 16)
	c.power(1).power(2).run(30 * time.Second)
	if c.v.placement != nil {
		t.Fatalf("of 5 nodes 2 are silent, and a copy is made anew: %s", c.w.placementText(c.v.placement))
	}
	c.up(2).within(30*time.Second, "another copy is made", func() bool { return c.v.config.Count(volume.InSync) == 2 })
	c.up(1).read(0, 16).rests()
}

// A copy leaves while its node is away, and the volume is deleted then: the node finds,
// when it comes back, that the copy is to be freed. One that was removed is not waited for.
func TestCopyThatLeftWhileItsNodeWasAwayIsFreedThoughTheVolumeIsDeleted(t *testing.T) {
	for seed := uint64(1); seed <= races/4; seed++ {
		c := newClusterOf(t, seed, 3, 0)
		spec := c.creation("away", 2, 2)
		spec.Spec.Nodes = []string{"n0", "n2"}
		c.insist(1, spec).run(time.Second).power(2).run(leaseTime + time.Second)
		c.insist(1, volume.Command{Kind: volume.RemoveReplica, Name: "away", Node: c.w.bodies[2].id})
		left := func() bool {
			for _, p := range c.w.placements() {
				return len(p.Left) == 1
			}
			return false
		}
		c.within(30*time.Second, "the copy has left", left)
		c.insist(1, volume.Command{Kind: volume.DeleteVolume, Name: "away"}).run(5 * time.Second)
		if len(c.w.placements()) == 0 {
			t.Fatal("the deletion does not wait for the copy that left")
		}
		if seed%2 == 0 {
			c.insist(1, volume.Command{Kind: volume.RemoveNode, Node: c.w.bodies[2].id, Name: "n2"}).rests()
		}
		c.up(2).rests()
		if len(c.w.placements()) > 0 {
			t.Fatalf("seed %d: the deleted volume is still recorded", seed)
		}
	}
}
