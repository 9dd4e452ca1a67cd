package storetest

import (
	"encoding/binary"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store"
)

// done returns what takes the RecordDone of the newest act of r.
func (m *Machine) done(r *replica, kind actKind) func(*store.Result) {
	token := m.tokens + 1
	return func(res *store.Result) {
		if res.Kind != store.RecordDone {
			m.fail("result %d instead of RecordDone for %v", res.Kind, kind)
			return
		}
		if m.faulty && !good(res.Status) {
			return
		}
		if !good(res.Status) {
			m.fail("%v of replica %x ended with status %d", kind, r.id[:2], res.Status)
			return
		}
		for i := len(r.log) - 1; i >= 0; i-- {
			if r.log[i].token == token {
				m.log("  %v done", kind)
				r.accepted = max(r.accepted, i+1)
				r.durable = max(r.durable, i+1)
				break
			}
		}
		if kind == actDelete {
			m.buried(r)
		}
		if kind == actCreate {
			m.handles[r.handle] = r.id
		}
	}
}

func (m *Machine) buried(r *replica) {
	m.gone[r.id] = true
	for i := range m.replicas {
		if m.replicas[i] == r {
			m.replicas[i] = nil
		}
	}
}

// Create makes a replica in a slot. Its identity is never used again.
func (m *Machine) Create(slot int, blocks uint64) message.Status {
	return m.create(slot, &replica{blocks: blocks, era: 1}, store.Image{})
}

// Clone makes a replica in a slot that begins with a snapshot of another.
func (m *Machine) Clone(slot, from int, id block.LayerID, more uint64) message.Status {
	origin := m.replicas[from]
	s := origin.after(len(origin.log)).strata
	r := &replica{blocks: origin.blocks + more, era: 1, pattern: origin.pattern, origin: s.image(id)}
	return m.create(slot, r, store.Image{From: origin.handle, Layer: id})
}

func (m *Machine) create(slot int, r *replica, image store.Image) message.Status {
	for len(m.replicas) <= slot {
		m.replicas = append(m.replicas, nil)
	}
	binary.BigEndian.PutUint64(r.id[:], m.tokens+1)
	r.id[15] = byte(slot)
	if r.origin == nil {
		r.pattern = r.id
	}
	r.volume = block.VolumeID{byte(slot), 7}
	meta := store.Meta{Complete: true, KnownEpoch: block.Epoch(m.tokens + 1)}
	token := m.token(m.done(r, actCreate))
	handle, status := m.store.Create(m.now, r.id, r.volume, r.blocks, image, meta, token, &m.out)
	m.log("create %d: replica %x, %d blocks of %+v: handle %d, status %d", slot, r.id[:8], r.blocks, image, handle, status)
	if good(status) {
		if id, used := m.handles[handle]; used && !m.faulty {
			m.fail("handle %d of replica %x was given again", handle, id[:2])
		}
		r.handle = handle
		r.push(act{kind: actCreate, token: token, meta: meta})
		m.replicas[slot] = r
	} else {
		delete(m.expected, token)
	}
	m.settle()
	return status
}

// Write appends the writing of a new stamp to count blocks.
func (m *Machine) Write(slot int, first block.Block, count uint32) message.Status {
	r := m.replicas[slot]
	s := m.tokens + 1
	m.tokens++
	data := m.content(r, block.Range{First: first, Count: count}, stamp(s))
	rec := message.Record{Op: message.OpWrite, Range: block.Range{First: first, Count: count}}
	rec.Checksums = block.ChecksumsOf(data.Bytes(), m.config.BlockSize)
	return m.append(r, rec, s, data)
}

// Zero appends the zeroing of count blocks.
func (m *Machine) Zero(slot int, first block.Block, count uint32) message.Status {
	rec := message.Record{Op: message.OpZero, Range: block.Range{First: first, Count: count}}
	return m.append(m.replicas[slot], rec, 0, block.Buffer{})
}

// Nop appends a record that changes nothing.
func (m *Machine) Nop(slot int) message.Status {
	return m.append(m.replicas[slot], message.Record{Op: message.OpNop}, 0, block.Buffer{})
}

// Replay appends the records that the last crash took once more, as a
// coordinator does from its window: the same positions, the same data.
func (m *Machine) Replay(slot int) {
	r := m.replicas[slot]
	for _, a := range r.lost {
		last := r.after(len(r.log)).last
		if a.kind != actRecord || a.record.Position.Seq != last.Seq+1 || a.record.Position.Era < last.Era {
			break
		}
		var data block.Buffer
		if a.record.Op == message.OpWrite {
			data = m.content(r, a.record.Range, stamp(a.stamp))
		}
		if m.appendAt(r, a.record, a.stamp, data) != message.OK {
			break
		}
	}
	r.lost = nil
}

func (m *Machine) append(r *replica, rec message.Record, s uint64, data block.Buffer) message.Status {
	last := r.after(len(r.log)).last
	rec.Position = block.Position{Era: max(r.era, last.Era), Seq: last.Seq + 1}
	return m.appendAt(r, rec, s, data)
}

func (m *Machine) appendAt(r *replica, rec message.Record, s uint64, data block.Buffer) message.Status {
	status := m.store.Append(m.now, r.handle, rec, data, &m.out)
	m.log("append %x %v op %d %v stamp %d: status %d", r.id[:8], rec.Position, rec.Op, rec.Range, s, status)
	if m.onStatus != nil {
		m.onStatus(status == message.NoSpace)
	}
	switch status {
	case message.OK:
		r.push(act{kind: actRecord, record: rec, stamp: s})
	case message.NoSpace:
		data.Release()
	default:
		data.Release()
		if r.damaged = m.damaged(r); m.stopped == "" && (!m.faulty || !r.damaged) {
			m.fail("append %v: status %d", rec.Position, status)
		}
	}
	m.settle()
	return status
}

// damaged asks the store whether r takes no records.
func (m *Machine) damaged(r *replica) bool {
	for _, info := range m.store.Replicas(nil) {
		if info.Handle == r.handle {
			return info.Damaged
		}
	}
	return false
}

func (m *Machine) content(r *replica, blocks block.Range, s stamp) block.Buffer {
	size := m.config.BlockSize
	data := pool{}.Get(int(blocks.Count) * size)
	for i := range int(blocks.Count) {
		s.fill(r.pattern, blocks.First+block.Block(i), data.Bytes()[i*size:(i+1)*size])
	}
	return data
}

// Sync asks for everything appended to be made durable.
func (m *Machine) Sync(slot int) {
	m.log("sync %d", slot)
	m.store.Sync(m.now, m.replicas[slot].handle, &m.out)
	m.settle()
}

// durableSeq returns the seq up to which the store said that r is durable, as far as
// nothing dropped it since.
func (r *replica) durableSeq() block.Seq {
	return min(r.after(r.durable).last.Seq, r.after(len(r.log)).last.Seq)
}

// Stable tells the store that everything is stable but the newest lag durable records.
func (m *Machine) Stable(slot int, lag block.Seq) {
	r := m.replicas[slot]
	seq := r.durableSeq()
	seq = min(max(r.stable, seq-min(lag, seq)), r.after(len(r.log)).last.Seq)
	if seq <= r.told {
		return
	}
	r.stable, r.told = seq, seq
	m.log("stable %d: %d", slot, seq)
	m.store.SetStable(m.now, r.handle, seq, &m.out)
	m.settle()
}

// StableAhead tells the store that every appended record is stable, as a target
// of a resync may hear it before its own sync.
func (m *Machine) StableAhead(slot int) {
	r := m.replicas[slot]
	if seq := r.after(len(r.log)).last.Seq; seq > r.told {
		r.stable, r.told = seq, seq
		m.log("stable ahead %d: %d", slot, r.stable)
		m.store.SetStable(m.now, r.handle, r.stable, &m.out)
		m.settle()
	}
}

// Meta replaces what the replica remembers by something new.
func (m *Machine) Meta(slot int) {
	r := m.replicas[slot]
	meta := r.after(len(r.log)).meta
	meta.KnownEpoch = block.Epoch(m.tokens + 1)
	meta.Promised++
	meta.Session = block.Session(m.tokens + 77)
	m.setMeta(r, meta)
}

func (m *Machine) setMeta(r *replica, meta store.Meta) {
	token := m.token(m.done(r, actMeta))
	r.push(act{kind: actMeta, token: token, meta: meta})
	m.log("meta %x: %+v", r.id[:8], meta)
	m.store.SetMeta(m.now, r.handle, meta, token, &m.out)
	m.settle()
}

// Truncate begins a new era and drops the newest back records, but none that is stable.
func (m *Machine) Truncate(slot int, back block.Seq) message.Status {
	r := m.replicas[slot]
	state := r.after(len(r.log))
	last := state.last
	to := max(last.Seq-min(back, last.Seq), r.stable, state.below.Seq)
	r.era = max(r.era, last.Era) + 1
	token := m.token(m.done(r, actTruncate))
	status := m.store.Truncate(m.now, r.handle, r.era, to, token, &m.out)
	m.log("truncate %d to %d in era %d: status %d", slot, to, r.era, status)
	if good(status) {
		r.push(act{kind: actTruncate, token: token, at: block.Position{Era: r.era, Seq: to}})
	} else {
		delete(m.expected, token)
		if m.stopped == "" {
			m.fail("truncate to %d, stable is %d: status %d", to, r.stable, status)
		}
	}
	m.settle()
	return status
}

// Reset empties the replica as the start of a resync does. A position that it had
// is never another record's: a new era begins.
func (m *Machine) Reset(slot int) {
	r := m.replicas[slot]
	state := r.after(len(r.log))
	r.era = max(r.era, state.last.Era) + 1
	meta := state.meta
	meta.Complete = false
	meta.Resync, meta.SyncTarget = m.tokens+1, block.Position{}
	token := m.token(m.done(r, actReset))
	r.push(act{kind: actReset, token: token, meta: meta, stable: r.stable})
	r.stable, r.told, r.damaged = 0, 0, false
	m.log("reset %d", slot)
	m.store.Reset(m.now, r.handle, 0, meta, token, &m.out)
	m.settle()
}

// Target makes the replica the target of a resync that brings only what changed,
// or ends that.
func (m *Machine) Target(slot int) {
	r := m.replicas[slot]
	s := r.after(len(r.log))
	meta := s.meta
	if meta.Complete = meta.Resync != 0; meta.Complete {
		meta.Resync, meta.SyncTarget = 0, block.Position{}
		m.setMeta(r, meta)
		return
	}
	if r.told < r.base.last.Seq {
		return // it would drop what the oracle forgot the content of
	}
	to := max(s.below.Seq, min(r.told, s.last.Seq))
	if to < s.last.Seq {
		r.era = max(r.era, s.last.Era) + 1
		r.push(act{kind: actTruncate, at: block.Position{Era: r.era, Seq: to}})
	}
	meta.Resync, meta.SyncTarget = m.tokens+1, block.Position{Era: r.era, Seq: to}
	token := m.token(m.done(r, actMeta))
	r.push(act{kind: actMeta, token: token, meta: meta})
	m.log("rewind %d to %d", slot, to)
	if left := m.store.Rewind(m.now, r.handle, meta, token, &m.out); left != to && m.stopped == "" {
		m.fail("rewound to %d, not to %d", left, to)
	}
	m.settle()
}

// Continue makes the stream of a replica under resync go on after seq.
func (m *Machine) Continue(slot int, seq block.Seq) {
	r := m.replicas[slot]
	meta := r.after(len(r.log)).meta
	meta.KnownEpoch = block.Epoch(m.tokens + 1)
	r.era++
	at := block.Position{Era: r.era, Seq: seq}
	token := m.token(m.done(r, actContinue))
	r.push(act{kind: actContinue, token: token, at: at, meta: meta, stable: r.stable})
	m.log("continue %d at %v", slot, at)
	m.store.Continue(m.now, r.handle, at, meta, token, &m.out)
	m.settle()
}

// Snap closes the head as a new snapshot; the volume goes on from there, or back
// to the snapshot parent.
func (m *Machine) Snap(slot int, parent block.LayerID) message.Status {
	m.tokens++
	return m.SnapAs(slot, block.LayerID(m.tokens), parent)
}

// SnapAs is Snap with an identity that may have been used before.
func (m *Machine) SnapAs(slot int, id, parent block.LayerID) message.Status {
	return m.append(m.replicas[slot], message.Record{Op: message.OpSnap, Layer: id, Parent: parent}, 0, block.Buffer{})
}

// DelSnap deletes a snapshot.
func (m *Machine) DelSnap(slot int, id block.LayerID) message.Status {
	return m.append(m.replicas[slot], message.Record{Op: message.OpDelSnap, Layer: id}, 0, block.Buffer{})
}

// OpenLayer closes the head of a target of a resync as a layer of its source.
func (m *Machine) OpenLayer(slot int, parent block.LayerID) {
	r := m.replicas[slot]
	id := block.LayerID(m.tokens + 1)
	token := m.token(m.done(r, actOpen))
	status := m.store.OpenLayer(m.now, r.handle, id, parent, block.Position{Era: 1, Seq: block.Seq(id)}, token, &m.out)
	m.log("open layer %d of %d on %d: status %d", id, slot, parent, status)
	if good(status) {
		r.push(act{kind: actOpen, token: token, layer: id, parent: parent})
	} else {
		delete(m.expected, token)
	}
	m.settle()
}

// DropLayer deletes a layer that the source does not have any more.
func (m *Machine) DropLayer(slot int, id block.LayerID) {
	r := m.replicas[slot]
	token := m.token(m.done(r, actDrop))
	r.push(act{kind: actDrop, token: token, layer: id})
	m.log("drop layer %d of %d", id, slot)
	if status := m.store.DropLayer(m.now, r.handle, id, token, &m.out); !good(status) {
		m.fail("drop layer %d: status %d", id, status)
	}
	m.settle()
}

// Push replaces the blocks in apply of a chunk of a layer: those in present get
// a new stamp, the others are zeroed or cleared.
func (m *Machine) Push(slot int, id block.LayerID, c block.Chunk, apply, present, zero uint16) message.Status {
	r := m.replicas[slot]
	s := m.tokens + 1
	token := m.token(func(res *store.Result) { m.pushed(r, s, res) })
	a := act{kind: actPush, token: token, stamp: s, layer: id, apply: apply}
	a.chunk = store.ChunkContent{Chunk: c, LastSeq: block.Seq(s), Present: present & apply, Zero: zero & apply &^ present}
	var payload block.Buffer
	if a.chunk.Present != 0 {
		payload = pool{}.Get(block.PerChunk * m.config.BlockSize)
		clear(payload.Bytes())
	}
	for i := range block.PerChunk {
		if a.chunk.Present&(1<<i) == 0 {
			continue
		}
		a.blocks[i] = stamp(s)
		data := payload.Bytes()[i*m.config.BlockSize : (i+1)*m.config.BlockSize]
		stamp(s).fill(r.pattern, c.First()+block.Block(i), data)
		a.chunk.Checksums[i] = block.ChecksumOf(data)
	}
	status := m.store.Push(m.now, r.handle, id, apply, a.chunk, payload, token, &m.out)
	m.log("push %d layer %d chunk %d apply %016b present %016b zero %016b stamp %d: status %d", slot, id, c, apply, present, zero, s, status)
	if good(status) {
		r.push(a)
	} else {
		delete(m.expected, token)
		payload.Release()
		if status != message.NoSpace && status != message.BehindSeq && m.stopped == "" {
			m.fail("push: status %d", status)
		}
	}
	m.settle()
	return status
}

func (m *Machine) pushed(r *replica, s uint64, res *store.Result) {
	if res.Kind == store.PushDone && res.Status == message.NoSpace {
		r.log = slices.DeleteFunc(r.log, func(a act) bool { return a.kind == actPush && a.stamp == s })
		return
	}
	if res.Kind != store.PushDone || !good(res.Status) {
		if !m.faulty {
			m.fail("push ended with result %d, status %d", res.Kind, res.Status)
		}
		return
	}
	for i := range r.log {
		if r.log[i].kind == actPush && r.log[i].stamp == s {
			r.accepted = max(r.accepted, i+1)
		}
	}
}

// Delete removes the replica.
func (m *Machine) Delete(slot int) {
	r := m.replicas[slot]
	token := m.token(m.done(r, actDelete))
	r.push(act{kind: actDelete, token: token})
	m.log("delete %d", slot)
	m.store.Delete(m.now, r.handle, token, &m.out)
	m.settle()
}
