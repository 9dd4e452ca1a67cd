package replica

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
)

// onAppend hands the next record to the store. A record that is there already
// was resent over a new connection; one beyond the next follows a refusal.
func (r *Replica) onAppend(now step.Time, l *link, m *message.Message, out *step.Effects) {
	r.store.SetStable(now, r.handle, m.Stable, out)
	seq := m.Record.Position.Seq
	if !r.meta.Complete && r.live == nil {
		m.Payload.Release()
		r.refuse(l, seq, message.WrongState, out)
		return
	}
	if seq <= r.appended && reapply {
		out.Marks.Hit("mutant: duplicate")
		if r.store.Append(now, r.handle, m.Record, m.Payload, out) != message.OK {
			m.Payload.Release()
		}
		return
	}
	if seq <= r.appended {
		out.Marks.Hit("replica: duplicate append ignored")
		m.Payload.Release()
		r.ackDue = true
		return
	}
	if seq > r.appended+1 {
		m.Payload.Release()
		return
	}
	snapshot := r.live != nil && m.Record.Op == message.OpSnap && !r.store.HasLayer(r.handle, m.Record.Layer)
	status := r.store.Append(now, r.handle, m.Record, m.Payload, out)
	if status != message.OK {
		m.Payload.Release()
		r.refuse(l, seq, status, out)
		return
	}
	r.appended = seq
	if r.live != nil {
		r.noteLive(&m.Record, snapshot)
	}
	r.forgetRotten(m.Record.Range)
}

// refuse says that seq was definitely not accepted, nor will anything above it
// be before seq itself is sent again.
func (r *Replica) refuse(l *link, seq block.Seq, status message.Status, out *step.Effects) {
	out.Send(l.conn, message.Message{
		Kind: message.Ack, Era: r.meta.Promised, Status: status, Seq: seq,
		Accepted: r.accepted, Durable: min(r.durable, r.accepted),
	})
}

// onRefused takes back what the store took and had no room for after all.
func (r *Replica) onRefused(res *store.Result, out *step.Effects) {
	out.Marks.Hit("replica: append refused late")
	r.appended = res.Position.Seq - 1
	if l := r.stream(); l != nil {
		r.refuse(l, res.Position.Seq, res.Status, out)
	}
}

func (r *Replica) onSync(now step.Time, m *message.Message, out *step.Effects) {
	r.store.SetStable(now, r.handle, m.Stable, out)
	if r.durable >= m.Seq {
		r.ackDue = true
		return
	}
	r.store.Sync(now, r.handle, out) // acknowledged when the store reports Durable
}

func (r *Replica) onGrant(now step.Time, l *link, m *message.Message, out *step.Effects) {
	until := now.Add(min(m.Duration, GrantMax))
	if until > r.grantUntil {
		r.grantUntil = until
	}
	r.store.SetStable(now, r.handle, m.Stable, out)
	out.Send(l.conn, message.Message{
		Kind: message.Granted, Era: m.Era, Request: m.Request,
		Accepted: r.accepted, Durable: min(r.durable, r.accepted),
	})
}

// onRead serves the newest accepted content, its checksums, or where there is some. The coordinator holds a lock that
// keeps writes in flight off the range, so what is accepted is committed.
func (r *Replica) onRead(now step.Time, l *link, m *message.Message, out *step.Effects) {
	status := message.OK
	switch {
	case !r.meta.Complete:
		status = message.WrongState
	case r.accepted < m.Seq:
		status = message.BehindSeq
	}
	if status != message.OK {
		out.Send(l.conn, message.Message{Kind: message.Data, Era: m.Era, Request: m.Request, Status: status, Range: m.Range})
		return
	}
	token := r.requests.add(request{conn: l.conn, request: m.Request, kind: m.Kind, era: m.Era, rng: m.Range})
	if m.Kind == message.Map {
		r.store.Map(now, r.handle, m.Layer, m.Range, token, out)
		return
	}
	r.store.Read(now, r.handle, m.Layer, m.Range, token, out)
}

func (r *Replica) onReadDone(res *store.Result, out *step.Effects) {
	q, known := r.requests.take(res.Token)
	if !known || r.link(q.conn) == nil {
		res.Payload.Release()
		return
	}
	if q.kind == message.Checksum {
		res.Payload.Release()
		res.Payload = block.Buffer{}
	}
	present := res.Bad
	if q.kind == message.Map && res.Status == message.OK {
		present = res.Content.Present
	}
	out.Send(q.conn, message.Message{
		Kind: message.Data, Era: q.era, Request: q.request, Status: res.Status,
		Range: q.rng, Present: present, Zero: res.Bad, Checksums: res.Checksums, Payload: res.Payload,
	})
}

// answerDone answers a request whose result is only how it ended.
func (r *Replica) answerDone(res *store.Result, out *step.Effects) {
	q, known := r.requests.take(res.Token)
	if !known || r.link(q.conn) == nil {
		return
	}
	done := message.Message{Kind: message.Done, Era: q.era, Request: q.request, Status: res.Status}
	if q.kind == message.Push {
		done.Credit = r.resyncCredit()
	}
	out.Send(q.conn, done)
}

// Tail: a new coordinator brings the members to the same last record.

func (r *Replica) onFetchTail(now step.Time, l *link, m *message.Message, out *step.Effects) {
	token := r.requests.add(request{conn: l.conn, request: m.Request, kind: message.FetchTail, era: m.Era})
	r.store.FetchTail(now, r.handle, m.Seq+1, m.Until, token, out)
}

func (r *Replica) onTailRecord(res *store.Result, out *step.Effects) {
	q, known := r.requests.peek(res.Token)
	if !known || r.link(q.conn) == nil {
		res.Payload.Release()
		return
	}
	out.Send(q.conn, message.Message{
		Kind: message.Tail, Era: q.era, Request: q.request, Record: res.Record, Payload: res.Payload,
	})
}

func (r *Replica) onTruncate(now step.Time, l *link, m *message.Message, out *step.Effects) {
	q := request{conn: l.conn, request: m.Request, kind: message.Truncate, era: m.Era}
	token := r.requests.add(q)
	status := r.store.Truncate(now, r.handle, m.Era, m.Position.Seq, token, out)
	if status != message.OK {
		out.Marks.Hit("replica: truncate below stable refused")
		r.requests.take(token)
		out.Send(l.conn, message.Message{Kind: message.Done, Era: m.Era, Request: m.Request, Status: status})
		return
	}
	r.appended = min(r.appended, m.Position.Seq)
	r.accepted = min(r.accepted, r.appended)
	r.durable = min(r.durable, r.appended)
}
