package replica

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
)

// Source side: only stable content is handed out, and only when it covers what
// the coordinator asks for.

func (r *Replica) onListChanged(now step.Time, l *link, m *message.Message, out *step.Effects) {
	if !copyAny && !r.stableFrom(m.Seq) {
		out.Send(l.conn, message.Message{Kind: message.Changed, Era: m.Era, Request: m.Request, Status: message.BehindSeq})
		return
	}
	token := r.requests.add(request{conn: l.conn, request: m.Request, kind: message.ListChanged, era: m.Era})
	r.store.ListChanged(now, r.handle, m.Layer, m.Since, m.Cursor, token, out)
}

func (r *Replica) stableFrom(seq block.Seq) bool {
	info, known := r.store.Info(r.handle)
	return known && r.meta.Complete && info.Stable >= seq
}

func (r *Replica) onChangesDone(res *store.Result, out *step.Effects) {
	q, known := r.requests.take(res.Token)
	if !known || r.link(q.conn) == nil {
		return
	}
	out.Send(q.conn, message.Message{
		Kind: message.Changed, Era: q.era, Request: q.request, Status: res.Status,
		Changes: res.Changes, Cursor: res.Cursor, Stable: res.Position.Seq,
	})
}

func (r *Replica) onPull(now step.Time, l *link, m *message.Message, out *step.Effects) {
	if copyAny && !r.stableFrom(m.Seq) {
		out.Marks.Hit("mutant: copy any")
	}
	if !copyAny && !r.stableFrom(m.Seq) {
		out.Send(l.conn, message.Message{Kind: message.Pulled, Era: m.Era, Request: m.Request, Chunk: m.Chunk, Status: message.BehindSeq})
		return
	}
	token := r.requests.add(request{conn: l.conn, request: m.Request, kind: message.Pull, era: m.Era})
	r.store.Pull(now, r.handle, m.Layer, m.Chunk, token, out)
}

func (r *Replica) onPullDone(res *store.Result, out *step.Effects) {
	q, known := r.requests.take(res.Token)
	if !known || r.link(q.conn) == nil {
		res.Payload.Release()
		return
	}
	out.Send(q.conn, message.Message{
		Kind: message.Pulled, Era: q.era, Request: q.request, Status: res.Status,
		Chunk: res.Content.Chunk, LastSeq: r.ownSeq(res.Content.LastSeq),
		Present: res.Content.Present, Zero: res.Content.Zero,
		Checksums: res.Content.Checksums, Payload: res.Payload, Credit: r.resyncCredit(),
	})
}

// How many chunks of a resync a disk has room for at once: enough to keep it, and the
// way between source and target, from idling; or so few that who else uses the
// disk hardly notices.
const (
	creditAlone  = 32
	creditShared = 2
)

func (r *Replica) resyncCredit() uint32 {
	if r.store.Company(r.handle) {
		return creditShared
	}
	return creditAlone
}

// ownSeq returns the seq under which a chunk that was last changed at seq is handed
// on. What a merge left in a clone may have one of its origin's stream, above all
// of this volume's; what is handed out is stable.
func (r *Replica) ownSeq(seq block.Seq) block.Seq {
	if info, known := r.store.Info(r.handle); known && seq > info.Stable {
		return max(1, info.Stable)
	}
	return seq
}

// Target side.
//
//	ResyncBegin: incomplete, emptied or rewound ──▶ pushes ──▶ ResyncPass: so far it is right
//	──▶ pushes … ──▶ ResyncLive: the stream goes on
//	──▶ pushes for what the stream has not written ──▶ ResyncEnd: complete

func (r *Replica) onResyncBegin(now step.Time, l *link, m *message.Message, out *step.Effects) {
	r.meta.Complete, r.meta.Resync, r.meta.SyncTarget = false, m.Resync, m.Position
	r.live = nil
	r.pin(l)
	r.overcome() // nothing that may have been lost is left
	r.metaPending++
	token := r.requests.add(request{conn: l.conn, request: m.Request, kind: m.Kind, era: m.Era, meta: true})
	if m.Position.Seq > 0 {
		out.Marks.Hit("replica: given what changed")
		r.appended = r.store.Rewind(now, r.handle, r.meta, token, out)
		r.accepted = min(r.accepted, r.appended)
		r.durable = min(r.durable, r.accepted)
		return
	}
	r.rotten = nil
	r.appended, r.accepted, r.durable = 0, 0, 0
	r.store.Reset(now, r.handle, m.Record.Blocks, r.meta, token, out)
}

// onResyncPass notes what another resync may begin with, should this one end early.
func (r *Replica) onResyncPass(now step.Time, l *link, m *message.Message, out *step.Effects) {
	if r.refuseOtherResync(l, m, out) {
		return
	}
	r.meta.SyncTarget = m.Position
	r.setMeta(now, request{conn: l.conn, request: m.Request, kind: m.Kind, era: m.Era}, out)
}

func (r *Replica) onResyncLive(now step.Time, l *link, m *message.Message, out *step.Effects) {
	if r.refuseOtherResync(l, m, out) {
		return
	}
	r.live, r.hidden = map[layerChunk]uint16{}, 0
	at := m.Position
	r.appended, r.accepted, r.durable = at.Seq, at.Seq, at.Seq
	r.metaPending++
	token := r.requests.add(request{conn: l.conn, request: m.Request, kind: m.Kind, era: m.Era, meta: true})
	r.store.Continue(now, r.handle, at, r.meta, token, out)
}

// refuseOtherResync answers a frame of a resync that is over. Its pushes hold
// content that was right only then.
func (r *Replica) refuseOtherResync(l *link, m *message.Message, out *step.Effects) bool {
	if m.Resync != 0 && m.Resync == r.meta.Resync {
		return false
	}
	out.Marks.Hit("replica: frame of another resync refused")
	m.Payload.Release()
	out.Send(l.conn, message.Message{Kind: message.Done, Era: m.Era, Request: m.Request, Status: message.WrongState})
	return true
}

// onPush applies the blocks that the live stream has not written: what it wrote
// is newer than any push.
func (r *Replica) onPush(now step.Time, l *link, m *message.Message, out *step.Effects) {
	if r.refuseOtherResync(l, m, out) {
		return
	}
	apply := ^uint16(0)
	if r.live != nil {
		apply = ^r.live[layerChunk{m.Layer, m.Chunk}]
		if apply != ^uint16(0) {
			out.Marks.Hit("replica: push left out blocks written since")
			r.hidden = r.appended
			if pushOverLive {
				apply = ^uint16(0)
			}
		}
	}
	content := store.ChunkContent{
		Chunk: m.Chunk, LastSeq: m.LastSeq, Present: m.Present, Zero: m.Zero, Checksums: m.Checksums,
	}
	token := r.requests.add(request{conn: l.conn, request: m.Request, kind: m.Kind, era: m.Era})
	status := r.store.Push(now, r.handle, m.Layer, apply, content, m.Payload, token, out)
	if status != message.OK {
		m.Payload.Release()
		r.requests.take(token)
		out.Send(l.conn, message.Message{Kind: message.Done, Era: m.Era, Request: m.Request, Status: status})
		return
	}
	if m.Layer == 0 {
		r.forgetRotten(block.Range{First: m.Chunk.First(), Count: block.PerChunk})
	}
}

func (r *Replica) onResyncEnd(now step.Time, l *link, m *message.Message, out *step.Effects) {
	r.unpin(now, l, out)
	if r.refuseOtherResync(l, m, out) {
		return
	}
	if r.live == nil {
		out.Send(l.conn, message.Message{Kind: message.Done, Era: m.Era, Request: m.Request, Status: message.WrongState})
		return
	}
	r.store.SetStable(now, r.handle, m.Stable, out)
	if info, known := r.store.Info(r.handle); known && info.Stable < r.hidden {
		out.Send(l.conn, message.Message{Kind: message.Done, Era: m.Era, Request: m.Request, Status: message.BehindSeq})
		return // what hid the rest of a push may still be taken back
	}
	r.meta.Complete, r.meta.Resync, r.meta.SyncTarget = true, 0, block.Position{}
	r.live = nil
	r.setMeta(now, request{conn: l.conn, request: m.Request, kind: m.Kind, era: m.Era}, out)
}

// noteLive remembers what the live stream wrote, so that pushes leave it alone.
func (r *Replica) noteLive(rec *message.Record, snapshot bool) {
	if snapshot {
		r.noteSnapshot(rec.Layer)
		return
	}
	rng := rec.Range
	for b := rng.First; b < rng.End(); {
		c := b.Chunk()
		end := min(rng.End(), c.First()+block.PerChunk)
		r.live[layerChunk{0, c}] |= maskOf(b.Offset(), int(end-b))
		b = end
	}
}

// maskOf returns count set bits from bit offset on; offset+count ≤ 16.
func maskOf(offset, count int) uint16 {
	return uint16((uint32(1)<<count - 1) << offset)
}
