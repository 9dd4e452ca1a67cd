package coordinator

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// linkState is how far the connection to a member is.
type linkState uint8

const (
	linkDown linkState = iota
	linkDialing
	linkPreparing // connected, PREPARE sent
	linkPrepared  // PROMISE received
)

// member is what this session knows of one replica. All of it but the identity
// belongs to the present connection: a new one starts from its PROMISE.
type member struct {
	volume.Member // as in the newest configuration

	link       linkState
	conn       step.Conn
	downSince  step.Time // when the last connection on which it had promised was lost
	dialAt     step.Time // not dialled again before
	refused    bool      // the last dial was refused: nobody listens there
	mute       bool      // it closed a connection without a word and has said none since
	heardAt    step.Time
	preparedAt step.Time
	promise    message.PromiseInfo

	streaming bool      // operations are sent as they come
	sent      block.Seq // highest sent on this connection
	accepted  block.Seq // ≤ sent
	movedAt   step.Time // when accepted rose last
	durable   block.Seq // ≤ accepted
	refusedAt block.Seq // the operation that it has no room for; 0 = none

	syncAsked   block.Seq // highest SYNC sent
	syncNext    block.Seq // to be asked for once it was sent; 0: nothing
	syncAskedAt step.Time // when the oldest unanswered one was
	grantSentAt step.Time
	grantUntil  step.Time // answers may be given until then
	reading     int       // reads under way

	condemned   string // why it must leave the required set, if it must
	repairTo    block.Seq
	repairing   bool      // same data, new incarnation: counted once that is recorded
	joining     bool      // it has all that the others have, or is sent the rest: required, not yet InSync
	joinAt      block.Seq // what everyone must have durable before it is
	kept        kept
	astray      bool      // while it was out an operation was taken back that it may have accepted
	resyncAfter step.Time // no resync is begun before
	crowded     bool      // what changed did not fit beside what it has, or has no place in it: it is emptied first
}

// stream begins to send m the operations above last, which it has accepted.
func (m *member) stream(last block.Seq) {
	m.streaming = true
	m.sent, m.accepted, m.durable, m.movedAt = last, last, min(m.durable, last), m.preparedAt
	m.syncAsked, m.syncNext, m.refusedAt = 0, 0, 0
}

// restsFor puts off the next resync of m. A longer pause that was begun for another
// reason stays.
func (m *member) restsFor(pause time.Duration, now step.Time) {
	m.resyncAfter = max(m.resyncAfter, now.Add(pause))
}

func (m *member) prepared() bool { return m.link == linkPrepared }

// alignMembers makes members follow the configuration, keeping what is known of
// those that stay.
func (c *Coordinator) alignMembers(out *step.Effects) {
	old := c.members
	c.members = make([]*member, 0, len(c.config.Members))
	for _, listed := range c.config.Members {
		m := findMember(old, listed.Replica)
		if m == nil {
			m = &member{downSince: c.now, heardAt: c.now}
		}
		m.Member = listed
		c.members = append(c.members, m)
	}
	if !slices.Equal(old, c.members) {
		c.partFrom(old, out)
	}
}

// partFrom lets go of those of the former members that are none any more. What
// was noted by the places of members holds no longer.
func (c *Coordinator) partFrom(old []*member, out *step.Effects) {
	for _, m := range old {
		if slices.Contains(c.members, m) {
			continue
		}
		c.hangUp(m, out)
		c.stallReads(m)
		c.giveUpMending(m, out)
		if c.resync != nil && (c.resync.target == m || c.resync.source == m) {
			c.abortResync(out)
		}
	}
	for _, i := range c.ops.active {
		c.ops.slots[i].tried, c.ops.slots[i].bad = 0, 0
	}
}

func findMember(members []*member, id block.ReplicaID) *member {
	for _, m := range members {
		if m.Replica == id {
			return m
		}
	}
	return nil
}

// required reports whether every acknowledgement needs m: it is InSync, or a
// change that makes or unmakes it so is not definite yet.
func (c *Coordinator) required(m *member) bool {
	if m.State == volume.InSync || m.joining {
		return true
	}
	if c.proposed == nil {
		return false
	}
	next := c.proposed.Member(m.Replica)
	return next != nil && next.State == volume.InSync
}

// counts reports whether what m says it has accepted may be believed: it is
// prepared, and in the incarnation that the configuration records. During a
// takeover the promise itself is what counts; recording comes after.
func (c *Coordinator) counts(m *member) bool {
	if !m.prepared() {
		return false
	}
	return c.phase < serving || m.joining || m.promise.Incarnation == m.Incarnation
}

// valid reports whether m alone could carry the volume on.
func (c *Coordinator) valid(m *member) bool {
	return m.State == volume.InSync && c.counts(m) && m.accepted >= c.committed && m.condemned == ""
}

// fine reports whether m is valid and answers in time.
func (c *Coordinator) fine(m *member) bool { return c.valid(m) && !c.late(m) }

// late reports whether m owes an answer for longer than a healthy one would.
func (c *Coordinator) late(m *member) bool {
	if !m.prepared() {
		return m.refused || c.now.Sub(m.downSince) >= evictAfter
	}
	if c.now.Sub(m.heardAt) >= evictAfter {
		return true
	}
	if m.syncAsked > m.durable && c.now.Sub(m.syncAskedAt) >= syncEvictAfter {
		return true
	}
	if m.streaming && m.accepted < m.sent && m.refusedAt == 0 {
		if e := c.window.at(m.accepted + 1); e != nil {
			began := e.sentAt
			if began < m.preparedAt { // it is given again what it lost, for as long as it gets on
				began = m.movedAt
			}
			return c.now.Sub(began) >= evictAfter
		}
	}
	return false
}
