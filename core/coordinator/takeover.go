package coordinator

import (
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Requests of a takeover; a connection carries one of each at the most.
const (
	truncateRequest = 1
	tailRequest     = 2
)

// takeover is what step by step becomes known before the volume is served.
type takeover struct {
	lossless bool           // a valid member was among the sources of last
	last     block.Position // the last record that survives: T
	awaiting int            // TRUNCATE and FETCHTAIL answers still to come
	excluded []block.ReplicaID
}

// claim makes this session the coordinator. Nothing is sent to a member before
// the claim is definite: its epoch is the era that members are promised to.
func (c *Coordinator) claim(out *step.Effects) {
	c.phase = claiming
	next := c.config.Clone()
	next.Coordinator = &volume.Coordinator{Node: c.p.Node, Session: c.session}
	c.propose(next, out)
}

// prepare asks every member for its promise.
func (c *Coordinator) prepare(out *step.Effects) {
	c.phase, c.era, c.since, c.hearsay = preparing, c.config.Epoch, c.now, hearsay{}
	for _, m := range c.members {
		m.heardAt, m.downSince, m.dialAt = c.now, c.now, c.now
	}
	c.dialMissing(out)
}

// confirmPromises asks again those who promised a while ago. A member whose host
// lost power meanwhile is found out by that, before others are put out for it.
func (c *Coordinator) confirmPromises(out *step.Effects) {
	for _, m := range c.members {
		if m.State == volume.InSync && m.prepared() && c.now.Sub(m.preparedAt) >= confirmEvery {
			out.Marks.Hit("coordinator: promise asked for again")
			c.confirm(m, out)
		}
	}
}

// confirm asks a member that promised for what it has by now.
func (c *Coordinator) confirm(m *member, out *step.Effects) {
	m.link = linkPreparing
	out.Send(m.conn, message.Message{Kind: message.Prepare, Era: c.era})
}

// recoverable reports whether m certainly holds every acknowledged record: it
// is the incarnation that acknowledged them, or a later one of the same boot
// (a killed process loses nothing that was written), or nothing was written
// since an orderly detach. A disk that failed may have lost the last ones that it
// acknowledged; after a detach it is known which those were, and they are there.
func (c *Coordinator) recoverable(m *member) bool {
	p := &m.promise
	if !p.Complete || c.isExcluded(m) {
		return false
	}
	clean := c.config.CleanAt != nil && p.LastAccepted == *c.config.CleanAt
	if p.Tainted {
		return clean && p.Durable >= p.LastAccepted.Seq
	}
	sameLife := m.Incarnation != 0 && p.Incarnation == m.Incarnation
	sameBoot := m.BootID != block.BootID{} && p.BootID == m.BootID
	return sameLife || sameBoot || clean
}

func (c *Coordinator) isExcluded(m *member) bool {
	return slices.Contains(c.takeover.excluded, m.Replica)
}

// usable reports whether m may be among the sources of the last record when no
// member is certain to hold everything. One whose disk failed may, since its
// records count as much as any, but not if all are of that kind.
func (c *Coordinator) usable(m *member) bool { return m.promise.Complete && !c.isExcluded(m) }

func allTainted(members []*member) bool {
	return !slices.ContainsFunc(members, func(m *member) bool { return !m.promise.Tainted })
}

// decide looks whether enough promises are there to say where the stream ends,
// and if so proposes who stays. It is called whenever something changed.
func (c *Coordinator) decide(out *step.Effects) {
	if c.phase != preparing || c.proposed != nil || c.doubted() || !c.proven(out) {
		return
	}
	var promised, recoverable, usable, silent []*member
	for _, m := range c.members {
		switch {
		case m.State != volume.InSync:
		case !m.prepared():
			silent = append(silent, m)
		default:
			promised = append(promised, m)
			if c.recoverable(m) {
				recoverable = append(recoverable, m)
			}
			if c.usable(m) {
				usable = append(usable, m)
			}
		}
	}
	switch {
	case len(silent) > 0 && len(recoverable) == 0:
		c.reportWaiting("no copy that certainly holds every acknowledged write has answered; waiting for ", silent, out)
	case len(silent) > 0 && !c.oldSessionIsSilenced(promised, silent):
		// a little longer: the tick comes back here
	case len(recoverable) > 0:
		c.decideOn(recoverable, true, out)
	case !allTainted(usable):
		out.Marks.Hit("coordinator: takeover without a valid member")
		c.decideOn(usable, false, out)
	default:
		c.reportWaiting("no copy can be trusted: each lacks a part, or its disk failed a write since it last held everything: ", promised, out)
	}
}

// oldSessionIsSilenced reports whether going on without the silent members is
// safe: they had time to show a sign of life, and a former coordinator cannot
// answer reads any more, which takes grants from all of them.
func (c *Coordinator) oldSessionIsSilenced(promised, silent []*member) bool {
	for _, m := range silent {
		if c.now.Sub(max(c.since, m.heardAt)) < failAfter {
			return false
		}
	}
	return slices.ContainsFunc(promised, func(m *member) bool {
		remaining := m.promise.GrantRemaining
		return c.now.Sub(m.preparedAt) >= remaining+remaining/10
	})
}

func (c *Coordinator) reportWaiting(why string, whom []*member, out *step.Effects) {
	if c.now.Sub(c.since) < failAfter {
		return // starting together is no news
	}
	text := why
	for i, m := range whom {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("replica %v on node %v", m.Replica, m.Node)
	}
	c.report(text, out)
}

// decideOn proposes that the members in stay are InSync, all others Out, and
// that this era's records begin after the last one any of them holds.
func (c *Coordinator) decideOn(stay []*member, lossless bool, out *step.Effects) {
	c.phase = deciding
	c.takeover.lossless = lossless
	c.takeover.last = block.Position{}
	for _, m := range stay {
		if c.takeover.last.Less(m.promise.LastAccepted) {
			c.takeover.last = m.promise.LastAccepted
		}
	}
	if c.surpassed(out) {
		return
	}
	next := c.config.Clone()
	next.Restored = nil
	for i := range next.Members {
		m := &next.Members[i]
		keep := slices.ContainsFunc(stay, func(s *member) bool { return s.Replica == m.Replica })
		switch {
		case keep:
		case m.State == volume.InSync:
			out.Marks.Hit("coordinator: takeover left a member out")
			m.State = volume.Out
		case m.State == volume.Syncing:
			m.State = volume.Out
		}
	}
	next.AddEra(c.era, c.takeover.last.Seq+1)
	next.CleanAt = nil
	if !lossless {
		next.LossyEra = c.era
	}
	c.propose(next, out)
}

// reconcile brings every chosen member to the same last record: what a former
// era dropped is truncated, what is missing is fetched from a member that has
// it, and a NOP of this era closes the tail.
func (c *Coordinator) reconcile(out *step.Effects) {
	c.phase = reconciling
	last := c.takeover.last
	lowest := last.Seq
	var donor *member
	for _, m := range c.members {
		if m.State != volume.InSync {
			continue
		}
		if !m.prepared() {
			c.restart(out)
			return
		}
		if m.promise.LastAccepted == last {
			donor = m
		}
		lowest = min(lowest, c.trim(m, out))
	}
	c.growth.sizeOf(donor, c.config)
	c.window.reset(lowest + 1)
	c.committed, c.stable = lowest, 0
	if lowest < last.Seq {
		out.Marks.Hit("coordinator: tail fetched from a member")
		c.takeover.awaiting++
		c.send(donor, message.Message{Kind: message.FetchTail, Request: tailRequest, Seq: lowest, Until: last.Seq}, out)
	}
	c.closeTail(out)
}

// trim truncates what m holds beyond an era that ended before; it returns the
// last seq that m keeps.
func (c *Coordinator) trim(m *member, out *step.Effects) block.Seq {
	at := m.promise.LastAccepted
	keep := at.Seq
	if first, later := c.config.FirstAfter(at.Era); later && at.Seq >= first {
		out.Marks.Hit("coordinator: member truncated in a takeover")
		keep = first - 1
		c.takeover.awaiting++
		c.send(m, message.Message{Kind: message.Truncate, Request: truncateRequest, Position: block.Position{Era: c.era, Seq: keep}}, out)
	}
	m.accepted, m.sent = keep, keep
	m.durable = min(m.durable, keep)
	return keep
}

func (c *Coordinator) onTail(m *member, msg *message.Message) {
	if c.phase != reconciling || msg.Record.Position.Seq != c.window.next {
		msg.Payload.Release()
		return
	}
	c.window.push(entry{record: msg.Record, payload: msg.Payload, op: noOp, sentAt: c.now})
}

// onDone takes the end of a request of the takeover, of the resync or of a repair.
func (c *Coordinator) onDone(m *member, msg *message.Message, out *step.Effects) {
	if i, known := c.ops.find(msg.Request); known && c.ops.slots[i].state == opMending {
		c.onMended(m, i, msg, out)
		return
	}
	if msg.Request != truncateRequest && msg.Request != tailRequest {
		c.onResyncDone(m, msg, out)
		return
	}
	if c.phase != reconciling {
		return
	}
	whole := msg.Request == truncateRequest || c.window.next == c.takeover.last.Seq+1
	if msg.Status != message.OK || !whole {
		c.excludeFrom(m, msg, out)
		return
	}
	c.takeover.awaiting--
	c.closeTail(out)
}

// excludeFrom starts over without the member that cannot be brought to the end
// of the stream: the one that refused to truncate, or those that lack records
// which the donor holds at home only.
func (c *Coordinator) excludeFrom(m *member, msg *message.Message, out *step.Effects) {
	for _, other := range c.members {
		lacks := other.State == volume.InSync && msg.Request == tailRequest && other.accepted < c.takeover.last.Seq
		if other == m && msg.Request == truncateRequest || lacks {
			out.Marks.Hit("coordinator: member that cannot be reconciled left out")
			c.takeover.excluded = append(c.takeover.excluded, other.Replica)
		}
	}
	c.restart(out)
}

// closeTail goes on once all answers are there: everything in the window, and a
// NOP after it, goes to every chosen member and becomes durable.
func (c *Coordinator) closeTail(out *step.Effects) {
	if c.takeover.awaiting > 0 {
		return
	}
	at := block.Position{Era: c.era, Seq: c.window.next}
	c.window.push(entry{record: message.Record{Position: at, Op: message.OpNop}, op: noOp, sentAt: c.now})
	for _, m := range c.members {
		if m.State == volume.InSync {
			m.stream(m.accepted)
			c.pump(m, out)
			c.askSyncOf(m, at.Seq, out)
		}
	}
}

// record writes the chosen members' present incarnations into the
// configuration: from now on they are what counts.
func (c *Coordinator) record(out *step.Effects) {
	c.phase = recording
	next := c.config.Clone()
	changed := false
	for i := range next.Members {
		listed := &next.Members[i]
		m := findMember(c.members, listed.Replica)
		if listed.State != volume.InSync {
			continue
		}
		if listed.Incarnation != m.promise.Incarnation || listed.BootID != m.promise.BootID {
			listed.Incarnation, listed.BootID = m.promise.Incarnation, m.promise.BootID
			changed = true
		}
	}
	if !changed {
		c.grant(out)
		return
	}
	c.propose(next, out)
}

// grant waits for every member's leave to answer reads.
func (c *Coordinator) grant(out *step.Effects) {
	c.phase = granting
	for _, m := range c.members {
		m.grantSentAt = 0
	}
	c.renewGrants(out)
	c.serve(out)
}

// serve begins to answer, once all grants are there.
func (c *Coordinator) serve(out *step.Effects) {
	if c.phase != granting || !c.grantsValid() {
		return
	}
	c.phase = serving
	c.reportServing(out)
	c.startWaiting(out)
	c.reconfigure(out)
	c.driveGrowth(out)
	c.driveSnapshots(out)
}

// onChosenLost starts over when a member that this takeover counts on is lost.
func (c *Coordinator) onChosenLost(m *member, out *step.Effects) {
	if c.phase > preparing && c.phase < serving && m.State == volume.InSync {
		out.Marks.Hit("coordinator: takeover restarted")
		c.restart(out)
	}
}

// watchChosen starts over when a chosen member falls silent.
func (c *Coordinator) watchChosen(out *step.Effects) {
	for _, m := range c.members {
		if m.State == volume.InSync && (!m.prepared() || c.now.Sub(m.heardAt) >= evictAfter) {
			c.onChosenLost(m, out)
			return
		}
	}
}

// restart begins the takeover anew with a new era. A change under way must be
// definite first.
func (c *Coordinator) restart(out *step.Effects) {
	if c.proposed != nil {
		c.restartWanted = true
		return
	}
	c.restartWanted = false
	for _, m := range c.members {
		c.hangUp(m, out)
	}
	c.window.drop()
	c.takeover = takeover{excluded: c.takeover.excluded}
	c.claim(out)
}
