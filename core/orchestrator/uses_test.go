package orchestrator_test

import (
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// attached makes a cluster of two with a volume attached to the first node.
func attached(t *testing.T, seed uint64) (c *cluster, id block.VolumeID) {
	t.Helper()
	c = newCluster(t, seed, 20*gib, 20*gib)
	id = c.nodes[0].create("name=db,size=1GiB").Volume
	if a := c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "db"}); a.Err != nil {
		t.Fatal(a.Err)
	}
	return c, id
}

// used has a container, or none, use the volume on the first node.
func (c *cluster) used(id block.VolumeID, containers ...string) {
	c.nodes[0].use(id, containers...)
	c.run()
}

func TestEveryNodeKnowsWhoUsesAVolume(t *testing.T) {
	c, id := attached(t, 1)
	c.used(id, "web", "job")
	for _, m := range c.nodes {
		s, _ := m.o.Volume("db")
		if a := s.Attachment; s.AttachedTo != "a" || a.Lingering || len(a.Users) != 2 || a.Users[0].Container != "web" || a.Users[1].Mount != "id of job" {
			t.Errorf("node %s: %+v", m.record.Name, a)
		}
	}
	before := c.revision()
	c.used(id, "web", "job")
	if c.revision() != before {
		t.Error("what is recorded was written again")
	}
	c.used(id)
	if a := c.attachment(id); !a.Lingering || len(a.Users) != 0 {
		t.Errorf("%+v", a)
	}
	c.check()
}

func TestRecordNamesNoMoreUsersThanItHasRoomFor(t *testing.T) {
	c, id := attached(t, 1)
	var names []string
	for range 200 {
		names = append(names, "web")
	}
	c.used(id, names...)
	if a := c.attachment(id); len(a.Users) != volume.UsersMax {
		t.Errorf("%d users", len(a.Users))
	}
	before := c.revision()
	c.pass(3e9)
	if c.revision() != before {
		t.Error("the record does not come to rest")
	}
}

// The claim of a coordinator rests on the revision of its attachment.
func TestUsesAreNotRecordedBeforeTheVolumeServes(t *testing.T) {
	c, id := attached(t, 1)
	before := c.revision()
	m := c.nodes[0]
	m.control(step.Control{Kind: step.VolumeUsed, Volume: id, Uses: &volume.Uses{Lingering: true}})
	c.run()
	if c.revision() != before {
		t.Fatal("the attachment was written under a coordinator that may still claim by it")
	}
	m.control(step.Control{Kind: step.VolumeServing, Volume: id})
	c.run()
	if a := c.attachment(id); !a.Lingering {
		t.Errorf("%+v: what was told before is forgotten", a)
	}
	c.check()
}

func TestUsesAreForgottenWithTheirAttachment(t *testing.T) {
	c, id := attached(t, 1)
	c.used(id, "web")
	if a := c.nodes[1].do(volume.Command{Kind: volume.AttachVolume, Name: "db", Force: true}); a.Err != nil {
		t.Fatal(a.Err)
	}
	c.nodes[0].control(step.Control{Kind: step.VolumeUsed, Volume: id, Uses: &volume.Uses{Users: []volume.User{{Mount: "late"}}}})
	c.run()
	if a := c.attachment(id); c.attachedTo(id) != 1 || len(a.Users) != 0 || a.Lingering {
		t.Errorf("%+v", a)
	}
	c.nodes[1].use(id, "web")
	c.run()
	if a := c.attachment(id); len(a.Users) != 1 || a.Users[0].Container != "web" {
		t.Errorf("%+v", a)
	}
	c.check()
}

func TestVolumeThatLingersIsHandedOver(t *testing.T) {
	for seed := range uint64(50) {
		c, id := attached(t, seed)
		c.used(id)
		if a := c.nodes[1].do(volume.Command{Kind: volume.AttachVolume, Name: "db"}); a.Err != nil {
			t.Fatalf("seed %d: %v", seed, a.Err)
		}
		for _, sent := range c.nodes[0].sent {
			if sent.Kind == step.StopCoordinator && sent.Force {
				t.Fatalf("seed %d: it was not detached in order", seed)
			}
		}
		if c.attachedTo(id) != 1 || c.now > 3e9 {
			t.Fatalf("seed %d: attached to %d at %v", seed, c.attachedTo(id), c.now)
		}
		c.check()
	}
}

func TestVolumeInUseIsNotHandedOver(t *testing.T) {
	c, id := attached(t, 1)
	c.used(id)
	c.used(id, "web")
	before := c.revision()
	a := c.nodes[1].do(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	want(t, a, volume.ErrAttachedElsewhere)
	if !strings.Contains(a.Err.Error(), "node a") || !strings.Contains(a.Err.Error(), "in use there: container web") || c.revision() != before {
		t.Errorf("revision %d after %d: %v", c.revision(), before, a.Err)
	}
	c.check()
}

func TestVolumeThatIsUsedAgainIsKept(t *testing.T) {
	kept, handed := 0, 0
	for seed := range uint64(200) {
		c, id := attached(t, seed)
		c.used(id)
		wish := c.nodes[1].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
		for range c.random.IntN(12) {
			if all := c.choices(); len(all) > 0 {
				all[c.random.IntN(len(all))]()
			}
		}
		c.nodes[0].use(id, "job")
		c.run()
		c.pass(5e9)
		a := c.nodes[1].answer(wish)
		switch c.attachedTo(id) {
		case 0:
			kept++
			want(t, a, volume.ErrAttachedElsewhere)
			if r := c.attachment(id); r.Wanted != nil || len(r.Users) != 1 {
				t.Fatalf("seed %d: %+v", seed, r)
			}
		case 1:
			handed++
			if a.Err != nil {
				t.Fatalf("seed %d: %v", seed, a.Err)
			}
		}
		c.check()
	}
	if kept == 0 || handed == 0 {
		t.Errorf("kept %d times, handed over %d times: both should happen", kept, handed)
	}
}

func TestHolderThatDoesNotLetGoIsWaitedForAWhile(t *testing.T) {
	c, id := attached(t, 1)
	c.used(id)
	c.nodes[0].keeps = true
	wish := c.nodes[1].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.run()
	c.pass(3e9)
	if _, answered := c.nodes[1].answers[wish]; answered {
		t.Fatal("it was not waited for")
	}
	c.pass(2e9)
	a := c.nodes[1].answer(wish)
	want(t, a, volume.ErrAttachedElsewhere)
	if !strings.Contains(a.Err.Error(), "has not let it go within 4 s") {
		t.Error(a.Err)
	}
	c.nodes[0].keeps = false // the next wish is a new one
	if a := c.nodes[1].do(volume.Command{Kind: volume.AttachVolume, Name: "db"}); a.Err != nil || c.attachedTo(id) != 1 {
		t.Errorf("attached to %d: %v", c.attachedTo(id), a.Err)
	}
	c.check()
}

func TestOfTwoThatWantAVolumeOneGetsIt(t *testing.T) {
	for seed := range uint64(100) {
		c := newCluster(t, seed, 20*gib, 20*gib, 20*gib)
		id := c.nodes[0].create("name=db,size=1GiB").Volume
		c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "db"})
		c.used(id)
		x := c.nodes[1].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
		y := c.nodes[2].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
		c.run()
		c.pass(5e9)
		first, second := c.nodes[1].answer(x), c.nodes[2].answer(y)
		if (first.Err == nil) == (second.Err == nil) || c.attachedTo(id) == 0 {
			t.Fatalf("seed %d: attached to %d: %v, %v", seed, c.attachedTo(id), first.Err, second.Err)
		}
		c.check()
	}
}

func TestHolderThatIsGoneIsNotAsked(t *testing.T) {
	c, id := attached(t, 1)
	c.used(id)
	c.kill(c.nodes[0])
	c.run()
	if a := c.nodes[1].do(volume.Command{Kind: volume.AttachVolume, Name: "db"}); a.Err != nil || c.attachedTo(id) != 1 {
		t.Errorf("attached to %d: %v", c.attachedTo(id), a.Err)
	}
	if c.marks["orchestrator: lingering volume is asked for"] != 0 {
		t.Error("a node that is not there was asked")
	}
}

func TestWishThatIsAppliedLateIsHeard(t *testing.T) {
	c, id := attached(t, 1)
	c.used(id)
	c.unreachable, c.arrival = true, 0
	wish := c.nodes[1].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.pass(2e9)
	c.unreachable = false
	c.run()
	c.pass(3e9)
	if a := c.nodes[1].answer(wish); a.Err != nil || c.attachedTo(id) != 1 {
		t.Errorf("attached to %d: %v", c.attachedTo(id), a.Err)
	}
	for len(c.late) > 0 {
		c.arrive(100)
		c.run()
	}
	c.check()
}

func TestNameIsNotTheIdentityOfAnotherVolume(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	id := c.nodes[0].create("name=db,size=1GiB").Volume
	for _, name := range []string{id.String(), strings.ToUpper(id.String())} {
		a := c.nodes[1].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("size=1GiB,name=" + name)})
		want(t, a, volume.ErrNameTaken)
	}
	// One that is not yet known here is met in the store.
	other := block.VolumeID{7}
	c.set(0, metadata.Op{Key: volume.ConfigKey(other), Value: c.config(id).Encode()}, c.revision()+1)
	spec := c.spec("size=1GiB,name=" + other.String())
	wish := c.nodes[1].ask(volume.Command{Kind: volume.CreateVolume, Spec: spec})
	c.run()
	want(t, c.nodes[1].answer(wish), volume.ErrNameTaken)
	// A name of that form that is no identity is one like any other.
	named := c.nodes[0].create("size=1GiB,name=" + strings.Repeat("0f", 16)).Volume
	if s, found := c.nodes[1].o.Volume(strings.Repeat("0f", 16)); !found || s.Volume != named {
		t.Errorf("found %v, %+v", found, s)
	}
	if s, found := c.nodes[1].o.Volume(named.String()); !found || s.Volume != named {
		t.Errorf("by its identity: %v, %+v", found, s)
	}
}
