package store

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// ckptPhase is how far a checkpoint is.
//
//	idle ─▶ seal ─cut P─▶ destage ─▶ park ─▶ pages ─▶ sync ─▶ super ─▶ drain ─▶ idle
//
// The cut P is the end of the last sealed batch. From the cut on nothing newer
// than P touches a page, the bitmap or the table (rule 7), and barrier records
// wait. After drain the tail is P and what was freed before P is free.
type ckptPhase uint8

const (
	ckptIdle ckptPhase = iota
	ckptSeal
	ckptDestage
	ckptPark
	ckptPages
	ckptSync
	ckptSuper
	ckptDrain
)

// ckptWrites is how many writes of a checkpoint are in flight.
const ckptWrites = 16

// checkpoint moves the journal's tail.
type checkpoint struct {
	phase    ckptPhase
	wanted   bool
	forced   bool // even if nothing changed: what is on the disk is not what was written
	goal, by uint64
	cut      mark
	items    []parkItem
	slots    []parkSlot
	nextSlot int
	writes   []pageWrite
	next     int
	pending  int // writes and park jobs in flight
	parity   uint8
	table    tables
	rootPage uint64
	done     uint64 // checkpoints finished
}

// pageWrite is a page to be written.
type pageWrite struct {
	page   uint64
	buffer block.Buffer
}

// driveCheckpoint starts a checkpoint that is due and moves a running one on.
func (s *Store) driveCheckpoint(out *step.Effects) {
	c := &s.ckpt
	switch c.phase {
	case ckptIdle:
		if s.checkpointDue(out) && s.journal.barrier <= s.journal.accepted {
			out.Marks.Hit("store: checkpoint")
			c.wanted, c.forced, c.phase = false, false, ckptSeal
			c.goal, c.by = s.journal.accepted, 0
			s.driveCheckpoint(out)
		}
	case ckptSeal:
		if s.driveSeal(c.goal, &c.by, out) {
			s.cutCheckpoint()
		}
	case ckptDestage:
		if s.destage.active == 0 && s.destage.first == len(s.destage.fifo) && !s.offerAll() {
			s.startPark(out)
		}
	case ckptDrain:
		if s.jobs.readers[c.parity] == 0 {
			s.releaseCheckpoint()
			s.scrubFresh(out)
			if c.forced { // asked for meanwhile, by who waits for nothing else
				s.driveCheckpoint(out)
			}
		}
	case ckptPark, ckptPages, ckptSync, ckptSuper: // a completion moves them on
	}
}

// checkpointDue reports whether something asks for a checkpoint (rule 18).
func (s *Store) checkpointDue(out *step.Effects) bool {
	j := &s.journal
	used, length := j.used(), s.super.Journal.Length
	pending := s.slots.Pending()
	switch {
	case s.ckpt.wanted && s.unfinished(), s.ckpt.forced && s.phase == phaseOpen, used >= length/2:
		return true
	case pending > 0 && s.slots.Free() < pending+s.need():
		out.Marks.Hit("store: checkpoint for space")
		return true
	case s.leaves.dirty > s.leaves.limit/2: // a trim dirties many and takes next to nothing of the ring
		return true
	case used < length/16:
		return false
	}
	return s.index.Len() > s.limits.IndexEntries
}

// cutCheckpoint fixes what the new root will hold.
func (s *Store) cutCheckpoint() {
	c := &s.ckpt
	c.phase, c.cut = ckptDestage, s.journal.sealed
	s.ripen()
	s.destage.frozen = true
	for _, r := range s.replicas {
		s.ripenControlShapes(r)
		r.cut = cutState{in: r.born <= c.cut.batch, controls: r.rootedControls, meta: r.rooted, stable: r.limit, base: r.base, last: r.base, list: r.cut.list[:0]}
		for i := range r.records {
			rec := &r.records[i]
			if rec.Batch <= c.cut.batch && rec.inStream() && rec.Position.Seq > r.cut.last.Seq {
				r.cut.last = rec.Position
			}
		}
	}
	s.offerAll()
}

// checkpointDurable lets go of the old root: parked versions are found in their
// new places, what was freed becomes free once no reader is left that may have
// found it before.
func (s *Store) checkpointDurable(out *step.Effects) {
	c := &s.ckpt
	s.adoptParked()
	for _, r := range s.replicas {
		s.popRecords(r)
	}
	c.phase, c.parity = ckptDrain, s.jobs.parity
	s.jobs.parity ^= 1
	if s.jobs.readers[c.parity] > 0 {
		out.Marks.Hit("store: release waits for readers")
	}
}

// popRecords forgets the records before the cut that are at home.
func (s *Store) popRecords(r *replica) {
	kept := 0
	for i := range r.records {
		rec := r.records[i]
		if rec.Batch <= s.ckpt.cut.batch && rec.Batch != 0 || rec.Batch == 0 && rec.Position.Seq <= r.cut.stable {
			s.journal.records--
			s.journal.blocks -= int(rec.Blocks)
			if rec.inStream() && rec.Position.Seq > r.base.Seq {
				r.base = rec.Position
			}
			if rec.Kind == format.Snap || rec.Kind == format.DelSnap || rec.Kind == format.Resize {
				r.shapes = slices.DeleteFunc(r.shapes, func(p shape) bool { return p.seq == rec.Position.Seq })
			}
			continue
		}
		r.records[kept] = rec
		kept++
	}
	r.records = r.records[:kept]
	r.cursor = 0
}

// releaseCheckpoint ends a checkpoint.
func (s *Store) releaseCheckpoint() {
	c := &s.ckpt
	s.journal.tail = c.cut.position
	s.slots.Release()
	s.releasePages()
	c.phase = ckptIdle
	c.items, c.slots, c.writes = c.items[:0], c.slots[:0], c.writes[:0]
	c.done++
	s.destage.frozen = false
	s.ripen()
}

// queuePage takes a fresh page, hands its buffer to fill and lists its write.
func (s *Store) queuePage(out *step.Effects) (page uint64, buffer []byte) {
	page, ok := s.allocPage()
	if !ok {
		s.fail(out, "disk %v: no free page for metadata: its reserve was used up", s.super.Disk)
		return 0, make([]byte, format.PageSize)
	}
	b := s.params.Pool.Get(format.PageSize)
	s.ckpt.writes = append(s.ckpt.writes, pageWrite{page: page, buffer: b})
	return page, b.Bytes()
}

// onCheckpointWritten writes the next pages or goes on to the sync.
func (s *Store) onCheckpointWritten(out *step.Effects) {
	c := &s.ckpt
	c.pending--
	if c.phase == ckptPark {
		s.drivePark(out)
		return
	}
	s.drivePages(out)
}

// drivePages emits page writes, neighbours in one.
func (s *Store) drivePages(out *step.Effects) {
	c := &s.ckpt
	for c.pending < ckptWrites && c.next < len(c.writes) && s.phase != phaseFailed {
		io := s.begin(ioCkptWrite, 0)
		first := c.writes[c.next].page
		for n := uint64(0); c.next < len(c.writes) && c.writes[c.next].page == first+n && n < block.PerChunk; n++ {
			s.piece(io, c.writes[c.next].buffer)
			c.writes[c.next].buffer = block.Buffer{}
			c.next++
		}
		s.emit(io, step.DiskWrite, s.pageAddress(first), out)
		c.pending++
	}
	if c.pending == 0 && s.phase != phaseFailed {
		c.phase = ckptSync
		s.emit(s.begin(ioCkptSync, 0), step.DiskSync, 0, out)
	}
}

// onCheckpointSynced makes the new root the one that counts.
func (s *Store) onCheckpointSynced(out *step.Effects) {
	c := &s.ckpt
	c.phase = ckptSuper
	j := &s.super.Journal
	j.Tail, j.TailBatch, j.TailPrev = c.cut.position, c.cut.batch+1, c.cut.crc
	j.Durable = s.journal.durable
	s.writeSuper(superCheckpoint, out)
}

// startPages writes down everything that changed since the last root.
func (s *Store) startPages(out *step.Effects) {
	c := &s.ckpt
	c.phase, c.next = ckptPages, 0
	for _, r := range s.replicas {
		if r.cut.in {
			s.writeParkedPages(r, out)
		}
	}
	s.writeLeaves(out)
	for g := range s.slots.Groups() {
		if s.slots.Dirty(g) {
			page, b := s.queuePage(out)
			format.EncodeBitmap(b, s.slots.Words(g))
			crc := format.SealPage(b, format.PageBitmap, s.super.Pool, s.pageAddress(page), 0, uint64(g))
			s.dropPage(s.bitmap.child(uint64(g)).Page)
			s.bitmap.setChild(uint64(g), format.Child{Page: page, CRC: crc})
		}
	}
	s.flushTree(s.bitmap, out)
	for _, l := range s.layers {
		s.flushTree(l.tree, out)
		if l.under != nil {
			s.flushTree(l.under, out)
		}
	}
	for _, t := range s.dead {
		s.flushTree(t, out)
	}
	s.writeTables(out)
	s.slots.Cut()
	s.pages.cut = len(s.pages.pending)
	s.drivePages(out)
}

// writeLeaves writes the dirty leaves to fresh pages.
func (s *Store) writeLeaves(out *step.Effects) {
	for _, i := range s.leaves.listed {
		l := s.leaves.leaves[i]
		maxSeq, has, zeroed := l.content.Summary()
		child := format.Child{MaxSeq: maxSeq, Has: has}
		switch {
		case zeroed:
			child.AllZero = true
			out.Marks.Hit("store: leaf without page")
		case has == 0: // as if it had never been
		default:
			page, b := s.queuePage(out)
			format.EncodeLeaf(b, &l.content)
			child.Page = page
			child.CRC = format.SealPage(b, format.PageLeaf, s.super.Pool, s.pageAddress(page), format.LeafChunks, l.number)
		}
		s.dropPage(l.tree.child(l.number).Page)
		l.tree.setChild(l.number, child)
		s.leaves.clean(i)
	}
	s.leaves.dirty, s.leaves.listed = 0, s.leaves.listed[:0]
}

// nodeIndex is what an interior page says it is.
func nodeIndex(level uint8, first uint64) uint64 { return uint64(level)<<56 | first }

// flushTree writes the dirty nodes of a tree, children first.
func (s *Store) flushTree(t *tree, out *step.Effects) {
	if t.root != nil && t.root.dirty {
		t.page = s.flushNode(t.root, t.height, 0, t.page, out)
	}
}

func (s *Store) flushNode(n *node, level uint8, first uint64, old format.Child, out *step.Effects) format.Child {
	span := uint64(1)
	for range level - 1 {
		span *= format.Fanout
	}
	var child format.Child
	for i := range n.child {
		if kid := n.kids[i]; kid != nil && kid.dirty {
			n.child[i] = s.flushNode(kid, level-1, first+uint64(i)*span, n.child[i], out)
		}
		child.MaxSeq = max(child.MaxSeq, n.child[i].MaxSeq)
	}
	n.dirty = false
	s.dropPage(old.Page)
	page, b := s.queuePage(out)
	format.EncodeInterior(b, &n.child)
	child.Page = page
	child.CRC = format.SealPage(b, format.PageInterior, s.super.Pool, s.pageAddress(page), format.Fanout, nodeIndex(level, first))
	return child
}

// parkedVersion returns the version of a parked item.
func (s *Store) parkedVersion(it *parkItem) *index.Version {
	return s.versionOf(index.Key{Layer: it.layer, Chunk: it.chunk}, it.position)
}
