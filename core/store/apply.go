package store

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
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
		s.countControl(r, rec, out)
		r.stable = max(r.stable, rec.Stable)
		r.journaled, r.homeable = r.stable, r.stable
	}
	switch rec.Kind {
	case format.Write, format.Map, format.ZeroRange, format.Nop, format.Snap, format.DelSnap, format.Resize:
		if a.replay && !s.mayReplay(r, rec, out) {
			return
		}
		s.applyStream(r, rec, a, out)
	case format.Open, format.Drop:
		if !a.replay || !r.cutOff {
			s.applyControlShape(r, rec, a)
		}
	case format.Truncate:
		s.applyTruncate(r, rec.Position.Era, rec.Position.Seq)
		if !a.replay {
			r.cuts--
			s.noteStable(r)
		}
	case format.Config:
		s.applyMeta(r, Meta(rec.Meta), a)
	case format.Delete:
		s.applyReset(r)
		for _, page := range r.pages {
			s.dropPage(page)
		}
		s.removeReplica(r)
	case format.Reset:
		s.applyReset(r)
		if first := uint64(rec.Range.First); first != 0 {
			r.blocks, r.grown = first, 0
		}
		r.head = s.newLayer(r, r.blocks, nil)
		r.head.born = r.in
		s.applyMeta(r, Meta(rec.Meta), a)
		if a.replay {
			r.stable, r.damaged, r.cutOff = 0, false, false
		} else {
			r.resets--
			s.noteStable(r)
		}
	case format.Continue:
		if !a.replay || !r.cutOff { // what it goes on from may be an emptying that is lost
			r.base, r.last = rec.Position, rec.Position
		}
		s.applyMeta(r, Meta(rec.Meta), a)
	case format.Grow:
		if !a.replay || !r.cutOff {
			r.grow(rec.Blocks)
		}
	case format.Resync:
		if !a.replay || !r.cutOff && r.knows(rec, out) && s.claimSlot(rec, out) {
			s.applyPush(r, rec, a, out)
		}
	default: // Stable, Wrap: said all that they say
	}
}

// knows reports whether the layer of a push that is replayed is there: only
// damage can have taken it, and cuts the replica.
func (r *replica) knows(rec *format.Record, out *step.Effects) bool {
	if r.find(rec.Layer) == nil {
		out.Marks.Hit("store: replica cut at a push into a lost layer")
		r.cutOff, r.damaged = true, true
	}
	return !r.cutOff
}

func (s *Store) applyCreate(r *replica, rec *format.Record, a applied) {
	if r == nil {
		if !a.replay {
			return
		}
		r = s.addReplica(rec.Handle, rec.Replica, rec.Volume, rec.Blocks, Meta(rec.Meta))
		r.head = s.newLayer(r, rec.Blocks, s.cloned(r, rec))
	}
	r.born = a.batch
}

// cloned finds the layer that the head of a replica being replayed stands on.
// It was stable when the replica was made.
func (s *Store) cloned(r *replica, rec *format.Record) *layer {
	if rec.From == 0 {
		return nil
	}
	var under *layer
	if from := s.byHandle[rec.From]; from != nil {
		under = from.find(rec.Layer)
	}
	if under == nil { // only damage can have taken it
		r.damaged, r.cutOff = true, true
		return nil
	}
	s.settleUpTo(under)
	return under
}

func (s *Store) applyMeta(r *replica, meta Meta, a applied) {
	r.meta = meta
	r.metas = append(r.metas, pendingMeta{batch: a.batch, meta: meta})
}

// remember puts an accepted record on its replica's list.
func (s *Store) remember(r *replica, rec *format.Record, l uint32, a applied) {
	n := rec.DataBlocks()
	if a.batch == 0 {
		n = 0
	}
	s.journal.records++
	s.journal.blocks += n
	r.records = append(r.records, record{
		Position: rec.Position, Batch: a.batch, Kind: rec.Kind, FUA: rec.FUA, Layer: l, Range: rec.Range, Blocks: uint8(n),
	})
}

func (s *Store) applyStream(r *replica, rec *format.Record, a applied, out *step.Effects) {
	r.last = rec.Position
	if rec.Kind == format.Snap || rec.Kind == format.DelSnap {
		s.applyShape(r, rec, a)
		return
	}
	if rec.Kind == format.Resize {
		s.applyResize(r, rec, a)
		return
	}
	l := r.head
	if tornCut && l.closes != nil && a.batch != 0 && r.records[len(r.records)-1].Batch == a.batch {
		out.Marks.Hit("mutant: torn cut")
		l = l.closes
	}
	s.remember(r, rec, l.number, a)
	v := index.Version{Position: rec.Position, LastSeq: rec.Position.Seq, Batch: a.batch, At: a.at, Bad: a.bad}
	switch rec.Kind {
	case format.ZeroRange:
		v.Kind = index.Zeroed
		for c := rec.Range.First.Chunk(); c.First() < rec.Range.End(); c++ {
			v.Mask = maskIn(c, rec.Range)
			s.index.Add(s.ensure(l, c), v, nil)
		}
	case format.Map:
		out.Marks.Hit("store: MAP")
		v.Kind, v.Mask, v.Slot, v.At = index.Mapped, 0xffff, rec.Slot, s.slotAddress(rec.Slot)
		s.addVersion(l, rec, v, a)
	case format.Write:
		v.Kind, v.Mask = index.Data, rec.Holds()
		s.addVersion(l, rec, v, a)
	default:
	}
}

func (s *Store) addVersion(l *layer, rec *format.Record, v index.Version, a applied) {
	c := s.ensure(l, rec.Range.First.Chunk())
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
func (s *Store) applyPush(r *replica, rec *format.Record, a applied, out *step.Effects) {
	l := r.find(rec.Layer)
	invariant.That(l != nil, "a layer stays while something is on its way into it")
	if !a.replay {
		l.pushes--
	}
	s.remember(r, rec, l.number, a)
	v := index.Version{LastSeq: rec.LastSeq, Batch: a.batch, At: a.at, Bad: a.bad}
	if mask := rec.Holds(); mask != 0 {
		v.Kind, v.Mask, v.Slot = index.Data, mask, rec.Slot
		if rec.Slot != 0 {
			v.Kind, v.At = index.Mapped, s.slotAddress(rec.Slot)
		}
		s.addVersion(l, rec, v, a)
	}
	v.Slot, v.Bad = 0, 0
	c := s.ensure(l, rec.Range.First.Chunk())
	if mask := rec.Apply & rec.Zero &^ rec.Present; mask != 0 {
		v.Kind, v.Mask = index.Zeroed, mask
		s.index.Add(c, v, nil)
	}
	if mask := rec.Apply & rec.Lost(); mask != 0 {
		if v.Kind, v.Mask = index.Lost, mask; madeUp {
			out.Marks.Hit("mutant: made up")
			v.Kind = index.Zeroed
		}
		s.index.Add(c, v, nil)
	}
	if mask := rec.Apply &^ rec.Present &^ rec.Zero; mask != 0 {
		v.Kind, v.Mask = index.Cleared, mask
		s.index.Add(c, v, nil)
		l.clears++
	}
	s.tidyChunk(c)
}

// applyTruncate drops r's records above to that are of an older era (rule 5).
func (s *Store) applyTruncate(r *replica, era block.Epoch, to block.Seq) {
	dropped := false
	for i := len(r.records) - 1; i >= 0; i-- {
		rec := r.records[i]
		if !rec.inStream() {
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
		if rec.inStream() && r.last.Seq < rec.Position.Seq {
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

// forgetRecord undoes a record: it takes its versions out of the index.
func (s *Store) forgetRecord(r *replica, rec *record) {
	s.journal.records--
	s.journal.blocks -= int(rec.Blocks)
	if rec.Kind == format.Snap || rec.Kind == format.DelSnap {
		s.undoShape(r, rec)
		return
	}
	if rec.Kind == format.Resize {
		r.undoResize()
		return
	}
	for c := rec.Range.First.Chunk(); rec.Range.Count > 0 && c.First() < rec.Range.End(); c++ {
		i := s.index.Find(index.Key{Layer: rec.Layer, Chunk: c})
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
	if version.Kind == index.Cleared {
		s.byNumber[s.index.Chunk(c).Key.Layer].clears--
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
	s.byNumber[c.Key.Layer].pending--
	s.index.Forget(i)
}

// applyReset takes away everything that r had: its records and its layers.
func (s *Store) applyReset(r *replica) {
	s.disown(r)
	for _, rec := range r.records {
		s.journal.records--
		s.journal.blocks -= int(rec.Blocks)
	}
	r.records, r.cursor = r.records[:0], 0
	r.base, r.last, r.durable = block.Position{}, block.Position{}, 0
	r.journaled, r.homeable, r.limit = 0, 0, 0
	r.fenced, r.want = false, 0
	s.clampNotes(r.handle, 0, true)
}
