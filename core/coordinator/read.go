package coordinator

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// startRead asks one valid member. The range is locked against writes, so any
// of them has what is committed.
func (c *Coordinator) startRead(i int32, out *step.Effects) {
	o := &c.ops.slots[i]
	if !c.readable(o.Layer) {
		c.finish(i, step.RequestRefused, block.Buffer{}, out)
		return
	}
	pick := c.readFrom
	if o.suspect != nil {
		pick = c.repairFrom
	}
	m, index := pick(o, out)
	switch {
	case m != nil:
	case o.suspect != nil:
		c.giveUpRepair(i, out)
		return
	case o.bad == 0 || !c.allBad(o):
		o.stall()
		return
	case o.asking().Count > 1 && !o.Map:
		out.Marks.Hit("coordinator: read put together")
		o.pieces.buffer = c.p.Pool.Get(int(o.Range.Count) * c.p.BlockSize)
		o.tried, o.bad = 0, 0
		c.startRead(i, out)
		return
	default:
		if o.Layer == 0 && !o.Map {
			c.lose(o.asking())
		}
		c.finish(i, step.RequestIO, block.Buffer{}, out)
		return
	}
	o.state, o.asked, o.askedAt = opReading, m, c.now
	o.tried |= 1 << index
	o.generation++ // an answer to an earlier try is not for this one
	m.reading++
	kind := message.Read
	if o.Map {
		kind = message.Map
	}
	c.send(m, message.Message{Kind: kind, Request: c.ops.token(i), Layer: o.Layer, Range: o.asking(), Seq: c.committed}, out)
}

// readFrom picks the member to ask: one that is valid and was not tried, on
// this node if there is one, else the least busy.
func (c *Coordinator) readFrom(o *op, out *step.Effects) (best *member, index int) {
	for k, m := range c.members {
		stray := readAny && m.prepared() && !c.valid(m)
		if !c.valid(m) && !stray || o.tried&(1<<k) != 0 || c.parting(m) {
			continue
		}
		if stray {
			out.Marks.Hit("mutant: read any")
		}
		if m.Node == c.p.Node {
			return m, k
		}
		if best == nil || m.reading < best.reading {
			best, index = m, k
		}
	}
	return best, index
}

// parting reports whether a change is under way by which m is in sync no more. It may
// be recorded already, and a takeover begun that does not ask m: m would answer for
// this session still.
func (c *Coordinator) parting(m *member) bool {
	if c.proposed == nil {
		return false
	}
	next := c.proposed.Member(m.Replica)
	return next == nil || next.State != volume.InSync
}

// allBad reports whether every member that is in sync said that its copy is
// damaged: one that cannot be asked now, or is late, may still have a good one.
// So may one that is about to be in sync, or is and this session was not told.
func (c *Coordinator) allBad(o *op) bool {
	for k, m := range c.members {
		if c.required(m) && o.bad&(1<<k) == 0 {
			return false
		}
	}
	return true
}

// stall has a read begin anew later.
func (o *op) stall() { o.state, o.tried, o.bad = opStalled, 0, 0 }

// pieces is a read of blocks of which no member has all: it is put together
// block by block.
type pieces struct {
	buffer block.Buffer // empty: the read is asked for as a whole
	have   uint32       // blocks
}

func (p *pieces) drop() {
	p.buffer.Release()
	*p = pieces{}
}

// asking returns the blocks that a read asks for next.
func (o *op) asking() block.Range {
	if o.pieces.buffer.Empty() {
		return o.Range
	}
	return block.Range{First: o.Range.First + block.Block(o.pieces.have), Count: 1}
}

// onData takes a member's answer to a read. It goes to the device only while
// every required member's grant lasts: else a later coordinator may have
// written meanwhile.
func (c *Coordinator) onData(m *member, msg *message.Message, out *step.Effects) {
	i, known := c.ops.find(msg.Request)
	if known && c.ops.slots[i].state == opComparing {
		c.onSums(m, i, msg, out)
		return
	}
	m.reading = max(0, m.reading-1)
	if !known || c.ops.slots[i].state != opReading {
		msg.Payload.Release()
		return
	}
	o := &c.ops.slots[i]
	switch {
	case msg.Status != message.OK:
		msg.Payload.Release()
		lost := o.Layer != 0 && msg.Status == message.WrongState // a takeover without a valid member may have
		if lost || msg.Status == message.Corrupt || msg.Status == message.DiskFailed {
			c.foundBad(o, msg.Bad())
		}
		c.startRead(i, out)
	case !trustData && !c.intact(o, msg):
		out.Marks.Hit("coordinator: read answered with damaged data")
		msg.Payload.Release()
		c.foundBad(o, 0)
		c.startRead(i, out)
	case o.suspect != nil:
		c.onRepairData(i, msg, out)
	case staleGrant && !c.grantsValid():
		out.Marks.Hit("mutant: stale grant")
		c.answer(i, msg, out)
	case !c.grantsValid():
		out.Marks.Hit("coordinator: read held back without grants")
		msg.Payload.Release()
		o.stall()
	default:
		c.answer(i, msg, out)
	}
	c.startWaiting(out)
}

// answer hands data to the device, or puts it to what a read has already.
func (c *Coordinator) answer(i int32, msg *message.Message, out *step.Effects) {
	o := &c.ops.slots[i]
	if o.Map {
		c.finish(i, step.RequestOK, block.Buffer{}, out)
		out.Completions[len(out.Completions)-1].Present = msg.Present
		return
	}
	if o.Layer == 0 {
		c.seen(o.asking(), o.asked)
	}
	p := &o.pieces
	if p.buffer.Empty() {
		c.finish(i, step.RequestOK, msg.Payload, out)
		return
	}
	copy(p.buffer.Bytes()[int(p.have)*c.p.BlockSize:], msg.Payload.Bytes())
	msg.Payload.Release()
	if p.have++; p.have < o.Range.Count {
		o.tried, o.bad = 0, 0
		c.startRead(i, out)
		return
	}
	whole := p.buffer
	*p = pieces{}
	c.finish(i, step.RequestOK, whole, out)
}

// foundBad notes that the member that was asked cannot give what o reads, and
// which blocks it named.
func (c *Coordinator) foundBad(o *op, blocks uint16) {
	if k := slices.Index(c.members, o.asked); k >= 0 {
		o.bad |= 1 << k
	}
	if o.suspect == nil {
		c.wounded(wound{member: o.asked, layer: o.Layer, chunk: o.Range.First.Chunk(), blocks: blocks})
	}
}

func (c *Coordinator) intact(o *op, msg *message.Message) bool {
	if o.Map {
		return msg.Payload.Empty()
	}
	if msg.Payload.Len() != int(o.asking().Count)*c.p.BlockSize {
		return false
	}
	return block.ChecksumsOf(msg.Payload.Bytes(), c.p.BlockSize) == msg.Checksums
}

// retryReads asks again for reads that have nobody to answer them, or whose
// answer is late.
func (c *Coordinator) retryReads(out *step.Effects) {
	for k := 0; k < len(c.ops.active); k++ {
		i := c.ops.active[k]
		o := &c.ops.slots[i]
		late := o.state == opReading && c.now.Sub(o.askedAt) >= readRetryAfter
		if late {
			out.Marks.Hit("coordinator: late read asked elsewhere")
			o.asked.reading = max(0, o.asked.reading-1)
		}
		if !late && o.state != opStalled {
			continue
		}
		before := len(c.ops.active)
		c.startRead(i, out)
		if len(c.ops.active) < before {
			k-- // it was answered and another took its place
		}
	}
	c.startWaiting(out)
}

// stallReads takes back the reads that m was asked for.
func (c *Coordinator) stallReads(m *member) {
	for _, i := range c.ops.active {
		if o := &c.ops.slots[i]; o.state == opReading && o.asked == m {
			o.stall()
		}
	}
}

// Grants.

// grantsValid reports whether answers to reads may be given now: every required
// member's leave lasts.
func (c *Coordinator) grantsValid() bool {
	for _, m := range c.members {
		if c.required(m) && m.grantUntil <= c.now {
			return false
		}
	}
	return true
}

// renewGrants asks every connected member for its next grant: also the
// heartbeat, and how members learn what is stable.
func (c *Coordinator) renewGrants(out *step.Effects) {
	for _, m := range c.members {
		if m.prepared() && (m.grantSentAt == 0 || c.now.Sub(m.grantSentAt) >= grantEvery) {
			c.renewGrant(m, out)
		}
	}
}

func (c *Coordinator) renewGrant(m *member, out *step.Effects) {
	m.grantSentAt = c.now
	c.send(m, message.Message{Kind: message.Grant, Request: uint64(c.now), Duration: grantDuration}, out)
}

// onGranted counts a grant from when it was asked for: the member counts from
// when it heard of it, which is later.
func (c *Coordinator) onGranted(m *member, msg *message.Message, out *step.Effects) {
	if !m.prepared() || step.Time(msg.Request) > c.now {
		return
	}
	m.grantUntil = max(m.grantUntil, step.Time(msg.Request).Add(grantCounts))
	switch c.phase {
	case granting:
		c.serve(out)
	case serving, detaching:
		c.retryStalled(out)
	case claiming, preparing, deciding, reconciling, recording, ended:
	}
}

// retryStalled retries reads if any waits for nothing but grants.
func (c *Coordinator) retryStalled(out *step.Effects) {
	for _, i := range c.ops.active {
		if c.ops.slots[i].state == opStalled {
			c.retryReads(out)
			return
		}
	}
}
