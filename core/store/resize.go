package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// A volume grows by a record of its stream, and never shrinks. What is accepted
// behind RESIZE may lie in the new part; the trees follow when RESIZE is stable,
// before anything of the new part goes home. So a root knows the size that stable
// records made, and a truncation takes a RESIZE back by forgetting it:
//
//	r.blocks   as of the last accepted record: what can be read
//	l.blocks   of the head, as of the last stable one: what is in a root
//
// A snapshot keeps the size that its layer had. A target of a resync, which builds
// the layers of its source, is given the size of each before it is closed, by a GROW
// outside the stream: it takes effect at once, and no checkpoint comes in between.

// ahead returns the size of r as of the last appended record.
func (r *replica) ahead() uint64 {
	if r.growing > 0 {
		return max(r.blocks, r.asked)
	}
	return r.blocks
}

// steady returns the size of r as of the last stable record: what is written to
// outside the stream must not lie in a part that may be taken back.
func (r *replica) steady() uint64 {
	for i := range r.shapes {
		if s := &r.shapes[i]; s.blocks != 0 && s.seq > r.stable {
			return s.before
		}
	}
	return r.blocks
}

// applyResize lets an accepted RESIZE take effect in memory.
func (s *Store) applyResize(r *replica, rec *format.Record, a applied) {
	if !a.replay {
		r.growing--
	}
	r.shapes = append(r.shapes, shape{seq: rec.Position.Seq, blocks: rec.Blocks, before: r.blocks})
	r.blocks = max(r.blocks, rec.Blocks)
	s.remember(r, rec, r.head.number, a)
}

// undoResize takes back a RESIZE that is dropped: what lay in the new part is
// dropped already.
func (r *replica) undoResize() {
	last := len(r.shapes) - 1
	r.blocks = r.shapes[last].before
	r.shapes = r.shapes[:last]
}

// Grow makes h, a target of a resync, as large as its source was there; nothing if it
// is that large. Result: RecordDone.
func (s *Store) Grow(now step.Time, h Handle, blocks, token uint64, out *step.Effects) message.Status {
	r := s.control(now, h)
	switch {
	case r == nil:
		return s.refusal()
	case blocks == 0:
		return message.WrongState
	case !s.fits(s.zeroSlack()):
		return message.NoSpace
	}
	s.enqueue(r, format.Record{Kind: format.Grow, Blocks: blocks}, block.Buffer{}, token)
	s.pump(out)
	return message.OK
}

// grow lets an accepted GROW take effect.
func (r *replica) grow(blocks uint64) {
	r.blocks, r.grown = max(r.blocks, blocks), max(r.grown, blocks)
	growLayer(r.head, blocks)
}

// blocksOf returns the size of l, a layer of r, as far as records are accepted.
func (r *replica) blocksOf(l *layer) uint64 {
	if l == r.head {
		return r.blocks
	}
	blocks := l.blocks
	for i := range r.shapes {
		if s := &r.shapes[i]; l.sealed != 0 && s.seq < l.sealed {
			blocks = max(blocks, s.blocks)
		}
	}
	return blocks
}

// growLayer makes l describe that many blocks.
func growLayer(l *layer, blocks uint64) {
	if blocks <= l.blocks {
		return
	}
	l.blocks = blocks
	l.dropTally() // it has a place for each leaf
	l.tree.grow(leavesOf(blocks))
	if l.under != nil && l.down { // what comes goes there in the end
		l.under.grow(leavesOf(blocks))
		l.reach = blocks
	}
}

// grow gives a tree more leaves, and levels on top as far as they need them. What
// it has stays where it is, also on the disk.
func (t *tree) grow(leaves uint64) {
	t.leaves = max(t.leaves, leaves)
	for height := format.Height(t.leaves); t.height < height; t.height++ {
		if t.root == nil {
			continue
		}
		top := &node{dirty: true}
		top.kids[0], top.child[0] = t.root, t.page
		t.root, t.page = top, format.Child{}
	}
}
