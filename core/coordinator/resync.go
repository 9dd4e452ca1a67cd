package coordinator

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	pullsMax    = 4           // chunks on their way from source to target: foreground I/O goes first
	shortPass   = time.Second // after a pass this short the rest is copied live
	passesMax   = 16          // a volume written faster than it is copied goes live all the same
	resyncStall = 10 * time.Second
	fullPause   = 30 * time.Second // before a member whose disk was full is filled again
)

// What a request of a resync asks for, in the low byte of its number.
const (
	resyncBegin = iota + 1
	resyncList
	resyncPull
	resyncPush
	resyncLive
	resyncEnd
)

// resync fills one member from another while writes go on.
//
//	begin ──▶ pass: list, pull, push ──▶ pass … ──▶ live: the stream is sent too
//	      ──▶ last pass ──▶ end ──▶ joining: required, durable ──▶ InSync
type resync struct {
	id       uint64 // random; its low byte is zero
	target   *member
	source   *member
	moved    step.Time // last progress
	since    block.Seq // what earlier passes have covered
	passes   int
	started  step.Time // of this pass
	stable   block.Seq // of the source when this pass was listed
	minimum  block.Seq // of the source's stable, for this pass to be right
	listed   []message.Change
	cursor   uint64 // of the next page
	listing  bool   // a page was asked for
	more     bool   // pages are left
	inFlight int    // chunks pulled and not yet acknowledged by the target
	live     bool
	ending   bool
	joinAt   uint64 // the seq that everyone must have durable before the target counts
}

// source returns a member that a resync can read from, or nil.
func (c *Coordinator) source() *member {
	for _, m := range c.members {
		if c.fine(m) {
			return m
		}
	}
	return nil
}

// strayed returns what the mutant takes for a source: a member that is out.
func (c *Coordinator) strayed(source *member) *member {
	for _, m := range c.members {
		if wrongSource && m.State == volume.Out && m.prepared() && m.promise.Complete {
			return m
		}
	}
	return source
}

// afterResyncConfig acts on what the members have become.
func (c *Coordinator) afterResyncConfig(out *step.Effects) {
	for _, m := range c.members {
		isTarget := c.resync != nil && c.resync.target == m
		switch m.State {
		case volume.InSync:
			if isTarget {
				c.resync = nil
			}
			m.joining = false
			if m.promise.Incarnation == m.Incarnation {
				m.repairing = false
			}
			if m.prepared() && !m.streaming {
				c.onMemberBack(m, out) // its link was lost, or its resync given up, while this was decided
			}
		case volume.Syncing:
			if c.resync == nil && m.prepared() && m.promise.Incarnation == m.Incarnation {
				c.beginResync(m, out)
			}
		case volume.Out, volume.Leaving:
			if isTarget {
				c.resync = nil
			}
			c.stallReads(m)
			m.streaming, m.joining, m.repairing, m.condemned, m.refusedAt = false, false, false, "", 0
		}
	}
}

func (c *Coordinator) beginResync(target *member, out *step.Effects) {
	source := c.source()
	if source == nil {
		return // reconfigure gives the member up and tries again later
	}
	out.Marks.Hit("coordinator: resync begun")
	if right := source; wrongSource {
		if source = c.strayed(right); source != right {
			out.Marks.Hit("mutant: wrong source")
		}
	}
	c.resync = &resync{id: c.random.next() &^ 0xff, target: target, source: source, moved: c.now}
	c.askResync(target, resyncBegin, message.Message{Kind: message.ResyncBegin}, out)
}

func (c *Coordinator) askResync(m *member, what uint64, msg message.Message, out *step.Effects) {
	msg.Resync = c.resync.id
	msg.Request = c.resync.id | what
	c.send(m, msg, out)
}

// abortResync ends the resync; reconfigure makes the target Out.
func (c *Coordinator) abortResync(out *step.Effects) {
	out.Marks.Hit("coordinator: resync aborted")
	target := c.resync.target
	c.resync = nil
	target.streaming, target.joining = false, false
	target.resyncAfter = max(target.resyncAfter, c.now.Add(resyncPause))
}

func (c *Coordinator) startPass(out *step.Effects) {
	r := c.resync
	r.passes++
	r.started, r.cursor, r.stable = c.now, 0, 0
	c.list(out)
}

func (c *Coordinator) list(out *step.Effects) {
	r := c.resync
	r.listing = true
	c.askResync(r.source, resyncList, message.Message{
		Kind: message.ListChanged, Since: r.since, Cursor: r.cursor, Seq: r.minimum,
	}, out)
}

func (c *Coordinator) onChanged(m *member, msg *message.Message, out *step.Effects) {
	r := c.resync
	if r == nil || m != r.source || msg.Request != r.id|resyncList || !r.listing {
		return
	}
	r.listing = false
	if msg.Status != message.OK {
		r.more = true // superviseResync asks again
		return
	}
	r.moved = c.now
	if r.cursor == 0 {
		r.stable = msg.Stable
	}
	r.cursor, r.more = msg.Cursor, msg.Cursor != 0
	r.listed = append(r.listed, msg.Changes...)
	c.copyChunks(out)
}

// copyChunks keeps pulls under way, lists on, and ends the pass.
func (c *Coordinator) copyChunks(out *step.Effects) {
	r := c.resync
	for r.inFlight < pullsMax && len(r.listed) > 0 {
		chunk := r.listed[len(r.listed)-1].Chunk
		r.listed = r.listed[:len(r.listed)-1]
		r.inFlight++
		c.askResync(r.source, resyncPull, message.Message{Kind: message.Pull, Chunk: chunk, Seq: r.minimum}, out)
	}
	switch {
	case len(r.listed) > 0 || r.listing:
	case r.more:
		c.list(out)
	case r.inFlight == 0 && !r.ending:
		c.endPass(out)
	}
}

func (c *Coordinator) onPulled(m *member, msg *message.Message, out *step.Effects) {
	r := c.resync
	if r == nil || m != r.source || msg.Request != r.id|resyncPull {
		msg.Payload.Release()
		return
	}
	switch msg.Status {
	case message.OK:
		if msg.Bad() != 0 { // the target has none either, until it is repaired: by the stream, or a later pass
			out.Marks.Hit("coordinator: lost blocks copied as lost")
			c.wounded(m, msg.Chunk, msg.Bad())
			c.startWaiting(out)
		}
		c.resynced += uint64(msg.Payload.Len())
		c.askResync(r.target, resyncPush, message.Message{
			Kind: message.Push, Chunk: msg.Chunk, LastSeq: msg.LastSeq, Present: msg.Present, Zero: msg.Zero,
			Checksums: msg.Checksums, Payload: msg.Payload,
		}, out)
	case message.BehindSeq:
		r.inFlight--
		r.listed = append(r.listed, message.Change{Chunk: msg.Chunk})
		msg.Payload.Release() // superviseResync asks again
	default:
		msg.Payload.Release()
		c.abortResync(out)
		c.reconfigure(out)
	}
}

// onResyncDone takes the target's answers.
func (c *Coordinator) onResyncDone(m *member, msg *message.Message, out *step.Effects) {
	r := c.resync
	if r == nil || m != r.target || msg.Request&^0xff != r.id {
		return
	}
	if msg.Status != message.OK {
		if msg.Status == message.NoSpace {
			m.resyncAfter = c.now.Add(fullPause)
		}
		c.abortResync(out)
		c.reconfigure(out)
		return
	}
	r.moved = c.now
	switch msg.Request & 0xff {
	case resyncBegin:
		c.startPass(out)
	case resyncPush:
		r.inFlight--
		c.copyChunks(out)
	case resyncEnd:
		c.join(out)
	case resyncLive:
	}
}

// endPass goes on to the next pass, to the live one, or to the end.
func (c *Coordinator) endPass(out *step.Effects) {
	r := c.resync
	if r.live {
		r.ending = true
		c.askResync(r.target, resyncEnd, message.Message{Kind: message.ResyncEnd}, out)
		return
	}
	r.since = r.stable
	if c.now.Sub(r.started) < shortPass || r.passes >= passesMax {
		c.goLive(out)
		if skipDirtied {
			out.Marks.Hit("mutant: skip dirtied")
			c.endPass(out)
			return
		}
	}
	c.startPass(out)
}

// goLive sends the stream to the target from the next operation on. The pass
// that follows copies what the source had up to there: it must be stable first,
// since only stable content is copied.
func (c *Coordinator) goLive(out *step.Effects) {
	r, last := c.resync, c.window.next-1
	r.live, r.minimum = true, last
	if wrongSource && r.source.State == volume.Out {
		r.minimum = 0
	}
	c.askResync(r.target, resyncLive, message.Message{
		Kind: message.ResyncLive, Position: block.Position{Era: c.era, Seq: last},
	}, out)
	r.target.stream(last)
	r.target.durable = 0 // what it has is not durable before the resync ends
	c.askSyncTo(last, out)
}

// join makes the target required. It becomes InSync once it and all others have
// everything up to here durable.
func (c *Coordinator) join(out *step.Effects) {
	r := c.resync
	r.target.joining = true
	r.joinAt = uint64(c.window.next - 1)
	c.askSyncTo(c.window.next-1, out)
	c.advance(out)
	c.reconfigure(out)
}

// superviseResync asks again for what the source could not give yet, and ends a
// resync that does not get on.
func (c *Coordinator) superviseResync(out *step.Effects) {
	r := c.resync
	if r == nil {
		return
	}
	settling := c.proposed != nil && r.target.joining
	if r.target.condemned != "" || !wrongSource && !c.valid(r.source) || c.late(r.target) || c.now.Sub(r.moved) >= resyncStall && !settling {
		c.abortResync(out)
		return
	}
	if r.live && c.stable < r.minimum {
		c.askSyncTo(r.minimum, out)
	}
	if r.passes > 0 && !r.ending {
		c.copyChunks(out)
	}
}
