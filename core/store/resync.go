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

// ListChanged lists the chunks of h with a change above since, from cursor (0 =
// start) on, at most a few thousand a call. Result: ChangesDone.
func (s *Store) ListChanged(now step.Time, h Handle, since block.Seq, cursor, token uint64, out *step.Effects) {
	s.now = max(s.now, now)
	r := s.replica(h)
	if r == nil {
		s.result(Result{Kind: ChangesDone, Status: s.refusal(), Handle: h, Token: token})
		return
	}
	i := s.newJob(jobList, r, token)
	s.jobs.table[i].list = listPlan{since: since, leaf: cursor, stable: r.stable}
	s.runList(i, out)
}

// runList goes leaf by leaf over what is at home and in the index.
func (s *Store) runList(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	p := &j.list
	r := s.byHandle[j.handle]
	if r == nil {
		s.result(Result{Kind: ChangesDone, Status: message.NoReplica, Handle: Handle(j.handle), Token: j.token})
		s.endJob(i)
		return
	}
	pending := s.pendingLeaves(r, p.leaf)
	for len(p.changes) < changesMax {
		home, some := r.tree.next(p.leaf)
		next := uint64(0)
		if cached, ok := s.leaves.nextDirty(r.tree, p.leaf); ok && (!some || cached < home) {
			home, some = cached, true
		}
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
		at, ready := s.leafFor(r.tree, next, i, out)
		if !ready {
			return
		}
		s.listLeaf(r, p, &s.leaves.leaves[at].content)
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

// listLeaf adds the changed chunks of one leaf.
func (s *Store) listLeaf(r *replica, p *listPlan, content *format.Leaf) {
	for n := range content {
		chunk := block.Chunk(p.leaf*format.LeafChunks + uint64(n))
		last := content[n].LastSeq
		if c := s.index.Find(index.Key{Handle: r.handle, Chunk: chunk}); c != index.None {
			for v := s.index.Chunk(c).Newest; v != index.None; v = s.index.Older(v) {
				last = max(last, s.index.Version(v).LastSeq)
			}
		}
		if last > p.since {
			p.changes = append(p.changes, message.Change{Chunk: chunk, LastSeq: last})
		}
	}
}

// pendingLeaves returns the leaves from from on that the index has chunks of.
func (s *Store) pendingLeaves(r *replica, from uint64) []uint64 {
	var list []uint64
	for i := s.index.First(r.handle); i != index.None; i = s.index.Next(i) {
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
