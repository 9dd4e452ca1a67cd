package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/volume"
)

// ruin makes a disk one that no store opens, and restarts its node's process.
func (c *cluster) ruin(node int) *cluster {
	b := c.w.bodies[node]
	for i := range int64(format.SuperblockCopies) {
		b.drives[0].harm(i*format.SuperblockStride, 8*60, false)
	}
	c.w.unsettle(b, 0)
	return c.kill(node).up(node)
}

func TestVolumeGoesOnWithoutTheCopyWhoseDiskIsRefused(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 16).flush()
	c.ruin(1).write(0, 4).becomes(1, volume.Out, 10*time.Second).write(16, 4).read(0, 32)
}

func TestVolumeIsTakenOverWithoutTheCopyWhoseDiskIsRefused(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(1, time.Second).write(0, 16).flush()
	c.ruin(1).attach(0, 10*time.Second).read(0, 32).write(0, 16).read(0, 16)
}

// strikes makes a fault happen to a node's disk now, and ends the test if it did not.
func (c *cluster) strikes(k FaultKind, node int, pick uint64) *cluster {
	c.t.Helper()
	c.w.strike(&Fault{Kind: k, Node: node, Pick: pick})
	if c.w.counts.Faults[k] == 0 {
		c.t.Fatalf("the %v does not strike", k)
	}
	return c
}

// damaged ends the test if a disk is not unsound by now.
func (c *cluster) damaged(node int) *cluster {
	c.t.Helper()
	if !c.w.bodies[node].drives[0].unsound {
		c.t.Fatal("nothing happened to the disk")
	}
	return c
}

// back restarts a node's process and waits until the volume has all its copies.
func (c *cluster) back(node int) *cluster {
	return c.kill(node).up(node).becomes(node, volume.InSync, 40*time.Second)
}

func TestWriteThatIsLostOnOneDiskIsReadFromTheOtherCopy(t *testing.T) {
	for _, k := range []FaultKind{LoseWrite, MisdirectWrite} {
		t.Run(k.String(), func(t *testing.T) {
			c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 32).flush()
			c.strikes(k, 1, 0).write(4, 4).flush().damaged(1).read(0, 32)
			c.run(40*time.Second).read(0, 32).back(1).read(0, 32)
		})
	}
}

func TestCopyWhoseJournalIsHarmedSaysSoAndIsFilledAnew(t *testing.T) {
	for _, k := range []FaultKind{RotJournal, SpoilJournal} {
		t.Run(k.String(), func(t *testing.T) {
			c := newCluster(t, 3, 1, 2).attach(0, time.Second)
			for n := range 8 {
				c.write(4*n, 1).flush()
			}
			c.strikes(k, 1, 0x0010_0003_0000_0000|3<<56).back(1).read(0, 32).compare()
			if c.w.marks.Counts["store: corruption at or before durable"] == 0 {
				t.Fatal("the copy does not know that it lacks something")
			}
		})
	}
}

func TestCopyWhosePagesAreHarmedIsNeverWrong(t *testing.T) {
	for _, k := range []FaultKind{RotPage, SpoilPage} {
		for pick := range uint64(8) {
			c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 32).flush().run(70 * time.Second)
			c.strikes(k, 1, pick|pick<<35).kill(1).up(1).run(5*time.Second).attach(0, 10*time.Second).read(0, 32).write(8, 8).read(0, 32)
		}
	}
}

func TestDiskWithTwoGoodSuperblocksIsOpened(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 32).flush()
	c.strikes(HarmSuperblocks, 1, 1).back(1).write(0, 4).read(0, 32)
	if c.w.counts.DisksRefused != 0 {
		t.Fatal("the disk was refused")
	}
}

func TestDeepFaultWaitsForAnotherWholeCopy(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 8).flush()
	c.kill(2).w.strike(&Fault{Kind: RotJournal, Node: 1})
	if c.w.bodies[1].drives[0].unsound {
		t.Fatal("the only copy that is there was harmed")
	}
	c.up(2).do(step.WriteRequest, 0, 4)
}

// An older image has nothing of what was harmed since.
func TestImageFromBeforeTheHarmIsWhole(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 16).flush().insist(0, volume.Command{Kind: volume.DetachVolume, Name: "v0"})
	c.w.keepImage(c.w.bodies[1], 0)
	c.run(time.Millisecond).strikes(HarmSuperblocks, 1, 3).damaged(1).strikes(OldDisk, 1, 0).run(time.Second).kill(2)
	c.attach(0, 10*time.Second).read(0, 32)
	if !c.is(1, volume.InSync) || !c.is(2, volume.Out) {
		t.Fatalf("the disk that went back is not what serves: %s", configText(c.v.config))
	}
}
