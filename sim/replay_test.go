package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/coordinator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// TestCopyThatWasPutOutIsGivenWhatItMissed: its process starts again, its link is
// restored, or its power; nothing is copied.
func TestCopyThatWasPutOutIsGivenWhatItMissed(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		c := newClusterThatKeeps(t, coordinator.DefaultWindow().Kept, seed, 4, 1, 2).attach(0, time.Second).write(0, 32)
		c.busy(3 * time.Millisecond).run(100*time.Millisecond + time.Duration(seed)*time.Millisecond)
		switch seed % 3 {
		case 0:
			c.kill(1).becomes(1, volume.Out, 5*time.Second).run(time.Second).up(1)
		case 1:
			c.power(1).becomes(1, volume.Out, 5*time.Second).run(3 * time.Second).up(1)
		case 2:
			c.isolate(1, 4*time.Second).becomes(1, volume.Out, 5*time.Second)
		}
		c.becomes(1, volume.InSync, 20*time.Second).run(time.Second).calm().flush().compare()
		if c.hit("coordinator: member that was away in sync again from the window"); c.w.counts.Resyncs != 0 {
			t.Fatalf("with seed %d it was filled", seed)
		}
		c.kill(2).attach(3, 20*time.Second).read(0, 32)
	}
}

func TestCopyThatIsAwayForTooLongIsFilled(t *testing.T) {
	c := newClusterThatKeeps(t, 5*time.Second, 1, 4, 1, 2).attach(0, time.Second).write(0, 32)
	c.kill(1).becomes(1, volume.Out, 5*time.Second).run(6*time.Second).write(0, 4).up(1)
	if c.becomes(1, volume.InSync, 20*time.Second); c.w.counts.Resyncs != 1 {
		t.Fatalf("it was filled %d times", c.w.counts.Resyncs)
	}
	c.flush().compare()
}

// TestWindowIsNotKeptForLongWhenItFills: writes never wait for one that is out.
func TestWindowIsNotKeptForLongWhenItFills(t *testing.T) {
	p := newClusterThatKeeps(t, 0, 1, 4, 1, 2).w.plan
	p.WindowOps, p.WindowKept = 16, coordinator.DefaultWindow().Kept
	c := newClusterFrom(t, p).attach(0, time.Second).kill(1).becomes(1, volume.Out, 5*time.Second)
	for range 6 {
		c.write(0, 32)
	}
	c.hit("coordinator: window not kept any longer for a member that is out").up(1).becomes(1, volume.InSync, 20*time.Second).flush().compare()
}

// TestLastCopyIsMadeWholeByItsClient: what was acknowledged and not flushed is gone
// from the only disk, and still there for the client, and for its successor.
func TestLastCopyIsMadeWholeByItsClient(t *testing.T) {
	given := 0
	for seed := uint64(1); seed <= 12; seed++ {
		c := newClusterOf(t, seed, 3, 1).attach(0, time.Second).write(0, 16).flush().write(0, 8).write(20, 4)
		c.power(1).run(time.Duration(seed)*100*time.Millisecond).up(1).read(0, 24)
		given += c.w.marks.Counts["coordinator: acknowledged records given again from the window"]
		c.write(4, 4).flush().kill(0).attach(2, 20*time.Second).read(0, 24)
	}
	if given == 0 {
		t.Fatal("nothing was given again: this shows nothing")
	}
}

func TestCopiesThatAllLostPowerAreMadeWholeByTheirClient(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 32).flush().write(0, 8)
	write, _ := c.ask(step.WriteRequest, 9, 2)
	c.power(1).power(2).run(3 * time.Second).up(2).run(time.Second).up(1)
	c.within(20*time.Second, "the write is answered", func() bool { return *write })
	c.becomes(1, volume.InSync, 20*time.Second).becomes(2, volume.InSync, 20*time.Second).read(0, 32).flush().compare()
}
