package store

import (
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// reclaimer frees the slots and pages of dead trees, leaf by leaf. How far it
// is stands in the tree itself, so a checkpoint in between keeps it.
type reclaimer struct {
	running bool
	tree    *tree
}

// reclaimBatch is how many leaves are freed before anything else has a turn.
const reclaimBatch = 256

// driveReclaim starts on the first dead tree. Nothing is freed between a
// checkpoint's cut and its end.
func (s *Store) driveReclaim(out *step.Effects) {
	if s.reclaim.running || len(s.dead) == 0 || s.ckpt.phase != ckptIdle {
		return
	}
	s.reclaim.running = true
	s.runReclaim(s.newJob(jobReclaim, nil, 0), out)
}

// runReclaim frees leaves until one must be read, or its turn is over.
func (s *Store) runReclaim(i int32, out *step.Effects) {
	defer func() {
		if s.reclaim.tree == nil {
			s.reclaim.running = false
			s.endJob(i)
		}
	}()
	for range reclaimBatch {
		if len(s.dead) == 0 || s.ckpt.phase > ckptSeal {
			break
		}
		t := s.dead[0]
		number, some := s.leafOf(t, 0)
		if t.lost || !some {
			s.endTree(t)
			out.Marks.Hit("store: tree freed")
			continue
		}
		s.reclaim.tree = t // still running if the leaf is not there yet
		at, ready := s.leafFor(t, number, i, out)
		if !ready {
			return
		}
		s.freeLeaf(at)
		s.reclaim.tree = nil
	}
	s.reclaim.tree = nil
}

// freeLeaf frees what a leaf of a dead tree holds, and the leaf.
func (s *Store) freeLeaf(at int32) {
	l := s.leaves.leaves[at]
	for n := range l.content {
		if slot := l.content[n].Slot; slot != 0 {
			s.slots.Drop(slot)
		}
	}
	l.content = format.Leaf{}
	s.dirtied(at) // written as an absent child
	child := l.tree.child(l.number)
	if child.Page != 0 {
		s.dropPage(child.Page)
	}
	l.tree.setChild(l.number, format.Child{})
	s.undirty(at)
}

// undirty takes a leaf off the list of dirty ones and out of the cache.
func (s *Store) undirty(at int32) {
	c := &s.leaves
	for n, i := range c.listed {
		if i == at {
			c.listed = append(c.listed[:n], c.listed[n+1:]...)
			c.dirty--
			break
		}
	}
	c.clean(at)
	if c.leaves[at].pins == 0 {
		c.remove(at)
	}
}

// endTree frees the nodes of a tree without leaves.
func (s *Store) endTree(t *tree) {
	s.dead = s.dead[1:]
	s.dropNodes(t.root, t.height, t.page)
}

func (s *Store) dropNodes(n *node, level uint8, at format.Child) {
	if n == nil {
		return
	}
	if level > 1 {
		for i := range n.kids {
			s.dropNodes(n.kids[i], level-1, n.child[i])
		}
	}
	s.dropPage(at.Page)
}
