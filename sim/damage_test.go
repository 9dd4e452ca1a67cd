package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// glitch makes the next read of a node's disk go wrong, once.
func (c *cluster) glitch(node int, k disk.Kind) *cluster {
	c.w.misread(c.w.bodies[node].drives[0], k)
	return c
}

// glitched ends the test if the read that should go wrong was never asked for.
func (c *cluster) glitched(node int) *cluster {
	c.t.Helper()
	if c.w.bodies[node].drives[0].misread != disk.None {
		c.t.Fatal("the disk was not read")
	}
	return c
}

func TestReadThatGoesWrongOnceIsAnsweredByTheOnlyCopy(t *testing.T) {
	for _, k := range []disk.Kind{disk.ReadError, disk.MisdirectedRead} {
		t.Run(k.String(), func(t *testing.T) {
			c := newCluster(t, 3, 1).attach(0, time.Second).write(0, 16).flush().run(40 * time.Second)
			c.glitch(1, k).read(0, 16).glitched(1).read(0, 16)
		})
	}
}

func TestReadThatGoesWrongOnceOnTheWayHomeLosesNothing(t *testing.T) {
	for _, k := range []disk.Kind{disk.ReadError, disk.MisdirectedRead} {
		t.Run(k.String(), func(t *testing.T) {
			c := newCluster(t, 3, 1).attach(0, time.Second).write(0, 4).write(16, 3).flush()
			c.glitch(1, k).run(40*time.Second).glitched(1).read(0, 32).compare()
		})
	}
}

func TestMapPageThatCannotBeReadOnceIsReadAgain(t *testing.T) {
	for _, k := range []disk.Kind{disk.ReadError, disk.MisdirectedRead} {
		t.Run(k.String(), func(t *testing.T) {
			c := newCluster(t, 3, 1).attach(0, time.Second).write(0, 16).flush().run(40 * time.Second)
			c.kill(1).up(1).run(100*time.Millisecond).attach(0, 10*time.Second)
			c.glitch(1, k).read(0, 16).glitched(1).read(0, 32)
		})
	}
}

// rot damages every block of a client that went home on a node's disk.
func (c *cluster) rot(node int) *cluster {
	c.t.Helper()
	d := c.w.bodies[node].drives[0]
	list := c.w.homeBlocks(d)
	if len(list) == 0 {
		c.t.Fatal("nothing went home")
	}
	for _, at := range list {
		d.device.Rot(at, 1)
	}
	d.damaged = true
	return c
}

func TestRottenBlocksAreReadFromTheOtherCopy(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(1, time.Second).write(0, 32).flush().run(40 * time.Second)
	c.rot(1).read(0, 32).write(4, 2).read(0, 32)
	c.attach(0, 10*time.Second).read(0, 32)
}

func TestReadWaitsForTheGoodCopyThoughItIsLate(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(1, time.Second).write(0, 32).flush().run(40 * time.Second)
	c.rot(1).w.bodies[2].pause(c.w.now + int64(800*time.Millisecond))
	c.read(0, 16)
	if n := c.v.config.Members[1].State; n != volume.InSync {
		t.Fatalf("the late copy is %s: nothing was shown", n)
	}
}

func TestBlocksWithoutAGoodCopyAreRefusedAndNeverWrong(t *testing.T) {
	c := newCluster(t, 3, 1).attach(0, time.Second).write(0, 32).flush().run(40 * time.Second)
	c.rot(1)
	if ended, ok := c.ask(step.ReadRequest, 0, 4); true {
		c.within(time.Second, "the read is answered", func() bool { return *ended })
		if *ok || c.w.counts.Unreadable != 1 {
			t.Fatal("a rotten block was read")
		}
	}
	c.write(0, 16).read(0, 16) // what is written anew is good again
}

func TestCopyIsFilledFromTheOneThatCanBeRead(t *testing.T) {
	c := newCluster(t, 4, 1, 2, 3).attach(0, time.Second).write(0, 32).flush().run(40 * time.Second)
	c.rot(1).isolate(3, 5*time.Second).becomes(3, volume.Out, 5*time.Second)
	c.write(0, 2).becomes(3, volume.InSync, 40*time.Second).read(0, 32)
}

// The copy may be in sync already, though its coordinator was not told so.
func TestRottenBlockIsNotGivenUpWhileACopyMayHaveComeBack(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 32).flush().run(40 * time.Second)
	c.isolate(2, 3*time.Second).becomes(2, volume.Out, 5*time.Second).write(0, 32).slow(2, 40).becomes(2, volume.Syncing, 20*time.Second)
	c.w.metadata.unknown = million
	c.becomes(2, volume.InSync, 20*time.Second).slow(2, 1).rot(1)
	ended, ok := c.ask(step.ReadRequest, 0, 4)
	c.run(100 * time.Millisecond).w.metadata.unknown = 0
	c.within(20*time.Second, "the read is answered", func() bool { return *ended })
	if !*ok {
		t.Fatal("the read failed")
	}
}
