package store

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// applied says where an accepted record is.
type applied struct {
	batch   uint64 // 0: parked
	at      int64  // device address of its data
	reserve bool   // a slot is promised to it
	bad     uint16 // blocks of its chunk whose data was lost
	replay  bool   // recovery does it
}

// apply lets an accepted record take effect in memory. Acceptance and recovery
// both come through here, so that what is replayed is what was.
func (s *Store) apply(rec *format.Record, a applied, out *step.Effects) {
	r := s.byHandle[rec.Handle]
	if rec.Kind == format.Create {
		s.applyCreate(r, rec, a)
		return
	}
	if r == nil {
		return // deleted meanwhile (rule 19)
	}
	if !a.replay && shrinks(rec.Kind) {
		r.shrinking--
	}
	if a.replay {
		r.stable = max(r.stable, rec.Stable)
		r.journaled, r.homeable = r.stable, r.stable
	}
	switch rec.Kind {
	case format.Write, format.Map, format.ZeroRange, format.Nop:
		if a.replay && !s.mayReplay(r, rec, out) {
			return
		}
		s.applyStream(r, rec, a, out)
	case format.Truncate:
		s.applyTruncate(r, rec.Position.Era, rec.Position.Seq)
	case format.Config:
		s.applyMeta(r, Meta(rec.Meta), a)
	case format.Delete:
		s.applyReset(r)
		s.removeReplica(r)
	case format.Reset:
		s.applyReset(r)
		s.applyMeta(r, Meta(rec.Meta), a)
		if a.replay {
			r.stable, r.damaged, r.cutOff = 0, false, false
		} else {
			r.resets--
			s.noteStable(r)
		}
	case format.Continue:
		r.base, r.last = rec.Position, rec.Position
		s.applyMeta(r, Meta(rec.Meta), a)
	case format.Resync:
		if !a.replay || !r.cutOff && s.claimSlot(rec, out) {
			s.applyPush(r, rec, a)
		}
	default: // Stable, Wrap: said all that they say
	}
}

func (s *Store) applyCreate(r *replica, rec *format.Record, a applied) {
	if r == nil {
		if !a.replay {
			return
		}
		r = s.addReplica(rec.Handle, rec.Replica, rec.Volume, rec.Blocks, Meta(rec.Meta))
	}
	r.born = a.batch
}

func (s *Store) applyMeta(r *replica, meta Meta, a applied) {
	r.meta = meta
	r.metas = append(r.metas, pendingMeta{batch: a.batch, meta: meta})
}

// remember puts an accepted record on its replica's list.
func (s *Store) remember(r *replica, rec *format.Record, a applied) {
	n := rec.DataBlocks()
	if a.batch == 0 {
		n = 0
	}
	s.journal.records++
	s.journal.blocks += n
	r.records = append(r.records, record{
		Position: rec.Position, Batch: a.batch, Kind: rec.Kind, FUA: rec.FUA, Range: rec.Range, Blocks: uint8(n),
	})
}

func (s *Store) applyStream(r *replica, rec *format.Record, a applied, out *step.Effects) {
	r.last = rec.Position
	s.remember(r, rec, a)
	v := index.Version{Position: rec.Position, LastSeq: rec.Position.Seq, Batch: a.batch, At: a.at, Bad: a.bad}
	switch rec.Kind {
	case format.ZeroRange:
		v.Kind = index.Zeroed
		for c := rec.Range.First.Chunk(); c.First() < rec.Range.End(); c++ {
			v.Mask = maskIn(c, rec.Range)
			s.index.Add(s.index.Ensure(index.Key{Handle: r.handle, Chunk: c}), v, nil)
		}
	case format.Map:
		out.Marks.Hit("store: MAP")
		v.Kind, v.Mask, v.Slot, v.At = index.Mapped, 0xffff, rec.Slot, s.slotAddress(rec.Slot)
		s.addVersion(r, rec, v, a)
	case format.Write:
		v.Kind, v.Mask = index.Data, rec.Holds()
		s.addVersion(r, rec, v, a)
	default:
	}
}

func (s *Store) addVersion(r *replica, rec *format.Record, v index.Version, a applied) {
	c := s.index.Ensure(index.Key{Handle: r.handle, Chunk: rec.Range.First.Chunk()})
	if a.reserve && !s.index.Chunk(c).Reserved {
		s.index.Chunk(c).Reserved = true
		s.journal.reserved++
	}
	s.index.Add(c, v, &rec.Sums)
}

// maskIn returns the blocks of c that lie in r.
func maskIn(c block.Chunk, r block.Range) uint16 {
	first, end := max(c.First(), r.First), min((c+1).First(), r.End())
	return uint16((uint32(1)<<(end-first) - 1) << first.Offset())
}

// applyPush takes over a chunk's content from the source of a resync.
func (s *Store) applyPush(r *replica, rec *format.Record, a applied) {
	s.remember(r, rec, a)
	v := index.Version{LastSeq: rec.LastSeq, Batch: a.batch, At: a.at, Bad: a.bad}
	if mask := rec.Apply & rec.Present; mask != 0 {
		v.Kind, v.Mask, v.Slot = index.Data, mask, rec.Slot
		if rec.Slot != 0 {
			v.Kind, v.At = index.Mapped, s.slotAddress(rec.Slot)
		}
		s.addVersion(r, rec, v, a)
	}
	v.Slot, v.Bad = 0, 0
	c := s.index.Ensure(index.Key{Handle: r.handle, Chunk: rec.Range.First.Chunk()})
	if mask := rec.Apply & rec.Zero; mask != 0 {
		v.Kind, v.Mask = index.Zeroed, mask
		s.index.Add(c, v, nil)
	}
	if mask := rec.Apply &^ rec.Present &^ rec.Zero; mask != 0 {
		v.Kind, v.Mask = index.Cleared, mask
		s.index.Add(c, v, nil)
	}
	if s.index.Chunk(c).Newest == index.None {
		s.index.Forget(c)
	}
}

// applyTruncate drops r's records above to that are of an older era (rule 5).
func (s *Store) applyTruncate(r *replica, era block.Epoch, to block.Seq) {
	dropped := false
	for i := len(r.records) - 1; i >= 0; i-- {
		rec := r.records[i]
		if rec.Kind == format.Resync {
			continue
		}
		if rec.Position.Seq <= to || rec.Position.Era >= era {
			break
		}
		s.forgetRecord(r, &rec)
		r.records = slices.Delete(r.records, i, i+1)
		r.cursor = min(r.cursor, i)
		dropped = true
	}
	if !dropped {
		return
	}
	r.last = r.base
	for _, rec := range r.records {
		if rec.Kind != format.Resync && r.last.Seq < rec.Position.Seq {
			r.last = rec.Position
		}
	}
	r.durable, r.want = min(r.durable, to), min(r.want, to)
	s.clampNotes(r.handle, to, false)
}

// clampNotes keeps accepted batches from reporting dropped records as durable.
func (s *Store) clampNotes(handle uint32, to block.Seq, all bool) {
	for _, b := range s.journal.unsealed {
		for i := range b.notes {
			if n := &b.notes[i]; n.handle == handle {
				n.last = min(n.last, to)
				if all {
					n.stable, n.accepted = 0, false
				}
			}
		}
	}
}

// forgetRecord takes a record's versions out of the index.
func (s *Store) forgetRecord(r *replica, rec *record) {
	s.journal.records--
	s.journal.blocks -= int(rec.Blocks)
	for c := rec.Range.First.Chunk(); rec.Range.Count > 0 && c.First() < rec.Range.End(); c++ {
		i := s.index.Find(index.Key{Handle: r.handle, Chunk: c})
		if i == index.None {
			continue
		}
		for v := s.index.Chunk(i).Newest; v != index.None; v = s.index.Older(v) {
			if s.index.Version(v).Position == rec.Position {
				s.dropVersion(i, v)
				break
			}
		}
		s.tidyChunk(i)
	}
}

// dropVersion removes a version and ends the use of the slot that holds it.
func (s *Store) dropVersion(c, v int32) {
	version := s.index.Version(v)
	if version.Kind == index.Mapped {
		s.slots.Drop(version.Slot)
	}
	s.removeVersion(c, v)
}

// removeVersion removes a version whose own slot, if any, has a new owner.
func (s *Store) removeVersion(c, v int32) {
	version := s.index.Version(v)
	if version.Kind == index.Data && version.Batch == 0 {
		slot := s.slotAt(version.At)
		if s.parked[slot]--; s.parked[slot] == 0 {
			delete(s.parked, slot)
			s.slots.Drop(slot)
		}
	}
	s.index.Remove(c, v)
}

// tidyChunk forgets a chunk that has no versions left.
func (s *Store) tidyChunk(i int32) {
	c := s.index.Chunk(i)
	if c.Newest != index.None || c.Busy {
		return
	}
	if c.Reserved {
		s.journal.reserved--
	}
	s.index.Forget(i)
}

// applyReset empties r: its records, versions and tree go.
func (s *Store) applyReset(r *replica) {
	for i := s.index.First(r.handle); i != index.None; {
		next := s.index.Next(i)
		for v := s.index.Chunk(i).Newest; v != index.None; v = s.index.Chunk(i).Newest {
			s.dropVersion(i, v)
		}
		s.tidyChunk(i)
		i = next
	}
	for _, rec := range r.records {
		s.journal.records--
		s.journal.blocks -= int(rec.Blocks)
	}
	r.records, r.cursor = r.records[:0], 0
	if !r.tree.empty() {
		r.tree.dead = true
		s.dead = append(s.dead, r.tree)
	}
	r.tree = s.newTree(leavesOf(r.blocks))
	r.used, r.base, r.last, r.durable = 0, block.Position{}, block.Position{}, 0
	r.journaled, r.homeable, r.limit = 0, 0, 0
	r.fenced, r.want = false, 0
	s.clampNotes(r.handle, 0, true)
}
