package orchestrator_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// leftBehind is a cluster in which a copy was removed while its node was away.
func leftBehind(t *testing.T, seed uint64) (c *cluster, away *machine, v block.VolumeID) {
	t.Helper()
	c = newCluster(t, seed, 20*gib, 20*gib, 20*gib)
	a, away := c.nodes[0], c.nodes[2]
	v = a.create("name=db,size=1GiB,replicas=2,nodes=a+c").Volume
	c.kill(away)
	c.unknown = int(seed)
	a.insist(remove(away))
	c.pass(15 * time.Second)
	c.expectOn(v, "a")
	if p := c.placement(v); p.Changing() || len(p.Left) != 1 {
		t.Fatalf("seed %d: the copy has left, and is not freed: %+v", seed, p)
	}
	return c, away, v
}

// back starts a node's process again.
func (m *machine) back() {
	m.deaf = false
	m.start()
	m.c.run()
	m.c.pass(3 * time.Second)
}

func TestCopyThatLeftIsFreedThoughItsVolumeWasDeletedMeanwhile(t *testing.T) {
	for seed := range uint64(30) {
		c, away, v := leftBehind(t, seed)
		c.nodes[1].insist(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
		c.pass(5 * time.Second)
		if c.config(v) == nil {
			t.Fatal("the deletion does not wait for the copy that left")
		}
		away.back()
		if c.check(); len(away.held) > 0 || c.config(v) != nil {
			t.Fatalf("seed %d: %d copies are left, recorded is %+v", seed, len(away.held), c.config(v))
		}
	}
}

func TestCopyThatWasLeavingWhenItsVolumeWasDeletedIsFreed(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib)
	a, away := c.nodes[0], c.nodes[2]
	v := a.create("name=db,size=1GiB,replicas=2,nodes=a+c").Volume
	c.kill(away)
	a.insist(remove(away))
	next := c.config(v) // dropped, and nobody has settled that
	next.Epoch++
	next.Members = next.Members[:1]
	a.idle = true
	c.set(0, configOp(next), c.revision()+1)
	a.insist(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
	c.pass(5 * time.Second)
	away.back()
	if c.check(); len(away.held) > 0 || c.config(v) != nil {
		t.Errorf("%d copies are left, recorded is %+v", len(away.held), c.config(v))
	}
}

func TestCopyThatLeftIsNotRememberedOnceItIsFreed(t *testing.T) {
	for seed := range uint64(30) {
		c, away, v := leftBehind(t, seed)
		away.back()
		if c.check(); len(away.held) > 0 || len(c.placement(v).Left) > 0 {
			t.Fatalf("seed %d: %d copies are left, recorded is %+v", seed, len(away.held), c.placement(v))
		}
		// The node died after it had freed the copy and before it could say so.
		p := c.placement(v).Clone()
		p.Left = []volume.Place{{Replica: block.ReplicaID{9}, Node: away.record.ID, Disk: away.disk}}
		c.set(0, metadata.Op{Key: volume.PlacementKey(v), Value: volume.Encode(*p)}, c.revision()+1)
		away.back()
		if c.check(); len(c.placement(v).Left) > 0 {
			t.Fatalf("seed %d: recorded is %+v", seed, c.placement(v))
		}
	}
}

func TestCopyThatLeftOfARemovedNodeIsForgotten(t *testing.T) {
	for seed := range uint64(30) {
		for _, first := range []bool{true, false} {
			c, away, v := leftBehind(t, seed)
			if !first {
				c.nodes[1].insist(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
			}
			c.nodes[1].insist(away.remove())
			c.pass(5 * time.Second)
			if first {
				if p := c.placement(v); len(p.Left) > 0 {
					t.Fatalf("seed %d: a node that was removed is waited for: %+v", seed, p)
				}
				c.nodes[1].insist(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
				c.pass(5 * time.Second)
			}
			if c.check(); c.config(v) != nil {
				t.Fatalf("seed %d: the deletion waits for a node that was removed", seed)
			}
		}
	}
}

func TestCopyThatLeftOfARemovedDiskIsForgotten(t *testing.T) {
	c, away, v := leftBehind(t, 1)
	away.size = 0 // its disk is gone for good
	away.back()
	away.control(step.Control{Kind: step.DiskUnusable, Disk: away.disk, Text: "it is broken"})
	c.pass(5 * time.Second)
	if p := c.placement(v); len(p.Left) != 1 {
		t.Fatalf("nobody has freed it: %+v", p)
	}
	disk := volume.Command{Disk: away.disk, Name: "its disk"}
	for _, kind := range []volume.CommandKind{volume.CordonDisk, volume.RemoveDisk} {
		disk.Kind = kind
		away.insist(disk)
	}
	c.pass(5 * time.Second)
	if p := c.placement(v); len(p.Left) > 0 {
		t.Fatalf("a disk that was removed is waited for: %+v", p)
	}
	c.nodes[0].insist(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
	c.pass(5 * time.Second)
	if c.config(v) != nil {
		t.Error("the deletion waits for a disk that was removed")
	}
}
