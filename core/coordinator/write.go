package coordinator

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// startWrite gives a write or zero its place in the stream and sends it to every
// member that gets the stream. It is acknowledged in advance, never here. A write
// of nothing but zeroes becomes a zero here, before it is a record, so that all
// members store the same: nothing.
func (c *Coordinator) startWrite(i int32, out *step.Effects) {
	o := &c.ops.slots[i]
	o.state = opWriting
	e := entry{
		record: message.Record{
			Position: block.Position{Era: c.era, Seq: c.window.next},
			Op:       message.OpZero,
			FUA:      o.FUA,
			Range:    o.Range,
		},
		op:     i,
		sentAt: c.now,
	}
	switch {
	case o.Kind == step.WriteRequest && o.Payload.Zero():
		out.Marks.Hit("coordinator: write of zeroes is a zero")
		o.Payload.Release()
		o.Payload = block.Buffer{}
	case o.Kind == step.WriteRequest:
		e.record.Op = message.OpWrite
		e.record.Checksums = block.ChecksumsOf(o.Payload.Bytes(), c.p.BlockSize)
		e.payload, o.Payload = o.Payload, block.Buffer{}
	}
	c.window.push(e)
	c.damage.there(o.Range)
	for _, m := range c.members {
		if m.streaming {
			c.pump(m, out)
		}
	}
	if flushNext := c.rhythm.wrote(); flushNext || o.FUA {
		c.syncBehind(e.record.Position.Seq, out)
	}
	if c.window.filling() {
		c.makeRoom(out)
	}
}

// inFlightMax is how many operations a member is sent beyond what it has accepted. One
// that is given a whole window would promise room for each of them before the first
// is home.
const inFlightMax = 256

// pump sends m what it has not been sent of the window. After a refusal it
// waits: m accepts nothing above what it refused.
func (c *Coordinator) pump(m *member, out *step.Effects) {
	if !m.prepared() || m.refusedAt != 0 {
		return
	}
	for m.sent+1 < c.window.next && m.sent < m.accepted+inFlightMax {
		e := c.window.at(m.sent + 1)
		if e == nil { // nobody waits for it, and the window has gone on
			out.Marks.Hit("coordinator: stream left a member behind")
			if m.streaming = false; m.State == volume.Syncing {
				m.condemned = "it did not keep up with the writes"
			}
			return
		}
		m.sent++
		record := e.record
		if trimLocal && record.Op == message.OpZero && m != c.members[0] {
			out.Marks.Hit("mutant: trim local")
			record.Op = message.OpNop
		}
		c.send(m, message.Message{Kind: message.Append, Record: record, Payload: e.payload.Retain()}, out)
	}
	if to := m.syncNext; to != 0 && m.sent >= to {
		m.syncNext = 0
		c.askSyncOf(m, to, out)
	}
}

// onAck takes a member's progress; cumulative.
func (c *Coordinator) onAck(m *member, msg *message.Message, out *step.Effects) {
	if !m.prepared() || !m.streaming {
		return
	}
	if msg.Status != message.OK {
		c.onRefusal(m, msg, out)
		return
	}
	c.progress(m, msg)
	c.pump(m, out)
	c.advance(out)
	c.relieve(m, msg.Pressure, out)
}

func (c *Coordinator) progress(m *member, msg *message.Message) {
	if accepted := min(msg.Accepted, m.sent); accepted > m.accepted {
		m.accepted, m.movedAt = accepted, c.now
	}
	if msg.Durable > m.durable {
		m.durable = min(msg.Durable, m.accepted)
		m.syncAskedAt = c.now
	}
}

// advance moves committed and stable as far as the required members allow and
// answers what waited for that.
func (c *Coordinator) advance(out *step.Effects) {
	accepted, durable, known := c.lowest(out)
	if known {
		if !c.tooFew() {
			c.commitTo(accepted, out)
		}
		c.stabilize(durable, out)
		c.trimWindow(out)
	}
	c.afterProgress(out)
}

// tooFew reports whether fewer members are in sync than the volume wants for its
// writes: none is acknowledged meanwhile, those under way neither. What they have is
// made durable all the same, for that is what brings others in sync.
func (c *Coordinator) tooFew() bool {
	return c.phase >= serving && c.config.Count(volume.InSync) < c.config.MinWritable
}

// lowest returns how far all required members are; known is false while one of
// them cannot be believed.
func (c *Coordinator) lowest(out *step.Effects) (accepted, durable block.Seq, known bool) {
	first := true
	for _, m := range c.members {
		if !c.required(m) {
			continue
		}
		if !c.counts(m) || !m.streaming {
			if ackEarly && !first {
				out.Marks.Hit("mutant: ack early")
				continue
			}
			return 0, 0, false
		}
		switch {
		case first:
			accepted, durable = m.accepted, m.durable
		case ackEarly:
			if m.accepted != accepted {
				out.Marks.Hit("mutant: ack early")
			}
			accepted, durable = max(accepted, m.accepted), min(durable, m.durable)
		case flushLocal:
			if m.durable != durable {
				out.Marks.Hit("mutant: flush local")
			}
			accepted, durable = min(accepted, m.accepted), max(durable, m.durable)
		default:
			accepted, durable = min(accepted, m.accepted), min(durable, m.durable)
		}
		first = false
	}
	return accepted, min(durable, accepted), !first
}

// commitTo acknowledges every operation up to seq.
func (c *Coordinator) commitTo(seq block.Seq, out *step.Effects) {
	if seq <= c.committed {
		return
	}
	syncTo := block.Seq(0)
	for c.committed < seq {
		c.committed++
		e := c.window.at(c.committed)
		i := e.op
		if i == noOp {
			continue
		}
		e.op = noOp
		if c.ops.slots[i].FUA && fuaPlain {
			out.Marks.Hit("mutant: FUA plain")
		} else if c.ops.slots[i].FUA {
			c.ops.slots[i].state = opFlushing
			c.flushes = append(c.flushes, flush{op: i, to: c.committed})
			syncTo = c.committed
			continue
		}
		c.finish(i, step.RequestOK, block.Buffer{}, out)
	}
	if syncTo != 0 {
		c.askSyncs(out)
	}
	c.startWaiting(out)
}

// afterProgress goes on with what waits for members rather than for requests.
func (c *Coordinator) afterProgress(out *step.Effects) {
	switch c.phase {
	case reconciling:
		if c.takeover.awaiting == 0 && c.window.next > c.takeover.last.Seq+1 && c.stable >= c.takeover.last.Seq+1 {
			c.record(out)
		}
	case serving, detaching:
		c.resolveRefusal(out)
		if c.resync != nil || c.anyReturning() {
			c.reconfigure(out)
		}
		c.finishDetach(out)
	case claiming, preparing, deciding, recording, granting, ended:
	}
}

// anyReturning reports whether a member waits for a change of the configuration.
func (c *Coordinator) anyReturning() bool {
	for _, m := range c.members {
		if m.repairing || m.joining {
			return true
		}
	}
	return false
}

// onRefusal: m has no room for an operation, or its disk failed; it accepted
// neither that one nor any above.
func (c *Coordinator) onRefusal(m *member, msg *message.Message, out *step.Effects) {
	c.progress(m, msg)
	if c.phase < serving {
		c.takeover.excluded = append(c.takeover.excluded, m.Replica)
		c.onChosenLost(m, out)
		return
	}
	if msg.Status != message.NoSpace {
		m.condemned = "it cannot accept writes"
		c.reconfigure(out)
		return
	}
	if m.refusedAt == 0 || msg.Seq < m.refusedAt {
		m.refusedAt = msg.Seq
		m.sent = msg.Seq - 1
	}
	if !c.required(m) {
		m.condemned = "its disk is full"
		c.reconfigure(out)
		return
	}
	c.resolveRefusal(out)
}

// resolveRefusal ends an operation that members refused: if all did, it never
// happened and a NOP takes its place; if some have it, the others must go.
// While one is undecided, silence may mean that it has accepted. Operations
// before it may not be committed yet: a member that is being repaired counts
// only after it has all that it was to get, this one among it.
func (c *Coordinator) resolveRefusal(out *step.Effects) {
	seq := block.Seq(0)
	for _, m := range c.members {
		if c.required(m) && m.refusedAt != 0 && (seq == 0 || m.refusedAt < seq) {
			seq = m.refusedAt
		}
	}
	if c.window.at(seq) == nil {
		return
	}
	if seq <= c.committed {
		c.replayRefused(seq, out)
		return
	}
	var refused []*member
	accepted := false
	for _, m := range c.members {
		switch {
		case !c.required(m):
		case c.counts(m) && m.accepted >= seq:
			accepted = true
		case m.refusedAt == seq:
			refused = append(refused, m)
		default:
			return
		}
	}
	if len(refused) == 0 {
		return
	}
	if accepted {
		for _, m := range refused {
			m.condemned = "its disk is full"
		}
		c.reconfigure(out)
		return
	}
	c.replaceByNop(seq, out)
	for _, m := range refused {
		m.refusedAt, m.syncAsked = 0, min(m.syncAsked, m.durable)
		c.pump(m, out)
		if m.repairing {
			c.askSyncOf(m, m.repairTo, out)
		}
	}
	c.askSyncs(out)
}

// replaceByNop makes the operation at seq one that never happened. A member that
// was put out before it was asked may have accepted it, and keeps another record
// with this very position: when it comes back it drops all that is not stable.
func (c *Coordinator) replaceByNop(seq block.Seq, out *step.Effects) {
	out.Marks.Hit("coordinator: operation refused by all became a NOP")
	e := c.window.at(seq)
	i := e.op
	if e.record.Op == message.OpSnap {
		c.shapeRefused(e.record.Position)
		c.resyncUnshaped(out)
	}
	if e.record.Op == message.OpResize {
		c.growthRefused()
	}
	c.window.bytes -= e.payload.Len()
	e.payload.Release()
	*e = entry{record: message.Record{Position: e.record.Position, Op: message.OpNop}, op: noOp, sentAt: c.now}
	if i != noOp {
		c.finish(i, step.RequestNoSpace, block.Buffer{}, out)
	}
	for _, m := range c.members {
		if c.required(m) {
			continue
		}
		m.astray = true
		if m.streaming && m.sent >= seq { // a live target of a resync accepts what it was sent, acknowledged yet or not
			m.condemned = "it may have accepted an operation that was taken back"
		}
	}
	c.startWaiting(out)
}
