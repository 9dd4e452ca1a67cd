package replica

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
)

// link is one connection to a coordinator session.
type link struct {
	conn     step.Conn
	session  block.Session
	number   uint64
	purpose  message.Purpose
	prepared bool // a PROMISE was sent on it
	pinned   bool // a resync over it keeps the layers as they are
}

// Accept takes a new connection. Older ones of the same session and purpose are
// closed: what still comes out of them is late.
func (r *Replica) Accept(now step.Time, conn step.Conn, h *message.Hello, out *step.Effects) {
	for _, l := range r.links {
		if l.session == h.Session && l.purpose == h.Purpose && l.number > h.Number {
			out.Closes = append(out.Closes, conn)
			return
		}
	}
	r.links = slices.DeleteFunc(r.links, func(l link) bool {
		late := !lateFrames && l.session == h.Session && l.purpose == h.Purpose
		if late {
			r.unpin(now, &l, out)
			out.Closes = append(out.Closes, l.conn)
		}
		return late
	})
	r.links = append(r.links, link{conn: conn, session: h.Session, number: h.Number, purpose: h.Purpose})
}

// Closed forgets a connection. What it asked for is answered to nobody.
func (r *Replica) Closed(now step.Time, conn step.Conn, out *step.Effects) {
	if l := r.link(conn); l != nil {
		r.unpin(now, l, out)
	}
	r.links = slices.DeleteFunc(r.links, func(l link) bool { return l.conn == conn })
}

// Drop closes every connection: the replica is going away or its disk failed.
func (r *Replica) Drop(out *step.Effects) {
	for _, l := range r.links {
		out.Closes = append(out.Closes, l.conn)
	}
	r.links = nil
}

func (r *Replica) link(conn step.Conn) *link {
	for i := range r.links {
		if r.links[i].conn == conn {
			return &r.links[i]
		}
	}
	return nil
}

// stream returns the prepared connection of the promised session that carries
// its operations, the newest one, or nil.
func (r *Replica) stream() *link {
	for i := len(r.links) - 1; i >= 0; i-- {
		l := &r.links[i]
		if l.prepared && l.session == r.meta.Session && l.purpose == message.Stream {
			return l
		}
	}
	return nil
}

// Message takes one frame of a connection.
func (r *Replica) Message(now step.Time, conn step.Conn, m *message.Message, out *step.Effects) {
	l := r.link(conn)
	if l == nil {
		m.Payload.Release()
		return
	}
	if m.Kind == message.Prepare {
		r.onPrepare(now, l, m, out)
		return
	}
	if !fenceOld && (m.Era < r.meta.Promised || l.session != r.meta.Session) {
		out.Marks.Hit("mutant: no fence")
	}
	if fenceOld && (m.Era < r.meta.Promised || l.session != r.meta.Session) {
		out.Marks.Hit("replica: frame of a replaced coordinator fenced")
		m.Payload.Release()
		out.Send(conn, message.Message{Kind: message.Fenced, Era: r.meta.Promised, Request: m.Request})
		return
	}
	if !l.prepared || m.Era > r.meta.Promised {
		m.Payload.Release()
		out.Send(conn, message.Message{Kind: message.Unprepared, Era: r.meta.Promised, Request: m.Request})
		return
	}
	r.onPrepared(now, l, m, out)
}

// onPrepared dispatches a frame of the session that this replica is promised to.
func (r *Replica) onPrepared(now step.Time, l *link, m *message.Message, out *step.Effects) {
	switch m.Kind {
	case message.Append:
		r.onAppend(now, l, m, out)
	case message.Sync:
		r.onSync(now, m, out)
	case message.Read, message.Checksum, message.Map:
		r.onRead(now, l, m, out)
	case message.Grant:
		r.onGrant(now, l, m, out)
	case message.FetchTail:
		r.onFetchTail(now, l, m, out)
	case message.Truncate:
		r.onTruncate(now, l, m, out)
	case message.ListChanged:
		r.onListChanged(now, l, m, out)
	case message.Pull:
		r.onPull(now, l, m, out)
	case message.Push:
		r.onPush(now, l, m, out)
	case message.ListLayers:
		r.onListLayers(l, m, out)
	case message.Shape:
		r.onShape(now, l, m, out)
	case message.Repair:
		r.onRepair(now, l, m, out)
	case message.ResyncBegin:
		r.onResyncBegin(now, l, m, out)
	case message.ResyncPass:
		r.onResyncPass(now, l, m, out)
	case message.ResyncLive:
		r.onResyncLive(now, l, m, out)
	case message.ResyncEnd:
		r.onResyncEnd(now, l, m, out)
	case message.KindInvalid, message.Prepare,
		message.Promise, message.Ack, message.Data, message.Granted, message.Tail, message.Done,
		message.Changed, message.Pulled, message.Fenced, message.Unprepared, message.Rotten, message.Layers, message.KindCount:
		m.Payload.Release()
		out.Closes = append(out.Closes, l.conn) // a peer that speaks out of turn
		r.Closed(now, l.conn, out)
	}
}

// onPrepare raises the promise at once and answers when it is durable. By then
// everything appended before it is accepted, so that LastAccepted is final for
// the sessions that it ends.
func (r *Replica) onPrepare(now step.Time, l *link, m *message.Message, out *step.Effects) {
	older := m.Era < r.meta.Promised
	rival := m.Era == r.meta.Promised && l.session != r.meta.Session
	if fenceOld && (older || rival) {
		out.Marks.Hit("replica: prepare of a replaced coordinator fenced")
		out.Send(l.conn, message.Message{Kind: message.Fenced, Era: r.meta.Promised})
		return
	}
	l.prepared = false
	if m.Era == r.meta.Promised && r.metaPending == 0 {
		r.promise(now, l, out)
		return
	}
	if promised := r.meta.Promised; promised > r.meta.KnownEpoch && !volume.Leaps(r.meta.KnownEpoch, promised) {
		r.meta.KnownEpoch = promised // that configuration may be lost, and this promise outlasts it
	}
	r.meta.Promised, r.meta.Session = m.Era, l.session
	for i := range r.links {
		r.unpin(now, &r.links[i], out) // a resync goes no further in another era
	}
	r.setMeta(now, request{conn: l.conn, kind: message.Prepare, era: m.Era}, out)
}

func (r *Replica) setMeta(now step.Time, q request, out *step.Effects) {
	r.metaPending++
	q.meta = true
	r.store.SetMeta(now, r.handle, r.meta, r.requests.add(q), out)
}

func (r *Replica) promise(now step.Time, l *link, out *step.Effects) {
	l.prepared = true
	info, known := r.store.Info(r.handle)
	if !known {
		return // it is being deleted
	}
	r.inspect(&info)
	out.Send(l.conn, message.Message{
		Kind: message.Promise,
		Era:  r.meta.Promised,
		Promise: &message.PromiseInfo{
			Incarnation:    r.incarnation,
			BootID:         r.boot,
			Tainted:        r.tainted,
			Complete:       r.meta.Complete,
			LastAccepted:   info.LastAccepted,
			Durable:        r.durable,
			Stable:         info.Stable,
			SyncTarget:     r.meta.SyncTarget,
			KnownEpoch:     r.meta.KnownEpoch,
			Blocks:         info.Blocks,
			GrantRemaining: max(0, r.grantUntil.Sub(now)),
		},
	})
	r.tellAllRotten(l, out)
}

// onRecordDone continues what waited for a control record to be durable.
func (r *Replica) onRecordDone(now step.Time, res *store.Result, out *step.Effects) {
	q, known := r.requests.take(res.Token)
	if !known {
		return
	}
	if q.meta {
		r.metaPending--
	}
	l := r.link(q.conn)
	if l == nil {
		return
	}
	if q.era < r.meta.Promised {
		out.Send(l.conn, message.Message{Kind: message.Fenced, Era: r.meta.Promised, Request: q.request})
		return
	}
	if q.kind == message.Prepare {
		r.promise(now, l, out)
		return
	}
	done := message.Message{Kind: message.Done, Era: q.era, Request: q.request, Status: res.Status}
	if q.kind == message.ResyncBegin {
		done.Layers = r.layers()
	}
	out.Send(l.conn, done)
}
