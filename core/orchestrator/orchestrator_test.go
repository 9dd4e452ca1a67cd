package orchestrator_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

func want(t *testing.T, a volume.Answer, kind error) {
	t.Helper()
	if !errors.Is(a.Err, kind) {
		t.Fatalf("answered %v, want %v", a.Err, kind)
	}
}

func TestCreatedVolumeHasReplicasOnDistinctNodes(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 40*gib, 30*gib)
	a := c.nodes[0].create("name=db,size=10GiB,replicas=2")
	config := c.config(a.Volume)
	if config.Epoch != 1 || !config.Virgin() || config.Count(volume.InSync) != 2 || config.Blocks != 10*gib/4096 {
		t.Errorf("configuration %+v", config)
	}
	if config.Members[0].Node != c.nodes[1].record.ID || config.Members[1].Node != c.nodes[2].record.ID {
		t.Errorf("members %+v, want those on nodes b and c, which have the most room", config.Members)
	}
	if len(c.nodes[1].held) != 1 || len(c.nodes[2].held) != 1 {
		t.Error("the replicas were not made")
	}
	c.check()
}

func TestSameCreationTwiceIsOneVolume(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	first := c.nodes[0].create("name=db,size=1GiB")
	if again := c.nodes[1].create("name=db,size=1GiB"); again.Volume != first.Volume {
		t.Error("a second volume was made")
	}
	if unset := c.nodes[1].create("name=db"); unset.Volume != first.Volume {
		t.Error("what is not asked for cannot differ")
	}
	a := c.nodes[1].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=db,size=2GiB")})
	want(t, a, volume.ErrNameTaken)
	if !strings.Contains(a.Err.Error(), "differs in size") || !strings.Contains(a.Err.Error(), "it has size=1GiB, asked for was size=2GiB") {
		t.Errorf("the error does not name the field: %v", a.Err)
	}
	c.check()
}

func TestDryRunWritesNothing(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	before := c.revision()
	a := c.nodes[0].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=db"), DryRun: true})
	if a.Err != nil || len(a.Reasons) != 2 || !strings.HasPrefix(a.Reasons[0], "node a: chosen") {
		t.Errorf("%+v", a)
	}
	if c.revision() != before {
		t.Error("a dry run wrote something")
	}
}

func TestNoPlacementSaysWhyOfEveryNode(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 3*gib, 20*gib)
	c.kill(c.nodes[2])
	c.run()
	c.pass(41e9)
	a := c.nodes[0].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=db,size=10GiB,replicas=2")})
	want(t, a, volume.ErrNoPlacement)
	const expected = `cannot create volume "db": 2 replicas asked, 1 node can take it
  node b: 3 GiB free, 10 GiB needed
  node c: not heard from for 41 s
try a smaller size, or:  lagan volume create db --replicas 1`
	if a.Err.Error() != expected {
		t.Errorf("got:\n%v\nwant:\n%s", a.Err, expected)
	}
}

func TestOfManyCreationsOneTakesTheName(t *testing.T) {
	for seed := range uint64(50) {
		c := newCluster(t, seed, 200*gib, 200*gib, 200*gib)
		var ids []uint64
		for i, m := range c.nodes {
			ids = append(ids, m.ask(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=db,replicas=2,size=" + string(rune('1'+i)) + "GiB")}))
		}
		c.run()
		made := 0
		for i, m := range c.nodes {
			if a := m.answer(ids[i]); a.Err == nil {
				made++
			} else {
				want(t, a, volume.ErrNameTaken)
			}
		}
		if made != 1 {
			t.Fatalf("seed %d: %d volumes were made", seed, made)
		}
		c.check()
	}
}

func TestDisksAreNotPromisedTwice(t *testing.T) {
	for seed := range uint64(50) {
		c := newCluster(t, seed, 10*gib, 10*gib)
		for i, m := range []*machine{c.nodes[0], c.nodes[1], c.nodes[0], c.nodes[1]} {
			m.ask(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("replicas=2,size=4GiB,name=" + string(rune('p'+i)))})
		}
		c.run()
		made := 0
		for _, m := range c.nodes {
			for _, a := range m.answers {
				if a.Err == nil {
					made++
				} else {
					want(t, a, volume.ErrNoPlacement)
				}
			}
		}
		if made != 2 {
			t.Fatalf("seed %d: %d volumes of 4 GiB were placed on disks of 10 GiB", seed, made)
		}
		c.check()
	}
}

func TestOfTwoNodesOneAttaches(t *testing.T) {
	for seed := range uint64(50) {
		c := newCluster(t, seed, 20*gib, 20*gib)
		v := c.nodes[0].create("name=db,size=1GiB")
		x := c.nodes[0].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
		y := c.nodes[1].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
		c.run()
		first, second := c.nodes[0].answer(x), c.nodes[1].answer(y)
		if first.Err != nil {
			first, second = second, first
		}
		if first.Err != nil {
			t.Fatalf("seed %d: nobody attached: %v, %v", seed, first.Err, second.Err)
		}
		want(t, second, volume.ErrAttachedElsewhere)
		if started := c.nodes[c.attachedTo(v.Volume)].serving[v.Volume]; started.Config == nil || started.Revision == 0 ||
			started.Attached != int64(c.items[volume.AttachmentKey(v.Volume)].Revision) {
			t.Errorf("the coordinator was started with %+v", started)
		}
		c.check()
	}
}

func TestAttachIsRefusedWhileAnotherNodeHoldsTheVolume(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB")
	attach := volume.Command{Kind: volume.AttachVolume, Name: "db"}
	for range 2 {
		if a := c.nodes[0].do(attach); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	a := c.nodes[1].do(attach)
	want(t, a, volume.ErrAttachedElsewhere)
	if !strings.Contains(a.Err.Error(), "node a") || !strings.Contains(a.Err.Error(), "lagan volume attach db --force") {
		t.Errorf("the error does not say where and how: %v", a.Err)
	}
	attach.Force = true
	if a := c.nodes[1].do(attach); a.Err != nil {
		t.Fatal(a.Err)
	}
	if c.attachedTo(v.Volume) != 1 {
		t.Error("the volume was not taken over")
	}
	c.check()
}

func TestDetachWaitsForTheCoordinator(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB")
	holder := c.nodes[0]
	holder.do(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	want(t, c.nodes[1].do(volume.Command{Kind: volume.DetachVolume, Name: "db"}), volume.ErrAttachedElsewhere)

	holder.stuck = true
	detach := volume.Command{Kind: volume.DetachVolume, Name: "db"}
	first := holder.ask(detach)
	c.run()
	if _, early := holder.answers[first]; early || c.attachedTo(v.Volume) != 0 {
		t.Fatal("detached before the coordinator had ended")
	}
	c.pass(31e9)
	want(t, holder.answer(first), volume.ErrDetachPending)
	second := holder.ask(detach)
	c.run()
	detach.Force = true
	if a := holder.do(detach); a.Err != nil {
		t.Fatal(a.Err)
	}
	if a := holder.answer(second); a.Err != nil || c.attachedTo(v.Volume) != -1 {
		t.Errorf("the detach before the forced one: %v, attached to %d", a.Err, c.attachedTo(v.Volume))
	}
	c.check()
}

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

func TestDeleteIsRefusedWhileAttached(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB")
	c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	remove := volume.Command{Kind: volume.DeleteVolume, Name: "db"}
	want(t, c.nodes[1].do(remove), volume.ErrAttached)
	if a := c.nodes[0].do(volume.Command{Kind: volume.DetachVolume, Name: "db"}); a.Err != nil {
		t.Fatal(a.Err)
	}
	if a := c.nodes[1].do(remove); a.Err != nil {
		t.Fatal(a.Err)
	}
	if c.config(v.Volume) != nil || len(c.nodes[0].held)+len(c.nodes[1].held) != 0 {
		t.Error("records or replicas are left")
	}
	want(t, c.nodes[0].do(remove), volume.ErrVolumeNotFound)
	c.check()
}

func TestAttachAndDeleteExcludeEachOther(t *testing.T) {
	for seed := range uint64(100) {
		c := newCluster(t, seed, 20*gib, 20*gib)
		c.nodes[0].create("name=db,size=1GiB")
		x := c.nodes[0].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
		y := c.nodes[1].ask(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
		c.run()
		attached, deleted := c.nodes[0].answer(x), c.nodes[1].answer(y)
		if (attached.Err == nil) == (deleted.Err == nil) {
			t.Fatalf("seed %d: attached: %v, deleted: %v", seed, attached.Err, deleted.Err)
		}
		c.check()
	}
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

func TestFormattedIsRemembered(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	c.nodes[0].create("name=db,size=1GiB")
	if a := c.nodes[1].do(volume.Command{Kind: volume.MarkFormatted, Name: "db"}); a.Err != nil {
		t.Fatal(a.Err)
	}
	if status, _ := c.nodes[0].o.Volume("db"); !status.Spec.Formatted {
		t.Error("a second file system would be made")
	}
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

func TestCommandWithoutAStoreIsAnsweredInTime(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB")
	c.unreachable, c.arrival = true, 0
	id := c.nodes[0].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.pass(31e9)
	want(t, c.nodes[0].answer(id), volume.ErrOutcomeUnknown)
	c.unreachable = false
	c.arrive(100)
	c.run()
	if c.attachedTo(v.Volume) != -1 {
		t.Error("an attachment that was given up was applied late, and stayed")
	}
	c.check()
}

func TestCommandWhoseAnswersAreLostIsSettledByTheWatch(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	c.unreachable, c.arrival = true, 100
	spec := c.spec("name=db,size=1GiB")
	for _, command := range []volume.Command{
		{Kind: volume.CreateVolume, Spec: spec}, {Kind: volume.AttachVolume, Name: "db"}, {Kind: volume.MarkFormatted, Name: "db"},
	} {
		id := c.nodes[0].ask(command)
		c.pass(31e9)
		if a := c.nodes[0].answer(id); a.Err != nil {
			t.Errorf("command %+v: %v", command, a.Err)
		}
	}
	c.unreachable = false
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

func TestTooManyCommandsAreRefused(t *testing.T) {
	c := newCluster(t, 1, 20*gib)
	c.unreachable = true
	var last uint64
	for range 1100 {
		last = c.nodes[0].ask(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
	}
	c.run()
	want(t, c.nodes[0].answer(last), volume.ErrBusy)
}

func TestListsAreSortedAndCopies(t *testing.T) {
	c := newCluster(t, 1, 90*gib, 90*gib)
	for _, name := range []string{"q", "p", "r"} {
		c.nodes[0].create("name=" + name + ",size=1GiB")
	}
	c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "q"})
	o := c.nodes[0].o
	all := o.Volumes()
	if len(all) != 3 || all[0].Spec.Name != "p" || all[1].Spec.Name != "q" || all[2].Spec.Name != "r" {
		t.Fatalf("%+v", all)
	}
	if q := all[1]; q.AttachedTo != "a" || !q.Here.Started || q.Here.Serving {
		t.Errorf("%+v", q)
	}
	c.nodes[0].control(step.Control{Kind: step.VolumeServing, Volume: all[1].Volume, Lossless: true})
	c.run()
	all[1].Config.Members[0].State = volume.Out
	if q, found := o.Volume(all[1].Volume.String()); !found || q.Config.Members[0].State != volume.InSync || !q.Here.Serving || !q.Here.Lossless {
		t.Errorf("%+v", q)
	}
	if nodes := o.Nodes(); len(nodes) != 2 || nodes[0].Name != "a" || !nodes[1].Alive {
		t.Errorf("%+v", nodes)
	}
}
