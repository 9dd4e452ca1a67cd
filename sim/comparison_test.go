package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// compares has the copies compared, and waits until that is over.
func (c *cluster) compares(within time.Duration) volume.Comparison {
	c.t.Helper()
	st := c.v.newest()
	c.w.compare(st, false)
	c.within(within, "the copies are compared", func() bool { return st.comparison.Ended })
	return st.comparison
}

// falsify has the copy on a node get something else of the next writes to a block, with
// a checksum that matches, as no wire or disk can make it: a bug would have to.
func (c *cluster) falsify(n int, at block.Block) {
	size := c.w.plan.BlockSize
	c.w.tamper = func(s *shard, send *step.Send) {
		m := &send.Message
		peer, _ := s.peer(send.Conn)
		if peer == nil || m.Kind != message.Append || m.Record.Op != message.OpWrite || m.Record.Range.First > at || at >= m.Record.Range.End() {
			return
		}
		if listed := c.v.config.Member(peer.hello.Replica); listed == nil || listed.Node != c.w.bodies[n].id {
			return
		}
		other := s.body.pool.Get(m.Payload.Len())
		copy(other.Bytes(), m.Payload.Bytes())
		other.Bytes()[int(at-m.Record.Range.First)*size]++
		m.Payload.Release()
		m.Payload, m.Record.Checksums = other, block.ChecksumsOf(other.Bytes(), size)
	}
}

func TestCopiesThatDifferAreReportedAndLeftAsTheyAre(t *testing.T) {
	c := newCluster(t, 4, 0, 1, 2).attach(3, time.Second).write(0, 32)
	if found := c.compares(5 * time.Second); found.Blocks != 0 || found.Done != 2 || found.Total != 2 {
		t.Fatalf("before anything is wrong: %+v", found)
	}
	c.falsify(1, 21)
	c.write(20, 4).run(time.Second)
	for range 2 { // it is still so the next time
		found := c.compares(5 * time.Second)
		if found.Blocks != 1 || len(found.Places) != 1 || found.Places[0].Chunk != 1 || found.Places[0].Blocks != 1<<5 {
			t.Fatalf("found was %+v", found)
		}
		sums := map[block.Checksum]int{}
		for _, copied := range found.Places[0].Copies {
			sums[copied.Sum]++
		}
		if len(sums) != 2 || len(found.Places[0].Copies) != 3 {
			t.Errorf("the copies hold %+v", found.Places[0].Copies)
		}
	}
	c.w.tamper = func(*shard, *step.Send) {}
	c.write(20, 4) // who knows what it should be
	if found := c.compares(5 * time.Second); found.Blocks != 0 {
		t.Errorf("found after it was written anew: %+v", found)
	}
}

func TestCopyThatCannotBeReadIsNotNamedWhereOthersDiffer(t *testing.T) {
	c := newCluster(t, 4, 0, 1, 2).attach(3, time.Second).write(0, 32)
	c.falsify(1, 21)
	c.write(20, 4).run(time.Second)
	c.w.tamper = func(*shard, *step.Send) {}
	c.flush().run(40*time.Second).rotBlocks(2, 17)
	found := c.compares(5 * time.Second)
	if found.Damaged != 1 || found.Blocks != 1 || len(found.Places) != 1 {
		t.Fatalf("found was %+v", found)
	}
	for _, copied := range found.Places[0].Copies {
		if copied.Node == c.w.bodies[2].id {
			t.Errorf("the copies hold %+v", found.Places[0].Copies)
		}
	}
}

func TestCopiesAreComparedUnderWritesWhileMembersComeAndGo(t *testing.T) {
	for seed := uint64(1); seed <= races; seed++ {
		c := newClusterOf(t, seed, 4, 0, 1).attach(2, time.Second).write(0, 32)
		c.take()
		c.write(0, 16).busy(time.Millisecond).run(100 * time.Millisecond)
		st := c.v.newest()
		c.w.compare(st, false)
		c.run(time.Duration(seed) * 20 * time.Microsecond).kill(1).run(time.Second).up(1)
		c.within(40*time.Second, "the copies are compared", func() bool { return st.comparison.Ended })
		if got := st.comparison; got.Done != 4 || got.Blocks != 0 {
			t.Fatalf("seed %d: %+v", seed, got)
		}
		c.calm().read(0, 32).run(time.Second).flush().compare()
	}
}

func TestComparisonThatIsBrokenOffLetsGoOfItsBlocks(t *testing.T) {
	c := newCluster(t, 3, 0, 1).attach(2, time.Second).write(0, 32)
	c.isolate(0, 3*time.Second)
	st := c.v.newest()
	c.w.compare(st, false)
	c.run(100 * time.Millisecond)
	c.w.compare(st, true)
	c.run(100 * time.Millisecond)
	if st.comparison.Ended || st.comparison.Done != 0 {
		t.Fatalf("it is %+v", st.comparison)
	}
	c.write(0, 32).becomes(0, volume.InSync, 30*time.Second).read(0, 32)
	c.compares(5 * time.Second)
	c.w.operator.send(c.w.bodies[2], volume.Command{Kind: volume.DetachVolume, Name: c.v.name})
	c.w.compare(c.v.newest(), false)
	c.detached(10 * time.Second)
}
