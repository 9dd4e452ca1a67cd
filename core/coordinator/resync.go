package coordinator

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	pullsMin    = 2           // chunks on their way from source to target, at most, while others want the disks
	pullsMax    = 32          // while nobody does: it keeps disks and network busy with 2 MiB
	foreground  = time.Second // for so long after a request of the device it counts as one who wants them
	shortPass   = time.Second // after a pass this short the rest is copied live
	passesMax   = 16          // a volume written faster than it is copied goes live all the same
	resyncStall = 10 * time.Second
	fullPause   = 30 * time.Second // before a member whose disk was full is filled again
	// slowPause is the hysteresis of members that answer, but not in time: they would
	// be in sync and out again every few seconds, and slow all writes meanwhile.
	slowPause = 30 * time.Second
)

// What a request of a resync asks for, in the low byte of its number.
const (
	resyncBegin = iota + 1
	resyncPass
	resyncLayers
	resyncShape
	resyncList
	resyncLive
	resyncEnd
	resyncCopy // and above: a chunk, by its place in copies
)

// resync brings one member up to another while writes go on: it copies the chunks
// that changed since, or all if nothing of what the target has is sure to be
// right. Layers: see strata.
//
//	begin ──▶ layers ──▶ pass: list, pull, push ──▶ pass … ──▶ live: the stream is sent too
//	      ──▶ last pass ──▶ end ──▶ joining: required, durable ──▶ InSync
type resync struct {
	id       uint64 // random; its low byte is zero
	target   *member
	source   *member
	moved    step.Time // last progress
	strata   strata
	since    block.Seq // what the target has, with what earlier passes have brought
	passes   int
	started  step.Time // of this pass
	answered bool      // stable is of this pass
	stable   block.Seq // of the source when this pass was listed
	minimum  block.Seq // of the source's stable, for this pass to be right
	listed   []copying
	layer    int               // which of the strata is being listed
	cursor   uint64            // of its next page
	listing  bool              // a page, or the layers, were asked for
	copies   [pullsMax]copying // pulled and not yet acknowledged by the target
	gives    uint32            // how many chunks the source has room for, as it said last
	takes    uint32            // and the target
	inFlight int               // of copies
	live     bool
	ending   bool      // everything is copied
	hidden   block.Seq // of ending: up to here the stream may have kept blocks from being copied
	ended    bool      // the target was told
	progress progress
}

// copying is one chunk to be copied.
type copying struct {
	layer block.LayerID
	chunk block.Chunk
	busy  bool
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
	c.forgetWounds()
	for _, m := range c.members {
		isTarget := c.resync != nil && c.resync.target == m
		switch m.State {
		case volume.InSync:
			if isTarget {
				c.endResync(out)
			}
			m.joining, m.crowded = false, false
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
		case volume.Out:
			if isTarget {
				c.endResync(out)
			}
			c.stallReads(m)
			if m.streaming && m.prepared() {
				c.confirm(m, out) // what it accepted since is what it is brought up from
			}
			c.giveUpMending(m, out)
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
	c.resync = &resync{id: c.random.next() &^ 0xff, target: target, source: source, moved: c.now, since: c.shared(target)}
	c.resync.progress.begin(c.now)
	if p := &target.promise; trustTail && p.Complete && p.LastAccepted.Seq > p.Stable {
		out.Marks.Hit("mutant: trust tail")
	}
	c.askResync(target, resyncBegin, message.Message{Kind: message.ResyncBegin, Position: c.covered(), Record: c.emptied()}, out)
}

// covered returns up to where the target has everything.
func (c *Coordinator) covered() (at block.Position) {
	if seq := c.resync.since; seq > 0 {
		at = block.Position{Era: c.era, Seq: seq}
	}
	return at
}

// shared returns up to where what m has is sure to be what the others have, or 0 if
// it must be filled from nothing. That is what m knows as stable: every member had it
// durable, so it is in every later era. Of records above it others may have taken the
// place, in m's own era too: a NOP, say, that this session made of one which only m had
// accepted. After a resync that ended early it is what its passes had brought.
func (c *Coordinator) shared(m *member) block.Seq {
	p := &m.promise
	at := block.Position{Era: p.LastAccepted.Era, Seq: min(p.Stable, p.LastAccepted.Seq)}
	lossy := false
	if trustTail && p.Complete {
		at.Seq = p.LastAccepted.Seq
	}
	if !p.Complete {
		at = p.SyncTarget
		lossy = c.config.LossyEra > at.Era // what it was given beyond may be what was lost
	}
	first, later := c.config.FirstAfter(at.Era)
	dropped := at.Era < c.config.HistoryFloor || later && at.Seq >= first
	if m.crowded || lossy || dropped || c.snapshots.list != nil && at.Seq < c.snapshots.list.Restored {
		return 0
	}
	return at.Seq
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
	c.endResync(out)
	if target.prepared() {
		c.confirm(target, out) // it has more than it promised, or less
	}
	target.streaming, target.joining = false, false
	target.restsFor(resyncPause, c.now)
}

// endResync forgets the resync and tells the source, which merges no layers
// meanwhile.
func (c *Coordinator) endResync(out *step.Effects) {
	if source := c.resync.source; source.prepared() {
		c.askResync(source, resyncEnd, message.Message{Kind: message.ResyncEnd}, out)
	}
	c.resync = nil
}

func (c *Coordinator) startPass(out *step.Effects) {
	r := c.resync
	if newIsWhole && r.passes == 0 && r.target.newlyMade() {
		out.Marks.Hit("mutant: new is whole")
		c.goLive(out)
		c.endPass(out)
		return
	}
	r.passes++
	r.started, r.cursor, r.answered = c.now, 0, false
	r.layer = r.nextLayer(0)
	r.progress.beginPass(r.layer)
	c.list(out)
}

func (c *Coordinator) list(out *step.Effects) {
	r := c.resync
	r.listing = true
	c.askResync(r.source, resyncList, message.Message{
		Kind: message.ListChanged, Layer: r.strata.layers[r.layer].id, Since: r.since, Cursor: r.cursor, Seq: r.minimum,
	}, out)
}

func (c *Coordinator) onChanged(m *member, msg *message.Message, out *step.Effects) {
	r := c.resync
	if r == nil || m != r.source || msg.Request != r.id|resyncList || !r.listing {
		return
	}
	r.listing = false
	if msg.Status != message.OK {
		return // superviseResync asks again
	}
	r.moved = c.now
	r.progress.page(msg)
	if !r.answered {
		r.answered, r.stable = true, msg.Stable
	}
	for _, change := range msg.Changes {
		r.listed = append(r.listed, copying{layer: r.strata.layers[r.layer].id, chunk: change.Chunk})
	}
	if r.cursor = msg.Cursor; r.cursor == 0 {
		r.layer = r.nextLayer(r.layer + 1)
	}
	c.copyChunks(out)
}

// copyChunks keeps pulls under way, lists on, and ends the pass. It waits while
// the target opens layers.
func (c *Coordinator) copyChunks(out *step.Effects) {
	r := c.resync
	if r.strata.unfinished() {
		return
	}
	pulls := c.pulls(out)
	for i := range r.copies {
		if n := len(r.listed); n > 0 && r.inFlight < pulls && !r.copies[i].busy {
			r.copies[i] = r.listed[n-1]
			r.copies[i].busy = true
			r.listed = r.listed[:n-1]
			r.inFlight++
			c.askResync(r.source, resyncCopy+uint64(i), message.Message{
				Kind: message.Pull, Layer: r.copies[i].layer, Chunk: r.copies[i].chunk, Seq: r.minimum,
			}, out)
		}
	}
	switch {
	case len(r.listed) > 0 || r.listing:
	case r.layer < len(r.strata.layers):
		c.list(out)
	case r.inFlight == 0 && !r.ending:
		c.endPass(out)
	}
}

// pulls returns how many chunks may be on their way. Foreground I/O goes first: this
// volume's, of which the coordinator knows, and that of others, of which the members'
// disks know.
func (c *Coordinator) pulls(out *step.Effects) int {
	r := c.resync
	if c.requested > 0 && c.now.Sub(c.requested) < foreground {
		return pullsMin
	}
	n := min(max(min(r.gives, r.takes), pullsMin), pullsMax)
	if n == pullsMax {
		out.Marks.Hit("coordinator: resync has the disks for itself")
	}
	return int(n)
}

// copy returns the chunk that an answer is about, or nil.
func (r *resync) copy(request uint64) *copying {
	i := request&0xff - resyncCopy
	if request&^0xff != r.id || i >= pullsMax || !r.copies[i].busy {
		return nil
	}
	return &r.copies[i]
}

// landed ends the copying of a chunk. If it was not possible yet it is asked for
// again, by superviseResync.
func (r *resync) landed(k *copying, again bool) {
	k.busy = false
	r.inFlight--
	if again {
		r.listed = append(r.listed, copying{layer: k.layer, chunk: k.chunk})
		return
	}
	r.progress.copied++
}

func (c *Coordinator) onPulled(m *member, msg *message.Message, out *step.Effects) {
	r := c.resync
	if r == nil || m != r.source || r.copy(msg.Request) == nil {
		msg.Payload.Release()
		return
	}
	k := r.copy(msg.Request)
	switch msg.Status {
	case message.OK:
		if msg.Bad() != 0 { // the target has none either, until it is repaired: by the stream, or a later pass
			out.Marks.Hit("coordinator: lost blocks copied as lost")
			c.wounded(wound{member: m, layer: k.layer, chunk: msg.Chunk, blocks: msg.Bad()})
			c.startWaiting(out)
		}
		c.resynced += uint64(msg.Payload.Len())
		r.gives = msg.Credit
		c.askResync(r.target, msg.Request&0xff, message.Message{
			Kind: message.Push, Layer: k.layer, Chunk: msg.Chunk, LastSeq: msg.LastSeq, Present: msg.Present, Zero: msg.Zero,
			Checksums: msg.Checksums, Payload: msg.Payload,
		}, out)
	case message.BehindSeq:
		r.landed(k, true)
		msg.Payload.Release()
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
	k := r.copy(msg.Request)
	if k != nil && msg.Status == message.BehindSeq { // its layers are not settled yet
		r.landed(k, true)
		return
	}
	if msg.Status != message.OK {
		if msg.Status == message.NoSpace && r.since > 0 && !m.crowded {
			out.Marks.Hit("coordinator: what changed did not fit beside what a member has")
			m.crowded = true
		} else if msg.Status == message.NoSpace {
			m.restsFor(fullPause, c.now)
		}
		c.abortResync(out)
		c.reconfigure(out)
		return
	}
	r.moved = c.now
	switch msg.Request & 0xff {
	case resyncBegin:
		r.strata.had = msg.Layers
		c.askLayers(out)
	case resyncShape:
		c.onShaped(out)
	case resyncEnd:
		c.join(out)
	case resyncLive, resyncPass:
	default:
		if k != nil {
			r.takes = msg.Credit
			r.landed(k, false)
			c.copyChunks(out)
		}
	}
}

// endPass goes on to the next pass, to the live one, or to the end.
func (c *Coordinator) endPass(out *step.Effects) {
	r := c.resync
	if r.live {
		r.ending, r.hidden = true, c.window.next-1
		c.dropLayers(out)
		c.endLive(out)
		return
	}
	r.since = r.stable
	c.askResync(r.target, resyncPass, message.Message{Kind: message.ResyncPass, Position: c.covered()}, out)
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
	r.live = true
	c.requireStable(last)
	c.askResync(r.target, resyncLive, message.Message{
		Kind: message.ResyncLive, Position: block.Position{Era: c.era, Seq: last},
	}, out)
	r.target.stream(last)
	r.target.durable = 0 // what it has is not durable before the resync ends
	c.askSyncTo(last, out)
}

// endLive tells the target that it is whole, once that cannot be undone: of blocks
// that the stream had written to it nothing was copied. Where a takeover takes such a
// record back, what was there before is not on the target.
func (c *Coordinator) endLive(out *step.Effects) {
	r := c.resync
	if r.ended {
		return
	}
	if c.stable < r.hidden {
		c.askSyncTo(r.hidden, out)
		return
	}
	r.ended = true
	c.askResync(r.target, resyncEnd, message.Message{Kind: message.ResyncEnd}, out)
}

// join makes the target required.
func (c *Coordinator) join(out *step.Effects) {
	r := c.resync
	c.joins(r.target, out)
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
	r.progress.keepPace(c.now)
	settling := c.proposed != nil && r.target.joining
	if r.target.condemned != "" || !wrongSource && !c.valid(r.source) || c.late(r.target) || c.now.Sub(r.moved) >= resyncStall && !settling {
		c.abortResync(out)
		return
	}
	if c.stable < r.minimum {
		c.askSyncTo(r.minimum, out)
	}
	switch {
	case r.ending:
		c.endLive(out)
	case r.passes > 0:
		c.copyChunks(out)
	case r.strata.asked && !r.strata.known && !r.listing:
		c.askLayers(out)
	}
}
