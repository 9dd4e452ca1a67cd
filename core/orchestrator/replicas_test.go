package orchestrator_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// on returns the names of the nodes whose copies a volume lists, in order.
func (c *cluster) on(id block.VolumeID) string {
	c.t.Helper()
	var names []string
	for _, m := range c.config(id).Members {
		for _, n := range c.nodes {
			if n.record.ID == m.Node {
				names = append(names, n.record.Name)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (c *cluster) expectOn(id block.VolumeID, want string) {
	c.t.Helper()
	if got := c.on(id); got != want {
		c.t.Fatalf("copies on %q, want %q: %+v", got, want, c.placement(id))
	}
}

func add(to *machine) volume.Command {
	c := volume.Command{Kind: volume.AddReplica, Name: "db"}
	if to != nil {
		c.Node = to.record.ID
	}
	return c
}

func move(from, to *machine) volume.Command {
	return volume.Command{Kind: volume.MoveReplica, Name: "db", From: from.record.ID, Node: to.record.ID}
}

func remove(on *machine) volume.Command {
	return volume.Command{Kind: volume.RemoveReplica, Name: "db", Node: on.record.ID}
}

func set(replicas int) volume.Command {
	return volume.Command{Kind: volume.SetVolume, Name: "db", Spec: volume.Spec{Replicas: replicas}}
}

var keep = volume.Command{Kind: volume.KeepReplicas, Name: "db"} // constant table: a command

func TestCopiesComeAndGoAndWhatWasPromisedWithThem(t *testing.T) {
	for seed := range uint64(30) {
		c := newCluster(t, seed, 20*gib, 19*gib, 18*gib, 17*gib)
		a, b, e, d := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3]
		v := a.create("name=db,size=1GiB,replicas=2").Volume
		c.unknown = int(seed)
		for _, step := range []struct {
			by      *machine
			command volume.Command
			want    string
			asked   int
		}{
			{b, add(nil), "a b c", 3},
			{e, remove(b), "a c", 2},
			{d, move(e, d), "a d", 2},
			{a, set(4), "a b c d", 4},
			{b, set(2), "a b", 2}, // those on the fullest disks go
			{b, add(e), "a b c", 3},
		} {
			step.by.insist(step.command)
			c.pass(15 * time.Second) // until the first node does what nobody else does
			c.expectOn(v, step.want)
			if p := c.placement(v); p.Changing() || !p.Reached(c.config(v)) {
				t.Fatalf("seed %d: it is still changing: %+v", seed, p)
			}
			if spec := c.specOf(v); spec.Replicas != step.asked {
				t.Fatalf("seed %d: %d copies are asked for, want %d", seed, spec.Replicas, step.asked)
			}
			c.check()
		}
		a.insist(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
		c.pass(5 * time.Second)
		c.check()
	}
}

// specOf returns the recorded specification of a volume.
func (c *cluster) specOf(id block.VolumeID) volume.Spec {
	c.t.Helper()
	s, err := volume.Parse[volume.Spec](c.items[volume.SpecKey(id)].Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func TestVolumeIsDeletedWhileItsCopiesChange(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 19*gib, 18*gib)
	a, e := c.nodes[0], c.nodes[2]
	v := a.create("name=db,size=1GiB,replicas=2").Volume
	a.insist(move(a, e))
	if !c.placement(v).Changing() {
		t.Fatal("it is done already")
	}
	a.insist(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
	c.pass(5 * time.Second)
	c.check()
}

func TestChangesOfCopiesAreRefusedForAReason(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib, 1*gib, 20*gib)
	a, b, e, small, cordoned := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3], c.nodes[4]
	v := a.create("name=db,size=2GiB,replicas=2,nodes=a+b+d+e").Volume
	c.expectOn(v, "a b")
	a.insist(volume.Command{Kind: volume.CordonDisk, Disk: cordoned.disk, Name: "x"})
	on := func(m *machine, disk block.DiskID) volume.Command {
		command := add(m)
		command.Disk = disk
		return command
	}
	before := len(c.changes)
	for _, refused := range []struct {
		command volume.Command
		kind    error
		says    string
	}{
		{add(a), volume.ErrReplicaExists, "node a has a copy already"},
		{move(a, b), volume.ErrReplicaExists, "node b has a copy already"},
		{move(e, small), volume.ErrReplicaNotFound, "node c has none"},
		{remove(e), volume.ErrReplicaNotFound, "lagan replica ls db"},
		{add(small), volume.ErrNoPlacement, "node d: 1 GiB free, 2 GiB needed"},
		{add(e), volume.ErrNoPlacement, "not among the nodes asked for"},
		{add(cordoned), volume.ErrNoPlacement, "is cordoned"},
		{on(small, b.disk), volume.ErrNoPlacement, "it has no disk"},
		{add(nil), volume.ErrNoPlacement, "1 replica more, no node can take it"},
		{set(6), volume.ErrInvalidOption, "a number from 1 to 5"},
		{set(4), volume.ErrNoPlacement, "2 replicas more"},
		{keep, volume.ErrNotCancellable, "no change of them is under way"},
	} {
		answer := a.do(refused.command)
		want(t, answer, refused.kind)
		if !strings.Contains(answer.Err.Error(), refused.says) {
			t.Errorf("%v does not say %q", answer.Err, refused.says)
		}
	}
	missing := add(nil)
	missing.Name = "absent"
	want(t, a.do(missing), volume.ErrVolumeNotFound)
	if len(c.changes) != before {
		t.Error("a refused change wrote something")
	}
	c.setState(v, b, volume.Out)
	want(t, a.do(remove(a)), volume.ErrLastCopy)
	a.insist(remove(b))
	c.pass(15 * time.Second)
	c.expectOn(v, "a")
	want(t, a.do(remove(a)), volume.ErrLastCopy)
	c.check()
}

func TestAChangeOfCopiesIsAnOperationThatCanBeBrokenOff(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 19*gib, 18*gib)
	a, b, e := c.nodes[0], c.nodes[1], c.nodes[2]
	v := a.create("name=db,size=1GiB,replicas=2").Volume
	e.idle, a.idle, b.idle = true, true, true // nobody fills anything
	b.insist(move(b, e))
	want(t, a.do(add(nil)), volume.ErrReplicasChanging)
	all := b.o.UnderWayInRecords()
	if len(all) != 1 || all[0].Kind != volume.ReplicasOperation || !all[0].Cancellable || !strings.Contains(all[0].Reason, "the copy on node c to be made") {
		t.Fatalf("under way is %+v", all)
	}
	a.insist(keep)
	c.pass(15 * time.Second)
	c.expectOn(v, "a b")
	if left := a.o.UnderWayInRecords(); len(left) != 0 {
		t.Errorf("under way is %+v", left)
	}
	a.insist(set(3))
	a.insist(keep)
	if spec := c.specOf(v); spec.Replicas != 2 {
		t.Errorf("%d copies are asked for", spec.Replicas)
	}
	c.pass(5 * time.Second)
	c.check()
}

func TestCopiesStayWhileAVolumeIsBeingClonedFromThem(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 19*gib, 18*gib)
	a, b, e := c.nodes[0], c.nodes[1], c.nodes[2]
	v := a.create("name=db,size=1GiB,replicas=2").Volume
	a.insist(take("monday"))
	c.pass(10 * time.Second)
	for _, m := range c.nodes {
		m.idle = true
	}
	a.create("name=copy,parent=db@monday")
	want(t, a.do(move(b, e)), volume.ErrBeingCloned)
	for _, m := range c.nodes {
		m.idle = false
	}
	c.pass(20 * time.Second)
	a.insist(volume.Command{Kind: volume.AttachVolume, Name: "copy"}) // its first session
	a.insist(move(b, e))
	clone := volume.Spec{Name: "more", Parent: "db@monday", Replicas: 2}
	want(t, a.do(volume.Command{Kind: volume.CreateVolume, Spec: clone}), volume.ErrNoPlacement)
	c.pass(15 * time.Second)
	c.expectOn(v, "a c")
	a.insist(volume.Command{Kind: volume.CreateVolume, Spec: clone})
	c.check()
}

// Two nodes are told different things at once: each is done whole, or refused.
func TestChangesOfCopiesThatMeetAreDoneOneAfterTheOther(t *testing.T) {
	for seed := range uint64(100) {
		c := newCluster(t, seed, 20*gib, 19*gib, 18*gib, 17*gib)
		a, b, e, d := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3]
		v := a.create("name=db,size=1GiB,replicas=2").Volume
		c.unknown = 20
		x, y, z := b.ask(move(b, e)), d.ask(add(d)), a.ask(set(1))
		c.run()
		c.unknown = 0
		c.pass(40 * time.Second)
		b.answer(x)
		d.answer(y)
		a.answer(z)
		if p := c.placement(v); p == nil || p.Changing() || c.specOf(v).Replicas != len(p.Copies) {
			t.Fatalf("seed %d: %+v", seed, p)
		}
		c.check()
	}
}

func TestFewerCopiesThanAWriteNeedsCannotBeAskedFor(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 19*gib, 18*gib)
	a, b := c.nodes[0], c.nodes[1]
	v := a.create("name=db,size=1GiB,replicas=3,min_writable=2").Volume
	if got := c.config(v).MinWritable; got != 2 {
		t.Fatalf("%d copies are needed for a write", got)
	}
	needs := func(n int) volume.Command {
		return volume.Command{Kind: volume.SetVolume, Name: "db", Spec: volume.Spec{MinWritable: n}}
	}
	both := func(replicas, n int) volume.Command {
		command := set(replicas)
		command.Spec.MinWritable = n
		return command
	}
	create := volume.Command{Kind: volume.CreateVolume, Spec: volume.Spec{Name: "more", Size: gib, MinWritable: 3}}
	want(t, a.do(create), volume.ErrInvalidOption) // there are two by default
	for _, refused := range []volume.Command{set(1), both(3, 4), both(2, 3), needs(4)} {
		answer := b.do(refused)
		want(t, answer, volume.ErrInvalidOption)
		if !strings.Contains(answer.Err.Error(), "a write needs") {
			t.Errorf("%v does not say why", answer.Err)
		}
	}
	a.insist(needs(2)) // nothing changes
	if c.placement(v) != nil {
		t.Error("a change to what is there wrote something")
	}
	a.insist(remove(b))
	c.pass(15 * time.Second)
	want(t, a.do(remove(a)), volume.ErrInvalidOption)
	a.insist(needs(1))
	if p, spec := c.placement(v), c.specOf(v); p.MinWritable != 1 || spec.MinWritable != 1 {
		t.Errorf("recorded are %+v and %+v", p, spec)
	}
	a.insist(both(3, 3))
	want(t, a.do(keep), volume.ErrInvalidOption) // it would end with two
	c.pass(15 * time.Second)
	if p, spec := c.placement(v), c.specOf(v); p.MinWritable != 3 || spec.MinWritable != 3 || spec.Replicas != 3 || len(p.Copies) != 3 {
		t.Errorf("recorded are %+v and %+v", p, spec)
	}
	loss := a.o.Absence(b.record.ID, nil)
	if loss.Safe || lossesOf(&loss) != "db unwritable" {
		t.Errorf("without one of three: %+v", loss)
	}
	a.insist(needs(2))
	a.insist(set(2))
	c.pass(15 * time.Second)
	c.check()
}
