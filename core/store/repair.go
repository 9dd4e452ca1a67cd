package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// What a snapshot has lost cannot be written anew by the stream, which writes to
// the head only. It gets the data back that another copy of the volume has, in
// the layer where the snapshot finds the block lost:
//
//	look as a read does ──▶ lost? read twice ──▶ data into the slot ──▶ descriptor
//
// It takes no record: nothing that is read is overwritten, and until a root has the
// new descriptor, the block is as lost as before. Nor does it change what a resync
// lists: the block holds what it held.

// repairPlan is a block that gets its data back.
type repairPlan struct {
	data  block.Buffer
	sum   block.Checksum
	layer *layer // where it is lost; nil: that is not known yet
	entry int32  // of its chunk in the index, once the job owns it
	slot  uint32 // that it is written to
}

// Repair gives a block of h's snapshot id its data back, if it is lost. Result:
// RepairDone. OK: it can be read; BehindSeq: it cannot be repaired now, for its
// layer is being merged or has records in the journal.
func (s *Store) Repair(now step.Time, h Handle, id block.LayerID, at block.Block, sum block.Checksum, data block.Buffer, token uint64, out *step.Effects) {
	s.now = max(s.now, now)
	r := s.replica(h)
	if r == nil || id == 0 || r.snapshot(id) == nil || uint64(at) >= r.blocks || data.Len() != s.blockSize || block.ChecksumOf(data.Bytes()) != sum {
		data.Release()
		s.refuse(RepairDone, r, h, token)
		return
	}
	i := s.newJob(jobRepair, r, token)
	j := s.jobs.table[i]
	j.top, j.chunk, j.first, j.count = r.snapshot(id), at.Chunk(), at.Offset(), 1
	j.buffer = s.params.Pool.Get(s.blockSize)
	j.repair = repairPlan{data: data, sum: sum}
	s.runRepair(i, out)
	s.pump(out)
}

// runRepair looks for the layer that has the block.
func (s *Store) runRepair(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	if s.byHandle[j.handle] == nil || s.byNumber[j.top.number] == nil {
		s.endRepair(i, message.WrongState)
		return
	}
	number, in := uint64(j.chunk)/format.LeafChunks, int(j.chunk%format.LeafChunks)
	for l := j.top; l != nil; l = l.parent {
		if !s.restsAt(l, j.chunk) {
			out.Marks.Hit("store: repair waits for its layer to come to rest")
			s.endRepair(i, message.BehindSeq)
			return
		}
		if !l.tree.has(number, in) {
			continue
		}
		at, ready := s.leafFor(l.tree, number, i, out)
		if !ready {
			return // resumed when the leaf is there
		}
		switch s.leaves.leaves[at].content[in].State(j.first) {
		case format.Absent:
			continue
		case format.Zero:
			s.endRepair(i, message.OK)
		case format.Present, format.Bad:
			s.repairIn(i, l, at, out)
		}
		return
	}
	s.endRepair(i, message.OK) // it reads as zeroes
}

// restsAt reports whether a chunk of l is all at home, and nothing moves it.
func (s *Store) restsAt(l *layer, c block.Chunk) bool {
	return l.under == nil && !l.tree.lost && !l.fenced() && s.ckpt.phase <= ckptSeal &&
		(l.pending == 0 || s.index.Find(index.Key{Layer: l.number, Chunk: c}) == index.None)
}

// repairIn makes the job the owner of the chunk, and sees whether the block is lost.
func (s *Store) repairIn(i int32, l *layer, at int32, out *step.Effects) {
	j := s.jobs.table[i]
	d := &s.leaves.leaves[at].content[j.chunk%format.LeafChunks]
	j.leaf = at
	s.leaves.leaves[at].pins++
	l.tree.homing++
	j.repair.layer, j.repair.entry = l, s.ensure(l, j.chunk)
	s.occupy(j.repair.entry, l)
	for b := range j.sources {
		j.sources[b] = source{kind: sourceSkip}
	}
	if d.State(j.first) == format.Bad {
		s.writeRepaired(i, out)
		return
	}
	j.sources[j.first] = source{kind: sourceDisk, at: s.slotAddress(d.Slot) + int64(j.first*s.blockSize), sum: d.Sums[j.first]}
	if !s.readSources(i, out) {
		s.judgeLost(i, out)
	}
}

// judgeLost takes what was read of the block. Data with another checksum than that
// which was lost is of something else.
func (s *Store) judgeLost(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	if s.inspect(j); j.bad != 0 && s.readAgain(i, out) {
		return
	}
	switch {
	case j.bad == 0:
		s.endRepair(i, message.OK)
	case j.sources[j.first].sum != j.repair.sum:
		out.Marks.Hit("store: repair with other data refused")
		s.endRepair(i, message.Corrupt)
	default:
		s.writeRepaired(i, out)
	}
}

// writeRepaired writes the block to its place, or to a slot if its chunk has none.
func (s *Store) writeRepaired(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	slot := s.leaves.leaves[j.leaf].content[j.chunk%format.LeafChunks].Slot
	if slot == 0 {
		if s.slots.Free() <= s.need() {
			s.endRepair(i, message.NoSpace)
			return
		}
		slot, _ = s.slots.Alloc(j.repair.layer.hint)
	}
	j.repair.slot, j.home.writes = slot, 1
	io := s.begin(ioHome, i)
	s.piece(io, j.repair.data.Retain())
	s.emit(io, step.DiskWrite, s.slotAddress(slot)+int64(j.first*s.blockSize), out)
}

// finishRepair changes the descriptor.
func (s *Store) finishRepair(i int32, out *step.Effects) {
	out.Marks.Hit("store: block of a snapshot repaired")
	j := s.jobs.table[i]
	d := &s.leaves.leaves[j.leaf].content[j.chunk%format.LeafChunks]
	old := d.Slot
	d.Set(j.first, format.Present, j.repair.sum)
	s.rehome(j.repair.layer.tree, d, old, j.repair.slot)
	s.changed(j.leaf, j.chunk)
	s.endRepair(i, message.OK)
}

func (s *Store) endRepair(i int32, status message.Status) {
	j := s.jobs.table[i]
	if l := j.repair.layer; l != nil {
		s.leaves.leaves[j.leaf].tree.homing--
		s.release(j.repair.entry, l)
	}
	j.repair.data.Release()
	j.repair = repairPlan{}
	j.buffer.Release()
	s.result(Result{Kind: RepairDone, Status: status, Handle: Handle(j.handle), Token: j.token})
	s.endJob(i)
}
