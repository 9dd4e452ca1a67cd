package store

import (
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// replay enters the parked records and those of the journal into memory and
// sets the journal up behind its last batch.
func (s *Store) replay(out *step.Effects) {
	o := s.opening
	for i := range o.parked {
		s.replayParked(&o.parked[i], out)
	}
	j, sc := &s.journal, &o.scan
	end := mark{batch: s.super.Journal.TailBatch - 1, position: s.super.Journal.Tail, crc: s.super.Journal.TailPrev}
	j.tail, j.sealed = end.position, end
	for i := range sc.batches {
		b := &sc.batches[i]
		end = b.end
		if b.end.batch <= sc.durable {
			j.sealed = end
		}
		s.replayBatch(b, out)
		if s.phase == phaseFailed {
			return
		}
	}
	s.judgeReplicas(out)
	if int64(end.position-j.tail) >= s.super.Journal.Length {
		s.fail(out, "disk %v: the journal's end lies beyond its start: the pool's metadata is corrupt; format the disk, its replicas are made anew from the others", s.super.Disk)
		return
	}
	j.head, j.next, j.prev, j.accepted = end.position, end.batch+1, end.crc, end.batch
	j.newest, j.barrier = end.batch, end.batch
	s.ckpt.cut = mark{batch: s.super.Journal.TailBatch - 1}
	for _, r := range s.replicas {
		r.settle(j.sealed.batch)
	}
}

// replayParked enters a parked record; its slots are in the bitmap already.
func (s *Store) replayParked(p *format.Parked, out *step.Effects) {
	r := s.byHandle[p.Record.Handle]
	if r == nil || r.torn && p.Record.Position.Seq != r.last.Seq+1 {
		return
	}
	last := r.last
	if r.torn { // records up to the first lost page still count
		last = p.Record.Position
	}
	s.applyStream(r, &p.Record, applied{at: p.At, bad: p.Bad, reserve: p.Record.Kind == format.Write, replay: true}, out)
	r.last = last
	if p.At != 0 && p.Record.Kind == format.Write {
		s.parked[s.slotAt(p.At)]++
	}
}

func (s *Store) replayBatch(b *scanned, out *step.Effects) {
	at := s.ringAddress(b.start) + int64(b.header.Pages*format.PageSize)
	keep := s.journal.newBatch()
	keep.header, keep.position = b.header, b.start
	s.journal.accepted = b.end.batch
	s.eachRecord(b, func(n int, rec *format.Record) {
		a := applied{batch: b.end.batch, at: at, reserve: rec.DataBlocks() > 0, replay: true}
		for _, bad := range b.bad {
			if bad.record == n {
				a.bad |= 1 << bad.bit
			}
		}
		at += int64(rec.DataBlocks() * s.blockSize)
		s.apply(rec, a, out)
		if rec.Handle == 0 {
			return
		}
		noted := keep.note(rec.Handle)
		if r := s.byHandle[rec.Handle]; r != nil && rec.Counted() {
			noted.controls++
			if b.end.batch <= s.journal.sealed.batch {
				r.rootedControls = r.controls
			}
		}
	})
	if b.end.batch > s.journal.sealed.batch {
		s.journal.unsealed = append(s.journal.unsealed, keep)
	}
}

// countControl counts a record outside the stream. One that is missing leaves
// a gap like a missing seq does: a promise or a truncation may be lost, and
// nothing behind it may take effect as if nothing were (rule 10).
func (s *Store) countControl(r *replica, rec *format.Record, out *step.Effects) {
	if rec.Controls != r.controls {
		out.Marks.Hit("store: replica cut at a lost control record")
		r.cutOff, r.damaged = true, true
		r.controls = rec.Controls
	}
	if rec.Counted() {
		r.controls++
	}
}

// mayReplay reports whether a stream record takes part, and claims the slot of
// a MAP. Behind a gap none does: the replica is cut there (rule 10).
func (s *Store) mayReplay(r *replica, rec *format.Record, out *step.Effects) bool {
	if r.cutOff {
		return false
	}
	if anySeq && rec.Position.Era == r.last.Era {
		return s.claimSlot(rec, out)
	}
	if rec.Position.Seq <= r.last.Seq {
		if rec.Position.Era <= r.last.Era {
			return false // the same record again
		}
		out.Marks.Hit("store: record of a newer era replaces older ones")
		s.applyTruncate(r, rec.Position.Era, rec.Position.Seq-1)
	}
	if rec.Position.Seq != r.last.Seq+1 {
		out.Marks.Hit("store: replica cut at a gap")
		r.cutOff, r.damaged = true, true
		return false
	}
	return s.claimSlot(rec, out)
}

// claimSlot takes the slot of a record that has one.
func (s *Store) claimSlot(rec *format.Record, out *step.Effects) bool {
	if rec.Slot != 0 && !s.slots.Claim(rec.Slot) {
		s.fail(out, "disk %v: slot %d has two owners: the pool's metadata is corrupt; format the disk, its replicas are made anew from the others", s.super.Disk, rec.Slot)
		return false
	}
	return true
}

// judgeReplicas marks the replicas that holes in the journal may have cost
// records: those whose stream has nothing behind the last of them that proves the
// contrary.
func (s *Store) judgeReplicas(out *step.Effects) {
	sc := &s.opening.scan
	if !sc.damaged {
		return
	}
	hole, last := uint64(0), s.super.Journal.TailBatch-1
	for i := range sc.batches {
		if at := sc.batches[i].end.batch; at != last+1 {
			hole = at - 1
		}
		last = sc.batches[i].end.batch
	}
	if hole == 0 { // only the chain broke: nobody knows where
		hole = last
	}
	for _, r := range s.replicas {
		newest := uint64(0)
		for _, rec := range r.records {
			if rec.inStream() {
				newest = max(newest, rec.Batch)
			}
		}
		if sc.endLost || newest <= hole {
			out.Marks.Hit("store: replica damaged by a hole in the journal")
			r.damaged = true
		}
	}
}
