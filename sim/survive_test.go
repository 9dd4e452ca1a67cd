package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

// survives has the devices of a scenario outlive their processes, with replies that
// take up to a time.
func (c *cluster) survives(reply time.Duration) *cluster {
	c.w.plan.Survival, c.w.plan.ReplyMax = true, reply
	return c
}

// devices insists on how many devices went on, and were torn down.
func (c *cluster) devices(kept, lost int) *cluster {
	c.t.Helper()
	if n := &c.w.counts; n.DevicesKept != kept || n.DevicesLost != lost {
		c.t.Fatalf("%d devices went on and %d were torn down, want %d and %d", n.DevicesKept, n.DevicesLost, kept, lost)
	}
	return c
}

func TestDeviceOutlivesItsProcessAndAsksAgain(t *testing.T) {
	told(t, 16, 3, []int{1, 2}, func(c *cluster, seed uint64) {
		c.survives(time.Millisecond).attach(0, time.Second).write(0, 16).slow(1, 200)
		write, ok := c.ask(step.WriteRequest, 0, 4)
		flush, flushed := c.ask(step.FlushRequest, 0, 0)
		c.run(time.Duration(seed)*200*time.Microsecond).kill(0).run(time.Second).slow(1, 1)
		if *write && !*ok || *flush && !*flushed {
			t.Fatal("something failed while the process was away")
		}
		c.up(0).within(10*time.Second, "all is answered", func() bool { return *write && *flush })
		if !*ok || !*flushed {
			t.Fatal("what was asked again failed")
		}
		c.devices(1, 0).use(0).read(0, 16)
	})
}

// TestDeviceOutlivesProcessAfterProcess: the second one dies before it serves, the
// third one after that.
func TestDeviceOutlivesProcessAfterProcess(t *testing.T) {
	c := newCluster(t, 3, 1, 2).survives(time.Millisecond).attach(0, time.Second).write(0, 16).kill(1).kill(2).kill(0)
	c.up(0).run(time.Second).kill(0).up(1).up(2).up(0).within(10*time.Second, "served", func() bool { return c.serves(0) })
	c.devices(1, 0).use(0).write(0, 4).kill(0).up(0).within(10*time.Second, "served", func() bool { return c.serves(0) })
	c.devices(2, 0).use(0).read(0, 16).flush()
}

func TestDeviceThatSurvivedALossyTakeoverIsTornDown(t *testing.T) {
	c := newCluster(t, 3, 1, 2).survives(time.Millisecond).attach(0, time.Second).write(0, 16).kill(0).power(1).power(2)
	c.up(1).up(2).up(0).within(20*time.Second, "served", func() bool { return c.serves(0) }).devices(0, 1)
}

// TestDeviceThatSurvivedALossyTakeoverBeforeTheLastIsTornDown: the session that lost
// something dies at once; its successor finds nothing wrong.
func TestDeviceThatSurvivedALossyTakeoverBeforeTheLastIsTornDown(t *testing.T) {
	c := newCluster(t, 3, 1, 2).survives(time.Millisecond).attach(0, time.Second).write(0, 16).kill(0).power(1).power(2)
	c.up(1).up(2).up(0).until(20*time.Second, "the loss is settled", func() bool { return c.v.config.LossyEra != 0 })
	c.run(time.Second / 2)
	if !c.serves(0) {
		c.kill(0).up(0).within(20*time.Second, "served", func() bool { return c.serves(0) })
	}
	c.devices(0, 1)
}

func TestDeviceWhoseVolumeWasTakenElsewhereIsTornDown(t *testing.T) {
	c := newCluster(t, 4, 1, 2).survives(time.Millisecond).attach(0, time.Second).write(0, 16).kill(0)
	c.attach(3, 10*time.Second).write(0, 4).up(0).run(2*time.Second).devices(0, 1).use(3).read(0, 16)
}

// TestWriteAskedAgainNeverLandsOnANewerOne kills the process while replies are on
// their way, and others read and write the same blocks.
func TestWriteAskedAgainNeverLandsOnANewerOne(t *testing.T) {
	told(t, 24, 3, []int{1, 2}, func(c *cluster, seed uint64) {
		c.survives(20*time.Millisecond).attach(0, time.Second).busy(100 * time.Microsecond)
		for range 4 {
			c.run(time.Duration(20+seed*3) * time.Millisecond).kill(0).run(50 * time.Millisecond).up(0)
			c.within(10*time.Second, "served", func() bool { return c.serves(0) })
		}
		c.calm().devices(4, 0).use(0).read(0, 32)
		if c.w.counts.AskedAgain == 0 {
			t.Fatal("nothing was asked again")
		}
	})
}
