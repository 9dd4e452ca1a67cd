package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// foldPlan is what a jobFold does.
type foldPlan struct {
	lower int32 // pinned leaf of the lower tree, or -1; the job's own is of the upper
	turns int   // leaves left in this turn
	entry int32 // of the chunk in the index, while data is copied
}

// trees returns where chunks of l come from and go to.
func (l *layer) trees() (from, to *tree) {
	if l.down {
		return l.tree, l.under
	}
	return l.under, l.tree
}

// fold takes a turn at moving the chunks of l from one tree to the other.
func (s *Store) fold(l *layer, out *step.Effects) {
	m := &s.merge
	if m.layer != l {
		m.layer, m.cursor = l, 0
	}
	m.running = true
	i := s.newJob(jobFold, nil, 0)
	j := s.jobs.table[i]
	j.layer, j.fold = l, foldPlan{lower: -1, turns: mergeLeaves, entry: index.None}
	s.runFold(i, out)
}

// runFold goes on until a leaf or data must be read, or the turn is over.
func (s *Store) runFold(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	l, m := j.layer, &s.merge
	for {
		if s.ckpt.phase > ckptSeal || j.fold.turns == 0 || s.byNumber[l.number] != l || l.fenced() {
			s.endFold(i)
			return
		}
		from, _ := l.trees()
		number, some := s.leafOf(from, m.cursor)
		switch {
		case !some && m.cursor > 0:
			m.cursor = 0 // something may have come meanwhile
			continue
		case !some:
			s.endFold(i)
			s.folded(l, out)
			return
		}
		m.cursor = number
		if !s.pinBoth(i, number, out) {
			return // resumed when the leaf is there
		}
		if !s.foldLeaf(i, number, out) {
			return
		}
		s.unpin(&j.leaf)
		s.unpin(&j.fold.lower)
		s.freeFolded(from, number)
		if j.fold.turns--; !s.fits(s.foldSlack()) {
			j.fold.turns = 0 // a checkpoint first
		}
	}
}

// pinBoth holds a leaf of both trees in memory.
func (s *Store) pinBoth(i int32, number uint64, out *step.Effects) bool {
	j := s.jobs.table[i]
	if !s.pinFor(i, j.layer.tree, number, out) {
		return false
	}
	at, ready := s.leafFor(j.layer.under, number, i, out)
	if !ready {
		return false
	}
	j.fold.lower = at
	s.leaves.leaves[at].pins++
	return true
}

// foldLeaf moves the chunks of a leaf. It reports false if the turn ended within
// it: data is on its way, or the chunk is.
func (s *Store) foldLeaf(i int32, number uint64, out *step.Effects) bool {
	j := s.jobs.table[i]
	upper, lower := &s.leaves.leaves[j.leaf].content, &s.leaves.leaves[j.fold.lower].content
	from := upper
	if !j.layer.down {
		from = lower
	}
	for n := range from {
		if from[n].Empty() {
			continue
		}
		j.chunk = block.Chunk(number*format.LeafChunks + uint64(n))
		if e := s.index.Find(index.Key{Layer: j.layer.number, Chunk: j.chunk}); e != index.None && s.index.Chunk(e).Busy {
			out.Marks.Hit("store: merge waits for a chunk that goes home")
			s.endFold(i)
			return false
		}
		if need := lacks(&upper[n], &lower[n]); need != 0 && upper[n].Slot != 0 {
			s.copyFolded(i, need, &lower[n], out)
			return false
		}
		s.foldChunk(j, 0)
	}
	return true
}

// lacks returns the blocks that are present in p and absent in d.
func lacks(d, p *format.Descriptor) (mask uint16) {
	for b := range block.PerChunk {
		if d.State(b) == format.Absent && p.State(b) == format.Present {
			mask |= 1 << b
		}
	}
	return mask
}

// foldChunk makes one descriptor of the two of the job's chunk. lost are blocks
// that could not be copied.
func (s *Store) foldChunk(j *job, lost uint16) {
	l, n := j.layer, j.chunk%format.LeafChunks
	d, p := &s.leaves.leaves[j.leaf].content[n], &s.leaves.leaves[j.fold.lower].content[n]
	both := *d
	both.LastSeq = max(d.LastSeq, p.LastSeq)
	for b := range block.PerChunk {
		switch {
		case d.State(b) != format.Absent:
		case lost&(1<<b) != 0:
			both.Set(b, format.Bad, 0)
		default:
			both.Set(b, p.State(b), p.Sums[b])
		}
	}
	if d.Slot != 0 {
		l.tree.used--
	}
	if p.Slot != 0 {
		l.under.used--
		if d.Slot == 0 && both.HasPresent() {
			both.Slot = p.Slot
		} else {
			s.slots.Drop(p.Slot)
		}
	}
	_, to := l.trees()
	if both.Slot != 0 {
		to.used++
	}
	if l.down {
		*d, *p = format.Descriptor{}, both
		s.dirtied(j.leaf)
		s.changed(j.fold.lower, j.chunk)
	} else {
		*d, *p = both, format.Descriptor{}
		s.dirtied(j.fold.lower)
		s.changed(j.leaf, j.chunk)
	}
	s.lookAgain(func(o *job) bool { return o.chunk == j.chunk })
}

// copyFolded reads the blocks that the upper tree's slot lacks.
func (s *Store) copyFolded(i int32, need uint16, p *format.Descriptor, out *step.Effects) {
	j := s.jobs.table[i]
	out.Marks.Hit("store: merge copies blocks")
	j.fold.entry = s.ensure(j.layer, j.chunk)
	s.occupy(j.fold.entry, j.layer)
	j.first, j.count = 0, block.PerChunk
	j.buffer = s.params.Pool.Get(block.PerChunk * s.blockSize)
	for b := range j.sources {
		j.sources[b] = source{kind: sourceSkip}
		if need&(1<<b) != 0 {
			j.sources[b] = source{kind: sourceDisk, at: s.slotAddress(p.Slot) + int64(b*s.blockSize), sum: p.Sums[b]}
		}
	}
	s.readSources(i, out)
}

// writeFolded verifies what was read and writes it to the upper tree's slot.
func (s *Store) writeFolded(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	if s.inspect(j); j.bad != 0 && s.readAgain(i, out) {
		return
	}
	j.home.lost, j.home.writes = j.bad, 0
	for b := range j.sources {
		if j.bad&(1<<b) != 0 {
			out.Marks.Hit("store: merge found corruption")
			j.sources[b].kind = sourceBad
		}
	}
	j.home.slot = s.leaves.leaves[j.leaf].content[j.chunk%format.LeafChunks].Slot
	s.writeRuns(i, out)
	if j.home.writes == 0 {
		s.finishFolded(i, out)
	}
}

// finishFolded ends the copying of one chunk, and with it the turn.
func (s *Store) finishFolded(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	s.foldChunk(j, j.home.lost)
	j.buffer.Release()
	s.release(j.fold.entry, j.layer)
	s.endFold(i)
	out.Marks.Hit("store: chunk merged")
}

func (s *Store) endFold(i int32) {
	j := s.jobs.table[i]
	s.unpin(&j.leaf)
	s.unpin(&j.fold.lower)
	s.endJob(i)
	s.merge.running = false
}

// freeFolded forgets a leaf of which everything was moved.
func (s *Store) freeFolded(t *tree, number uint64) {
	s.dropPage(t.child(number).Page)
	t.setChild(number, format.Child{})
	if at, cached := s.leaves.find[leafID{t.id, number}]; cached {
		s.undirty(at)
	}
}

// folded ends the folding of l, whose chunks are all in one tree, unless one is
// on its way into the other.
func (s *Store) folded(l *layer, out *step.Effects) {
	from, to := l.trees()
	if from.homing > 0 {
		return
	}
	if l.down {
		out.Marks.Hit("store: layer folded down")
	} else {
		out.Marks.Hit("store: layer folded up")
	}
	s.freeTree(from)
	l.tree, l.under, l.down, l.reach = to, nil, false, 0
	for i, o := range s.folding {
		if o == l {
			s.folding = append(s.folding[:i], s.folding[i+1:]...)
			break
		}
	}
	s.lookAgain(func(j *job) bool { return j.layer == l })
}
