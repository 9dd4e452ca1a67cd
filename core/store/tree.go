package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
)

// tree is a layer's map from leaf number to page: interior pages are all in
// memory, leaves come through the leaf cache. The bitmap is one too.
type tree struct {
	id     uint64 // of the cache's keys, never reused while open
	height uint8  // levels of nodes
	leaves uint64
	root   *node
	page   format.Child // of the root node, as last written
	used   uint64       // slots
	homing int          // chunks on their way into it
	dead   bool
	lost   bool // an interior page was unreadable: nothing below can be trusted

	asLower, asUpper *tally // that count its leaves; nil: none does
}

// node is an interior page.
type node struct {
	child [format.Fanout]format.Child
	kids  [format.Fanout]*node // above the lowest level
	dirty bool
}

func (s *Store) newTree(leaves uint64) *tree {
	s.leaves.trees++
	return &tree{id: s.leaves.trees, height: format.Height(leaves), leaves: leaves}
}

// empty reports whether nothing was ever put into the tree.
func (t *tree) empty() bool { return t.root == nil }

// slot returns which child of a node at that level leads to leaf i; the lowest
// level is 1.
func childAt(i uint64, level uint8) int {
	for ; level > 1; level-- {
		i /= format.Fanout
	}
	return int(i % format.Fanout)
}

// child returns the reference to leaf i.
func (t *tree) child(i uint64) format.Child {
	n := t.root
	for level := t.height; n != nil; level-- {
		if level == 1 {
			return n.child[childAt(i, 1)]
		}
		n = n.kids[childAt(i, level)]
	}
	return format.Child{}
}

// has reports whether leaf i may have anything of its chunk at.
func (t *tree) has(i uint64, at int) bool {
	if t.lost || i >= t.leaves {
		return t.lost
	}
	n := t.root
	for level := t.height; n != nil; level-- {
		if level == 1 {
			return n.child[childAt(i, 1)].Has&(1<<at) != 0
		}
		n = n.kids[childAt(i, level)]
	}
	return false
}

// setChild changes the reference to leaf i; the path above becomes dirty.
func (t *tree) setChild(i uint64, c format.Child) {
	if t.root == nil {
		t.root = &node{}
	}
	n := t.root
	for level := t.height; ; level-- {
		n.dirty = true
		at := childAt(i, level)
		if level == 1 {
			n.child[at] = c
			return
		}
		if n.kids[at] == nil {
			n.kids[at] = &node{}
		}
		n = n.kids[at]
	}
}

// next returns the first leaf from i on that has anything above since, below
// t.leaves. Leaves that are changed in memory only are not looked at.
func (t *tree) next(i uint64, since block.Seq) (leaf uint64, ok bool) {
	if t.root == nil {
		return 0, false
	}
	return t.nextIn(t.root, t.height, 0, i, since)
}

func (t *tree) nextIn(n *node, level uint8, base, from uint64, since block.Seq) (uint64, bool) {
	span := uint64(1)
	for range level - 1 {
		span *= format.Fanout
	}
	start := 0
	if from > base {
		start = int((from - base) / span)
	}
	for at := start; at < format.Fanout; at++ {
		first := base + uint64(at)*span
		if level == 1 {
			if c := &n.child[at]; (c.Page != 0 || c.AllZero) && (since == 0 || c.MaxSeq > since) {
				return first, true
			}
			continue
		}
		kid := n.kids[at]
		if kid == nil || since > 0 && !kid.dirty && n.child[at].MaxSeq <= since {
			continue
		}
		if leaf, ok := t.nextIn(kid, level-1, first, from, since); ok {
			return leaf, true
		}
	}
	return 0, false
}
