package sim

import (
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

func TestVolumeWhoseLastCopyLostPowerUnderItsUserStopsAndSaysSo(t *testing.T) {
	c := newCluster(t, 3, 1).attach(0, time.Second).write(0, 16).flush().write(0, 4)
	c.power(1).run(100 * time.Millisecond).up(1)
	ended, _ := c.ask(step.WriteRequest, 0, 4)
	c.within(15*time.Second, "says why it waits", func() bool { return c.v.servingAt(c.w.bodies[0]).text != "" })
	if *ended {
		t.Fatal("a write was answered without a valid copy")
	}
	c.attach(2, 15*time.Second).read(0, 16).write(0, 4)
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
	c.w.compareMembers()
	return c
}

func (c *cluster) askKeeping(first int) (*bool, *bool) {
	image := c.v.image
	ended, ok := c.ask(step.ReadRequest, first, 16)
	c.v.image = image
	return ended, ok
}
