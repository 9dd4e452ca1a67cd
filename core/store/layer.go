package store

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store/index"
)

const (
	// layersMax bounds the snapshots below a head: each is one more place to look
	// for a block that nobody wrote since.
	layersMax = 250
	// depthMax bounds them together with those that are deleted but not merged yet.
	depthMax = 2 * layersMax
)

// layer is a map from chunk to descriptor. A block that it does not have is its
// parent's. Every layer has one owner: the replica whose head or snapshot it is,
// or nobody, if only clones or a merge still need it.
//
//	opened ─stable─▶ born ─closed─▶ … ─stable─▶ shut ─deleted─▶ … ─stable─▶ doomed ─▶ merged or freed
//
// What is not born, shut or doomed by a stable record yet, a truncation may undo,
// and no root shows it (rule 8).
type layer struct {
	number  uint32 // never reused; always above its parent's
	id      block.LayerID
	parent  *layer
	kids    []*layer
	owner   *replica
	tree    *tree
	under   *tree  // of a layer that was merged into it: it has what tree has not; nil: none
	reach   uint64 // the blocks of the volume that under was made for
	down    bool   // chunks move from tree to under, not the other way
	blocks  uint64
	pending int    // chunks with versions in the index, or on their way home
	pushes  int    // queued, into it
	clears  int    // versions in the index that take blocks away
	hint    uint32 // the slot that suits its next chunk
	tally   *tally // nil: it is not counted what only this layer needs

	born, shut bool
	deleted    bool      // its replica's stream is past its deletion
	gone       block.Seq // of the record of the stream that deleted it, 0 if none did
	doomed     bool
	until      uint64         // the newest batch that took its owner, or what stood on it, away
	opened     block.Seq      // of the record of the stream that opened it, 0 if none did
	sealed     block.Seq      // likewise of the one that closed it
	closed     block.Position // where its snapshot is in the stream; none of a head
	closes     *layer         // what the record that opened it closed, until that is stable
}

// newLayer makes an empty layer on parent.
func (s *Store) newLayer(r *replica, blocks uint64, parent *layer) *layer {
	l := &layer{number: s.nextLayer, owner: r, parent: parent, blocks: blocks, tree: s.newTree(leavesOf(blocks))}
	if parent != nil {
		parent.kids = append(parent.kids, l)
	}
	s.addLayer(l)
	return l
}

func (s *Store) addLayer(l *layer) {
	s.layers = append(s.layers, l) // numbers rise
	s.byNumber[l.number] = l
	s.nextLayer = max(s.nextLayer, l.number+1)
}

// removeLayer takes l out of the tables; nothing stands on it any more.
func (s *Store) removeLayer(l *layer) {
	l.dropTally()
	if p := l.parent; p != nil {
		p.kids = slices.DeleteFunc(p.kids, func(k *layer) bool { return k == l })
	}
	if r := l.owner; r != nil {
		r.snapshots = slices.DeleteFunc(r.snapshots, func(o *layer) bool { return o == l })
	}
	delete(s.byNumber, l.number)
	at, _ := slices.BinarySearchFunc(s.layers, l.number, func(o *layer, n uint32) int { return int(o.number) - int(n) })
	s.layers = slices.Delete(s.layers, at, at+1)
	s.doomed = slices.DeleteFunc(s.doomed, func(o *layer) bool { return o == l })
	s.folding = slices.DeleteFunc(s.folding, func(o *layer) bool { return o == l })
}

// ensure returns the chunk of l in the index and makes it if there is none.
func (s *Store) ensure(l *layer, c block.Chunk) int32 {
	key := index.Key{Layer: l.number, Chunk: c}
	if i := s.index.Find(key); i != index.None {
		return i
	}
	l.pending++
	return s.index.Ensure(key)
}

// limit returns up to which seq l's versions may go home: those of a layer
// without owner are stable, for only what is was cloned.
func (l *layer) limit() block.Seq {
	if l.owner == nil {
		return ^block.Seq(0)
	}
	return l.owner.limit
}

// depth returns how many layers are below l, and how many of them stay.
func (l *layer) depth() (all, staying int) {
	for p := l.parent; p != nil; p = p.parent {
		all++
		if !p.deleted && !p.doomed {
			staying++
		}
	}
	return all, staying
}

// snapshot returns r's own snapshot id, as the stream has it.
func (r *replica) snapshot(id block.LayerID) *layer {
	for i := len(r.snapshots) - 1; i >= 0; i-- {
		if l := r.snapshots[i]; l.id == id && !l.deleted {
			return l
		}
	}
	return nil
}

// find returns the layer id of r: its head, a snapshot or one below that. One
// that is deleted counts as long as it is there, unless another has its id.
func (r *replica) find(id block.LayerID) *layer {
	if id == 0 {
		return r.head
	}
	if l := r.snapshot(id); l != nil {
		return l
	}
	for i := len(r.snapshots) - 1; i >= 0; i-- {
		if l := r.snapshots[i]; l.id == id {
			return l
		}
	}
	for l := r.head.parent; l != nil; l = l.parent {
		if l.id == id {
			return l
		}
	}
	return nil
}

// bottom returns what the lowest layer of r stands on: nothing, or a layer of
// another volume.
func (r *replica) bottom() *layer {
	l := r.head
	for l.parent != nil && l.parent.owner == r {
		l = l.parent
	}
	return l.parent
}

// rootHead returns the head as far as the stream is stable.
func (r *replica) rootHead() *layer {
	for _, l := range r.snapshots {
		if !l.shut {
			return l
		}
	}
	return r.head
}

// firstLayer returns the head that r was created with, as long as no snapshot
// is in a root.
func (r *replica) firstLayer() *layer {
	if len(r.snapshots) > 0 {
		return r.snapshots[0]
	}
	return r.head
}

// closeHead makes r's head the layer id and opens a new head on it, on the
// snapshot parent, or at the bottom. It returns nil where there is nothing to do: a snapshot is
// made once, and one that is gone is nothing to go back to. All replicas decide
// alike, for they go by the stream alone.
func (s *Store) closeHead(r *replica, id, parent block.LayerID, at block.Position, seq block.Seq) *layer {
	if r.snapshot(id) != nil {
		return nil
	}
	under := r.head
	switch {
	case parent == message.Bottom:
		under = r.bottom()
	case parent != 0:
		if under = r.snapshot(parent); under == nil {
			return nil
		}
	}
	closed := r.head
	closed.id, closed.closed, closed.sealed = id, at, seq
	r.snapshots = append(r.snapshots, closed)
	r.head = s.newLayer(r, r.blocks, under)
	r.head.closes, r.head.opened = closed, seq
	return r.head
}

// reopenHead undoes a closeHead: what came after it is dropped already.
func (s *Store) reopenHead(r *replica) {
	l := r.head
	closed := l.closes
	invariant.That(closed != nil && !l.born && len(l.kids) == 0, "only a head that is not stable is undone")
	s.withdraw(l)
	closed.id, closed.closed, closed.sealed = 0, block.Position{}, 0
	r.snapshots = r.snapshots[:len(r.snapshots)-1]
	r.head = closed
}

// delete marks r's snapshot id as deleted in the stream's order, by the record
// with that seq or by none of it.
func (r *replica) delete(id block.LayerID, seq block.Seq) *layer {
	l := r.snapshot(id)
	if l != nil {
		l.deleted, l.gone = true, seq
	}
	return l
}

// dissolved reports whether the end of l is stable: what it has counts as its
// children's. How far a merge has come is every store's own affair, so a resync
// takes no notice of it.
func (l *layer) dissolved() bool {
	return l.doomed || l.deleted && (l.owner == nil || l.gone <= l.owner.stable)
}

// doom lets l go as soon as it can.
func (s *Store) doom(l *layer) {
	if !l.doomed {
		l.deleted, l.doomed = true, true
		s.doomed = append(s.doomed, l)
	}
}

// disown takes r's layers away: its head goes at once, its snapshots as soon as
// no clone needs them (rule 19). What no stable record made of them goes too.
func (s *Store) disown(r *replica) {
	for r.head.closes != nil {
		s.reopenHead(r)
	}
	s.withdraw(r.head)
	for _, l := range r.snapshots {
		s.doom(l)
		l.owner, l.until = nil, s.journal.accepted
	}
	r.snapshots, r.shapes, r.head = r.snapshots[:0], r.shapes[:0], nil
}

// withdraw takes a head away, by a record that is accepted and that a loss of power
// may still undo: what it stood on stays as it is until the record is sealed.
func (s *Store) withdraw(l *layer) {
	if l.parent != nil {
		l.parent.until = s.journal.accepted
	}
	s.dropVersions(l)
	s.freeTrees(l)
	s.removeLayer(l)
}

// dropVersions takes everything of l out of the index.
func (s *Store) dropVersions(l *layer) {
	for i := s.index.First(l.number); i != index.None; {
		next := s.index.Next(i)
		for v := s.index.Chunk(i).Newest; v != index.None; v = s.index.Chunk(i).Newest {
			s.dropVersion(i, v)
		}
		s.tidyChunk(i)
		i = next
	}
	invariant.That(l.pending == 0, "no chunk of a layer that goes is on its way home")
}

// freeTrees gives what l has at home to the reclaimer.
func (s *Store) freeTrees(l *layer) {
	s.freeTree(l.tree)
	s.freeTree(l.under)
}

func (s *Store) freeTree(t *tree) {
	if t == nil {
		return
	}
	if _, unwritten := s.leaves.nextDirty(t, 0); unwritten || !t.empty() {
		t.dead = true
		s.dead = append(s.dead, t)
	}
}

// used returns how many slots l has at home.
func (l *layer) used() uint64 {
	if l.under == nil {
		return l.tree.used
	}
	return l.tree.used + l.under.used
}

// occupy makes a job the owner of a chunk of l in the index (rule 16); release
// ends that.
func (s *Store) occupy(i int32, l *layer) {
	s.index.Chunk(i).Busy = true
	s.destage.active++
	if l.owner != nil {
		l.owner.homing++
	}
}

func (s *Store) release(i int32, l *layer) {
	c := s.index.Chunk(i)
	key := c.Key
	c.Busy = false
	s.destage.active--
	if l.owner != nil {
		l.owner.homing--
	}
	again := s.ripeChunk(i, l)
	s.tidyChunk(i)
	if again {
		s.offer(key)
	}
}

// owns reports whether l is a layer of the replica with that handle.
func (l *layer) owns(handle uint32) bool { return l.owner != nil && l.owner.handle == handle }

// fenced reports whether a Reset or Delete of l's replica is on its way.
func (l *layer) fenced() bool { return l.owner != nil && l.owner.fenced }
