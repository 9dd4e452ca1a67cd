package sim

import (
	"errors"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// races is how many orders of what happens at once a scenario is told in.
const races = 40

// command gives a node a command and returns its number.
func (c *cluster) command(node int, command volume.Command) uint64 {
	o := &c.w.operator
	if o.answers == nil {
		o.answers = map[uint64]*volume.Answer{}
	}
	number := o.send(c.w.bodies[node], command)
	o.answers[number] = nil
	return number
}

// answers waits until commands are answered.
func (c *cluster) answers(numbers ...uint64) (errs []error) {
	c.t.Helper()
	for _, n := range numbers {
		c.within(time.Minute, "a command is answered", func() bool { return c.w.operator.answers[n] != nil })
		errs = append(errs, c.w.operator.answers[n].Err)
	}
	return errs
}

// insist repeats a command, as people do who were told that its outcome is not
// known, until it is carried out.
func (c *cluster) insist(node int, command volume.Command) *cluster {
	c.t.Helper()
	for {
		err := c.answers(c.command(node, command))[0]
		if err == nil {
			return c
		}
		if !errors.Is(err, volume.ErrOutcomeUnknown) {
			c.t.Fatal(err)
		}
	}
}

func (c *cluster) creation(name string, chunks, replicas int) volume.Command {
	return volume.Command{Kind: volume.CreateVolume, Name: name, Spec: c.w.shortLivedSpec(name, chunks, replicas)}
}

// rests waits until all that was asked for is done, and insists that nothing is
// left that no volume explains.
func (c *cluster) rests() *cluster {
	c.t.Helper()
	c.run(transactionDeadline+lateMax).within(time.Minute, "no volume is being deleted", func() bool {
		for _, item := range c.w.metadata.records() {
			if _, part, ok := volume.ParseVolumeKey(item.Key); ok && part == "config" && c.w.parseConfig(item.Value).Tombstone {
				return false
			}
		}
		return true
	})
	return c.run(10 * time.Second).sound(c.w.checkDebris)
}

func (c *cluster) exists(name string) bool {
	_, found := c.w.metadata.record(volume.NameKey(name))
	return found
}

// disturb makes the metadata store change its leader now and then: it answers
// nobody for a while, and of many transactions the outcome is not told.
func (c *cluster) disturb(seed uint64) *cluster {
	m := c.w.metadata
	m.unknown = 400_000
	for i := range 4 {
		c.w.after(time.Duration(seed%7+1)*20*time.Millisecond+time.Duration(i)*3*time.Second, callFault, func() { m.down++ })
		c.w.after(time.Duration(seed%7+1)*20*time.Millisecond+time.Duration(i)*3*time.Second+time.Second, callHeal, func() { m.down-- })
	}
	c.w.after(13*time.Second, callHeal, func() { m.unknown = 0 })
	return c
}

func TestTwoCreationsOfOneVolumeMakeOne(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 3, 0)
		x, y := c.command(1, c.creation("twin", 2, 2)), c.command(2, c.creation("twin", 2, 2))
		for _, err := range c.answers(x, y) {
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if a, b := c.w.operator.answers[x], c.w.operator.answers[y]; a.Volume != b.Volume {
			t.Fatalf("seed %d: two volumes were made", seed)
		}
		c.rests()
	}
}

func TestOfTwoCreationsThatDifferOneIsRefused(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 3, 0)
		errs := c.answers(c.command(1, c.creation("twin", 2, 2)), c.command(2, c.creation("twin", 3, 1)))
		if errs[0] != nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		if errs[0] != nil || !errors.Is(errs[1], volume.ErrNameTaken) {
			t.Fatalf("seed %d: %v and %v", seed, errs[0], errs[1])
		}
		c.rests()
	}
}

// What a disk promised is given back also by a node that has not heard of it yet.
func TestDeletionByANodeThatDoesNotKnowADiskGivesBackWhatItPromised(t *testing.T) {
	c := newCluster(t, 3, 0)
	c.insist(1, c.creation(shortLivedName(1), 1024, 3)).run(time.Second).deaf(0).strikes(EmptyDisk, 2, 0).run(time.Second)
	c.insist(1, c.creation(shortLivedName(0), 2, 3)) // the new disk has more room
	for pick := range uint64(shortLivedMost) {
		c.insist(0, volume.Command{Kind: volume.DeleteVolume, Name: shortLivedName(pick)})
	}
	c.hears(0).within(time.Minute, "nothing is left but on the disk that is gone", c.w.shortLivedGone).sound(c.w.checkDebris)
}

func TestOfDeletionAndAttachmentAtOnceOneIsRefused(t *testing.T) {
	deleted := 0
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 3, 0).insist(0, c2("prey"))
		c.run(time.Duration(seed%5) * time.Second)
		errs := c.answers(
			c.command(1, volume.Command{Kind: volume.DeleteVolume, Name: "prey"}),
			c.command(2, volume.Command{Kind: volume.AttachVolume, Name: "prey", Force: seed%2 == 0}),
		)
		switch {
		case errs[0] == nil && (errors.Is(errs[1], volume.ErrVolumeNotFound) || errors.Is(errs[1], volume.ErrVolumeDeleted)):
			deleted++
		case errs[1] == nil && errors.Is(errs[0], volume.ErrAttached):
			c.insist(2, volume.Command{Kind: volume.DetachVolume, Name: "prey"}).insist(1, volume.Command{Kind: volume.DeleteVolume, Name: "prey"})
		default:
			t.Fatalf("seed %d: deleted: %v; attached: %v", seed, errs[0], errs[1])
		}
		c.rests()
		if c.exists("prey") {
			t.Fatalf("seed %d: it is not deleted", seed)
		}
	}
	if deleted == 0 || deleted == races {
		t.Errorf("the deletion won %d of %d times", deleted, races)
	}
}

// c2 is a creation with two copies; the block size of these worlds is 64 bytes
// or 4 KiB, and it fits both.
func c2(name string) volume.Command {
	const size = 2 * block.PerChunk * block.Size
	return volume.Command{Kind: volume.CreateVolume, Name: name, Spec: volume.Spec{Name: name, Size: size, Replicas: 2, Filesystem: "none"}}
}

func TestChangesUnderALeaderChangeLeaveNoDebris(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 3, 0).disturb(seed)
		for i, name := range []string{"p", "q", "p"} {
			at := (i + int(seed)) % 3
			c.insist(at, c2(name)).insist(at, volume.Command{Kind: volume.AttachVolume, Name: name})
			c.insist(at, volume.Command{Kind: volume.DetachVolume, Name: name, Force: true})
			c.insist((at+1)%3, volume.Command{Kind: volume.DeleteVolume, Name: name})
		}
		if c.rests(); c.exists("p") || c.exists("q") {
			t.Fatalf("seed %d: a deleted volume has a name", seed)
		}
	}
}

// A process that dies with its command leaves what was decided, whole, or nothing.
func TestChangesWhoseNodeDiesLeaveNoDebris(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 3, 0).disturb(seed).insist(1, c2("q"))
		c.command(0, c2("p"))
		c.command(0, volume.Command{Kind: volume.AttachVolume, Name: "q"})
		c.command(0, volume.Command{Kind: volume.DeleteVolume, Name: "q"})
		c.run(time.Duration(seed) * 3 * time.Millisecond).kill(0).run(8 * time.Second).up(0).rests()
	}
}

func TestDeletionWithANodeDownIsDoneWhenItReturns(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 3, 0)
		spec := c.creation("away", 2, 2)
		spec.Spec.Nodes = []string{"n0", "n2"}
		c.insist(1, spec).run(time.Second).power(2).run(time.Duration(seed%8) * time.Second)
		c.insist(1, volume.Command{Kind: volume.DeleteVolume, Name: "away"})
		if c.exists("away") {
			t.Fatal("the name is not free at once")
		}
		spec.Spec.Nodes, spec.Spec.Size = nil, 2*spec.Spec.Size
		spec.Spec.Replicas = 1
		spec.Spec.Nodes = []string{"n0"}
		c.insist(0, spec).up(2).rests()
	}
}

func TestRemovedNodeIsMissedByNobody(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 4, 1, 2).attach(1, 5*time.Second).write(0, 16)
		c.insist(0, c2("gone"))
		spec := c.creation("held", 2, 2)
		spec.Spec.Nodes = []string{"n2", "n3"}
		c.insist(0, spec).insist(2, volume.Command{Kind: volume.AttachVolume, Name: "held"}).run(time.Second)
		if seed%2 == 0 {
			c.kill(2)
		} else {
			c.power(2)
		}
		c.run(leaseTime+time.Second).insist(0, volume.Command{Kind: volume.DeleteVolume, Name: "gone"})
		c.disturb(seed)
		c.insist(3, volume.Command{Kind: volume.RemoveNode, Node: c.w.bodies[2].id, Name: "n2"})
		c.within(time.Minute, "its copy is made anew", func() bool {
			return c.v.config.Count(volume.InSync) == 2 && !c.is(2, volume.InSync) && len(c.v.config.Members) == 2
		})
		c.write(8, 4).rests()
		c.insist(0, volume.Command{Kind: volume.AttachVolume, Name: "held"}).insist(0, volume.Command{Kind: volume.DetachVolume, Name: "held"})
		c.up(2).rests().read(0, 16)
		if _, found := c.w.metadata.record(volume.NodeKey(c.w.bodies[2].id)); found {
			t.Fatalf("seed %d: it is recorded again", seed)
		}
	}
}
