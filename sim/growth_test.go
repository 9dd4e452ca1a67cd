package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

// newGrowing starts nodes with one volume of 16 blocks that is to have 48.
func newGrowing(t *testing.T, seed uint64, nodes int, copies ...int) *cluster {
	t.Helper()
	p := NewPlan(seed, Quiet)
	p.Nodes, p.Faults, p.Clients, p.TailOneIn, p.ProbeOneIn = nodes, nil, nil, 0, 1
	p.ClockPPM, p.Snapshots, p.Restores, p.Deletes, p.Copies, p.HealAfter = make([]int, nodes), 8, false, false, false, 0
	p.Grows, p.Clones, p.WindowKept = false, 2, 0
	p.Volumes = []VolumePlan{{Blocks: 48, First: 16, Hot: 48, Members: copies}}
	return newClusterFrom(t, p)
}

// grow asks a node to have the volume grow, and does not wait for that.
func (c *cluster) grow(by, blocks int) *cluster {
	c.t.Helper()
	return c.insist(by, volume.Command{Kind: volume.SetVolume, Name: c.v.name, Spec: volume.Spec{Size: int64(blocks * c.w.plan.BlockSize)}})
}

// has waits until the users of the volume are told that it has so many blocks.
func (c *cluster) has(blocks int, within time.Duration) *cluster {
	c.t.Helper()
	return c.within(within, "it has grown", func() bool {
		return c.v.newest() != nil && c.v.newest().blocks == blocks && int(c.v.config.Blocks) == blocks
	})
}

func TestVolumeGrowsUnderWrites(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newGrowing(t, seed, 4, 0, 1).attach(2, time.Second).write(0, 16).busy(2 * time.Millisecond).run(time.Second)
		c.grow(1, 32).has(32, time.Second).write(16, 16).grow(3, 48).has(48, time.Second)
		c.calm().read(0, 48).write(40, 8).read(0, 48).run(time.Second).flush().compare().rests()
	}
}

// TestGrowthIsDoneThoughItsNodeDies: its size is recorded, and what follows is done by
// the next session, at whatever moment the node died.
func TestGrowthIsDoneThoughItsNodeDies(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newGrowing(t, seed, 4, 0, 1).attach(2, time.Second).write(0, 16).flush()
		c.grow(0, 48).until(time.Second, "its size is recorded", func() bool { return c.v.config.Blocks == 48 })
		c.run(time.Duration(seed%5)*100*time.Microsecond).kill(2).attach(3, 10*time.Second).has(48, time.Second)
		c.read(0, 48).write(30, 10).read(0, 48).up(2).attach(2, 5*time.Second).has(48, time.Second).read(0, 48).run(time.Second).flush().compare().rests()
	}
}

func TestGrowthOutlastsThePowerOfEveryNode(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newGrowing(t, seed, 3, 0, 1).attach(2, time.Second).write(0, 16).flush()
		c.grow(0, 48).run(time.Duration(seed) * 500 * time.Microsecond)
		c.power(0).power(1).power(2).run(time.Second).up(0).up(1).up(2)
		c.attach(2, 30*time.Second).has(48, 10*time.Second).read(0, 48).write(16, 32).read(0, 48).run(time.Second).flush().compare().rests()
	}
}

// TestCopyThatWasAwayIsFilledAsLargeAsTheOthers: with what changed, and from nothing,
// with snapshots of each size.
func TestCopyThatWasAwayIsFilledAsLargeAsTheOthers(t *testing.T) {
	for name, back := range map[string]func(*cluster) *cluster{ // any order: each is tried alone
		"what changed": func(c *cluster) *cluster { return c.up(1) },
		"everything": func(c *cluster) *cluster {
			c.insist(0, volume.Command{Kind: volume.RemoveReplica, Name: c.v.name, Node: c.w.bodies[1].id})
			c.copies(10*time.Second, 0).up(1).run(time.Second)
			return c.insist(0, volume.Command{Kind: volume.AddReplica, Name: c.v.name, Node: c.w.bodies[1].id})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newGrowing(t, 1, 3, 0, 1).attach(2, time.Second).write(0, 16).flush()
			first := c.take()
			c.kill(1).becomes(1, volume.Out, 5*time.Second)
			c.grow(0, 32).has(32, time.Second).write(20, 4)
			c.take()
			c.grow(0, 48).has(48, time.Second).write(40, 4).run(time.Second)
			back(c).becomes(1, volume.InSync, 30*time.Second).hit("coordinator: member filled that was smaller")
			c.write(32, 4).write(10, 1).read(0, 48).run(time.Second).flush().compare()
			n := c.w.clone(c.v, first) // also of what is smaller than the volume by now
			c.within(20*time.Second, "the clone is there", func() bool { return n.config.Count(volume.InSync) == 2 })
			c.kill(0).becomes(0, volume.Out, 5*time.Second).read(0, 48).up(0).becomes(0, volume.InSync, 30*time.Second)
		})
	}
}

func TestVolumeGrowsWhileACopyIsFilled(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newGrowing(t, seed, 4, 0, 1).attach(2, time.Second).write(0, 16).busy(2 * time.Millisecond)
		c.isolate(1, 3*time.Second).becomes(1, volume.Out, 5*time.Second)
		c.until(20*time.Second, "it is being filled", func() bool { return c.is(1, volume.Syncing) })
		c.run(time.Duration(seed)*50*time.Microsecond).grow(0, 48).has(48, 10*time.Second).write(16, 32)
		c.becomes(1, volume.InSync, 20*time.Second).calm().read(0, 48).run(time.Second).flush().compare().rests()
	}
}

func TestVolumeThatNobodyHasGrowsByItsUpkeep(t *testing.T) {
	c := newGrowing(t, 1, 3, 0, 1)
	c.grow(2, 32).within(15*time.Second, "its size is recorded", func() bool { return c.v.config.Blocks == 32 })
	c.detached(5*time.Second).attach(2, 5*time.Second).has(32, time.Second).write(0, 32).run(time.Second).flush().rests()
}

func TestVolumeThatGoesBackToASnapshotKeepsItsSize(t *testing.T) {
	c := newGrowing(t, 1, 3, 0, 1).attach(2, time.Second).write(0, 16)
	layer := c.take()
	c.grow(0, 48).has(48, time.Second).write(16, 32)
	c.takeOn(layer)
	c.attach(2, 10*time.Second).has(48, time.Second)
	if got := c.v.snapshots.Find(layer).Blocks; got != 16 {
		t.Errorf("the snapshot has %d blocks", got)
	}
	c.holds(0, layer).write(0, 48).flush().agree().holds(0)
}

// TestPersonAcceptsTheLossOfAGrowth: the copy that is left is smaller than what is
// recorded, and becomes as large.
func TestPersonAcceptsTheLossOfAGrowth(t *testing.T) {
	c := newGrowing(t, 1, 4, 1, 2).attach(0, time.Second).write(0, 16).flush()
	c.kill(2).becomes(2, volume.Out, 5*time.Second).grow(0, 48).has(48, time.Second)
	c.power(1).up(2).run(15 * time.Second)
	c.v.told = 0 // it is given up
	c.insist(3, volume.Command{Kind: volume.RecoverVolume, Name: c.v.name, Node: c.w.bodies[2].id}).run(time.Second)
	c.attach(3, 20*time.Second).has(48, 5*time.Second).read(0, 48).write(40, 8).flush()
	c.up(1).becomes(1, volume.InSync, 30*time.Second).run(time.Second).flush().compare()
}

func TestVolumeNeverShrinksAndGrowsIntoNoFullDisk(t *testing.T) {
	c := newGrowing(t, 1, 3, 0, 1).attach(2, time.Second).grow(0, 48).has(48, time.Second)
	size := func(blocks int64) volume.Command {
		return volume.Command{Kind: volume.SetVolume, Spec: volume.Spec{Size: blocks * int64(c.w.plan.BlockSize)}}
	}
	c.refused(0, size(32), volume.ErrCannotShrink).refused(0, size(50), volume.ErrInvalidSize)
	c.refused(1, size(c.w.plan.DiskSize), volume.ErrNoPlacement)
	both := size(64)
	both.Spec.Replicas = 3
	c.refused(1, both, volume.ErrInvalidOption).grow(1, 48).rests()
}
