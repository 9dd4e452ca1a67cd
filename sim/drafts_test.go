package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// drafts are the traces that broke earlier drafts of the protocol. Where the order
// of what happens at once matters, a story is told with many seeds.
var drafts = []row{
	{"the last pass of a resync is answered before the source has what is in flight", []string{"TestLastPassOfAResyncHasWhatWasInFlight"}, ""},
	{"a write that is committed and not synced goes home, and the power goes", []string{"TestWriteThatIsNotSyncedNeverGoesHome"}, ""},
	{"the history of an era is recorded after its first record", []string{"TestEraIsRecordedBeforeItsFirstRecord"}, ""},
	{"the last record that survives lies between two takeovers", []string{"TestEraOfWhichNothingSurvivedIsForgotten"}, ""},
	{"the donor is one that is being filled", []string{
		"TestCopyThatIsBeingFilledNeverCarriesTheVolume", "TestStreamNeverEndsWhereACopyThatIsBeingFilledEnds",
	}, ""},
	{"the only valid copy is put out while another is repaired", []string{"TestLastValidCopyStaysWhileTheOtherIsNotRepaired"}, ""},
	{"a change that is not mine is taken for one of mine that was lost", []string{"TestReplacedCoordinatorMakesNoChangeAgain"}, ""},
	{"the point up to which a copy is whole moves on in the live pass", []string{"TestResyncThatEndsEarlyGoesOn"}, ""},
	{"a record that kept a block from being copied is taken back", []string{"TestCopyIsNotWholeBeforeWhatHidAPushIsStable"}, ""},
	{"what is undecided is copied and kept", []string{"TestCopyThatKeptWhatBecameANopLosesIt"}, ""},
	{"a copy is in sync before it is durable", []string{"TestCopyIsInSyncOnlyWhenItIsDurable"}, ""},
	{"late frames of a connection that is half open", []string{"TestLateFramesOfAHalfOpenConnectionAreDiscarded"}, ""},
	{"what was written live is known without its layer", []string{"TestSnapshotTakenInTheLivePassKeepsWhatWasWrittenLive"}, ""},
	{"a layer that was merged is never listed", []string{"TestSnapshotsAreCopiedWithTheirVolume"}, ""},
	{"of three copies two lose power, and the third boots late", []string{"TestVolumeWaitsForTheCopyThatBootsLateAndLostNothing"}, ""},
	{"a mount survives a takeover that lost something", []string{
		"TestDeviceThatSurvivedALossyTakeoverIsTornDown", "TestDeviceThatSurvivedALossyTakeoverBeforeTheLastIsTornDown",
	}, ""},
	{"a write that is sent again lands on a newer one", []string{"TestLateFramesOfAHalfOpenConnectionAreDiscarded"}, ""},
	{"a device sends a write again that lands on a newer one", []string{"TestWriteAskedAgainNeverLandsOnANewerOne"}, ""},
	{"a block is written anew over a newer write", []string{"TestRepairNeverOverwritesANewerWrite"}, ""},
	{"a sync hangs", []string{"TestDiskThatHangsIsLeftBehind"}, ""},
	{"a snapshot is collected while it is recorded", []string{"TestSnapshotOutlivesItsCoordinator"}, ""},
	{"a copy is freed by a node that does not know its configuration", []string{"TestCopyStaysWhileItsNodeKnowsNoConfiguration"}, ""},
	{"a copy that was just added is freed by an older configuration", []string{"TestCopyThatWasJustAddedIsNotFreedByAnOlderConfiguration"}, ""},
}

// told tells a story again and again, every time with another seed.
func told(t *testing.T, times uint64, nodes int, copies []int, story func(c *cluster, seed uint64)) {
	t.Helper()
	for seed := uint64(1); seed <= times; seed++ {
		if story(newClusterOf(t, seed, nodes, copies...), seed); t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func TestLastPassOfAResyncHasWhatWasInFlight(t *testing.T) {
	told(t, 16, 4, []int{1, 2, 3}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32).isolate(3, 3*time.Second).becomes(3, volume.Out, 5*time.Second)
		c.sends(0, 3, message.ResyncBegin).slow(1, int(seed%4)*20+1).slow(2, int(seed/4%4)*20+1).busy(300 * time.Microsecond)
		c.becomes(3, volume.InSync, 30*time.Second).slow(1, 1).slow(2, 1).calm().flush().compare()
	})
}

func TestWriteThatIsNotSyncedNeverGoesHome(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		p := NewPlan(seed, Quiet)
		p.Nodes, p.Clients, p.ClockPPM, p.TailOneIn = 3, nil, make([]int, 3), 0
		p.JournalBytes, p.BlockSize, p.DiskSize = 64<<10, 4096, 64<<20
		p.Volumes = []VolumePlan{{Blocks: 64, Hot: 64, Members: []int{1, 2}}}
		c := newClusterFrom(t, p).attach(0, time.Second)
		c.busy(400 * time.Microsecond).run(time.Second + time.Duration(seed)*70*time.Millisecond)
		c.crew.left = 0
		c.power(1).power(2).up(1).up(2).attach(2, 20*time.Second).read(0, 64)
		c.flush().compare()
	}
}

func TestEraIsRecordedBeforeItsFirstRecord(t *testing.T) {
	told(t, 40, 4, []int{1, 2}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 16)
		c.ask(step.WriteRequest, 5, 3)
		c.run(20 * time.Microsecond).kill(0).seize(3).run(time.Duration(seed) * 700 * time.Microsecond).kill(3)
		c.up(0).attach(0, 10*time.Second).write(8, 4).read(0, 16).up(3)
	})
}

func TestEraOfWhichNothingSurvivedIsForgotten(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 16).flush().write(4, 4).write(8, 4).kill(0)
	eras := len(c.v.config.History)
	c.seize(3).until(10*time.Second, "another era is recorded", func() bool { return len(c.v.config.History) > eras })
	dropped := c.v.config.History[eras]
	c.power(1).power(2).kill(3).run(time.Second).up(0).up(1).up(2).up(3).attach(3, 20*time.Second)
	newest := c.v.config.History[len(c.v.config.History)-1]
	if newest.First > dropped.First {
		t.Fatalf("era %d begins at %d and era %d at %d: nothing was lost", dropped.Era, dropped.First, newest.Era, newest.First)
	}
	c.write(0, 4).read(0, 16).attach(0, 10*time.Second).read(0, 16)
}

func TestCopyThatIsBeingFilledNeverCarriesTheVolume(t *testing.T) {
	c := newCluster(t, 4, 1, 2, 3).attach(0, time.Second).write(0, 32)
	c.isolate(3, 4*time.Second).becomes(3, volume.Out, 5*time.Second).write(0, 4)
	c.slow(3, 2000).becomes(3, volume.Syncing, 20*time.Second).write(4, 4).kill(1).kill(2).kill(0).slow(3, 1).up(0)
	c.run(6*time.Second).seize(0).waitsAt(0, 10*time.Second)
	c.up(1).up(2).within(20*time.Second, "served", func() bool { return c.serves(0) }).use(0).read(0, 32)
}

func TestStreamNeverEndsWhereACopyThatIsBeingFilledEnds(t *testing.T) {
	told(t, 20, 5, []int{1, 2, 3}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32).isolate(3, 3*time.Second).becomes(3, volume.Out, 5*time.Second)
		c.slow(1, 60).slow(2, 60).busy(200*time.Microsecond).sends(0, 3, message.ResyncLive)
		c.clog(0, 1, time.Second).clog(0, 2, time.Second).run(time.Duration(seed) * 100 * time.Microsecond)
		c.kill(0).slow(1, 1).slow(2, 1).attach(4, 10*time.Second).calm()
		c.becomes(3, volume.InSync, 30*time.Second).flush().compare().up(0)
	})
}

func TestReplacedCoordinatorMakesNoChangeAgain(t *testing.T) {
	told(t, 20, 5, []int{1, 2, 3}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 16).deaf(0).w.metadata.unknown = million
		c.apart(20*time.Second, []int{0}, []int{3})
		c.run(1500 * time.Millisecond).w.metadata.unknown = 0 // its eviction may have happened, or will, or never
		c.attach(4, 10*time.Second).write(0, 4)
		c.within(10*time.Second, "the old coordinator ends", func() bool { st := c.v.servingAt(c.w.bodies[0]); return st == nil || st.shard.gone })
		if n := c.v.config.Coordinator; n == nil || n.Node != c.w.bodies[4].id {
			c.t.Errorf("the coordinator is %+v", n)
		}
		c.run(5*time.Second).write(4, 4).read(0, 16).flush().compare()
	})
}

func TestCopyIsInSyncOnlyWhenItIsDurable(t *testing.T) {
	told(t, 12, 4, []int{1, 2, 3}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32).isolate(3, 3*time.Second).becomes(3, volume.Out, 5*time.Second)
		c.write(0, 32).flush().compare().slow(3, int(seed%4)*30+1)
		c.until(20*time.Second, "the copy is in sync", func() bool { return c.is(3, volume.InSync) }).sound(c.w.compareMembers)
		c.power(1).power(2).power(3).kill(0).run(time.Second).slow(3, 1).up(0).up(1).up(2).up(3)
		c.run(6*time.Second).attach(3, 20*time.Second).read(0, 32).flush().compare()
	})
}

// underWay finds the first message of a kind between two nodes, on a connection
// that the first one made.
func (c *cluster) underWay(from, to int, k message.Kind) (on *conn, index int) {
	for _, o := range c.w.network.conns {
		if e := &o.ends[1]; o.ends[0].body.index == from && e.body.index == to && e.open {
			for i := e.first; i < len(e.frames); i++ {
				if e.frames[i].kind == frameMessage && e.frames[i].message.Kind == k {
					return o, i
				}
			}
		}
	}
	return nil, 0
}

// sends runs to the moment at which a message of a kind is under way.
func (c *cluster) sends(from, to int, k message.Kind) *cluster {
	c.t.Helper()
	return c.until(20*time.Second, kindText(k)+" is under way", func() bool { on, _ := c.underWay(from, to, k); return on != nil })
}

// withhold takes away what is under way from the next message of a kind on, and
// breaks the connection for the sender alone: it is half open. What it returns
// lets the rest arrive after all.
func (c *cluster) withhold(from, to int, k message.Kind) (arrive func()) {
	c.t.Helper()
	on, i := c.sends(from, to, k).underWay(from, to, k)
	e := &on.ends[1]
	held := slices.Clone(e.frames[i:])
	e.frames, on.mute = e.frames[:i], true
	c.w.network.snap(on, 0, step.ConnReset)
	return func() {
		for _, f := range held {
			c.w.network.put(on, 1, f)
		}
	}
}

func TestLateFramesOfAHalfOpenConnectionAreDiscarded(t *testing.T) {
	for _, k := range []message.Kind{message.Append, message.ResyncBegin} {
		t.Run(kindText(k), func(t *testing.T) {
			c := newCluster(t, 4, 1, 2, 3).attach(0, time.Second).write(0, 32)
			if k == message.ResyncBegin {
				c.isolate(3, 3*time.Second).becomes(3, volume.Out, 5*time.Second)
			}
			c.ask(step.WriteRequest, 0, 8)
			arrive := c.withhold(0, 3, k)
			c.becomes(3, volume.InSync, 20*time.Second).write(0, 4).write(2, 8).flush()
			arrive()
			c.run(time.Second).write(12, 2).flush().read(0, 32).compare()
			c.attach(3, 10*time.Second).read(0, 32)
		})
	}
}

func TestVolumeWaitsForTheCopyThatBootsLateAndLostNothing(t *testing.T) {
	c := newCluster(t, 4, 1, 2, 3).attach(0, time.Second).write(0, 16).flush().write(0, 8)
	c.power(1).power(2).kill(3).kill(0).up(1).up(2).up(0).run(6 * time.Second)
	c.seize(0).waitsAt(0, 20*time.Second)
	c.up(3).within(20*time.Second, "served", func() bool { return c.serves(0) }).use(0).read(0, 16)
	if c.v.losses != 0 {
		t.Error("a loss was noted: nothing is shown")
	}
	c.becomes(1, volume.InSync, 20*time.Second).becomes(2, volume.InSync, 20*time.Second).flush().compare()
}

func TestCopyStaysWhileItsNodeKnowsNoConfiguration(t *testing.T) {
	c := newCluster(t, 3, 2).attach(0, time.Second).write(0, 16).flush()
	c.offline(2).kill(2).up(2).run(10 * time.Second).kill(2).up(2).w.metadata.lag = 10 * time.Second
	c.online(2).run(500 * time.Millisecond).w.metadata.compact()
	c.run(20 * time.Second).w.metadata.lag = 0
	c.attach(1, 10*time.Second).read(0, 16)
}
