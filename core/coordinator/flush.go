package coordinator

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// pressureHigh is the journal fill, of 255, at which a member's records are
// made durable at once so that they can leave the journal.
const pressureHigh = 128

// flush is a request that is answered when everything up to a seq is durable on
// every required member: a FLUSH, or a FUA write.
type flush struct {
	op int32
	to block.Seq
}

// flushTo answers op i when stable reaches to. Nothing is sent when it has.
func (c *Coordinator) flushTo(i int32, to block.Seq, out *step.Effects) {
	if to <= c.stable {
		c.finish(i, step.RequestOK, block.Buffer{}, out)
		return
	}
	c.flushes = append(c.flushes, flush{op: i, to: to})
	c.askSyncs(out)
}

// rhythmMin is how many rounds of one length foretell the next: fewer would ask
// for syncs that nobody needs.
const rhythmMin = 2

// rhythm foretells flushes. What commits, a database or a file system's journal,
// writes and flushes in turn, the same number of writes each time: then the sync
// can go out right behind the last write of a round instead of a round trip
// later. A wrong guess costs one sync and ends the guessing.
type rhythm struct {
	length int // writes of the last round
	kept   int // rounds in a row of that length, after the first
	writes int // since the last flush
}

// wrote counts a write and reports whether a flush is expected next.
func (r *rhythm) wrote() bool {
	r.writes++
	return r.kept >= rhythmMin && r.writes == r.length
}

func (r *rhythm) flushed() {
	if r.writes == 0 {
		return // it belongs to the round that has just ended
	}
	r.kept++
	if r.writes != r.length {
		r.length, r.kept = r.writes, 0
	}
	r.writes = 0
}

// syncBehind asks every required member that was sent seq to make it durable as
// soon as it has accepted it.
func (c *Coordinator) syncBehind(seq block.Seq, out *step.Effects) {
	for _, m := range c.members {
		if c.required(m) && m.sent >= seq {
			out.Marks.Hit("coordinator: sync sent ahead of its flush")
			c.askSyncOf(m, seq, out)
		}
	}
}

// askSyncs asks the required members for what the youngest flush waits for.
func (c *Coordinator) askSyncs(out *step.Effects) {
	if len(c.flushes) == 0 {
		return
	}
	c.askSyncTo(c.flushes[len(c.flushes)-1].to, out)
}

func (c *Coordinator) askSyncTo(to block.Seq, out *step.Effects) {
	for _, m := range c.members {
		if c.required(m) {
			c.askSyncOf(m, to, out)
		}
	}
}

func (c *Coordinator) askSyncOf(m *member, to block.Seq, out *step.Effects) {
	if !m.prepared() || !m.streaming || m.durable >= to || m.syncAsked >= to {
		return
	}
	if m.sent < to { // a SYNC is about what came before it
		m.syncNext = max(m.syncNext, to)
		return
	}
	if m.syncAsked <= m.durable {
		m.syncAskedAt = c.now
	}
	m.syncAsked = to
	c.send(m, message.Message{Kind: message.Sync, Seq: to}, out)
}

// stabilize raises stable and answers the flushes that waited for it.
func (c *Coordinator) stabilize(to block.Seq, out *step.Effects) {
	if to <= c.stable {
		return
	}
	c.stable = to
	done := 0
	for done < len(c.flushes) && c.flushes[done].to <= to {
		c.finish(c.flushes[done].op, step.RequestOK, block.Buffer{}, out)
		done++
	}
	if done > 0 {
		c.flushes = append(c.flushes[:0], c.flushes[done:]...)
		c.startWaiting(out)
	}
	if c.growth.at != 0 {
		c.driveGrowth(out)
	}
	if len(c.snapshots.work) > 0 {
		c.driveSnapshots(out)
	}
}

// syncPeriodically bounds what a power loss of every member can take: what is
// committed is made durable about once a second, and at once where a journal
// fills up.
func (c *Coordinator) syncPeriodically(out *step.Effects) {
	if c.committed > c.stable && c.now.Sub(c.syncedAt) >= syncEvery {
		c.syncedAt = c.now
		c.askSyncTo(c.committed, out)
	}
}

func (c *Coordinator) relieve(m *member, pressure uint8, out *step.Effects) {
	if pressure >= pressureHigh && c.committed > c.stable && m.syncAsked <= m.durable {
		c.askSyncTo(c.committed, out)
	}
}
