package coordinator

import (
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// dialMissing connects to every member that is not, now and then again. During
// a takeover and after: members that are out come back this way too.
func (c *Coordinator) dialMissing(out *step.Effects) {
	if c.phase < preparing || c.phase == ended {
		return
	}
	for _, m := range c.members {
		if m.link == linkDown && c.now >= m.dialAt {
			c.dial(m, out)
		}
	}
}

func (c *Coordinator) dial(m *member, out *step.Effects) {
	c.connNumber++
	m.link, m.conn = linkDialing, step.Conn(c.connNumber)
	m.dialAt = c.now.Add(dialEvery)
	out.Dials = append(out.Dials, step.Dial{
		Conn: m.conn,
		Node: m.Node,
		Hello: message.Hello{
			Version: message.Version, Node: c.p.Node, Volume: c.p.Volume,
			Disk: m.Disk, Replica: m.Replica, Session: c.session, Number: c.connNumber,
		},
	})
}

func (c *Coordinator) memberOf(conn step.Conn) *member {
	for _, m := range c.members {
		if m.conn == conn && m.link != linkDown {
			return m
		}
	}
	return nil
}

func (c *Coordinator) onConnected(conn step.Conn, out *step.Effects) {
	m := c.memberOf(conn)
	if m == nil {
		out.Closes = append(out.Closes, conn)
		return
	}
	m.link, m.refused = linkPreparing, false
	if !m.mute {
		m.heardAt = c.now
	}
	out.Send(conn, message.Message{Kind: message.Prepare, Era: c.era})
}

func (c *Coordinator) onClosed(conn step.Conn, why step.ConnError, out *step.Effects) {
	m := c.memberOf(conn)
	if m == nil {
		return
	}
	wasPrepared := m.prepared()
	c.lost(m)
	m.refused = why == step.ConnRefused || why == step.ConnDenied
	if !m.refused {
		m.dialAt = min(m.dialAt, c.now) // a broken connection is tried again at once
	}
	switch {
	case c.phase == preparing:
		c.decide(out)
	case c.phase < serving:
		c.onChosenLost(m, out)
	default:
		if wasPrepared {
			c.dialMissing(out)
			c.afterLinkLost(m, out)
		}
		c.reconfigure(out)
	}
}

// hangUp closes the connection to m from this side.
func (c *Coordinator) hangUp(m *member, out *step.Effects) {
	if m.link != linkDown {
		out.Closes = append(out.Closes, m.conn)
		c.lost(m)
	}
}

// lost forgets what belonged to m's connection. A node whose disk is not open
// takes connections and closes them: that they come about is no sign of life of
// the replica.
func (c *Coordinator) lost(m *member) {
	if m.link == linkPrepared {
		m.downSince = c.now
	}
	m.mute = m.mute || m.link == linkPreparing
	m.link, m.streaming, m.joining, m.repairing = linkDown, false, false, false
	m.syncAsked, m.syncNext, m.refusedAt, m.reading = 0, 0, 0, 0
}

func (c *Coordinator) onMessage(conn step.Conn, msg *message.Message, out *step.Effects) {
	m := c.memberOf(conn)
	if m == nil {
		msg.Payload.Release()
		return
	}
	m.heardAt, m.mute = c.now, false
	switch msg.Kind {
	case message.Promise:
		c.onPromise(m, msg, out)
	case message.Ack:
		c.onAck(m, msg, out)
	case message.Granted:
		c.onGranted(m, msg, out)
	case message.Data:
		c.onData(m, msg, out)
	case message.Tail:
		c.onTail(m, msg)
	case message.Done:
		c.onDone(m, msg, out)
	case message.Changed:
		c.onChanged(m, msg, out)
	case message.Layers:
		c.onLayers(m, msg, out)
	case message.Pulled:
		c.onPulled(m, msg, out)
	case message.Fenced:
		c.onFenced(m, msg, out)
	case message.Rotten:
		c.wounded(wound{member: m, layer: msg.Layer, chunk: msg.Chunk, blocks: msg.Bad()})
		c.startWaiting(out)
	default: // Unprepared, or a peer that speaks out of turn
		msg.Payload.Release()
		c.hangUp(m, out)
		if c.phase < serving && c.phase != preparing {
			c.onChosenLost(m, out)
		}
	}
}

// onFenced: the member is promised to a later session. Whether that replaced
// this one, only the configuration says.
func (c *Coordinator) onFenced(m *member, msg *message.Message, out *step.Effects) {
	out.Marks.Hit("coordinator: fenced by a member")
	c.heardRival(m, msg.Era, out)
	c.hangUp(m, out)
	m.dialAt = c.now.Add(dialEvery)
	c.heard(hearsay{node: m.Node, promised: msg.Era}, out)
	if c.phase < serving && c.phase != preparing {
		c.onChosenLost(m, out)
		return
	}
	c.afterLinkLost(m, out)
}

func (c *Coordinator) onPromise(m *member, msg *message.Message, out *step.Effects) {
	if m.link != linkPreparing || msg.Era != c.era || msg.Promise == nil {
		return
	}
	m.link, m.promise = linkPrepared, *msg.Promise
	m.preparedAt = c.now
	m.accepted, m.sent = m.promise.LastAccepted.Seq, m.promise.LastAccepted.Seq
	m.durable = min(m.promise.Durable, m.accepted)
	m.condemned = ""
	c.hearPromise(m, msg.Promise, out)
	switch {
	case c.phase == preparing:
		c.decide(out)
	case c.phase >= serving:
		c.onMemberBack(m, out)
	}
}

// onMemberBack continues with a member whose connection was lost while serving.
func (c *Coordinator) onMemberBack(m *member, out *step.Effects) {
	if m.State != volume.InSync {
		if c.rejoinable(m) {
			c.rejoin(m, out)
		}
		c.reconfigure(out)
		return
	}
	if !c.replayable(m) {
		out.Marks.Hit("coordinator: member came back without records that the window has no more")
		m.condemned = "it lost records that are not kept any more"
		c.reconfigure(out)
		return
	}
	last := m.promise.LastAccepted.Seq
	if last < c.committed {
		out.Marks.Hit("coordinator: acknowledged records given again from the window")
	}
	if m.promise.Incarnation != m.Incarnation {
		out.Marks.Hit("coordinator: restarted member repaired from the window")
		m.repairing, m.repairTo = true, c.window.next-1
	}
	m.stream(last)
	c.pump(m, out)
	if m.repairing {
		c.askSyncOf(m, m.repairTo, out)
	}
	c.renewGrant(m, out)
	c.askSyncs(out)
	c.advance(out)
	c.retryReads(out)
}

// send gives a message of this era to m.
func (c *Coordinator) send(m *member, msg message.Message, out *step.Effects) {
	msg.Era = c.era
	msg.Committed, msg.Stable = c.committed, c.stable
	if msg.Kind == message.Grant && !m.streaming {
		msg.Stable = 0 // it may have other records up to there, and would take them for stable
	}
	out.Send(m.conn, msg)
}
