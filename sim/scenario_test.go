package sim

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

func TestAcknowledgedWriteIsReadOnANodeWithoutCopyAfterTheCoordinatorDied(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(1, time.Second).write(0, 20)
	c.ask(step.WriteRequest, 5, 3)
	c.run(20*time.Microsecond).kill(1).attach(3, 10*time.Second).read(0, 20)
	c.up(1).becomes(1, volume.InSync, 20*time.Second).read(0, 20)
}

func TestSilentMemberIsPutOutAndFilledAgainWhileWritesGoOn(t *testing.T) {
	c := newCluster(t, 4, 1, 2, 3).attach(0, time.Second).write(0, 16)
	c.isolate(2, 6*time.Second).write(0, 4).becomes(2, volume.Out, 5*time.Second)
	for i := range 20 {
		c.write(i, 8).read(i, 8)
	}
	c.becomes(2, volume.InSync, 30*time.Second).read(0, 30)
	c.run(time.Second).flush().compare()
}

func TestPowerLossOfAllKeepsWhatWasFlushed(t *testing.T) {
	c := newCluster(t, 3, 0, 1).attach(2, time.Second).write(0, 16).flush().write(4, 8)
	c.power(0).power(1).power(2).run(time.Second)
	if c.v.losses != 1 {
		t.Fatalf("%d losses of every copy were noted", c.v.losses)
	}
	c.up(0).up(1).up(2).run(time.Second).attach(1, 20*time.Second).read(0, 16)
}

func TestVolumeWaitsForAllItsCopiesAfterAllLostPower(t *testing.T) {
	c := newCluster(t, 3, 0, 1).attach(2, time.Second).write(0, 16)
	c.power(0).power(1).power(2).up(0).up(2).run(time.Second)
	c.w.operator.send(c.w.bodies[2], volume.Command{Kind: volume.AttachVolume, Name: c.v.name, Force: true})
	c.run(10 * time.Second)
	st := c.v.servingAt(c.w.bodies[2])
	if st == nil || st.ready || st.text == "" {
		t.Fatalf("with one of two copies away the volume should wait and say so: %+v", st)
	}
	c.up(1).within(10*time.Second, "served", func() bool { return st.ready }).use(2).read(0, 16)
}

func TestIsolatedHolderAnswersNoReadOnceAnotherNodeServes(t *testing.T) {
	c := newCluster(t, 4, 0, 1, 2).attach(0, time.Second).write(0, 4)
	c.isolate(0, 20*time.Second).attach(3, 10*time.Second).write(0, 4)
	c.use(0)
	ended, _ := c.ask(step.ReadRequest, 0, 4)
	c.run(2 * time.Second)
	if *ended {
		t.Fatal("the isolated holder answered")
	}
}

func TestRestartedMemberComesBackInSync(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 16)
	c.kill(1).run(20*time.Millisecond).up(1).write(0, 8)
	c.run(2*time.Second).becomes(1, volume.InSync, 20*time.Second).becomes(2, volume.InSync, time.Second)
	c.read(0, 16).run(time.Second).flush().compare()
}

func TestOfTwoNodesThatAttachAtOnceOneWinsAndTheOtherIsToldWho(t *testing.T) {
	c := newCluster(t, 4, 1, 2)
	wishes := map[int]uint64{0: c.want(0), 3: c.want(3)}
	first, second := c.answered(wishes[0], time.Second), c.answered(wishes[3], time.Second)
	winner, refused := 0, second
	if first != nil {
		winner, refused = 3, first
	}
	if (first == nil) == (second == nil) || !errors.Is(refused, volume.ErrAttachedElsewhere) {
		t.Fatalf("answered %v and %v", first, second)
	}
	if name := c.w.bodies[winner].name; !strings.Contains(refused.Error(), "attached to node "+name) {
		t.Errorf("node %s won, the other one was told: %v", name, refused)
	}
	c.within(time.Second, "served", func() bool { st := c.v.newest(); return st != nil && st.shard.body.index == winner })
	c.use(winner).write(0, 16).read(0, 16)
}

func TestVolumeThatLingersIsHandedOverWithoutForceAndLosesNothing(t *testing.T) {
	c := newCluster(t, 4, 0, 1).attach(0, time.Second).container(0, "web").write(0, 20).run(time.Second)
	if err := c.answered(c.want(3), time.Second); !errors.Is(err, volume.ErrAttachedElsewhere) || !strings.Contains(err.Error(), "container web") {
		t.Fatalf("while a container has it: %v", err)
	}
	c.write(4, 8).container(0, "").run(time.Second)
	began := c.w.now
	if err := c.answered(c.want(3), 2*time.Second); err != nil {
		t.Fatal(err)
	}
	c.within(time.Second, "served", func() bool { st := c.v.servingAt(c.w.bodies[3]); return st != nil && st.ready })
	t.Logf("handed over in %v", time.Duration(c.w.now-began))
	if c.v.takeovers != 0 || c.v.servingAt(c.w.bodies[0]) != nil {
		t.Error("it was taken and not handed over")
	}
	c.use(3).read(0, 24).write(0, 4).read(0, 4)
}

func TestContainerThatComesWhileItsVolumeIsWantedKeepsIt(t *testing.T) {
	c := newCluster(t, 4, 0, 1).attach(0, time.Second).write(0, 16).container(0, "").run(time.Second)
	c.w.operator.keeps = true // the unmount takes its time
	wish := c.want(3)
	c.within(time.Second, "wanted", func() bool { return c.v.attachment.Wanted != nil })
	c.write(0, 4).container(0, "job")
	err := c.answered(wish, time.Second)
	if !errors.Is(err, volume.ErrAttachedElsewhere) || !strings.Contains(err.Error(), "container job") {
		t.Fatalf("answered %v", err)
	}
	if a := &c.v.attachment; a.Node != c.w.bodies[0].id || a.Wanted != nil || a.Lingering || len(a.Users) != 1 {
		t.Errorf("recorded is %+v", a)
	}
	c.write(4, 8).read(0, 16)
}

func TestVolumeOfAHolderThatIsGoneIsTakenThoughItLingered(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 16).flush().container(0, "").run(time.Second)
	c.isolate(0, 30*time.Second)
	if err := c.answered(c.want(3), 6*time.Second); !errors.Is(err, volume.ErrAttachedElsewhere) {
		t.Fatalf("it may be alive: %v", err)
	}
	c.run(10 * time.Second)
	if err := c.answered(c.want(3), time.Second); err != nil {
		t.Fatal(err)
	}
	c.within(10*time.Second, "served", func() bool { st := c.v.servingAt(c.w.bodies[3]); return st != nil && st.ready })
	c.use(3).read(0, 16)
}

func TestNodeThatJoinsUnderLoadTakesAVolumeAndACopy(t *testing.T) {
	p := NewPlan(1, Quiet)
	p.Nodes, p.Faults, p.Clients, p.ClockPPM = 4, []Fault{{Kind: JoinNode, Node: 3}}, nil, make([]int, 4)
	p.Volumes = []VolumePlan{{Blocks: 32, Hot: 32, Members: []int{0, 1}}}
	c := newClusterFrom(t, p).attach(2, time.Second).busy(2 * time.Millisecond).run(time.Second)
	if _, known := c.w.metadata.record(volume.NodeKey(c.w.bodies[3].id)); known {
		t.Fatal("it is there before it joins")
	}
	c.w.join(&Fault{Kind: JoinNode}, c.w.bodies[3])
	c.run(time.Second).sound(c.w.checkJoined).attach(3, 10*time.Second).run(time.Second)
	spec := c.creation("new", 2, 1)
	spec.Spec.Nodes = []string{"n3"}
	c.insist(0, spec).insist(3, volume.Command{Kind: volume.AttachVolume, Name: "new"}).calm().flush().compare().rests()
}

// compare looks at the disks of all copies.
func (c *cluster) compare() *cluster {
	c.t.Helper()
	c.v.image = make([]byte, c.v.plan.Blocks*c.w.plan.BlockSize)
	open := 0
	for first := 0; first < c.v.plan.Blocks; first += 16 {
		open++
		ended, _ := c.askKeeping(first)
		c.within(5*time.Second, "read", func() bool { return *ended })
	}
	return c.sound(c.w.compareMembers)
}

func (c *cluster) askKeeping(first int) (*bool, *bool) {
	image := c.v.image
	ended, ok := c.ask(step.ReadRequest, first, 16)
	c.v.image = image
	return ended, ok
}
