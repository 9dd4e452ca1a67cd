package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

const (
	// homingMax is how many chunks go home at a time while a checkpoint waits.
	homingMax = 32
	// homingCalm is the same while nothing presses: foreground I/O goes first.
	homingCalm = 4
)

// destager brings what is stable and sealed home, chunk by chunk. One job owns
// a chunk at a time (rule 16).
type destager struct {
	limit  uint64 // batches up to here may go home; frozen during a checkpoint
	frozen bool
	fifo   []index.Key
	first  int
	active int
}

// homePlan is what a jobHome does.
type homePlan struct {
	chunk  int32                 // in the index
	limit  uint64                // versions up to this batch
	seq    block.Seq             // and this seq take part
	slot   uint32                // where the chunk's data will be
	fresh  bool                  // slot was taken for it
	mapped int32                 // the version whose slot becomes the home, or None
	newest [block.PerChunk]int32 // the version that decides each block, or None
	writes int                   // in flight
	lost   uint16                // blocks whose data was not good
}

// ripe reports whether a version may take effect at home under these limits:
// its batch is sealed (rules 2 and 3) and it is stable (rule 1).
func ripe(v *index.Version, limit uint64, seq block.Seq) bool {
	return v.Batch <= limit && v.Position.Seq <= seq
}

// ripen moves the limits on and offers what became ripe to the destager.
func (s *Store) ripen() {
	d := &s.destage
	if d.frozen {
		return
	}
	d.limit = s.journal.sealed.batch
	for _, r := range s.replicas {
		r.limit = r.homeable
		if !r.in && r.born <= d.limit {
			r.in = true
			r.firstLayer().born = true
		}
		for r.cursor < len(r.records) {
			rec := &r.records[r.cursor]
			if rec.Batch > d.limit || rec.Position.Seq > r.limit {
				break
			}
			if rec.Range.Count == 0 {
				s.ripenShape(rec)
			}
			for c := rec.Range.First.Chunk(); rec.Range.Count > 0 && c.First() < rec.Range.End(); c++ {
				s.offer(index.Key{Layer: rec.Layer, Chunk: c})
			}
			r.cursor++
		}
	}
}

// offer queues a chunk to go home.
func (s *Store) offer(key index.Key) {
	i := s.index.Find(key)
	if i == index.None {
		return
	}
	c := s.index.Chunk(i)
	if c.Queued || c.Busy {
		return
	}
	c.Queued = true
	d := &s.destage
	if d.first > 1024 && d.first*2 > len(d.fifo) {
		n := copy(d.fifo, d.fifo[d.first:])
		d.fifo, d.first = d.fifo[:n], 0
	}
	d.fifo = append(d.fifo, key)
}

// offerAll queues every chunk with a ripe version, and reports whether there is one.
func (s *Store) offerAll() (any bool) {
	for _, l := range s.layers {
		if l.pending == 0 {
			continue
		}
		for i := s.index.First(l.number); i != index.None; i = s.index.Next(i) {
			if s.ripeChunk(i, l) {
				any = true
				s.offer(s.index.Chunk(i).Key)
			}
		}
	}
	return any
}

func (s *Store) ripeChunk(i int32, l *layer) bool {
	limit := l.limit()
	for v := s.index.Chunk(i).Newest; v != index.None; v = s.index.Older(v) {
		if ripe(s.index.Version(v), s.destage.limit, limit) {
			return true
		}
	}
	return false
}

// width is how many chunks may be on their way home now.
func (s *Store) width() int {
	used, length := s.journal.used(), s.super.Journal.Length
	if kept := int64(s.limits.RecentBytes); kept > 0 {
		length = min(length, kept*3/2) // what goes home while it is in memory need not be read
	}
	switch {
	case s.ckpt.phase == ckptDestage:
		return homingMax
	case s.ckpt.phase > ckptDestage:
		return 0
	case used > length*3/8, s.index.Len() > s.limits.IndexEntries*3/4:
		return homingMax / 2
	case used > length/4, s.index.Len() > s.limits.IndexEntries/2, s.timer.idle, s.merge.waits:
		return homingCalm
	default:
		return 0
	}
}

// crowded reports whether a zero waits: a record of a few bytes puts a thousand
// chunks into the index, so that the ring's end alone would not bound its memory.
// It waits only while others go home, which needs nobody's help.
func (s *Store) crowded() bool {
	d := &s.destage
	return s.index.Len() > 2*s.limits.IndexEntries && (d.active > 0 || d.first < len(d.fifo) || s.ckpt.phase != ckptIdle)
}

// driveDestage starts jobs as far as the pressure asks for.
func (s *Store) driveDestage(out *step.Effects) {
	d := &s.destage
	width := s.width()
	for n := len(d.fifo) - d.first; n > 0 && d.active < width; n-- {
		key := d.fifo[d.first]
		d.first++
		i := s.index.Find(key)
		if i == index.None {
			continue
		}
		c, l := s.index.Chunk(i), s.byNumber[key.Layer]
		c.Queued = false
		if c.Busy || l.fenced() && s.ckpt.phase != ckptDestage || !s.ripeChunk(i, l) {
			continue
		}
		s.occupy(i, l)
		j := s.newJob(jobHome, l.owner, 0)
		s.jobs.table[j].chunk, s.jobs.table[j].layer = key.Chunk, l
		s.jobs.table[j].home.chunk = i
		s.planHome(j, out)
	}
	if d.first == len(d.fifo) {
		d.fifo, d.first = d.fifo[:0], 0
	}
}

// planHome decides, once the leaf is there, where each block's content will
// come from and go to, and reads what has to be copied.
func (s *Store) planHome(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	at, ready := s.homeLeaf(i, out)
	if !ready {
		return
	}
	j.leaf = at
	s.leaves.leaves[at].tree.homing++
	s.leaves.leaves[at].pins++
	d := &s.leaves.leaves[at].content[j.chunk%format.LeafChunks]
	h := &j.home
	h.limit, h.seq = s.destage.limit, j.layer.limit()
	s.choose(j)
	copies, keeps := s.copies(j, d)
	h.slot = d.Slot
	switch {
	case h.mapped != index.None:
		h.slot = s.index.Version(h.mapped).Slot
	case !copies && !keeps:
		h.slot = 0
	case h.slot == 0:
		slot, ok := s.slots.Alloc(j.layer.hint)
		if !ok {
			s.fail(out, "disk %v: no free slot for data that was promised one; run a check of the disk", s.super.Disk)
			return
		}
		j.layer.hint = slot + 1
		h.slot, h.fresh = slot, true
	}
	if !copies {
		s.finishHome(i, out)
		return
	}
	j.buffer = s.params.Pool.Get(block.PerChunk * s.blockSize)
	j.count = block.PerChunk
	if !s.readSources(i, out) {
		s.writeHome(i, out)
	}
}

// homeLeaf returns the leaf with the descriptor that a chunk goes home to: of a
// layer whose chunks move down that of the lower tree, if the upper one has
// nothing of the chunk.
func (s *Store) homeLeaf(i int32, out *step.Effects) (at int32, ready bool) {
	j := s.jobs.table[i]
	l, number, in := j.layer, uint64(j.chunk)/format.LeafChunks, int(j.chunk%format.LeafChunks)
	if l.under == nil || !l.down {
		return s.leafFor(l.tree, number, i, out)
	}
	if l.tree.has(number, in) {
		if at, ready = s.leafFor(l.tree, number, i, out); !ready || !s.leaves.leaves[at].content[in].Empty() {
			return at, ready
		}
	}
	return s.leafFor(l.under, number, i, out)
}

// choose finds for each block the newest ripe version, and the newest one that
// brought a slot of its own.
func (s *Store) choose(j *job) {
	h := &j.home
	h.mapped = index.None
	for b := range h.newest {
		h.newest[b] = index.None
	}
	for v := s.index.Chunk(h.chunk).Newest; v != index.None; v = s.index.Older(v) {
		version := s.index.Version(v)
		if !ripe(version, h.limit, h.seq) {
			continue
		}
		decides := false
		for b := range h.newest {
			if version.Mask&(1<<b) != 0 && h.newest[b] == index.None {
				h.newest[b] = v
				decides = true
			}
		}
		if version.Kind == index.Mapped && h.mapped == index.None && decides {
			h.mapped = v
		}
	}
}

// copies fills in the sources of the blocks that must be copied. keeps reports
// whether data that is at home already stays.
func (s *Store) copies(j *job, d *format.Descriptor) (copies, keeps bool) {
	h := &j.home
	for b := range j.sources {
		j.sources[b] = source{kind: sourceSkip}
		v := h.newest[b]
		if v == index.None {
			keeps = keeps || d.State(b) == format.Present
			continue
		}
		version := s.index.Version(v)
		if v == h.mapped || version.Kind > index.Mapped {
			continue
		}
		s.fromVersion(j, version, 1<<b)
		if j.sources[b].kind == sourceBad {
			h.lost |= 1 << b
			continue
		}
		copies = true
	}
	return copies, keeps
}

// writeHome writes the copied blocks to their home.
func (s *Store) writeHome(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	h := &j.home
	if s.inspect(j); j.bad != 0 && s.readAgain(i, out) {
		return
	}
	for b := range j.sources {
		if j.bad&(1<<b) != 0 {
			out.Marks.Hit("store: journal data lost before it went home")
			h.lost |= 1 << b
			j.sources[b].kind = sourceBad
		}
	}
	s.writeRuns(i, out)
	if h.writes == 0 {
		s.finishHome(i, out)
	}
}

// writeRuns writes the blocks that a job read to its slot, neighbours in one.
func (s *Store) writeRuns(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	for b := 0; b < block.PerChunk; {
		if j.sources[b].kind != sourceDisk {
			b++
			continue
		}
		end := b + 1
		for end < block.PerChunk && j.sources[end].kind == sourceDisk {
			end++
		}
		io := s.begin(ioHome, i)
		s.piece(io, j.buffer.Slice(b*s.blockSize, end*s.blockSize).Retain())
		s.emit(io, step.DiskWrite, s.slotAddress(j.home.slot)+int64(b*s.blockSize), out)
		j.home.writes++
		b = end
	}
}

func (s *Store) onHomeWritten(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	if j.home.writes--; j.home.writes > 0 {
		return
	}
	switch j.kind {
	case jobFold:
		s.finishFolded(i, out)
	case jobRepair:
		s.finishRepair(i, out)
	default:
		s.finishHome(i, out)
	}
}

// finishHome changes the descriptor and forgets the versions that went home.
func (s *Store) finishHome(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	h := &j.home
	d := &s.leaves.leaves[j.leaf].content[j.chunk%format.LeafChunks]
	old := d.Slot
	for b, v := range h.newest {
		if v == index.None {
			continue
		}
		version := s.index.Version(v)
		switch {
		case version.Kind == index.Zeroed:
			d.Set(b, format.Zero, 0)
		case version.Kind == index.Cleared:
			d.Set(b, format.Absent, 0)
		case version.Kind == index.Lost || h.lost&(1<<b) != 0 || version.Bad&(1<<b) != 0:
			d.Set(b, format.Bad, 0)
		default:
			d.Set(b, format.Present, s.index.Sum(version, b))
		}
	}
	for v := s.index.Chunk(h.chunk).Newest; v != index.None; {
		version, older := s.index.Version(v), s.index.Older(v)
		if ripe(version, h.limit, h.seq) {
			d.LastSeq = max(d.LastSeq, version.LastSeq)
			if version.Kind == index.Mapped && v != h.mapped {
				s.slots.Drop(version.Slot)
			}
			s.removeVersion(h.chunk, v)
		}
		v = older
	}
	t := s.leaves.leaves[j.leaf].tree
	t.homing--
	s.rehome(t, d, old, h.slot)
	s.changed(j.leaf, j.chunk)
	j.buffer.Release()
	s.release(h.chunk, j.layer)
	s.endJob(i)
	out.Marks.Hit("store: chunk went home")
}

// rehome makes slot the home of a chunk in t that was at old.
func (s *Store) rehome(t *tree, d *format.Descriptor, old, slot uint32) {
	if !d.HasPresent() {
		if slot != 0 && slot != old {
			s.slots.Drop(slot)
		}
		slot = 0
	}
	d.Slot = slot
	if slot == old {
		return
	}
	if slot != 0 {
		t.used++
		if !s.slots.Rooted(slot) {
			s.slots.Root(slot)
		}
	}
	if old != 0 {
		t.used--
		s.slots.Drop(old)
	}
}
