package orchestrator_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/metadata"
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
	const expected = `cannot create volume "db": 2 replicas asked, 1 node can take it [no-placement]
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

func TestWhatIsPromisedAddsUpAndMoreThanThereIsIsSaid(t *testing.T) {
	for seed := range uint64(50) {
		c := newCluster(t, seed, 10*gib, 10*gib)
		for i, m := range []*machine{c.nodes[0], c.nodes[1], c.nodes[0], c.nodes[1]} {
			m.ask(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("replicas=2,size=4GiB,name=" + string(rune('p'+i)))})
		}
		c.run()
		warned := 0
		for _, m := range c.nodes {
			for _, a := range m.answers {
				if a.Err != nil {
					t.Fatal(a.Err)
				}
				if len(a.Warnings) > 0 {
					warned++
				}
			}
		}
		if warned != 2 {
			t.Fatalf("seed %d: %d of 4 volumes of 4 GiB on disks of 10 GiB came with a warning", seed, warned)
		}
		c.check()
		for _, d := range c.nodes[0].o.Disks() {
			if d.Promised != 16*gib {
				t.Errorf("%+v", d)
			}
		}
		dry := c.nodes[0].do(volume.Command{Kind: volume.CreateVolume, DryRun: true, Spec: c.spec("replicas=2,size=4GiB,name=z")})
		if dry.Err != nil || len(dry.Warnings) != 2 {
			t.Errorf("a plan warns %q, %v", dry.Warnings, dry.Err)
		}
		want(t, c.nodes[0].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("replicas=2,size=11GiB,name=z")}), volume.ErrNoPlacement)
		c.nodes[1].insist(volume.Command{Kind: volume.DeleteVolume, Name: "p"})
		c.nodes[0].insist(volume.Command{Kind: volume.DeleteVolume, Name: "q"})
		for _, d := range c.nodes[0].o.Disks() {
			if d.Promised != 8*gib {
				t.Errorf("after two deletions and a refused creation: %+v", d)
			}
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

func TestAttachTakesOverFromANodeThatDied(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib)
	v := c.nodes[0].create("name=db,size=1GiB")
	attach := volume.Command{Kind: volume.AttachVolume, Name: "db"}
	if a := c.nodes[0].do(attach); a.Err != nil {
		t.Fatal(a.Err)
	}
	c.kill(c.nodes[0])
	c.run()
	if a := c.nodes[1].do(attach); a.Err != nil {
		t.Fatalf("without force: %v", a.Err)
	}
	if c.attachedTo(v.Volume) != 1 {
		t.Error("the volume was not taken over")
	}
	want(t, c.nodes[2].do(attach), volume.ErrAttachedElsewhere)
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

func TestVolumeIsFoundBeforeTheWatchTellsOfIt(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	c.nodes[1].deaf = true
	v := c.nodes[0].create("name=db,size=1GiB")
	if a := c.nodes[1].do(volume.Command{Kind: volume.FindVolume, Name: "db"}); a.Err != nil || a.Volume != v.Volume {
		t.Fatalf("found %v, %v, want %v", a.Volume, a.Err, v.Volume)
	}
	if _, found := c.nodes[1].o.Volume("db"); !found {
		t.Error("the volume is not known where it was found")
	}
	want(t, c.nodes[1].do(volume.Command{Kind: volume.FindVolume, Name: "none"}), volume.ErrVolumeNotFound)
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
	for _, node := range []int{1, 0} { // nothing is thought to be under way any more
		if a := c.nodes[node].do(volume.Command{Kind: volume.AttachVolume, Name: "db", Force: true}); a.Err != nil {
			t.Errorf("attached by force to node %d: %v", node, a.Err)
		}
	}
}

func TestImpossibleNamesAreRefusedAtOnce(t *testing.T) {
	c := newCluster(t, 1, 20*gib)
	c.unreachable = true
	for _, kind := range []volume.CommandKind{volume.CreateVolume, volume.AttachVolume, volume.DetachVolume, volume.DeleteVolume, volume.MarkFormatted} {
		for _, name := range []string{"", "a/", "../spec"} {
			want(t, c.nodes[0].do(volume.Command{Kind: kind, Name: name, Spec: volume.Spec{Name: name}}), volume.ErrInvalidName)
		}
	}
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

func TestCommandThatLosesEveryDuelIsToldSo(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	c.duel = func(txn metadata.Txn) {
		for _, g := range txn.Guards {
			if strings.HasPrefix(g.Key, volume.DisksPrefix) {
				c.set(1, metadata.Op{Key: g.Key, Value: c.items[g.Key].Value}, c.revision()+1)
			}
		}
	}
	a := c.nodes[0].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=db,size=1GiB")})
	if !errors.Is(a.Err, volume.ErrBusy) || !strings.Contains(a.Err.Error(), "others changed") {
		t.Errorf("%v, want %v", a.Err, volume.ErrBusy)
	}
	c.duel = nil
	c.run()
	c.check()
	if a := c.nodes[0].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=db,size=1GiB")}); a.Err != nil {
		t.Errorf("given again: %v", a.Err)
	}
}
