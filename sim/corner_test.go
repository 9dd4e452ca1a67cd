package sim

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// text returns why the volume waits at a node.
func (c *cluster) text(node int) string {
	if st := c.v.servingAt(c.w.bodies[node]); st != nil {
		return st.text
	}
	return ""
}

// waits ends the test if a request is answered within a time.
func (c *cluster) waits(kind step.RequestKind, d time.Duration) (ended *bool) {
	c.t.Helper()
	ended, _ = c.ask(kind, 0, 4)
	if c.run(d); *ended {
		c.t.Fatalf("%s was answered", requestText(kind))
	}
	return ended
}

func (c *cluster) metadata(down int) *cluster { c.w.metadata.down = down; return c }

func TestCoordinatorWithoutMetadataServesUntilAMemberFails(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 16).metadata(1)
	c.run(5*time.Second).write(0, 4).read(0, 16).kill(2)
	write := c.waits(step.WriteRequest, 5*time.Second)
	c.metadata(0).within(10*time.Second, "the write is answered", func() bool { return *write }).read(0, 16)
	c.up(2).becomes(2, volume.InSync, 20*time.Second)
}

func TestMemberWhoseProcessDiedIsPutOutAtOnce(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 16).kill(2)
	ended, _ := c.ask(step.WriteRequest, 0, 4)
	c.within(600*time.Millisecond, "the write is answered", func() bool { return *ended })
}

func TestVolumeCutFromAllItsCopiesWaits(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 16)
	c.w.cutFor(10*time.Second, []pair{{0, 1}, {1, 0}, {0, 2}, {2, 0}})
	c.run(5 * time.Second)
	read := c.waits(step.ReadRequest, 4*time.Second)
	c.within(10*time.Second, "the read is answered", func() bool { return *read }).write(0, 4).read(0, 16)
}

func TestFencedCoordinatorEndsEveryRequest(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 16)
	c.isolate(0, 8*time.Second)
	old := c.v.servingAt(c.w.bodies[0])
	write := c.waits(step.WriteRequest, time.Second)
	c.attach(3, 10*time.Second).write(0, 4).read(0, 16)
	c.within(20*time.Second, "the old coordinator ends", func() bool { return *write && old.shard.gone })
	c.read(0, 16)
}

func TestMemberThatLostPowerIsMadeWholeAgain(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 20).power(1).write(0, 8).run(time.Second).up(1)
	c.becomes(1, volume.Out, 5*time.Second).becomes(1, volume.InSync, 20*time.Second).read(0, 20)
	c.run(time.Second).flush().compare()
}

func TestVolumeWhoseLastDiskIsGoneSaysWhomItWaitsFor(t *testing.T) {
	c := newCluster(t, 3, 1).attach(0, time.Second).write(0, 16).flush().power(1)
	b := c.w.bodies[1]
	c.w.harm(b, 0, true)
	c.w.insertDisk(b, 0)
	c.up(1).within(20*time.Second, "says so", func() bool { return strings.Contains(c.text(0), c.v.config.Members[0].Replica.String()) })
	c.waits(step.ReadRequest, 5*time.Second)
}

func TestVolumeWaitsForTheLastCopyThoughAnOlderOneIsThere(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 16)
	c.isolate(1, 8*time.Second).becomes(1, volume.Out, 5*time.Second).write(0, 4).kill(2)
	c.run(10*time.Second).w.operator.send(c.w.bodies[3], volume.Command{Kind: volume.AttachVolume, Name: c.v.name, Force: true})
	c.run(10 * time.Second)
	if st := c.v.servingAt(c.w.bodies[3]); st == nil || st.ready || st.text == "" {
		t.Fatalf("it should wait and say so: %+v", st)
	}
	c.up(2).within(10*time.Second, "served", func() bool { return c.v.servingAt(c.w.bodies[3]).ready }).use(3).read(0, 16)
}

func TestLastValidCopyStaysWhileTheOtherIsNotRepaired(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 16).metadata(1)
	c.kill(1).up(1).run(300*time.Millisecond).isolate(2, 4*time.Second).run(2500 * time.Millisecond)
	c.metadata(0).run(10*time.Second).read(0, 16).write(0, 4).read(0, 16)
	c.becomes(1, volume.InSync, 20*time.Second).becomes(2, volume.InSync, 20*time.Second)
}

func TestClocksAtTheBoundLetNoStaleReadThrough(t *testing.T) {
	c := newCluster(t, 4, 1, 2)
	c.w.bodies[0].clock.ppm, c.w.bodies[1].clock.ppm, c.w.bodies[2].clock.ppm = -clockBoundPPM, clockBoundPPM, clockBoundPPM
	c.attach(0, time.Second).write(0, 4).isolate(0, 20*time.Second).attach(3, 10*time.Second).write(0, 4).use(0)
	c.waits(step.ReadRequest, 2*time.Second)
}

func TestEvictionOfUnknownOutcomeIsSettled(t *testing.T) {
	c := newCluster(t, 4, 1, 2, 3).attach(0, time.Second).write(0, 16)
	c.w.metadata.unknown = 1_000_000
	c.isolate(3, 4*time.Second).run(6 * time.Second) // back before its removal is known
	c.w.metadata.unknown = 0
	c.run(2*time.Second).write(0, 4).read(0, 16).becomes(3, volume.InSync, 20*time.Second).read(0, 16)
}

func TestFailedSyncIsNeverBelieved(t *testing.T) {
	for _, k := range []disk.Kind{disk.SyncFails, disk.SyncSwallows, disk.SyncDrops} {
		t.Run(k.String(), func(t *testing.T) {
			c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 20)
			c.w.planDisk(c.w.bodies[1].drives[0].device, k, 0)
			ended, _ := c.ask(step.FlushRequest, 0, 0)
			c.within(10*time.Second, "the flush is answered", func() bool { return *ended })
			c.becomes(1, volume.InSync, 30*time.Second).run(time.Second).flush().read(0, 20).compare()
		})
	}
}

func TestDiskThatHangsIsLeftBehind(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 16)
	c.w.planDisk(c.w.bodies[1].drives[0].device, disk.Stall, 20*time.Second)
	write, _ := c.ask(step.WriteRequest, 0, 4)
	c.within(8*time.Second, "the write is answered", func() bool { return *write })
	c.becomes(1, volume.Out, time.Second).flush().read(0, 16)
}

func TestFullDiskRefusesWritesServesReadsAndComesBack(t *testing.T) {
	p := NewPlan(1, Quiet)
	p.BlockSize, p.ProbeOneIn, p.TailOneIn = 64, 1, 0
	p.makeFull(96)
	p.Nodes, p.Faults, p.Clients, p.ClockPPM = 3, nil, nil, make([]int, 3)
	p.Volumes[0].Members = []int{1, 2}
	c := newClusterFrom(t, p).attach(0, time.Second)
	refused := 0
	for chunk := range c.v.plan.Blocks / block.PerChunk {
		ended, ok := c.ask(step.WriteRequest, chunk*block.PerChunk, 1)
		if c.within(10*time.Second, "the write is answered", func() bool { return *ended }); !*ok {
			refused++
		}
	}
	if refused == 0 || c.w.counts.NoSpace != refused {
		t.Fatalf("%d writes failed, %d of them for want of space", refused, c.w.counts.NoSpace)
	}
	c.read(0, 16).run(40*time.Second).write(0, 1).read(0, 1)
	c.w.freeSpace()
	c.w.useSpace()
}

// wants makes a volume want that many copies in sync for a write.
func (c *cluster) wants(copies int) *cluster {
	next := c.v.config.Clone()
	next.Epoch, next.Change, next.MinWritable = next.Epoch+1, next.Change+1, copies
	c.w.metadata.put(metadata.Op{Key: volume.ConfigKey(c.v.id), Value: next.Encode()})
	return c.run(100 * time.Millisecond)
}

func TestWriteWaitsWhileTooFewCopiesAreInSync(t *testing.T) {
	c := newCluster(t, 4, 1, 2).wants(2).attach(0, time.Second).write(0, 32).kill(2)
	write := c.waits(step.WriteRequest, 5*time.Second)
	c.becomes(2, volume.Out, time.Second)
	c.flush().read(16, 16)
	if text := c.text(0); !strings.Contains(text, "writes wait: 1 of its copies") {
		t.Errorf("the volume says %q", text)
	}
	c.up(2).within(20*time.Second, "the write is answered", func() bool { return *write })
	c.becomes(2, volume.InSync, time.Second).read(0, 32).flush().compare()
}

func TestSlowCopyComesBackOnlyWhenItHasBeenWellForAWhile(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 32)
	c.w.planDisk(c.w.bodies[2].drives[0].device, disk.Stall, 3*time.Second)
	c.write(0, 4).hit("coordinator: slow member put out")
	out := c.w.now
	for c.w.now-out < int64(25*time.Second) {
		if c.run(time.Second).write(0, 4); !c.is(2, volume.Out) {
			t.Fatalf("it is back after %v", time.Duration(c.w.now-out))
		}
	}
	c.becomes(2, volume.InSync, 20*time.Second).flush().compare()
}

// TestPersonAcceptsTheLoss: the copy that was out becomes the volume when the disk of
// the last one in sync is gone, and only then. Nothing was written meanwhile, so that
// what is read can be judged.
func TestPersonAcceptsTheLoss(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 32).flush()
	recover := func(copyOn int) volume.Command {
		return volume.Command{Kind: volume.RecoverVolume, Name: c.v.name, Node: c.w.bodies[copyOn].id}
	}
	c.kill(2).becomes(2, volume.Out, 5*time.Second)
	if err := c.answers(c.command(3, recover(2)))[0]; !errors.Is(err, volume.ErrNotLost) {
		t.Fatalf("while a copy in sync is there: %v", err)
	}
	c.power(1).up(2).run(15 * time.Second)
	if c.is(2, volume.InSync) {
		t.Fatal("a copy that lacks acknowledged writes is in sync")
	}
	if err := c.answers(c.command(3, recover(1)))[0]; !errors.Is(err, volume.ErrNotLost) {
		t.Fatalf("of a copy that cannot be reached: %v", err)
	}
	c.insist(3, recover(2)).run(time.Second)
	if lossy := c.v.config.LossyEra; lossy == 0 || len(c.v.config.Members) != 2 || c.v.attachment.Node != (block.NodeID{}) && c.serves(0) {
		t.Fatalf("recorded is %+v, attached to %v", c.v.config, c.v.attachment.Node)
	}
	c.attach(3, 20*time.Second).read(0, 32).write(0, 8).flush().up(1).becomes(1, volume.InSync, 30*time.Second).compare()
}
