package store

import (
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// gather takes waiting records into b, replica by replica in turn.
func (s *Store) gather(b *batch, out *step.Effects) {
	q := &s.queue
	dataRoom, controlRoom := s.room(false), s.room(true)
	kept, full := 0, false
	for n, r := range q.active {
		for !full && r.ops.head != index.None {
			o := &q.ops[r.ops.head]
			room := controlRoom
			if o.record.InStream() || o.record.Kind == format.Resync {
				room = dataRoom
			}
			if !s.mayEnter(r, o, out) {
				if o.soft && s.waitedInVain(o) && s.refuseLate(r, b) {
					out.Marks.Hit("store: append waited in vain for freed space")
					continue
				}
				break
			}
			switch s.fitsBatch(b, o, room) {
			case fitsNot:
				full = true
				continue
			case fitsRingNot:
				s.ckpt.wanted = true
				out.Marks.Hit("store: journal full")
			case fitsYes:
				if s.take(b, r) {
					continue
				}
			}
			break
		}
		if r.ops.head == index.None {
			r.active = false
			continue
		}
		if full && kept == 0 && n > 0 {
			q.active = append(q.active[n:], q.active[:n]...) // the rest has its turn first next time
			s.compactActive()
			return
		}
		q.active[kept] = r
		kept++
	}
	clear(q.active[kept:])
	q.active = q.active[:kept]
}

// compactActive drops replicas without operations from the list of the active.
func (s *Store) compactActive() {
	kept := s.queue.active[:0]
	for _, r := range s.queue.active {
		if r.active = r.ops.head != index.None; r.active {
			kept = append(kept, r)
		}
	}
	clear(s.queue.active[len(kept):])
	s.queue.active = kept
}

// mayEnter reports whether the state of the store lets o into the journal now.
func (s *Store) mayEnter(r *replica, o *op, out *step.Effects) bool {
	if barrier(o.record.Kind) && s.ckpt.phase >= ckptSeal {
		return false
	}
	if (o.record.Kind == format.Reset || o.record.Kind == format.Delete) && (r.homing > 0 || r.clones > 0) {
		return false // a clone of it is recorded first (rule 19)
	}
	if o.record.Kind == format.ZeroRange && s.crowded() {
		out.Marks.Hit("store: zero waits for others to go home")
		return false
	}
	if o.soft {
		if s.slots.Free() < s.needToEnter(o) {
			s.ckpt.wanted = true
			return false
		}
		s.queue.soften(o, false)
	}
	return true
}

type fit uint8

const (
	fitsYes fit = iota
	fitsNot
	fitsRingNot
)

func (s *Store) fitsBatch(b *batch, o *op, room int) fit {
	size, data := o.record.Size(), o.record.DataBlocks()*s.blockSize
	if b.header.Records > 0 && (b.header.Records >= s.limits.BatchRecords || b.bytes+data > s.batchBytes()) ||
		b.header.Bytes+size > format.RecordsRoom(format.HeaderPagesMax) {
		return fitsNot
	}
	if format.HeaderPagesMax*format.PageSize+pageUp(b.bytes+data) > room {
		return fitsRingNot
	}
	return fitsYes
}

// take moves the first operation of r into b. It reports whether the next one
// may follow into the same batch: none may behind a barrier, so that what a
// batch notes for a replica is of one side of it.
func (s *Store) take(b *batch, r *replica) (more bool) {
	i := s.dequeue(r)
	o := &s.queue.ops[i]
	s.queue.count(o, s.blockSize, -1)
	s.journal.inFlight(o, 1)
	r.enter(&o.record)
	if o.record.Kind == format.Create && o.record.From != 0 {
		s.byHandle[o.record.From].clones--
	}
	o.record.Stable = r.journalable()
	if r.resets > 0 {
		o.record.Stable = 0 // stable is already of the life after the Reset
	}
	o.record.Controls = r.controls
	s.encode(b, &o.record)
	b.bytes += o.record.DataBlocks() * s.blockSize
	b.ops = append(b.ops, i)
	n := b.note(r.handle)
	n.stable = o.record.Stable
	if o.record.Counted() {
		r.controls++
		n.controls++
	}
	r.journaled = max(r.journaled, o.record.Stable)
	switch {
	case o.record.InStream():
		n.accepted, n.last = true, o.record.Position.Seq
	case o.record.Kind == format.Resync:
	default:
		if o.record.Kind == format.Continue {
			n.last = o.record.Position.Seq
		}
		if o.token != 0 { // else what follows it tells its end, too
			b.done = append(b.done, done{handle: r.handle, token: o.token})
		}
		if barrier(o.record.Kind) {
			b.barrier = true
			return false
		}
	}
	return true
}

// enter notes that rec is the newest record of r in a batch.
func (r *replica) enter(rec *format.Record) {
	switch rec.Kind {
	case format.Truncate:
		r.entered = min(r.entered, rec.Position.Seq)
	case format.Reset:
		r.entered = 0
	case format.Continue:
		r.entered = rec.Position.Seq
	default:
		if rec.InStream() {
			r.entered = rec.Position.Seq
		}
	}
}

// inFlight keeps what o needs counted between the queue and the index.
func (j *journal) inFlight(o *op, sign int) {
	j.records += sign
	j.blocks += sign * o.record.DataBlocks()
	if o.reserve {
		j.reserved += sign
	}
}

func (s *Store) encode(b *batch, rec *format.Record) {
	if b.space == nil {
		b.space = s.journal.newSpace()
	}
	space := format.RecordSpace(b.space[:])
	b.header.Bytes += rec.Encode(space[b.header.Bytes:])
	b.header.Records++
}
