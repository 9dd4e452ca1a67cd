package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// locate fills in a job's sources, layer by layer downwards: what is not at
// home yet, then what is; blocks that a layer has not are its parent's. A pull asks
// one layer and those below it that show through it, a scrub one layer only, for what
// is read of it. It reports false if a leaf must be read before, and goes on where it
// was when it is called again; if a merge moved the chunk meanwhile, it begins anew.
func (s *Store) locate(i int32, out *step.Effects) bool {
	j := s.jobs.table[i]
	if j.layer == nil || j.moved || j.single() && j.layer == j.top { // that is of one moment
		s.beginLooking(j)
	}
	for {
		hidden := s.fromIndex(j)
		if j.want&^hidden != 0 || j.single() && j.layer == j.top {
			ready := s.fromHome(i, hidden, out)
			if !ready {
				return false
			}
		}
		if j.above() {
			j.skipFound()
		}
		if j.want == 0 || j.layer.parent == nil || j.single() && !j.goesOn() {
			break
		}
		j.layer = j.layer.parent
	}
	for b := range j.sources {
		if j.want&(1<<b) != 0 {
			j.sources[b] = source{kind: sourceNone, sum: s.zeroSum}
		}
	}
	j.layer = nil
	return true
}

// single reports whether a job is about one layer and not those below it.
func (j *job) single() bool { return j.kind == jobPull || j.kind == jobScrub }

// above reports whether a scrub still looks at what its layer is read through.
func (j *job) above() bool { return j.kind == jobScrub && j.layer != j.scrub.layer }

// goesOn reports whether a job that is about one layer looks at the next one below.
func (j *job) goesOn() bool {
	return j.above() || j.kind == jobPull && j.layer.parent.shows(j.handle)
}

// skipFound leaves out what was found so far.
func (j *job) skipFound() {
	for b := range j.sources {
		if j.want&(1<<b) == 0 {
			j.sources[b] = source{kind: sourceSkip}
		}
	}
}

func (s *Store) beginLooking(j *job) {
	j.layer, j.moved, j.lastSeq = j.top, false, 0
	j.want = uint16((uint32(1)<<j.count - 1) << j.first)
	for b := range j.sources {
		j.sources[b] = source{kind: sourceSkip}
	}
}

// fromIndex takes what of the job's chunk is not at home in the layer that it
// looks at. hidden are blocks that its parent decides, whatever its home says.
func (s *Store) fromIndex(j *job) (hidden uint16) {
	if j.layer.pending == 0 {
		return 0
	}
	c := s.index.Find(index.Key{Layer: j.layer.number, Chunk: j.chunk})
	if c == index.None {
		return 0
	}
	most := ^block.Seq(0)
	if owner := j.layer.owner; (j.kind == jobPull || j.above()) && owner != nil {
		most = owner.stable
	}
	for v := s.index.Chunk(c).Newest; v != index.None && (j.want&^hidden != 0 || j.kind == jobPull); v = s.index.Older(v) {
		version := s.index.Version(v)
		if version.Position.Seq > most {
			continue
		}
		if j.layer == j.top || j.layer.owns(j.handle) {
			j.lastSeq = max(j.lastSeq, version.LastSeq)
		}
		mask := version.Mask & j.want &^ hidden
		if version.Kind == index.Cleared {
			hidden |= mask
			continue
		}
		s.fromVersion(j, version, mask)
		j.want &^= mask
	}
	return hidden
}

// fromHome takes what of the job's chunk is at home in the layer that it looks
// at. It reports false if the leaf must be read first.
func (s *Store) fromHome(i int32, hidden uint16, out *step.Effects) bool {
	l := s.jobs.table[i].layer
	return s.fromTree(i, l.tree, hidden, out) && (l.under == nil || s.fromTree(i, l.under, hidden, out))
}

func (s *Store) fromTree(i int32, t *tree, hidden uint16, out *step.Effects) bool {
	j := s.jobs.table[i]
	number, in := uint64(j.chunk)/format.LeafChunks, int(j.chunk%format.LeafChunks)
	if !t.has(number, in) {
		return true
	}
	at, ready := s.leafFor(t, number, i, out)
	if !ready {
		return false
	}
	d := &s.leaves.leaves[at].content[in]
	if j.layer == j.top || j.layer.owns(j.handle) {
		j.lastSeq = max(j.lastSeq, d.LastSeq)
	}
	for b := range block.PerChunk {
		bit := uint16(1) << b
		if j.want&^hidden&bit == 0 {
			continue
		}
		src := &j.sources[b]
		switch d.State(b) {
		case format.Absent:
			continue
		case format.Zero:
			*src = source{kind: sourceZero, sum: s.zeroSum}
		case format.Present:
			*src = source{kind: sourceDisk, at: s.slotAddress(d.Slot) + int64(b*s.blockSize), sum: d.Sums[b]}
		case format.Bad:
			*src = source{kind: sourceBad}
		}
		j.want &^= bit
	}
	return true
}

// fromVersion takes the blocks in mask from a version.
func (s *Store) fromVersion(j *job, v *index.Version, mask uint16) {
	for b := range block.PerChunk {
		bit := uint16(1) << b
		if mask&bit == 0 {
			continue
		}
		src := &j.sources[b]
		switch {
		case v.Kind == index.Zeroed:
			*src = source{kind: sourceZero, sum: s.zeroSum}
		case v.Kind == index.Lost || v.Bad&bit != 0:
			*src = source{kind: sourceBad}
		default:
			*src = source{kind: sourceDisk, at: v.Place(b, s.blockSize), sum: s.index.Sum(v, b)}
		}
	}
}
