package store

import (
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

const (
	// mergeEvery is the time between two turns of the merger: foreground I/O has
	// the rest.
	mergeEvery = time.Millisecond
	// mergeLeaves is how many leaves without anything to copy one turn folds.
	mergeLeaves = 4
)

// merger brings layers that are deleted to their end. One without children is
// freed; one with several waits; one with a single child is merged into it:
//
//	parent ─┐ unite             fold, chunk by chunk
//	child ──┴──▶ child {tree, under} ──────────▶ child {tree}
//
// To unite two layers takes no time: the child has two trees from then on, and a
// block that the upper one has not is looked for in the lower. Folding moves
// chunk by chunk from the smaller tree to the larger. Where both have data of a
// chunk, what the upper one lacks is copied into its slot.
//
// No step needs a record. The descriptors of both trees change at once, in
// memory, and get into the same root; until that is durable the old one finds all
// that it names untouched: copies go where the upper tree has nothing, and slots
// that are not needed any more are released only afterwards. How far a merge is
// stands in the trees.
type merger struct {
	waits   bool      // for records of a layer that goes to go home
	stuck   bool      // metadata in memory, or the lack of space, holds it up
	running bool      // a fold has a turn
	next    step.Time // of the next turn
	layer   *layer    // that the last turn was for
	cursor  uint64    // the first leaf that may have anything left
}

// going returns a layer that is deleted and that can go now. If there is none, it
// notes whether one only waits for its records to go home.
func (s *Store) going() *layer {
	s.merge.waits = false
	for i := len(s.doomed) - 1; i >= 0; i-- {
		l := s.doomed[i]
		if s.mayGo(l) {
			return l
		}
		s.merge.waits = s.merge.waits || l.pending > 0 && len(l.kids) < 2
	}
	return nil
}

func (s *Store) mayGo(l *layer) bool {
	if l.pending > 0 || l.pushes > 0 || l.fenced() {
		return false // the ring has records of it (rule 8)
	}
	if l.until > s.journal.sealed.batch {
		return false // what needs it may come back (rule 19)
	}
	if s.pinned(l) {
		return false
	}
	if len(l.kids) == 0 {
		return true
	}
	if len(l.kids) > 1 && !mergeShares {
		return false // it is needed by more than one
	}
	k := l.kids[0]
	return k.born && !k.fenced() && k.pushes == 0 && k.clears == 0 && l.under == nil && k.under == nil &&
		!l.tree.lost && !k.tree.lost
}

// pinned reports whether someone reads the layers that l is among one by one.
func (s *Store) pinned(l *layer) bool {
	for _, r := range s.replicas {
		if r.pins > 0 && r.sees(l) {
			return true
		}
	}
	return false
}

// sees reports whether l is a layer of r or below one.
func (r *replica) sees(l *layer) bool {
	if l.owner == r {
		return true
	}
	for k := r.head; k != nil; k = k.parent {
		if k == l {
			return true
		}
	}
	return false
}

// toFold returns a layer with two trees that can be folded.
func (s *Store) toFold() *layer {
	for _, l := range s.folding {
		if !l.fenced() && !l.tree.lost && !l.under.lost {
			return l
		}
	}
	return nil
}

// merging reports whether a merge has something to do now.
func (s *Store) merging() bool {
	return len(s.folding) > 0 && s.toFold() != nil || len(s.doomed) > 0 && s.going() != nil
}

// driveMerge takes a turn if one is due. Nothing moves between a checkpoint's
// cut and its end.
func (s *Store) driveMerge(out *step.Effects) {
	m := &s.merge
	m.waits = m.waits && len(s.doomed) > 0
	if len(s.doomed)+len(s.folding) == 0 || s.ckpt.phase > ckptSeal || s.phase != phaseOpen {
		return
	}
	next := s.going()
	for ; next != nil && (len(next.kids) == 0 || s.fits(s.mergeSlack())); next = s.going() {
		if len(next.kids) == 0 {
			out.Marks.Hit("store: layer freed")
			s.freeTrees(next)
			s.removeLayer(next)
			continue
		}
		s.unite(next, out)
	}
	l := s.toFold()
	if m.running || l == nil && next == nil || s.now < m.next {
		return
	}
	if m.stuck = l == nil || s.leaves.dirty > s.leaves.limit/2 || !s.fits(s.foldSlack()); m.stuck {
		s.ckpt.wanted = s.ckpt.wanted || s.leaves.dirty > 0 || s.slots.Pending() > 0
		out.Marks.Hit("store: merge waits for a checkpoint")
		return
	}
	m.next = s.now.Add(mergeEvery)
	s.fold(l, out)
}

// unite puts the only child of l in its place: it takes l's tree under its own.
func (s *Store) unite(l *layer, out *step.Effects) {
	out.Marks.Hit("store: layer merged")
	if len(l.kids) > 1 {
		out.Marks.Hit("mutant: merge shares")
	}
	for _, k := range l.kids {
		k.parent = l.parent
	}
	if l.parent != nil {
		l.parent.kids = append(l.parent.kids, l.kids...)
	}
	k := l.kids[0]
	k.under, k.reach = l.tree, l.blocks
	k.down = l.tree.leaves == k.tree.leaves && l.tree.used >= k.tree.used
	s.folding = append(s.folding, k)
	l.kids = nil
	s.removeLayer(l)
	s.lookAgain(func(j *job) bool { return j.layer == l || j.layer == k })
}

// lookAgain makes reads begin anew that may have looked where their blocks are
// not any more.
func (s *Store) lookAgain(which func(*job) bool) {
	for _, j := range s.jobs.table {
		if j.busy && (j.kind == jobRead || j.single()) && which(j) {
			j.moved = true
		}
	}
}
