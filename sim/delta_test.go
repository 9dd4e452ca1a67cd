package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// away keeps a copy from its volume while something is done, until it is in sync
// again, and returns how many chunks it was given.
func (c *cluster) away(node int, do func()) (chunks int) {
	c.t.Helper()
	c.kill(node).becomes(node, volume.Out, 5*time.Second)
	do()
	before := c.w.counts.Copied
	c.up(node).becomes(node, volume.InSync, 30*time.Second)
	return c.w.counts.Copied - before
}

func TestCopyThatWasAwayIsGivenWhatChanged(t *testing.T) {
	c := newCluster(t, 4, 1, 2, 3).attach(0, time.Second).write(0, 32).flush().run(2 * time.Second)
	for _, lost := range []bool{false, true} {
		if lost {
			c.power(3).becomes(3, volume.Out, 5*time.Second)
		}
		if n := c.away(3, func() { c.write(3, 2) }); n != 1 {
			t.Errorf("one of two chunks changed, %d were copied", n)
		}
		c.hit("replica: given what changed").flush().compare().run(2 * time.Second)
	}
	if n := c.away(3, func() { c.attach(2, 10*time.Second).kill(0).up(0).run(time.Second).attach(0, 10*time.Second) }); n != 0 {
		t.Errorf("nothing changed, %d chunks were copied", n)
	}
	c.flush().compare()
}

// TestCopyThatWasAwayWhileSnapshotsCameAndWentHasTheSame: of each kind of change of
// the layers one, alone and after another.
func TestCopyThatWasAwayWhileSnapshotsCameAndWentHasTheSame(t *testing.T) {
	var old, mid block.LayerID
	changes := []struct {
		name string
		do   func(c *cluster)
	}{
		{"taken", func(c *cluster) { c.take(); c.write(0, 3) }},
		{"taken and deleted", func(c *cluster) { id := c.take(); c.write(17, 3).drop(id) }},
		{"taken twice, the first deleted", func(c *cluster) { id := c.take(); c.write(5, 3); c.take(); c.write(6, 12).drop(id) }},
		{"an old one deleted", func(c *cluster) {
			if c.state(mid) != "" {
				c.drop(mid).write(9, 2)
			}
		}},
		{"gone back", func(c *cluster) { c.write(0, 8).takeOn(old); c.write(20, 2) }},
		{"gone back, and what was before deleted", func(c *cluster) { c.write(2, 20); id := c.takeOn(old); c.drop(id) }},
		{"gone back, and all deleted", func(c *cluster) {
			c.write(2, 20)
			id := c.takeOn(old)
			c.write(1, 1).drop(id).drop(old)
			old = c.take()
		}},
	}
	for i, first := range changes {
		for j, second := range changes {
			t.Run(first.name+", "+second.name, func(t *testing.T) {
				c := newClusterOf(t, uint64(i*len(changes)+j+1), 4, 1, 2, 3).attach(0, time.Second).write(0, 32)
				old = c.take()
				c.write(4, 24)
				mid = c.take()
				c.write(0, 16).flush().run(2 * time.Second)
				c.away(3, func() { first.do(c); second.do(c) })
				c.flush().agree().kill(1).kill(2).holds(0).up(1).up(2)
				c.becomes(1, volume.InSync, 20*time.Second).becomes(2, volume.InSync, 20*time.Second)
				for len(c.v.snapshots.List) > 0 {
					c.drop(c.v.snapshots.List[0].Layer)
				}
				c.write(0, 20).flush().merged().agree().holds(0)
			})
		}
	}
}

// TestResyncThatEndsEarlyGoesOn: what its passes brought is not brought again, and
// what they had begun is.
func TestResyncThatEndsEarlyGoesOn(t *testing.T) {
	told(t, 24, 4, []int{1, 2, 3}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32)
		id := c.take()
		c.write(0, 4).flush().run(2*time.Second).kill(3).becomes(3, volume.Out, 5*time.Second).write(14, 10)
		if seed%3 == 0 {
			c.take()
		}
		c.slow(3, int(seed%4)*3+1).busy(time.Millisecond).up(3).becomes(3, volume.Syncing, 20*time.Second)
		c.run(time.Duration(seed) * 700 * time.Microsecond)
		if seed%2 == 0 {
			c.power(3).run(time.Second).up(3)
		} else {
			c.kill(0).attach(1, 20*time.Second)
		}
		c.becomes(3, volume.InSync, 40*time.Second).slow(3, 1).calm().flush().compare()
		c.kill(0).kill(1).kill(2).run(time.Second).up(0).up(1).up(2).run(time.Second).attach(0, 20*time.Second).holds(0, id).agree()
	})
}

// smallerDisk gives a node a disk with less room than those of the others.
func smallerDisk(node int) makers {
	m := coreMachines()
	format := m.format
	m.format = func(w *World, d *drive) {
		if d.id == block.DiskID(id('d', node, 1)) {
			d.device = disk.New(disk.Params{Size: w.plan.DiskSize - 8*4096, Seed: 1, Memory: &w.memory.disks})
		}
		format(w, d)
	}
	return m
}

// TestCopyThatKeptWhatBecameANopLosesIt: of two copies one alone has room for a write,
// and is put out before anyone hears of that. The write is refused. What the copy has
// of it carries the seq and the era of the NOP that the other has.
func TestCopyThatKeptWhatBecameANopLosesIt(t *testing.T) {
	story := func(until int) (c *cluster, refused int) {
		p := NewPlan(1, Quiet)
		p.BlockSize, p.ProbeOneIn, p.TailOneIn = 64, 1, 0
		p.makeFull(96)
		p.Nodes, p.Faults, p.Clients, p.ClockPPM = 3, nil, nil, make([]int, 3)
		p.Volumes[0].Members = []int{1, 2}
		c = newClusterWith(t, p, smallerDisk(2)).attach(0, time.Second)
		for chunk := range until {
			ended, ok := c.ask(step.WriteRequest, chunk*block.PerChunk, 1)
			if c.within(10*time.Second, "the write is answered", func() bool { return *ended }); !*ok || c.is(2, volume.Out) {
				return c, chunk
			}
		}
		return c, until
	}
	_, chunk := story(96)
	c, _ := story(chunk)
	if !c.is(1, volume.InSync) || !c.is(2, volume.InSync) {
		t.Fatal("both copies should be in sync still")
	}
	c.clog(1, 0, 5*time.Second)
	ended, ok := c.ask(step.WriteRequest, chunk*block.PerChunk, 1)
	if c.within(20*time.Second, "the write is answered", func() bool { return *ended }); *ok || !c.is(1, volume.Out) {
		t.Fatal("the write should be refused by the only copy that is left")
	}
	c.becomes(1, volume.InSync, 60*time.Second).run(time.Second).flush().compare()
	c.kill(2).read(chunk*block.PerChunk, 1).up(2)
}

// TestCopyIsNotWholeBeforeWhatHidAPushIsStable: a block is zeroed after a resync
// copied it, and written again when the resync is live. That write alone is on the
// target then: what it hides is not pushed. The source loses it with its power.
func TestCopyIsNotWholeBeforeWhatHidAPushIsStable(t *testing.T) {
	told(t, 40, 3, []int{1, 2}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32).flush().run(2*time.Second).kill(2).becomes(2, volume.Out, 5*time.Second).write(0, 32).flush()
		before := c.w.counts.Copied
		c.up(2).until(20*time.Second, "both chunks are copied", func() bool { return c.w.counts.Copied == before+2 })
		c.ask(step.ZeroRequest, 6, 1)
		c.sends(0, 2, message.ResyncLive).slow(1, int(seed%8)*8+1)
		c.ask(step.WriteRequest, 6, 1)
		c.sends(0, 2, message.ResyncEnd).run(time.Millisecond)
		c.power(1).run(time.Second).up(1).slow(1, 1).kill(0).attach(1, 20*time.Second)
		c.becomes(2, volume.InSync, 40*time.Second).flush().compare()
	})
}
