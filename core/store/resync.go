package store

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// changesMax is how many changes one ListChanged answers with, about.
const changesMax = 2048

// listPlan is how far a ListChanged is.
type listPlan struct {
	since    block.Seq
	leaf     uint64
	changes  []message.Change
	stable   block.Seq
	finished bool
}

// ListChanged lists the chunks of one layer of h, 0 being its head, of which Pull
// shows a change above since, or all that it shows if since is 0, from cursor
// (0 = start) on, at most a few thousand a call. Some that did not change may be
// among them. Result: ChangesDone.
func (s *Store) ListChanged(now step.Time, h Handle, id block.LayerID, since block.Seq, cursor, token uint64, out *step.Effects) {
	s.now = max(s.now, now)
	r := s.replica(h)
	if r == nil || r.find(id) == nil {
		s.refuse(ChangesDone, r, h, token)
		return
	}
	i := s.newJob(jobList, r, token)
	s.jobs.table[i].layer = r.find(id)
	s.jobs.table[i].list = listPlan{since: since, leaf: cursor, stable: min(r.stable, r.last.Seq)}
	s.runList(i, out)
}

// runList goes leaf by leaf over what is at home and in the index.
func (s *Store) runList(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	p := &j.list
	l := j.layer
	if s.byHandle[j.handle] == nil || s.byNumber[l.number] == nil {
		s.result(Result{Kind: ChangesDone, Status: message.NoReplica, Handle: Handle(j.handle), Token: j.token})
		s.endJob(i)
		return
	}
	shown := l.shown(j.handle, p.since)
	var pending []uint64
	for _, o := range shown {
		pending = append(pending, s.pendingLeaves(o, p.leaf)...)
	}
	slices.Sort(pending)
	for len(p.changes) < changesMax {
		home, some := s.firstLeaf(shown, p)
		next := uint64(0)
		for len(pending) > 0 && pending[0] < p.leaf {
			pending = pending[1:]
		}
		switch {
		case some && len(pending) > 0:
			next = min(home, pending[0])
		case some:
			next = home
		case len(pending) > 0:
			next = pending[0]
		default:
			p.finished = true
		}
		if p.finished {
			break
		}
		p.leaf = next
		if !s.listLeaf(i, len(shown) > 1, out) {
			return
		}
		p.leaf++
	}
	res := Result{Kind: ChangesDone, Handle: Handle(j.handle), Token: j.token, Changes: p.changes, Position: block.Position{Seq: p.stable}}
	if !p.finished {
		res.Cursor = p.leaf
	}
	p.changes = nil // handed over
	s.result(res)
	s.endJob(i)
}

// firstLeaf returns the first leaf from p's on that one of the layers has at home
// and that may have a change.
func (s *Store) firstLeaf(layers []*layer, p *listPlan) (leaf uint64, some bool) {
	for _, l := range layers {
		for _, t := range []*tree{l.tree, l.under} {
			if t == nil {
				continue
			}
			if at, ok := s.leafAbove(t, p.leaf, p.since); ok && (!some || at < leaf) {
				leaf, some = at, true
			}
		}
	}
	return leaf, some
}

// listLeaf adds the changed chunks of one leaf, or all of them. It reports false if
// it must be read first.
func (s *Store) listLeaf(i int32, all bool, out *step.Effects) bool {
	j := s.jobs.table[i]
	p, l := &j.list, j.layer
	if !s.pinFor(i, l.tree, p.leaf, out) {
		return false
	}
	var lower *format.Leaf
	if l.under != nil && p.leaf < l.under.leaves {
		at, ready := s.leafFor(l.under, p.leaf, i, out)
		if !ready {
			return false
		}
		lower = &s.leaves.leaves[at].content
	}
	content := &s.leaves.leaves[j.leaf].content
	for n := range content {
		chunk := block.Chunk(p.leaf*format.LeafChunks + uint64(n))
		last := content[n].LastSeq
		if lower != nil {
			last = max(last, lower[n].LastSeq)
		}
		if c := s.index.Find(index.Key{Layer: l.number, Chunk: chunk}); c != index.None {
			for v := s.index.Chunk(c).Newest; v != index.None; v = s.index.Older(v) {
				last = max(last, s.index.Version(v).LastSeq)
			}
		}
		if last > p.since || all && s.byHandle[j.handle].has(chunk) {
			p.changes = append(p.changes, message.Change{Chunk: chunk, LastSeq: last})
		}
	}
	s.unpin(&j.leaf)
	return true
}

// pendingLeaves returns the leaves from from on that the index has chunks of.
func (s *Store) pendingLeaves(l *layer, from uint64) []uint64 {
	var list []uint64
	for i := s.index.First(l.number); i != index.None; i = s.index.Next(i) {
		if leaf := uint64(s.index.Chunk(i).Key.Chunk) / format.LeafChunks; leaf >= from {
			list = append(list, leaf)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// nextDirty returns the first leaf of t from from on that is changed in memory only.
func (c *leafCache) nextDirty(t *tree, from uint64) (leaf uint64, ok bool) {
	for _, i := range c.listed {
		if l := c.leaves[i]; l.tree == t && l.number >= from && (!ok || l.number < leaf) {
			leaf, ok = l.number, true
		}
	}
	return leaf, ok
}
