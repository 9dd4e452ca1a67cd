package sim

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// recordKey names a record for ever.
type recordKey struct {
	volume block.VolumeID
	at     block.Position
}

// observe looks at a message about to leave: a record's position stands for
// one operation, whoever sends it and whenever (I4).
func (w *World) observe(s *shard, m *step.Send) {
	switch m.Message.Kind {
	case message.Ack:
		w.noteCounted(s, m)
		if w.plan.Full {
			w.noteAccepted(s, m)
		}
	case message.Promise:
		w.noteCounted(s, m)
		w.checkPromise(s, m)
		if w.plan.Full {
			w.takeBack(s, m)
		}
	case message.Read:
		w.checkAsked(s, m)
	default:
	}
	w.observeLoss(s, m)
	if m.Message.Kind == message.Push {
		w.counts.Copied++
	}
	if m.Message.Kind == message.Push && m.Message.LastSeq > m.Message.Stable {
		w.fail("I9", "%s copies chunk %d with operation %d, while only those up to %d are decided for good", s, m.Message.Chunk, m.Message.LastSeq, m.Message.Stable)
	}
	if m.Message.Kind != message.Append && m.Message.Kind != message.Tail {
		return
	}
	c, _ := s.peer(m.Conn)
	if c == nil {
		return
	}
	r := &m.Message.Record
	if r.Position.Seq == 0 {
		w.fail("I4", "%s sends a record without a position", s)
	}
	if v := w.volume(c.hello.Volume); v != nil { // nobody looks after short-lived ones
		if b, begun := v.began[r.Position.Era]; !begun || r.Position.Seq < b.first {
			w.fail("I4", "%s sends record %v of %s, of an era that no configuration says has begun there", s, r.Position, v.name)
		}
	}
	var d digest
	d.add(uint64(r.Op))
	d.add(uint64(r.Range.First)<<32 | uint64(r.Range.Count))
	d.add(uint64(r.Layer))
	d.add(uint64(r.Parent))
	d.add(r.Blocks)
	d.add(uint64(block.ChecksumOf(m.Message.Payload.Bytes())))
	key := recordKey{volume: c.hello.Volume, at: r.Position}
	before, known := w.records[key]
	if !known || before != d && w.takenBack(key, r) {
		w.records[key] = d
	} else if before != d {
		w.fail("I4", "%s sends another operation as record %v of %s than was sent before", s, r.Position, w.volume(key.volume).name)
	}
	if v := w.volume(key.volume); v != nil && w.plan.Snapshots > 0 {
		v.images.hear(r)
	}
	if r.Op == message.OpWrite && m.Message.Kind == message.Append {
		w.place(c.hello.Volume, r.Position, m.Message.Payload.Bytes())
	}
	if m.Message.Kind == message.Append && m.Message.Stable > r.Position.Seq {
		w.counts.StableAhead++
	}
}

// place notes where in the volume's stream a client's write stands. What it wrote
// may come once more behind that: in place of a copy that was damaged.
func (w *World) place(id block.VolumeID, at block.Position, data []byte) {
	v := w.volume(id)
	q := v.writes[valueOf(data)]
	if q != nil && q.at == (block.Position{}) && at.Era >= q.era {
		if q.at = at; q.era == 0 {
			q.history.Place(q.op, at)
		}
	}
}

// acknowledged takes note of an acknowledged write or flush. What a flush, or a
// write with FUA, promises is looked for, now and then, on the disks themselves:
// every member in sync has it after any crash at this moment (I1).
func (w *World) acknowledged(q *request) {
	v := q.client.volume
	if q.kind == step.WriteRequest {
		v.wrote++
	}
	if q.losses != v.losses {
		return
	}
	floor := q.floor
	if q.kind == step.WriteRequest {
		w.checkCounted(q)
		v.acked = max(v.acked, q.at.Seq)
		floor = q.at.Seq
	}
	if q.kind == step.FlushRequest && v.whole(nil, 0) {
		v.lossEpoch = 0 // everything is durable on a copy recorded since: there was nothing to lose
	}
	if q.kind != step.FlushRequest && !q.fua || floor == 0 {
		return
	}
	for _, strike := range w.onFlush {
		w.after(0, callFault, strike)
	}
	w.onFlush = nil
	if !w.probes.oneIn(w.plan.ProbeOneIn) {
		return
	}
	w.counts.Probes++
	for i := range v.config.Members {
		m := &v.config.Members[i]
		if state := v.member(m.Replica); m.State != volume.InSync || state.wounded || state.gone {
			continue
		}
		d := w.bodyOf(m.Node).drives[0]
		if d.damaged {
			continue // what rots before a header calls it durable looks like a torn end
		}
		if last := w.lastAfterLoss(d, m.Replica); last < floor {
			w.fail("I1", "a flush of %s up to %d is acknowledged; if %s lost power now it would come back with %d", v.name, floor, w.bodyOf(m.Node).name, last)
		}
	}
}

// hashEffects adds what a step wants done to the hash of the run.
func (w *World) hashEffects(s *shard, out *step.Effects) {
	h := &w.hash
	h.add(uint64(s.body.index)<<8 | uint64(s.kind))
	for i := range out.Dials {
		d := &out.Dials[i]
		h.add(uint64(d.Conn))
		h.add(uint64(d.Hello.Session) ^ d.Hello.Number)
	}
	for i := range out.Sends {
		h.add(uint64(out.Sends[i].Conn))
		hashMessage(h, &out.Sends[i].Message)
	}
	for _, c := range out.Closes {
		h.add(uint64(c))
	}
	for i := range out.Disk {
		op := &out.Disk[i]
		h.add(uint64(op.Kind)<<56 ^ uint64(op.Offset))
		h.add(uint64(op.Tag.Slot)<<32 | uint64(op.Tag.Generation))
		for _, p := range op.Pieces {
			h.add(uint64(p.Len()))
			if op.Kind == step.DiskWrite {
				h.add(uint64(block.ChecksumOf(p.Bytes())))
			}
		}
	}
	for i := range out.Timers {
		h.add(uint64(out.Timers[i].At))
		h.add(uint64(out.Timers[i].Tag.Slot)<<32 | uint64(out.Timers[i].Tag.Generation))
	}
	for i := range out.Transactions {
		t := &out.Transactions[i].Txn
		for _, g := range t.Guards {
			h.text(g.Key)
			h.add(uint64(g.Revision))
		}
		for _, o := range t.Ops {
			h.text(o.Key)
			h.add(uint64(block.ChecksumOf(o.Value)))
		}
	}
	for i := range out.Completions {
		c := &out.Completions[i]
		h.add(c.ID<<8 | uint64(c.Error))
		h.add(uint64(block.ChecksumOf(c.Payload.Bytes())))
	}
	for i := range out.Controls {
		c := &out.Controls[i]
		h.add(uint64(c.Kind)<<32 ^ uint64(c.Session))
		h.text(c.Text)
	}
	for i := range out.Events {
		h.text(string(out.Events[i].Kind))
		h.text(out.Events[i].Text)
	}
}

func hashMessage(h *digest, m *message.Message) {
	h.add(uint64(m.Kind)<<8 | uint64(m.Status))
	h.add(uint64(m.Era))
	h.add(m.Request)
	h.add(uint64(m.Seq))
	h.add(uint64(m.Committed)<<32 ^ uint64(m.Stable))
	h.add(uint64(m.Accepted)<<32 ^ uint64(m.Durable))
	h.add(uint64(m.Duration))
	h.add(uint64(m.Position.Era)<<32 ^ uint64(m.Position.Seq))
	h.add(uint64(m.Range.First)<<32 ^ uint64(m.Range.Count))
	h.add(uint64(m.Record.Position.Era)<<32 ^ uint64(m.Record.Position.Seq))
	h.add(uint64(m.Record.Op)<<32 ^ uint64(m.Record.Range.First)<<8 ^ uint64(m.Record.Range.Count))
	h.add(uint64(m.Record.Layer) ^ uint64(m.Record.Parent)<<1 ^ uint64(m.Layer)<<2)
	h.add(uint64(m.Chunk)<<32 ^ uint64(m.LastSeq))
	h.add(m.Resync ^ m.Cursor<<20 ^ uint64(m.Since)<<40)
	h.add(uint64(m.Present)<<16 | uint64(m.Zero))
	for _, c := range m.Changes {
		h.add(uint64(c.Chunk)<<32 ^ uint64(c.LastSeq))
	}
	for i := range m.Layers {
		h.add(uint64(m.Layers[i].ID) ^ uint64(m.Layers[i].Parent)<<1)
	}
	if p := m.Promise; p != nil {
		h.add(uint64(p.Incarnation))
		h.add(uint64(p.LastAccepted.Era)<<32 ^ uint64(p.LastAccepted.Seq))
		h.add(uint64(p.GrantRemaining))
	}
	if !m.Payload.Empty() {
		h.add(uint64(block.ChecksumOf(m.Payload.Bytes())))
	}
}
