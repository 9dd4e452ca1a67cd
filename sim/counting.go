package sim

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/coordinator"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// What coordinators count on, held against what copies said and know.

// counted names what one life of a copy said in an era.
type counted struct {
	replica     block.ReplicaID
	incarnation block.Incarnation
	era         block.Epoch
}

// noteCounted notes how far a copy says that it has accepted, in a promise or
// behind one.
func (w *World) noteCounted(s *shard, m *step.Send) {
	c, _ := s.peer(m.Conn)
	if c == nil {
		return
	}
	v := w.volume(c.hello.Volume)
	if v == nil {
		return // nobody writes to it
	}
	accepted := m.Message.Accepted
	if p := m.Message.Promise; p != nil {
		c.incarnation, accepted = p.Incarnation, p.LastAccepted.Seq
	}
	said := counted{replica: c.hello.Replica, incarnation: c.incarnation, era: m.Message.Era}
	v.counted[said] = max(v.counted[said], accepted)
	if m.Message.Kind == message.Ack && m.Message.Status == message.OK {
		w.checkWindow(v, c, m.Message.Durable)
	}
}

// checkWindow insists that a coordinator still has what a copy in sync would lose
// with its power (I13).
func (w *World) checkWindow(v *volumeState, c *conn, durable block.Seq) {
	listed := v.config.Member(c.hello.Replica)
	if listed == nil || listed.State != volume.InSync || listed.Incarnation != c.incarnation {
		return
	}
	for _, st := range v.servings {
		s := st.coordinator()
		if s != nil && s.Session() == c.hello.Session && s.Serving() && s.Unstable() > durable+1 {
			w.fail("I13", "the coordinator of %s at %s has nothing below operation %d any more, and the copy on %s is durable up to %d",
				v.name, st.shard.body.name, s.Unstable(), w.bodyOf(listed.Node).name, durable)
		}
	}
}

// checkCounted insists that a write is acknowledged only once every copy in sync
// said, in the life that the configuration records, that it has it (I5).
func (w *World) checkCounted(q *request) {
	v := q.client.volume
	if n := v.config.Coordinator; n == nil || q.at.Seq == 0 || v.eras[n.Session] != q.mount.era {
		return // it was replaced: what counts for its successor is not what counts for it
	}
	for i := range v.config.Members {
		m := &v.config.Members[i]
		if said := v.counted[counted{m.Replica, m.Incarnation, q.mount.era}]; m.State == volume.InSync && said < q.at.Seq {
			w.fail("I5", "write %v of %s is acknowledged, but the copy on %s that is recorded said that it has %d", q.at, v.name, w.bodyOf(m.Node).name, said)
		}
	}
}

// coordinator returns the machine, or nil if the scenario made another.
func (st *serving) coordinator() *coordinator.Coordinator {
	s, _ := st.shard.machine.(*coordinator.Coordinator)
	return s
}

// server returns the session that serves v and that nobody has replaced, or 0.
func (v *volumeState) server() block.Session {
	for _, st := range v.servings {
		s, n := st.coordinator(), v.config.Coordinator
		if s != nil && s.Serving() && n != nil && n.Session == s.Session() {
			return n.Session
		}
	}
	return 0
}

// checkAsked insists that no copy is read that is being filled (I8).
func (w *World) checkAsked(s *shard, m *step.Send) {
	c, _ := s.peer(m.Conn)
	if c == nil {
		return
	}
	v := w.volume(c.hello.Volume)
	if v == nil || v.config.Coordinator == nil || v.config.Coordinator.Session != c.hello.Session {
		return // the copy refuses who was replaced
	}
	listed := v.config.Member(c.hello.Replica)
	if listed == nil || listed.State == volume.InSync {
		return
	}
	b := w.bodyOf(listed.Node)
	if disk := b.diskShard(listed.Disk); disk != nil && disk.ready {
		if shard, ours := disk.machine.(*node.Disk); ours {
			for _, info := range shard.Store().Replicas(nil) {
				if info.Replica == listed.Replica && !info.Meta.Complete {
					w.fail("I8", "%s reads the copy of %s on %s, which is %s and not whole", s, v.name, b.name, listed.State)
				}
			}
		}
	}
}

// checkOverlap insists that a session which was replaced completes nothing that its
// successor could contradict (I6): no read that was asked for after that one began to
// serve, for then all grants had run out or every copy had promised itself to it; and
// no write that it left out.
func (w *World) checkOverlap(q *request) {
	v := q.client.volume
	switch {
	case v.beyond || q.mount.era == 0:
	case q.kind == step.ReadRequest && q.mount.era < v.era && q.asked > v.serves && !w.plan.ClocksOutside:
		w.fail("I6", "%s answers a read of %v of %s that was asked for after the session of era %d began to serve", q.mount.shard, q.blocks, v.name, v.era)
	case q.kind == step.WriteRequest && q.at.Seq != 0 && q.losses == v.losses && v.dropped(q.at, w.now):
		w.fail("I6", "%s acknowledges record %v of %s, which a takeover left out", q.mount.shard, q.at, v.name)
	}
}

// beginning is where an era's records begin, and when that was recorded.
type beginning struct {
	first block.Seq
	at    int64
}

// dropped reports whether an era that was recorded by a moment begins at a record
// or before it: the takeover left the record out.
func (v *volumeState) dropped(at block.Position, by int64) bool {
	for era, b := range v.began { // any order: one is enough
		if era > at.Era && b.first <= at.Seq && b.at <= by {
			return true
		}
	}
	return false
}

// stayed reports whether a write that was asked again is a record of an earlier
// session, too, which no takeover left out by a moment.
func (q *request) stayed(v *volumeState, by int64) bool {
	return slices.ContainsFunc(q.earlier, func(at block.Position) bool { return !v.dropped(at, by) })
}

// checkDropped insists that a write which a takeover left out is not read by who
// asks later (I14).
func (w *World) checkDropped(q *request, data []byte) {
	v := q.client.volume
	if v.beyond {
		return
	}
	for at := 0; at < len(data); at += w.plan.BlockSize {
		wrote := v.writes[valueOf(data[at:])]
		if wrote != nil && wrote.at.Seq != 0 && v.dropped(wrote.at, q.asked) && !wrote.stayed(v, q.asked) {
			w.fail("I14", "block %d of %s reads as record %v wrote it, which a takeover left out before", int(q.blocks.First)+at/w.plan.BlockSize, v.name, wrote.at)
		}
	}
}
