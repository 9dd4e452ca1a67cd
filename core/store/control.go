package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// Image names what a new replica begins with: the snapshot Layer that the
// replica From has. The zero Image is an empty one.
type Image struct {
	From  Handle
	Layer block.LayerID
}

// Create makes a replica that is empty, or a clone of an image no larger than
// it is; it takes part in the journal at once. Result: RecordDone. BehindSeq: the
// image is not stable here yet.
func (s *Store) Create(now step.Time, replica block.ReplicaID, vol block.VolumeID, blocks uint64, image Image, meta Meta, token uint64, out *step.Effects) (Handle, message.Status) {
	s.now = max(s.now, now)
	if s.phase != phaseOpen {
		return 0, failedStatus
	}
	for _, r := range s.replicas {
		if r.id == replica && !r.gone {
			return 0, message.WrongState
		}
	}
	under, st := s.imageOf(image, blocks)
	if st != message.OK {
		return 0, st
	}
	if s.slots.Free() < s.need()+s.reserve()+1 {
		return 0, message.NoSpace
	}
	r := s.addReplica(s.nextHandle, replica, vol, blocks, meta)
	r.head = s.newLayer(r, blocks, under)
	r.born = ^uint64(0) // until its record is accepted
	rec := format.Record{Kind: format.Create, Replica: replica, Volume: vol, Blocks: blocks, Meta: format.Meta(meta)}
	if under != nil {
		rec.From, rec.Layer = uint32(image.From), image.Layer
		s.byHandle[rec.From].clones++
	}
	s.enqueue(r, rec, block.Buffer{}, token)
	s.pump(out)
	return Handle(r.handle), message.OK
}

// imageOf returns the layer that a clone stands on.
func (s *Store) imageOf(image Image, blocks uint64) (*layer, message.Status) {
	if image == (Image{}) {
		return nil, message.OK
	}
	from := s.replica(image.From)
	if from == nil {
		return nil, message.NoReplica
	}
	l := from.find(image.Layer)
	switch {
	case image.Layer == 0 || l == nil || l.deleted || from.fenced || l.blocks > blocks:
		return nil, message.WrongState
	case !l.shut:
		return nil, message.BehindSeq
	}
	if all, _ := l.depth(); all+1 >= layersMax {
		return nil, message.NoSpace
	}
	return l, message.OK
}

// Delete removes a replica and frees its space. Result: RecordDone.
func (s *Store) Delete(now step.Time, h Handle, token uint64, out *step.Effects) {
	if r := s.control(now, h); r != nil {
		r.gone, r.fenced = true, true
		r.shrinking++
		s.enqueue(r, format.Record{Kind: format.Delete}, block.Buffer{}, token)
		s.pump(out)
	}
}

// SetMeta replaces what h remembers. Result: RecordDone; everything appended to
// h before it is accepted and durable by then.
func (s *Store) SetMeta(now step.Time, h Handle, meta Meta, token uint64, out *step.Effects) {
	if r := s.control(now, h); r != nil {
		s.enqueue(r, format.Record{Kind: format.Config, Meta: format.Meta(meta)}, block.Buffer{}, token)
		s.pump(out)
	}
}

// Rewind drops the records of h that are not stable and replaces what it
// remembers: the start of a resync of what changed. Its content stays what the
// stream made it up to there, and what an earlier resync brought. It returns the
// last seq that is left. Result: RecordDone.
func (s *Store) Rewind(now step.Time, h Handle, meta Meta, token uint64, out *step.Effects) (left block.Seq) {
	r := s.control(now, h)
	if r == nil {
		return 0
	}
	left = max(r.base.Seq, min(r.stable, r.appended.Seq))
	if left < r.appended.Seq {
		out.Marks.Hit("store: rewound to what is stable")
		s.cut(r, r.appended.Era+1, left, 0) // whatever their era
	}
	s.SetMeta(now, h, meta, token, out)
	return left
}

// Reset drops all content and records of h, as if it had just been created with
// meta and that many blocks, or as many as it has if that is 0: the start of a full
// resync. Result: RecordDone.
func (s *Store) Reset(now step.Time, h Handle, blocks uint64, meta Meta, token uint64, out *step.Effects) {
	if r := s.control(now, h); r != nil {
		r.fenced, r.damaged = true, false
		r.shrinking++
		r.appended, r.stable = block.Position{}, 0
		r.resets++
		s.enqueue(r, format.Record{Kind: format.Reset, Range: block.Range{First: block.Block(blocks)}, Meta: format.Meta(meta)}, block.Buffer{}, token)
		s.pump(out)
	}
}

// Continue makes at the last accepted position of h: the next Append is
// at.Seq+1. Only for a target of a resync, whose records below at never arrive.
// Result: RecordDone.
func (s *Store) Continue(now step.Time, h Handle, at block.Position, meta Meta, token uint64, out *step.Effects) {
	if r := s.control(now, h); r != nil {
		r.appended = at
		s.enqueue(r, format.Record{Kind: format.Continue, Position: at, Meta: format.Meta(meta)}, block.Buffer{}, token)
		s.pump(out)
	}
}

// control returns the replica that a control record is for.
func (s *Store) control(now step.Time, h Handle) *replica {
	s.now = max(s.now, now)
	return s.replica(h)
}

// SetStable tells that every required member has h's records durable up to seq:
// they may take effect at home. It never goes back.
func (s *Store) SetStable(now step.Time, h Handle, seq block.Seq, out *step.Effects) {
	r := s.control(now, h)
	if r == nil {
		return
	}
	seq = min(seq, r.appended.Seq) // a later era may begin before what it was told of arrives
	if seq <= r.stable {
		return
	}
	r.stable = seq
	s.noteStable(r)
	s.pump(out)
}

// noteStable lists r for the next seal.
func (s *Store) noteStable(r *replica) {
	if r.journalable() > r.journaled && !r.stableDue {
		r.stableDue = true
		s.journal.stableDue = append(s.journal.stableDue, r.handle)
	}
}

// Truncate drops the records of h above to that were written in an era below
// era. Result: RecordDone. BelowStable: nothing was changed, h needs a resync.
func (s *Store) Truncate(now step.Time, h Handle, era block.Epoch, to block.Seq, token uint64, out *step.Effects) message.Status {
	r := s.control(now, h)
	if r == nil {
		return s.refusal()
	}
	if to < min(r.stable, r.appended.Seq) || to < r.base.Seq {
		return message.BelowStable
	}
	s.cut(r, era, to, token)
	s.pump(out)
	return message.OK
}

// cut queues a Truncate.
func (s *Store) cut(r *replica, era block.Epoch, to block.Seq, token uint64) {
	if to < r.appended.Seq && r.appended.Era < era {
		r.appended = s.positionAt(r, to)
	}
	if r.cuts == 0 || r.appended.Seq < r.cutAt.Seq {
		r.cutAt = r.appended
	}
	r.cuts++
	s.enqueue(r, format.Record{Kind: format.Truncate, Position: block.Position{Era: era, Seq: to}}, block.Buffer{}, token)
}

// positionAt returns the position of the appended record of r with that seq.
// Records below base may still be there, of a stream that was continued since.
func (s *Store) positionAt(r *replica, seq block.Seq) block.Position {
	at := r.base
	for _, rec := range r.records {
		if rec.inStream() && rec.Position.Seq > r.base.Seq && rec.Position.Seq <= seq {
			at = rec.Position
		}
	}
	look := func(i int32) {
		if rec := &s.queue.ops[i].record; rec.Handle == r.handle && rec.InStream() && rec.Position.Seq <= seq {
			at = rec.Position
		}
	}
	for _, b := range s.journal.flight {
		for _, i := range b.ops {
			look(i)
		}
	}
	for i := r.ops.head; i >= 0; i = s.queue.ops[i].next {
		look(i)
	}
	return at
}
