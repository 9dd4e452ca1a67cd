package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// take takes a snapshot, and waits until it is ready.
func (c *cluster) take() block.LayerID { return c.takeOn(0) }

// takeOn is take, with which the volume goes back to an older snapshot.
func (c *cluster) takeOn(restores block.LayerID) (id block.LayerID) {
	c.t.Helper()
	c.sound(func() { id = c.w.snapshot(c.v, restores) })
	c.within(20*time.Second, "the snapshot is ready", func() bool { return c.state(id) == volume.SnapshotReady })
	return id
}

// state returns that of a snapshot, "" if it is not listed.
func (c *cluster) state(id block.LayerID) volume.SnapshotState {
	if s := c.v.snapshots.Find(id); s != nil {
		return s.State
	}
	return ""
}

// drop deletes a snapshot, and waits until it is not listed any more.
func (c *cluster) drop(id block.LayerID) *cluster {
	c.t.Helper()
	c.sound(func() { c.w.deleteSnapshot(c.v, id) })
	return c.within(20*time.Second, "the snapshot is gone", func() bool { return c.state(id) == "" })
}

// look reads a snapshot, or the volume if that is 0, and compares it with what the
// stream made of it. It reports whether it was answered.
func (c *cluster) look(id block.LayerID) (all bool) {
	c.t.Helper()
	open := 0
	all = true
	for first := 0; first < c.v.plan.Blocks; first += block.PerChunk {
		open++
		q := c.user.readLayer(id, block.Range{First: block.Block(first), Count: block.PerChunk})
		q.reader = func(ok bool) { open--; all = all && ok }
	}
	c.within(10*time.Second, "the snapshot is read", func() bool { return open == 0 })
	return all
}

// holds insists that snapshots can be read.
func (c *cluster) holds(ids ...block.LayerID) *cluster {
	c.t.Helper()
	for _, id := range ids {
		if !c.look(id) {
			c.t.Fatalf("snapshot %x cannot be read", id)
		}
	}
	return c
}

// agree compares all copies in sync with the stream.
func (c *cluster) agree() *cluster {
	c.t.Helper()
	var holes snapshotHoles
	return c.sound(func() {
		for i := range c.v.config.Members {
			if m := &c.v.config.Members[i]; m.State == volume.InSync {
				c.w.compareSnapshots(c.v, c.w.bodyOf(m.Node), m, &holes)
			}
		}
		c.w.compareHoles(c.v, &holes)
	})
}

// merged insists that nothing is left of deleted snapshots.
func (c *cluster) merged() *cluster {
	c.t.Helper()
	return c.run(mergedAfter).sound(func() {
		for i := range c.v.config.Members {
			c.w.checkMerged(c.v, &c.v.config.Members[i])
		}
	})
}

func TestSnapshotStaysWhatItWas(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 32)
	first := c.take()
	c.write(4, 8)
	second := c.take()
	c.do(step.ZeroRequest, 0, 16).holds(first, second).flush().compare()
	c.kill(0).attach(3, 10*time.Second).write(0, 4).flush().holds(first, second).power(1).power(2).up(1).up(2)
	c.within(20*time.Second, "served", func() bool { return c.serves(3) }).holds(first, second)
	c.drop(first).holds(second).flush().compare()
	if c.look(first) {
		t.Error("it was deleted, and can be read")
	}
	c.drop(second).flush().merged().compare().read(0, 32)
}

// TestSnapshotOutlivesItsCoordinator kills the coordinator at every moment of a
// snapshot's making, and of its end.
func TestSnapshotOutlivesItsCoordinator(t *testing.T) {
	told(t, 40, 4, []int{1, 2}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32)
		old := c.take()
		c.busy(300 * time.Microsecond).run(time.Millisecond)
		id := block.LayerID(0)
		c.sound(func() { id = c.w.snapshot(c.v, 0); c.w.deleteSnapshot(c.v, old) })
		c.run(time.Duration(seed) * 150 * time.Microsecond).kill(0)
		if seed%3 == 0 {
			c.power(1).power(2).up(1).up(2)
		}
		c.attach(3, 20*time.Second).up(0)
		c.within(10*time.Second, "both are done", func() bool { return c.state(id) == volume.SnapshotReady && c.state(old) == "" })
		c.calm().holds(id).flush().compare()
	})
}

// TestSnapshotsAreCopiedWithTheirVolume fills a member while snapshots come and go.
func TestSnapshotsAreCopiedWithTheirVolume(t *testing.T) {
	told(t, 8, 4, []int{1, 2, 3}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32)
		old := c.take()
		c.write(4, 8)
		gone := c.take()
		c.write(8, 20)
		kept := c.take()
		c.isolate(3, 3*time.Second).becomes(3, volume.Out, 5*time.Second).write(0, 6)
		missed := c.take()
		c.slow(1, int(seed%4)*4+1).slow(3, int(seed/4%3)*4+1).busy(2 * time.Millisecond)
		c.sends(0, 3, message.ResyncBegin).run(time.Duration(seed) * 400 * time.Microsecond)
		var now block.LayerID
		c.sound(func() { now = c.w.snapshot(c.v, 0); c.w.deleteSnapshot(c.v, gone) })
		c.becomes(3, volume.InSync, 30*time.Second).slow(1, 1).slow(3, 1).calm()
		c.within(10*time.Second, "both are done", func() bool { return c.state(now) == volume.SnapshotReady && c.state(gone) == "" })
		c.flush().compare().kill(1).kill(2).holds(old, kept, missed, now).up(1).up(2)
		c.becomes(1, volume.InSync, 20*time.Second).becomes(2, volume.InSync, 20*time.Second)
		for _, id := range []block.LayerID{kept, old, now, missed} {
			c.drop(id)
		}
		c.flush().merged().compare()
	})
}

// TestSnapshotTakenInTheLivePassKeepsWhatWasWrittenLive: what the stream wrote is
// known by its layer.
func TestSnapshotTakenInTheLivePassKeepsWhatWasWrittenLive(t *testing.T) {
	told(t, 8, 4, []int{1, 2, 3}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32)
		old := c.take()
		c.write(0, 20).isolate(3, 3*time.Second).becomes(3, volume.Out, 5*time.Second)
		c.slow(1, 40).slow(2, 40).busy(200*time.Microsecond).sends(0, 3, message.ResyncLive)
		c.run(time.Duration(seed) * 300 * time.Microsecond)
		now, again := c.take(), c.take()
		c.becomes(3, volume.InSync, 30*time.Second).slow(1, 1).slow(2, 1).calm().holds(old, now, again)
		c.flush().compare().kill(1).kill(2).holds(old, now, again).up(1).up(2)
		c.becomes(1, volume.InSync, 60*time.Second)
	})
}

func TestVolumeGoesBackToASnapshot(t *testing.T) {
	told(t, 12, 4, []int{1, 2}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32)
		first := c.take()
		c.write(4, 24)
		second := c.take()
		c.write(0, 16)
		var third block.LayerID
		c.sound(func() { third = c.w.snapshot(c.v, first) })
		c.run(time.Duration(seed)*200*time.Microsecond).kill(0).attach(3, 10*time.Second)
		c.within(10*time.Second, "it went back", func() bool { return c.state(third) == volume.SnapshotReady })
		c.flush().agree().holds(0, first, second, third).write(8, 8).flush().agree().holds(0)
		c.isolate(2, 3*time.Second).becomes(2, volume.Out, 5*time.Second).write(0, 4).becomes(2, volume.InSync, 20*time.Second)
		c.flush().agree()
		for _, id := range [][]block.LayerID{{first, second, third}, {third, second, first}, {second, first, third}}[seed%3] {
			c.drop(id).holds(0).flush().agree()
		}
		c.merged().holds(0).agree()
	})
}

// clone makes a volume of a snapshot: what follows is about that one.
func (c *cluster) clone(id block.LayerID) *cluster {
	n := *c
	c.sound(func() { n.v = c.w.clone(c.v, id) })
	n.user = newClient(c.w, cloneClients, &ClientPlan{Depth: 1, Volume: c.w.volumeIndex(n.v.id)})
	return &n
}

// TestCloneStandsOnItsSnapshot: it begins with what the snapshot holds, keeps that
// when the snapshot goes, and a member that has it no more is given it by another.
func TestCloneStandsOnItsSnapshot(t *testing.T) {
	told(t, 8, 4, []int{1, 2}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32)
		id := c.take()
		c.write(4, 16)
		n := c.clone(id)
		if seed%2 == 0 { // the origin is elsewhere, or nowhere
			c.kill(0)
		}
		n.attach(3, 10*time.Second).holds(0).write(8, 4)
		own := n.take()
		n.write(0, 2).flush().agree().holds(0, own)
		c.up(0).attach(0, 10*time.Second).flush().agree().holds(0, id).drop(id).flush().agree()
		n.isolate(2, 3*time.Second).becomes(2, volume.Out, 5*time.Second).write(20, 4).becomes(2, volume.InSync, 30*time.Second)
		n.flush().agree().holds(0, own).drop(own).flush().agree().holds(0)
		c.becomes(2, volume.InSync, 30*time.Second).flush().agree().merged()
		n.merged().agree()
	})
}
