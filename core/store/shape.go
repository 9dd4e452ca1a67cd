package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/store/format"
)

// shape is a record of the stream that changed a replica's layers or its size, as
// its peers need to see it again.
type shape struct {
	seq        block.Seq
	id, parent block.LayerID
	blocks     uint64 // of a RESIZE
	before     uint64 // the size before that
}

// applyShape lets an accepted record of the stream close the head or delete a
// snapshot.
func (s *Store) applyShape(r *replica, rec *format.Record, a applied) {
	at := rec.Position
	r.shapes = append(r.shapes, shape{seq: at.Seq, id: rec.Layer, parent: rec.Parent})
	var l *layer
	if rec.Kind == format.Snap {
		l = s.closeHead(r, rec.Layer, rec.Parent, at, at.Seq)
		if !a.replay {
			s.deepen(r, -1)
		}
	} else {
		l = r.delete(rec.Layer, at.Seq)
	}
	s.remember(r, rec, l.name(), a)
}

// applyControlShape does the same for a resync, which builds the layers of its
// source.
func (s *Store) applyControlShape(r *replica, rec *format.Record, a applied) {
	var l *layer
	if rec.Kind == format.Open {
		l = s.closeHead(r, rec.Layer, rec.Parent, rec.Position, 0)
		if !a.replay {
			s.deepen(r, -1)
		}
	} else {
		l = r.delete(rec.Layer, 0)
	}
	plain := *rec
	plain.Position = block.Position{}
	s.remember(r, &plain, l.name(), a)
}

// name is l's number, or 0.
func (l *layer) name() uint32 {
	if l == nil {
		return 0
	}
	return l.number
}

// undoShape takes back what a record that is dropped did to the layers.
func (s *Store) undoShape(r *replica, rec *record) {
	r.shapes = r.shapes[:len(r.shapes)-1]
	l := s.byNumber[rec.Layer]
	switch {
	case l == nil: // it had nothing to do
	case rec.Kind == format.Snap:
		invariant.That(l == r.head, "records are undone from the newest on")
		s.reopenHead(r)
	default:
		l.deleted, l.gone = false, 0
	}
}

// shapeOf returns what the record of r with that seq says.
func (r *replica) shapeOf(seq block.Seq) shape {
	for i := len(r.shapes) - 1; i >= 0; i-- {
		if r.shapes[i].seq == seq {
			return r.shapes[i]
		}
	}
	invariant.That(false, "what a remembered record says is remembered")
	return shape{}
}

// ripenShape lets a record that is stable and sealed shape the layers.
func (s *Store) ripenShape(rec *record) {
	l := s.byNumber[rec.Layer]
	if l == nil {
		return // it did nothing, or took effect before
	}
	switch rec.Kind {
	case format.Snap, format.Open:
		s.settleLayer(l)
	case format.DelSnap, format.Drop:
		s.doom(l)
	case format.Resize:
		growLayer(l, l.owner.shapeOf(rec.Position.Seq).blocks)
	default:
	}
}

// ripenControlShapes lets the records of a resync that are behind unstable ones of
// the stream shape the layers before a root is written: they are not parked.
func (s *Store) ripenControlShapes(r *replica) {
	for i := r.cursor; i < len(r.records); i++ {
		rec := &r.records[i]
		if rec.Batch <= s.destage.limit && (rec.Kind == format.Open || rec.Kind == format.Drop) {
			s.ripenShape(rec)
		}
	}
}

// settleLayer makes l part of every later root.
func (s *Store) settleLayer(l *layer) {
	l.born = true
	if l.closes != nil {
		l.closes.shut, l.closes = true, nil
	}
}

// settleUpTo makes l, a snapshot that is stable, part of every later root, with
// all that its replica took before.
func (s *Store) settleUpTo(l *layer) {
	if l.owner == nil {
		return
	}
	for i, o := range l.owner.snapshots {
		s.settleLayer(o)
		if o != l {
			continue
		}
		if i+1 < len(l.owner.snapshots) {
			s.settleLayer(l.owner.snapshots[i+1])
		} else {
			s.settleLayer(l.owner.head)
		}
		return
	}
}
