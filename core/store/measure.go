package store

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/volume"
)

// What a layer takes is counted as it changes. What only it needs is not: that
// takes the descriptors of the layer above it as well, which need not be in memory
// when a chunk goes home. So a change only notes that a leaf has to be counted
// again, and Measure does that now and then:
//
//	layer   ▮▮▯▮   slots of one leaf
//	above   ▮▯▯▮   its own slots, or all that the layer has there overwritten
//	        ↑  ↑   these would be free without the layer
//
// Leaves of which one of the two has nothing are not read. So it costs about a page
// for every leaf that was written to since the snapshot was taken, once.

const (
	// measureReads is how many leaves one call of Measure counts: each may be read
	// from the disk and push another out of the cache.
	measureReads = 16
	// measureLooks bounds those that it passes over.
	measureLooks = 4096
)

// measurePlan is how far a call of Measure is.
type measurePlan struct {
	number       uint32 // of the layer that it is at
	reads, looks int    // that are left
}

// The bits of a leaf in a tally.
const (
	tallyStale = 1 << 7         // it is to be counted again
	tallyCount = tallyStale - 1 // what was counted last, format.LeafChunks at most
)

// tally counts the slots of a layer that the only layer above it does not need.
type tally struct {
	lower, upper *tree
	leaves       []uint8 // by number; nil once the layers do not change any more
	slots        uint64  // in all, as last counted
	stale        int     // leaves that are to be counted again
	from         uint64  // none below is
	whole        bool    // all were counted once
	void         bool    // one changed after all when leaves was gone
}

// touch notes that a leaf of one of the two trees has changed.
func (t *tally) touch(leaf uint64) {
	switch {
	case t == nil || leaf >= t.lower.leaves:
	case t.leaves == nil:
		t.void = true
	case t.leaves[leaf]&tallyStale == 0:
		t.leaves[leaf] |= tallyStale
		t.stale++
		t.from = min(t.from, leaf)
	}
}

// next returns the first leaf that is to be counted again.
func (t *tally) next() uint64 {
	for t.leaves[t.from]&tallyStale == 0 {
		t.from++
	}
	return t.from
}

// count takes over how many slots of a leaf only the layer needs.
func (t *tally) count(leaf uint64, slots uint8) {
	t.slots += uint64(slots) - uint64(t.leaves[leaf]&tallyCount)
	t.leaves[leaf] = slots
	t.stale--
	t.whole = t.whole || t.stale == 0
}

// exclusive returns how many slots of l only l needs. known: they were counted.
func (l *layer) exclusive() (slots uint64, known bool) {
	switch {
	case l.under != nil:
		return 0, false
	case len(l.kids) == 0:
		return l.used(), true
	case len(l.kids) > 1:
		return 0, true // its deletion would wait
	case !l.tallied():
		return 0, false
	}
	return l.tally.slots, l.tally.whole
}

// tallied reports whether l has a tally of it and of what is above it now.
func (l *layer) tallied() bool {
	t := l.tally
	return t != nil && !t.void && l.countable() && t.lower == l.tree && t.upper == l.kids[0].tree
}

// countable reports whether it takes a tally to say what only l needs.
func (l *layer) countable() bool {
	return len(l.kids) == 1 && l.under == nil && l.kids[0].under == nil && !l.tree.lost && !l.kids[0].tree.lost
}

// tallyOf returns the tally of l, a new one if there is none, or nil if it takes
// none.
func (l *layer) tallyOf() *tally {
	if !l.tallied() {
		l.dropTally()
		if !l.countable() {
			return nil
		}
		t := &tally{lower: l.tree, upper: l.kids[0].tree, leaves: slices.Repeat([]uint8{tallyStale}, int(l.tree.leaves))}
		t.stale = len(t.leaves)
		l.tally, t.lower.asLower, t.upper.asUpper = t, t, t
	}
	return l.tally
}

func (l *layer) dropTally() {
	t := l.tally
	if t == nil {
		return
	}
	if t.lower.asLower == t {
		t.lower.asLower = nil
	}
	if t.upper.asUpper == t {
		t.upper.asUpper = nil
	}
	l.tally = nil
}

// settleTally lets the leaves go of a tally that is complete and stays so: a byte
// for 3 MiB of a volume would be much for each of 250 snapshots.
func (l *layer) settleTally() {
	if k := l.kids[0]; k.shut && k.pending+k.pushes+l.pending+l.pushes == 0 {
		l.tally.leaves = nil
	}
}

// Measure counts on what only single layers need, a few leaves a call. Result:
// MeasureDone; a Cursor other than 0: there is more to count.
func (s *Store) Measure(now step.Time, token uint64, out *step.Effects) {
	s.now = max(s.now, now)
	if s.phase != phaseOpen {
		s.result(Result{Kind: MeasureDone, Status: failedStatus, Token: token})
		return
	}
	i := s.newJob(jobMeasure, nil, token)
	s.jobs.table[i].measure = measurePlan{reads: measureReads, looks: measureLooks}
	s.runMeasure(i, out)
}

// runMeasure goes on until a leaf must be read, or the call is over.
func (s *Store) runMeasure(i int32, out *step.Effects) {
	p := &s.jobs.table[i].measure
	for p.reads > 0 && p.looks > 0 {
		l := s.layerFrom(p.number)
		if l == nil {
			s.endMeasure(i, 0)
			return
		}
		p.number = l.number
		p.looks--
		switch t := l.tallyOf(); {
		case t == nil || t.leaves == nil:
			p.number++
		case t.stale == 0:
			l.settleTally()
			p.number++
		case !s.measureLeaf(i, t, out):
			return // resumed when the leaf is there
		}
	}
	s.endMeasure(i, 1)
}

// measureLeaf counts the next leaf of a tally. It reports false if one must be
// read first.
func (s *Store) measureLeaf(i int32, t *tally, out *step.Effects) bool {
	j := s.jobs.table[i]
	number := t.next()
	if t.lower.child(number).Has&t.upper.child(number).Has == 0 {
		t.count(number, 0)
		return true
	}
	if !s.pinFor(i, t.lower, number, out) {
		return false
	}
	at, ready := s.leafFor(t.upper, number, i, out)
	if !ready {
		return false
	}
	lower, upper := &s.leaves.leaves[j.leaf].content, &s.leaves.leaves[at].content
	t.count(number, alone(lower, upper))
	s.unpin(&j.leaf)
	j.measure.reads--
	return true
}

// alone returns how many slots of a leaf would be free if it was merged into the
// one above it: what both have in slots of their own would be left in one.
func alone(lower, upper *format.Leaf) (slots uint8) {
	for n := range lower {
		if d, k := &lower[n], &upper[n]; d.Slot != 0 && (k.Slot != 0 || lacks(k, d) == 0) {
			slots++
		}
	}
	return slots
}

func (s *Store) endMeasure(i int32, more uint64) {
	s.result(Result{Kind: MeasureDone, Status: message.OK, Token: s.jobs.table[i].token, Cursor: more})
	s.endJob(i)
}

// Usage returns the space that h takes at home: its layers, and those of others
// that it stands on. Exclusive is what no other replica reads. Of its snapshots it
// returns that of those which are counted: exclusive is what the deletion of that
// one would free.
func (s *Store) Usage(h Handle) (whole volume.Usage, snapshots map[block.LayerID]volume.Usage, known bool) {
	r := s.replica(h)
	if r == nil {
		return whole, nil, false
	}
	snapshots = make(map[block.LayerID]volume.Usage)
	layers := r.reads()
	beside := make(map[*layer]bool, len(layers)) // of those that r reads: another one does
	for _, l := range slices.Backward(layers) {  // what stands on a layer comes first
		beside[l] = l.readBeside(r, beside)
		alone := l.used()
		if beside[l] {
			alone = 0
		}
		whole = whole.Plus(s.usageOf(l.used(), alone))
		if slots, counted := l.exclusive(); counted && l.owner == r && l.id != 0 && !l.deleted {
			snapshots[l.id] = s.usageOf(l.used(), slots)
		}
	}
	return whole, snapshots, true
}

// readBeside reports whether another replica than r reads l. known are layers of
// which that was found.
func (l *layer) readBeside(r *replica, known map[*layer]bool) bool {
	return l.owner != nil && l.owner != r || slices.ContainsFunc(l.kids, func(k *layer) bool {
		if beside, found := known[k]; found {
			return beside
		}
		return k.readBeside(r, known)
	})
}

// usageOf returns slots as bytes; what was counted may be older than what is used.
func (s *Store) usageOf(used, exclusive uint64) volume.Usage {
	chunk := int64(block.PerChunk * s.blockSize)
	u := volume.Usage{Used: int64(used) * chunk, Exclusive: int64(min(used, exclusive)) * chunk}
	u.Shared = u.Used - u.Exclusive
	return u
}
