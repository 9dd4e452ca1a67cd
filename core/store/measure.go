package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// measurePlan is how far a Measure is.
type measurePlan struct {
	leaf            uint64
	used, exclusive int // slots
}

// Measure counts what one layer of h takes at home, 0 being its head. Result:
// MeasureDone. It reads the leaves that the layer and the one above it share.
// BehindSeq: one of them is not done with taking over a layer that was deleted.
func (s *Store) Measure(now step.Time, h Handle, id block.LayerID, token uint64, out *step.Effects) {
	s.now = max(s.now, now)
	r := s.replica(h)
	if r == nil || r.find(id) == nil {
		s.refuse(MeasureDone, r, h, token)
		return
	}
	i := s.newJob(jobMeasure, r, token)
	j := s.jobs.table[i]
	j.layer, j.measure = r.find(id), measurePlan{}
	s.runMeasure(i, out)
}

// runMeasure counts leaf by leaf. What the layer and its only child both have in
// slots of their own, a deletion would leave in one. With several children it
// would wait, and free nothing.
func (s *Store) runMeasure(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	p, l := &j.measure, j.layer
	for {
		if s.byNumber[l.number] == nil {
			s.endMeasure(i, message.NoReplica)
			return
		}
		if l.under != nil || len(l.kids) == 1 && l.kids[0].under != nil {
			s.endMeasure(i, message.BehindSeq)
			return
		}
		number, some := s.leafOf(l.tree, p.leaf)
		if !some {
			s.endMeasure(i, message.OK)
			return
		}
		if p.leaf = number; !s.measureLeaf(i, out) {
			return // resumed when the leaf is there
		}
		p.leaf++
	}
}

// measureLeaf counts the chunks of one leaf. It reports false if a leaf must be
// read first.
func (s *Store) measureLeaf(i int32, out *step.Effects) bool {
	j := s.jobs.table[i]
	p, l := &j.measure, j.layer
	if !s.pinFor(i, l.tree, p.leaf, out) {
		return false
	}
	above := int32(-1)
	if len(l.kids) == 1 {
		at, ready := s.leafFor(l.kids[0].tree, p.leaf, i, out)
		if !ready {
			return false
		}
		above = at
	}
	content := &s.leaves.leaves[j.leaf].content
	for n := range content {
		d := &content[n]
		if d.Slot == 0 {
			continue
		}
		p.used++
		alone := len(l.kids) == 0
		if above >= 0 {
			k := &s.leaves.leaves[above].content[n]
			alone = k.Slot != 0 || lacks(k, d) == 0
		}
		if alone {
			p.exclusive++
		}
	}
	s.unpin(&j.leaf)
	return true
}

func (s *Store) endMeasure(i int32, status message.Status) {
	j := s.jobs.table[i]
	chunk := int64(block.PerChunk * s.blockSize)
	u := Usage{Used: int64(j.measure.used) * chunk, Exclusive: int64(j.measure.exclusive) * chunk}
	u.Shared = u.Used - u.Exclusive
	s.result(Result{Kind: MeasureDone, Status: status, Handle: Handle(j.handle), Token: j.token, Usage: u})
	s.endJob(i)
}
