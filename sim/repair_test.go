package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/linearizability"
)

// rotBlocks damages blocks of the volume that went home on a node's disk.
func (c *cluster) rotBlocks(node int, blocks ...block.Block) *cluster {
	c.t.Helper()
	d, data := c.w.bodies[node].drives[0], make([]byte, c.w.plan.BlockSize)
	for _, b := range blocks {
		found := false
		for _, at := range c.w.homeBlocks(d) {
			d.device.Peek(at, data)
			if _, err := linearizability.Decode(data, c.v.id, b); err == nil {
				d.device.Rot(at, 1)
				found = true
			}
		}
		if !found {
			c.t.Fatalf("block %d is not at home", b)
		}
	}
	d.damaged = true
	return c
}

// holes returns the blocks that a node's disk could not give after a power loss.
func (c *cluster) holes(node int) (bad []int) {
	c.t.Helper()
	for i := range c.v.config.Members {
		m := &c.v.config.Members[i]
		if m.Node != c.w.bodies[node].id {
			continue
		}
		_, holes := c.w.readDisk(c.w.bodies[node].drives[0], m.Replica, c.v.plan.Blocks)
		for b, hole := range holes {
			if hole {
				bad = append(bad, b)
			}
		}
	}
	return bad
}

// whole ends the test if a copy has a block that cannot be read.
func (c *cluster) whole(node int) *cluster {
	c.t.Helper()
	if bad := c.holes(node); len(bad) > 0 {
		c.t.Fatalf("blocks %v of the copy on node %d cannot be read", bad, node)
	}
	return c
}

// hit ends the test if a place in core was not reached.
func (c *cluster) hit(mark step.Mark) *cluster {
	c.t.Helper()
	if c.w.marks.Counts[mark] == 0 {
		c.t.Fatalf("%q was not reached", mark)
	}
	return c
}

// settled is a cluster whose volume has all of its blocks at home.
func settled(t *testing.T, nodes int, copies ...int) *cluster {
	t.Helper()
	return newCluster(t, nodes, copies...).attach(copies[0], time.Second).write(0, 32).flush().run(40 * time.Second)
}

func TestRottenBlocksAreWrittenAnew(t *testing.T) {
	c := settled(t, 3, 1, 2).rotBlocks(1, 3, 4, 9, 20)
	if bad := c.holes(1); len(bad) != 4 {
		t.Fatalf("blocks %v are damaged", bad)
	}
	c.read(0, 16).read(20, 1).run(time.Second).flush().hit("coordinator: block repaired").whole(1).read(0, 32).compare()
}

func TestBlocksRottenOnEitherCopyAreAllReadAndWrittenAnew(t *testing.T) {
	c := settled(t, 3, 1, 2).rotBlocks(1, 3, 20).rotBlocks(2, 7, 8)
	c.read(0, 16).hit("coordinator: read put together").read(16, 16).run(time.Second).flush().whole(1).whole(2).read(0, 32).compare()
}

// TestRepairNeverOverwritesANewerWrite has the write come at every moment of the
// repair, event by event.
func TestRepairNeverOverwritesANewerWrite(t *testing.T) {
	repaired := 0
	for events := range 40 {
		c := settled(t, 3, 1, 2).rotBlocks(1, 3)
		read, _ := c.ask(step.ReadRequest, 3, 1)
		c.until(time.Second, "the read is answered", func() bool { return *read })
		for range events {
			c.sound(c.w.one)
		}
		c.write(2, 4).read(0, 16).run(time.Second).flush().whole(1).read(0, 32).compare()
		repaired += c.w.marks.Counts["coordinator: block repaired"]
	}
	if repaired < 4 {
		t.Errorf("the write came after the beginning of a repair %d times", repaired)
	}
}

func TestRepairOutlastsTheMemberThatFails(t *testing.T) {
	c := settled(t, 4, 1, 2, 3).rotBlocks(1, 3)
	c.slow(1, 64).slow(2, 64).slow(3, 64)
	read, _ := c.ask(step.ReadRequest, 0, 8)
	c.until(5*time.Second, "it is answered", func() bool { return *read })
	c.kill(2).slow(1, 1).slow(3, 1).write(0, 2).up(2).becomes(2, volume.InSync, 40*time.Second)
	c.read(0, 16).run(time.Second).flush().whole(1).whole(2).compare()
}

func TestBlockWithoutAGoodCopyStaysSoThroughAResync(t *testing.T) {
	c := settled(t, 3, 1, 2).isolate(2, 8*time.Second).becomes(2, volume.Out, 5*time.Second)
	c.rotBlocks(1, 3).write(4, 4).becomes(2, volume.InSync, 40*time.Second).run(time.Second).flush()
	for _, node := range []int{1, 2} {
		if bad := c.holes(node); len(bad) != 1 || bad[0] != 3 {
			t.Errorf("node %d: blocks %v cannot be read, block 3 was lost", node, bad)
		}
	}
	c.read(0, 3).read(4, 12).refuses(3, 1).write(0, 8).read(0, 16).run(40 * time.Second).flush().whole(1).whole(2).compare()
}

// refuses ends the test if a read is not answered with an error.
func (c *cluster) refuses(first, count int) *cluster {
	c.t.Helper()
	ended, ok := c.ask(step.ReadRequest, first, count)
	c.within(10*time.Second, "the read is answered", func() bool { return *ended })
	if *ok {
		c.t.Fatalf("[%d,+%d) was read", first, count)
	}
	return c
}

// scrubs has a node's disk read to its end, and waits until what was repaired is
// durable.
func (c *cluster) scrubs(node int) *cluster {
	c.t.Helper()
	d := c.w.bodies[node].drives[0]
	c.sound(func() {
		d.scrub = &volume.Scrub{Rate: 1 << 40}
		c.w.bodies[node].goOnScrubbing(0)
	})
	return c.within(time.Minute, "the disk is scrubbed", func() bool { return d.scrub.Over }).run(mergedAfter)
}

const snapshotRepaired = "store: block of a snapshot repaired"

func TestRottenBlocksOfASnapshotAreRepaired(t *testing.T) {
	c := settled(t, 3, 1, 2)
	id := c.take()
	c.rotBlocks(1, 3, 4, 20).write(4, 1).run(40 * time.Second)
	c.scrubs(1).hit(snapshotRepaired).flush().agree().holds(id).whole(1).read(0, 32).compare()
	if n := c.w.marks.Counts[snapshotRepaired]; n != 3 {
		t.Errorf("%d blocks were repaired, 3 had rotted", n)
	}
}

func TestReadOfASnapshotHasItRepaired(t *testing.T) {
	c := settled(t, 3, 1, 2).attach(1, 10*time.Second)
	id := c.take()
	c.rotBlocks(1, 3, 20).write(3, 1).holds(id).run(mergedAfter).hit(snapshotRepaired).agree().holds(id).compare()
}

func TestBlocksOfASnapshotRottenOnEitherCopyAreRepaired(t *testing.T) {
	c := settled(t, 3, 1, 2)
	first := c.take()
	c.write(8, 16).run(40 * time.Second)
	second := c.take()
	c.rotBlocks(1, 3, 10).rotBlocks(2, 4, 20).write(0, 32).run(40 * time.Second).drop(first)
	c.scrubs(1).scrubs(2).hit(snapshotRepaired).flush().agree().holds(second).read(0, 32).compare().drop(second).merged().compare()
}

// A block that was copied as lost has no checksum where it is lost.
func TestBlockOfASnapshotThatWasCopiedAsLostIsRepaired(t *testing.T) {
	c := settled(t, 4, 1, 2, 3).isolate(3, 8*time.Second).becomes(3, volume.Out, 5*time.Second).rotBlocks(1, 3).write(4, 4)
	id := c.take()
	c.write(3, 1).becomes(3, volume.InSync, 40*time.Second).hit("coordinator: lost blocks copied as lost")
	c.scrubs(1).scrubs(3).flush().hit(snapshotRepaired).agree().holds(id).compare()
}

func TestBlockOfASnapshotWithoutAGoodCopyStaysLost(t *testing.T) {
	c := settled(t, 3, 1, 2)
	id := c.take()
	c.rotBlocks(1, 3).rotBlocks(2, 3).write(3, 1).scrubs(1).scrubs(2).flush()
	if c.look(id) || c.w.marks.Counts[snapshotRepaired] > 0 {
		t.Error("a block that nobody has was read, or made up")
	}
	c.agree().read(0, 32).compare()
}

// TestRepairOfASnapshotOutlastsItsMember kills the member at every moment of a
// repair.
func TestRepairOfASnapshotOutlastsItsMember(t *testing.T) {
	repaired := 0
	for events := range 40 {
		c := settled(t, 3, 1, 2)
		id := c.take()
		c.rotBlocks(1, 3).write(3, 1).run(40*time.Second).attach(0, 10*time.Second)
		c.sound(func() {
			c.w.bodies[1].drives[0].scrub = &volume.Scrub{Rate: 1 << 40}
			c.w.bodies[1].goOnScrubbing(0)
		})
		c.until(time.Minute, "it is found", func() bool { return c.w.marks.Counts["store: scrub found lost blocks"] > 0 })
		for range events {
			c.sound(c.w.one)
		}
		repaired += c.w.marks.Counts[snapshotRepaired]
		if events%2 == 0 {
			c.kill(1)
		} else {
			c.power(1)
		}
		c.up(1).becomes(1, volume.InSync, 40*time.Second).scrubs(1).flush().agree().holds(id).whole(1).compare()
	}
	if repaired == 0 || repaired == 40 {
		t.Errorf("%d of 40 ends came after the repair", repaired)
	}
}

// TestSnapshotMayGoWhileItIsRepaired deletes it at every moment of that.
func TestSnapshotMayGoWhileItIsRepaired(t *testing.T) {
	for events := range 40 {
		c := settled(t, 3, 1, 2)
		id := c.take()
		c.rotBlocks(1, 3, 4).write(3, 1).run(40 * time.Second)
		c.sound(func() {
			c.w.bodies[1].drives[0].scrub = &volume.Scrub{Rate: 1 << 40}
			c.w.bodies[1].goOnScrubbing(0)
		})
		c.until(time.Minute, "it is found", func() bool { return c.w.marks.Counts["store: scrub found lost blocks"] > 0 })
		for range events {
			c.sound(c.w.one)
		}
		c.drop(id).scrubs(1).flush().merged().whole(1).read(0, 32).compare()
	}
}
