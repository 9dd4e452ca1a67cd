package store

import (
	"cmp"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// LayerInfo is a snapshot of a replica, or with ID 0 its head, or a layer of
// another volume that it stands on.
type LayerInfo struct {
	ID      block.LayerID
	Parent  block.LayerID // the nearest layer below that is not dissolved; 0: none
	Closed  block.Position
	Deleted bool // it is only there until it is merged
	// Dissolved says that its deletion is stable: what it has counts as its
	// children's.
	Dissolved bool
	Own       bool // a head or snapshot of this replica, not of one that it was cloned from
	Used      uint64
	Blocks    uint64 // its size, of a layer that is the replica's own
}

// Layers appends the layers of h to list, each behind the one that it stands on.
func (s *Store) Layers(h Handle, list []LayerInfo) []LayerInfo {
	r := s.replica(h)
	if r == nil {
		return list
	}
	for _, l := range r.reads() {
		list = append(list, l.info(r))
	}
	return list
}

// reads returns the layers of r and those below them, each behind the one that it
// stands on.
func (r *replica) reads() (all []*layer) {
	seen := make(map[*layer]bool)
	for _, top := range append([]*layer{r.head}, r.snapshots...) {
		for l := top; l != nil && !seen[l]; l = l.parent {
			seen[l] = true
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *layer) int { return cmp.Compare(a.number, b.number) })
	return all
}

func (l *layer) info(r *replica) LayerInfo {
	info := LayerInfo{ID: l.id, Closed: l.closed, Deleted: l.deleted, Dissolved: l.dissolved(), Own: l.owner == r, Used: l.used()}
	if l.owner == r {
		info.Blocks = r.blocksOf(l)
	}
	p := l.parent
	for p != nil && p.owner == r && p.dissolved() {
		p = p.parent
	}
	if p != nil {
		info.Parent = p.id
	}
	return info
}

// OpenLayer closes the head of h as the layer id and opens a new one on it, on the
// layer parent, or with message.Bottom on what the lowest stands on: what a record of the stream does, but for a target of a
// resync that builds the layers of its source. at is where the source closed
// it. Result: RecordDone. BehindSeq: a snapshot of the stream is not stable here.
func (s *Store) OpenLayer(now step.Time, h Handle, id, parent block.LayerID, at block.Position, token uint64, out *step.Effects) message.Status {
	r := s.control(now, h)
	switch {
	case r == nil:
		return s.refusal()
	case id == 0:
		return message.WrongState
	case r.resets > 0 || r.head.opened > r.stable:
		return message.BehindSeq
	case !s.mayRebuild(r) || !s.mayLayer():
		return message.NoSpace
	}
	r.shrinking++
	s.deepen(r, 1)
	s.enqueue(r, format.Record{Kind: format.Open, Layer: id, Parent: parent, Position: at}, block.Buffer{}, token)
	s.pump(out)
	return message.OK
}

// mayRebuild reports whether one more layer may be below r's head. Those that its
// source only keeps for others count as snapshots until they are dropped.
func (s *Store) mayRebuild(r *replica) bool {
	all, _ := r.head.depth()
	return all+r.snaps < depthMax
}

// HasLayer reports whether id is a snapshot of h, as far as its records are
// accepted.
func (s *Store) HasLayer(h Handle, id block.LayerID) bool {
	r := s.replica(h)
	return r != nil && r.snapshot(id) != nil
}

// DropLayer deletes the snapshot id of h, which its source does not have any
// more. Result: RecordDone.
func (s *Store) DropLayer(now step.Time, h Handle, id block.LayerID, token uint64, out *step.Effects) message.Status {
	r := s.control(now, h)
	switch {
	case r == nil:
		return s.refusal()
	case id == 0:
		return message.WrongState
	}
	s.enqueue(r, format.Record{Kind: format.Drop, Layer: id}, block.Buffer{}, token)
	s.pump(out)
	return message.OK
}

// shown returns what a list of l has to go through: l, the dissolved layers below
// it, and under the lowest layer of a replica those of another volume that it
// stands on. What the last have shows through, and never changes.
func (l *layer) shown(handle uint32, since block.Seq) []*layer {
	list := []*layer{l}
	for p := l.parent; p != nil && p.shows(handle); p = p.parent {
		if since == 0 || p.owns(handle) && p.closed.Seq > since {
			list = append(list, p)
		}
	}
	return list
}

// shows reports whether a pull of the layer above l, for the replica with that
// handle, shows what l has.
func (l *layer) shows(handle uint32) bool { return !l.owns(handle) || l.dissolved() }

// Pin keeps the layers of h from being merged or freed while a resync copies them
// one by one; Unpin ends that. Pins are counted, and gone when the store is opened.
func (s *Store) Pin(h Handle) {
	if r := s.replica(h); r != nil {
		r.pins++
	}
}

// Unpin ends one Pin of h.
func (s *Store) Unpin(now step.Time, h Handle, out *step.Effects) {
	if r := s.control(now, h); r != nil && r.pins > 0 {
		r.pins--
		s.pump(out)
	}
}
