package orchestrator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

func TestFencedCoordinatorDoesNotComeBack(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB")
	c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.nodes[0].end(v.Volume, step.VolumeFenced)
	c.run()
	if len(c.nodes[0].serving) != 0 || c.attachedTo(v.Volume) != -1 {
		t.Error("a fenced coordinator was started again, or its attachment is left")
	}
	if a := c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "db"}); a.Err != nil {
		t.Fatal(a.Err)
	}
	c.check()
}

func TestReplicasOfADeletedVolumeAreFreedWhenTheirNodeReturns(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB,replicas=2")
	away := c.nodes[1]
	c.kill(away)
	if a := c.nodes[0].do(volume.Command{Kind: volume.DeleteVolume, Name: "db"}); a.Err != nil {
		t.Fatal(a.Err)
	}
	if config := c.config(v.Volume); config == nil || !config.Tombstone || len(config.Members) != 1 {
		t.Fatalf("configuration %+v, want a tombstone that lists the replica of the node that is away", config)
	}
	want(t, c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: v.Volume.String()}), volume.ErrVolumeDeleted)
	c.nodes[0].create("name=db,size=2GiB,replicas=1")
	away.deaf = false
	away.start()
	c.pass(2e9)
	if c.config(v.Volume) != nil || len(away.held) != 0 {
		t.Error("records or replicas are left")
	}
	c.check()
}

func TestAttachmentOfAFormerProcessIsRemoved(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB")
	c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.kill(c.nodes[0])
	c.run()
	c.nodes[0].deaf = false
	c.nodes[0].start()
	c.pass(2e9)
	if c.attachedTo(v.Volume) != -1 || len(c.nodes[0].serving) != 0 {
		t.Error("the attachment outlived the device that it was for")
	}
	c.check()
}

func TestConfigurationChangesReachDisksAndCoordinator(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB,replicas=2")
	c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	for _, m := range c.nodes {
		m.sent = nil
	}
	next := c.config(v.Volume)
	next.Epoch++
	gone := next.Members[1]
	next.Members = next.Members[:1]
	c.set(0, metadata.Op{Key: volume.ConfigKey(v.Volume), Value: next.Encode()}, c.revision()+1)
	c.run()
	told := map[string]int{}
	for _, m := range c.nodes {
		for _, control := range m.sent {
			switch {
			case control.Kind == step.ConfigChanged && control.Revision == int64(c.revision()) && control.Disk == m.disk:
				told["disk"]++
			case control.Kind == step.ConfigChanged && control.Revision == int64(c.revision()) && m.index == 0:
				told["coordinator"]++
			case control.Kind == step.FreeReplica && control.Replica == gone.Replica:
				told["freed"]++
			default:
				t.Errorf("unexpected control %+v", control)
			}
		}
	}
	if told["disk"] != 1 || told["coordinator"] != 1 || told["freed"] != 1 {
		t.Errorf("told %v", told)
	}
}

func TestRecordOfANewerVersionIsLeftAlone(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB")
	c.set(0, metadata.Op{Key: volume.SpecKey(v.Volume), Value: []byte(`{"format":2,"name":5}`)}, c.revision()+1)
	for _, m := range c.nodes {
		c.set(0, metadata.Op{Key: volume.DiskKey(m.disk), Value: []byte(`{"format":2}`)}, c.revision()+1)
		c.set(0, metadata.Op{Key: volume.NodeKey(m.record.ID), Value: []byte(`{"format":2}`)}, c.revision()+1)
	}
	c.run()
	before := c.revision()
	c.pass(5e9)
	if c.revision() != before {
		t.Error("a record that cannot be read was overwritten")
	}
	for _, kind := range []volume.CommandKind{volume.AttachVolume, volume.DeleteVolume, volume.DetachVolume, volume.MarkFormatted} {
		want(t, c.nodes[0].do(volume.Command{Kind: kind, Name: "db"}), volume.ErrNewerFormat)
	}
	want(t, c.nodes[0].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=db")}), volume.ErrNewerFormat)
}

func TestDiskRecordFollowsTheDiskButNotEveryByte(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	m := c.nodes[0]
	m.create("name=db,size=1GiB")
	space := func(free int64) volume.Disk {
		m.control(step.Control{Kind: step.DiskSpace, Disk: m.disk, Capacity: m.size, Free: free})
		c.run()
		d, err := volume.Parse[volume.Disk](c.items[volume.DiskKey(m.disk)].Value)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := space(m.size - gib/4); d.Free != m.size {
		t.Errorf("%+v: written for 1 %% of the disk", d)
	}
	if d := space(m.size - gib); d.Free != m.size-gib || d.Promised != gib {
		t.Errorf("%+v", d)
	}
	m.control(step.Control{Kind: step.DiskUnusable, Disk: m.disk, Text: "its superblock is gone"})
	c.run()
	a := c.nodes[1].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=two,replicas=2")})
	want(t, a, volume.ErrNoPlacement)
	if d := c.nodes[1].o.Disks()[0]; d.Unusable != "its superblock is gone" || d.Promised != gib {
		t.Errorf("%+v", d)
	}
	m.control(step.Control{Kind: step.DiskReady, Disk: m.disk, Capacity: m.size, Free: m.size})
	c.run()
	m.create("name=two,replicas=2")
	c.check()
}

func TestAttachmentUnderWayIsNotTakenForStale(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB")
	c.unreachable, c.arrival = true, 0
	id := c.nodes[0].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.run()
	next := c.config(v.Volume)
	next.Epoch++
	c.set(0, metadata.Op{Key: volume.ConfigKey(v.Volume), Value: next.Encode()}, c.revision()+1)
	c.run()
	c.unreachable = false
	c.arrive(100) // the watch tells before the answer does
	c.run()
	if a := c.nodes[0].answer(id); a.Err != nil || c.attachedTo(v.Volume) != 0 {
		t.Errorf("answered %v, attached to %d", a.Err, c.attachedTo(v.Volume))
	}
	c.check()
}

func TestListsShowWhatIsKnownHere(t *testing.T) {
	c := newCluster(t, 1, 90*gib, 90*gib)
	for _, name := range []string{"q", "p", "r"} {
		c.nodes[0].create("name=" + name + ",size=1GiB")
	}
	c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "q"})
	o := c.nodes[0].o
	all := o.Volumes()
	slices.SortFunc(all, func(a, b orchestrator.VolumeStatus) int { return strings.Compare(a.Spec.Name, b.Spec.Name) })
	if len(all) != 3 || all[0].Spec.Name != "p" || all[1].Spec.Name != "q" || all[2].Spec.Name != "r" {
		t.Fatalf("%+v", all)
	}
	if q := all[1]; q.AttachedTo != "a" || !q.Here.Started || q.Here.Serving {
		t.Errorf("%+v", q)
	}
	c.nodes[0].control(step.Control{Kind: step.VolumeServing, Volume: all[1].Volume, Lossless: true})
	c.run()
	if all[1].Here.Serving {
		t.Error("what was listed before has changed")
	}
	if q, found := o.Volume(all[1].Volume.String()); !found || q.Config != all[1].Config || !q.Here.Serving || !q.Here.Lossless {
		t.Errorf("%+v", q)
	}
	if nodes := o.Nodes(); len(nodes) != 2 || nodes[0].Name != "a" || !nodes[1].Alive {
		t.Errorf("%+v", nodes)
	}
}

func TestDiskThatDoesNotTurnUpIsRecordedAsUnusable(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	m := c.nodes[0]
	c.kill(m)
	c.run()
	m.deaf, m.size = false, 0
	m.start()
	m.control(step.Control{Kind: step.DiskUnusable, Text: "no superblock"})
	c.pass(50e9)
	if d := m.o.Disks()[0]; d.Unusable != "" {
		t.Errorf("%+v: it may still be recovering", d)
	}
	c.pass(20e9)
	if d := c.nodes[1].o.Disks()[0]; d.Unusable != "its node has not found it since it started; of a disk it could not open: no superblock" {
		t.Errorf("%+v", d)
	}
	m.control(step.Control{Kind: step.DiskReady, Disk: m.disk, Capacity: 20 * gib, Free: 20 * gib})
	c.run()
	if d := m.o.Disks()[0]; d.Unusable != "" {
		t.Errorf("%+v: it has turned up", d)
	}
}

func TestReplicaThatHadNoRoomIsAskedForAgain(t *testing.T) {
	c := newCluster(t, 1, 20*gib)
	m := c.nodes[0]
	m.full = true
	m.create("name=db,size=1GiB,replicas=1")
	if len(m.held) != 0 {
		t.Fatal("the disk is not full")
	}
	m.full = false
	m.control(step.Control{Kind: step.DiskSpace, Disk: m.disk, Capacity: m.size, Free: m.size})
	c.run()
	c.check()
}

// A node that was away while many volumes were deleted has as much to write as
// there were copies on it.
func TestWritesOfReconciliationAreBounded(t *testing.T) {
	c := newCluster(t, 1, 90*gib, 90*gib)
	const volumes = 300
	for i := range volumes {
		c.nodes[0].create(fmt.Sprintf("name=v%d,size=16MiB,replicas=2", i))
	}
	away := c.nodes[1]
	c.kill(away)
	for i := range volumes {
		if a := c.nodes[0].do(volume.Command{Kind: volume.DeleteVolume, Name: fmt.Sprintf("v%d", i)}); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	away.deaf = false
	away.start()
	c.run()
	c.pass(3e9)
	c.check()
	if len(away.held) > 0 || len(away.o.Volumes()) > 0 {
		t.Errorf("%d copies and %d volumes are left", len(away.held), len(away.o.Volumes()))
	}
	if away.most > 70 || away.most < 60 {
		t.Errorf("%d transactions were under way at once, want 64 for volumes and a few for the node", away.most)
	}
}
