package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// incidents are where published systems broke: what happened to them happens here.
var incidents = []row{
	{"Kafka KIP-903: a broker that came back at once without its page cache counted on", []string{
		"TestMemberThatLostPowerIsMadeWholeAgain", "TestCopyThatRestartedWithoutItsPageCacheDoesNotCarryTheVolume",
	}, ""},
	{"Kafka KIP-966: the last replica in sync restarted uncleanly and led on", []string{"TestLastCopyIsMadeWholeByItsClient", "TestPowerLossOfAllKeepsWhatWasFlushed"}, ""},
	{"Kafka KIP-101: logs were cut at the high watermark and not at the leader's epoch", []string{"TestTailThatOnlyOneCopyHasIsDropped"}, ""},
	{"Kafka KIP-497: a leader that was replaced changed who is in sync", []string{"TestReplacedCoordinatorMakesNoChangeAgain", "TestEvictionOfUnknownOutcomeIsSettled"}, ""},
	{"DRBD 9.3.2, 9.3.3: copies of a primary without a disk differed, and nobody noticed", []string{"TestCopiesOfAHolderWithoutOneStayEqual"}, ""},
	{"Longhorn #6406: copies carried trims and writes out in different orders", []string{"TestTrimsAndWritesOfTheSameBlocksLeaveCopiesEqual"}, ""},
	{"Longhorn #4513: snapshots differed after a rebuild", []string{"TestSnapshotsAreCopiedWithTheirVolume"}, ""},
	{"Longhorn #7425: a copy whose rebuild had failed was kept, and a good one thrown away", []string{
		"TestCopyThatIsBeingFilledNeverCarriesTheVolume", "TestVolumeWaitsForTheLastCopyThoughAnOlderOneIsThere",
	}, ""},
	{"Longhorn #7425: a person chooses the copy that is kept", []string{"TestPersonAcceptsTheLoss"}, ""},
	{"Longhorn #11271: what was written during a partition was lost", []string{"TestWhatWasWrittenDuringAPartitionStays"}, ""},
	{"Longhorn #1298: a damaged copy was read, for want of checksums", []string{
		"TestRottenBlocksAreReadFromTheOtherCopy", "TestBlocksWithoutAGoodCopyAreRefusedAndNeverWrong", "TestCopyIsFilledFromTheOneThatCanBeRead",
	}, ""},
	{"Longhorn #193, #6386: an outage became I/O errors, and the file system read-only", []string{"TestLongOutageEndsWithoutAnError", "TestVolumeCutFromAllItsCopiesWaits"}, ""},
	{"Mayastor #1780: the only copy failed while its volume was being attached, and was recorded as bad for good", []string{
		"TestOnlyCopyThatFailsDuringATakeoverCarriesTheVolumeOn",
	}, ""},
	{"Mayastor #1296: a copy that failed while it was being filled was not put out", []string{"TestCopyThatFailsWhileItIsFilledIsFilledAgain"}, ""},
	{"Mayastor #880: copies failed at the same time, and healthy ones were put out with them", []string{
		"TestSilentMemberIsPutOutAndFilledAgainWhileWritesGoOn", "TestCopiesOfAHolderWithoutOneStayEqual",
	}, ""},
	{"Mayastor #1293: a copy that was away for a moment is given only what it missed", []string{"TestCopyThatWasAwayIsGivenWhatChanged"}, ""},
	{"BlueFS 50965: metadata was durable before its data", []string{"TestCrashNeverShowsWhatASlotHeldBefore", "TestWriteThatIsNotSyncedNeverGoesHome"}, ""},
	{"etcd #15247: leases ended early while their owners kept them alive", []string{"TestLeaseThatEndsEarlyEndsNothing"}, ""},
	{"nbs #7070: a write that had been held up landed on newer ones", []string{
		"TestWriteThatWasHeldUpNeverLandsOnNewerOnes", "TestLateFramesOfAHalfOpenConnectionAreDiscarded",
	}, ""},
}

func TestCopyThatRestartedWithoutItsPageCacheDoesNotCarryTheVolume(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 16).flush().write(0, 8)
	c.power(1).up(1).kill(2).kill(0) // the one that knows all goes a moment after the other came back, and the client too
	c.seize(3).waitsAt(3, 10*time.Second)
	c.up(2).within(20*time.Second, "served", func() bool { return c.serves(3) }).use(3).read(0, 16)
	c.becomes(1, volume.InSync, 30*time.Second).flush().compare()
}

func TestTailThatOnlyOneCopyHasIsDropped(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(1, time.Second).write(0, 16)
	c.isolate(1, 10*time.Second)
	c.ask(step.WriteRequest, 0, 4)
	c.ask(step.WriteRequest, 8, 4)
	c.run(time.Second).attach(3, 10*time.Second).read(0, 16).write(4, 6)
	c.run(5*time.Second).becomes(1, volume.InSync, 30*time.Second).read(0, 16).flush().compare()
	c.attach(1, 10*time.Second).read(0, 16)
}

// A holder without a copy of its own, whose copies go and come while it writes
// and which itself is moved back and forth.
func TestCopiesOfAHolderWithoutOneStayEqual(t *testing.T) {
	told(t, 20, 5, []int{1, 2}, func(c *cluster, seed uint64) {
		moment := time.Duration(seed) * 3 * time.Millisecond
		c.attach(0, time.Second).busy(4 * time.Millisecond).run(100*time.Millisecond + moment)
		switch seed % 4 {
		case 0: // gone for a moment, with what was not synced
			c.power(1).run(moment).up(1)
		case 1: // gone for long enough to be put out, and the other one restarts while it is filled
			c.isolate(2, 2*time.Second).becomes(2, volume.Out, 5*time.Second).run(2*time.Second + moment).kill(1).run(moment).up(1)
		case 2: // there and back again at once
			c.seize(4).run(moment).seize(0).run(moment).seize(3).run(moment)
		case 3: // the holder dies in the middle of a write, and one copy is cut off
			c.clog(0, 2, time.Second).run(moment).kill(0).up(0)
		}
		c.run(3*time.Second).attach(3, 20*time.Second).run(50 * time.Millisecond).calm()
		c.becomes(1, volume.InSync, 40*time.Second).becomes(2, volume.InSync, 40*time.Second).flush().compare()
	})
}

func TestOnlyCopyThatFailsDuringATakeoverCarriesTheVolumeOn(t *testing.T) {
	told(t, 40, 3, []int{1}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 16).flush()
		c.seize(2).run(time.Duration(seed) * 200 * time.Microsecond).kill(1).run(3 * time.Second).up(1)
		c.within(20*time.Second, "served", func() bool { return c.serves(2) }).use(2).read(0, 16).write(0, 4).read(0, 16)
	})
}

func TestCopyThatFailsWhileItIsFilledIsFilledAgain(t *testing.T) {
	told(t, 20, 3, []int{1, 2}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).write(0, 32).isolate(2, 3*time.Second).becomes(2, volume.Out, 5*time.Second)
		c.slow(2, 60).busy(4*time.Millisecond).becomes(2, volume.Syncing, 20*time.Second)
		c.run(time.Duration(seed) * 500 * time.Microsecond).power(2).run(3 * time.Second)
		if c.is(2, volume.InSync) {
			c.t.Error("it is in sync, and not there")
		}
		c.slow(2, 1).up(2).becomes(2, volume.InSync, 40*time.Second).calm().flush().compare().read(0, 32)
	})
}

func TestTrimsAndWritesOfTheSameBlocksLeaveCopiesEqual(t *testing.T) {
	told(t, 40, 3, []int{1, 2}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second).slow(2, int(seed))
		for i := range 24 {
			kind := step.WriteRequest
			if i%2 == 1 {
				kind = step.ZeroRequest
			}
			c.ask(kind, int(seed+uint64(i)*5)%12, 4)
			c.run(time.Duration(i%3) * 50 * time.Microsecond)
		}
		c.within(10*time.Second, "all is answered", func() bool { return len(c.v.newest().requests) == 0 })
		c.slow(2, 1).read(0, 16).flush().compare()
	})
}

func TestWhatWasWrittenDuringAPartitionStays(t *testing.T) {
	c := newCluster(t, 4, 0, 1, 2).attach(0, time.Second).write(0, 16)
	c.apart(30*time.Second, []int{0, 3}, []int{1, 2}).becomes(1, volume.Out, 5*time.Second).becomes(2, volume.Out, 5*time.Second)
	c.write(0, 8).flush().kill(0).seize(1).waitsAt(1, 10*time.Second)
	c.up(0).run(25*time.Second).within(20*time.Second, "served", func() bool { return c.serves(1) }).use(1).read(0, 16)
	c.becomes(1, volume.InSync, 30*time.Second).becomes(2, volume.InSync, 30*time.Second).flush().compare()
}

func TestLongOutageEndsWithoutAnError(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 16)
	c.apart(2*time.Minute, []int{0}, []int{1, 2})
	var ended, ok []*bool
	for i, kind := range []step.RequestKind{step.ReadRequest, step.WriteRequest, step.ZeroRequest, step.FlushRequest} {
		e, o := c.ask(kind, 4*i, 4)
		ended, ok = append(ended, e), append(ok, o)
	}
	c.run(119 * time.Second)
	for i := range ended {
		if *ended[i] {
			t.Fatal("a request was answered that nobody could carry out")
		}
	}
	for i := range ended {
		c.within(20*time.Second, "the request is answered", func() bool { return *ended[i] })
		if !*ok[i] {
			t.Error("a request ended with an error")
		}
	}
	c.read(0, 16)
}

func TestCrashNeverShowsWhatASlotHeldBefore(t *testing.T) {
	told(t, 40, 3, []int{1}, func(c *cluster, seed uint64) {
		c.attach(0, time.Second)
		for range 3 { // freed slots hold what was there
			c.write(0, 32).flush().run(40*time.Second).do(step.ZeroRequest, 0, 32).flush().run(40 * time.Second)
		}
		c.ask(step.WriteRequest, 0, block.PerChunk)
		c.ask(step.WriteRequest, block.PerChunk, block.PerChunk)
		c.run(time.Duration(seed) * 10 * time.Microsecond).w.bodies[1].powerLoss(disk.LossDrawn)
		c.up(1).attach(2, 20*time.Second).read(0, 32)
	})
}

func TestLeaseThatEndsEarlyEndsNothing(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).container(0, "web").write(0, 16)
	for range 40 {
		for _, b := range c.w.bodies {
			c.w.metadata.expire(b)
		}
		c.write(0, 8).read(0, 16).run(200 * time.Millisecond)
	}
	if c.v.takeovers != 0 || c.w.counts.Evictions != 0 || !c.serves(0) {
		t.Errorf("%d takeovers, %d evictions, served: %v", c.v.takeovers, c.w.counts.Evictions, c.serves(0))
	}
}

func TestWriteThatWasHeldUpNeverLandsOnNewerOnes(t *testing.T) {
	c := newCluster(t, 4, 1, 2).attach(0, time.Second).write(0, 16)
	c.clog(0, 1, 12*time.Second).clog(0, 2, 12*time.Second).offline(0)
	for b := range 16 { // more than are written meanwhile: the last ones would be next
		c.ask(step.WriteRequest, b, 1)
	}
	c.run(2*time.Second).attach(3, 10*time.Second).write(0, 12).read(0, 16)
	c.run(12*time.Second).read(0, 16).write(14, 1).read(0, 16).flush().compare().online(0)
}
