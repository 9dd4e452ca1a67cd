package coordinator

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// strata are the layers that a resync copies: those of the source, made anew at
// the target in the same order, and what the stream makes of them meanwhile.
//
// What is asked of a member before a SNAP is sent to it is about the layers as
// they were, and what is asked afterwards waits until it has taken effect. So the
// very moment at which the SNAP is sent turns what is listed, and on its way, of
// the head into what is of the snapshot.
type strata struct {
	had     []message.LayerInfo // the target, when it began
	surplus []block.LayerID     // of those, which the source has no more
	layers  []stratum           // by age; the last one is the head
	asked   bool                // the source was asked for them
	known   bool                // and has answered
	shaped  []message.Record    // of the stream, since they were asked for
	toOpen  []message.Record    // at the target, in order
	opens   bool                // the target does the first of them
}

// stratum is one layer of a resync.
type stratum struct {
	id      block.LayerID // 0: the head
	closed  block.Seq     // its place in the stream
	deleted bool          // the target must drop it in the end
}

// unfinished reports whether the target has not all layers that the source has.
func (s *strata) unfinished() bool { return !s.known || len(s.toOpen) > 0 }

// nextLayer returns the first of the layers, from i on, of which the target may
// lack something: one that was closed before never changes.
func (r *resync) nextLayer(i int) int {
	layers := r.strata.layers
	if skipLayer && i == 0 && len(layers) > 1 {
		i++
	}
	for ; i < len(layers); i++ {
		if r.since == 0 || layers[i].id == 0 || layers[i].closed > r.since {
			break
		}
	}
	return i
}

// requireStable has what is copied from now on cover the stream up to seq.
func (c *Coordinator) requireStable(seq block.Seq) {
	r := c.resync
	r.minimum = max(r.minimum, seq)
	if wrongSource && r.source.State == volume.Out {
		r.minimum = 0
	}
}

// askLayers asks the source which layers it has. The records of this session that
// shape them must have taken effect there.
func (c *Coordinator) askLayers(out *step.Effects) {
	r := c.resync
	c.requireStable(c.snapshots.newest)
	r.listing, r.strata.asked, r.strata.shaped = true, true, nil
	c.askResync(r.source, resyncLayers, message.Message{Kind: message.ListLayers, Seq: r.minimum}, out)
}

func (c *Coordinator) onLayers(m *member, msg *message.Message, out *step.Effects) {
	r := c.resync
	if r == nil || m != r.source || msg.Request != r.id|resyncLayers || !r.listing {
		return
	}
	r.listing = false
	if msg.Status != message.OK {
		return // superviseResync asks again
	}
	r.moved = c.now
	if skipLayer && len(msg.Layers) > 1 {
		out.Marks.Hit("mutant: skip layer")
	}
	s := &r.strata
	s.known = true
	size := ^uint64(0)
	for i := range s.had {
		if s.had[i].ID == 0 {
			size = s.had[i].Blocks
		}
	}
	for i, l := range msg.Layers {
		s.layers = append(s.layers, stratum{id: l.ID, closed: l.Closed.Seq, deleted: l.Deleted})
		if l.ID == 0 || !has(s.had, l.ID) {
			size = s.growTarget(&msg.Layers[i], size, out)
		}
		if l.ID == 0 || i+1 == len(msg.Layers) {
			break // the head is the youngest
		}
		if has(s.had, l.ID) {
			continue
		}
		open := opening(msg.Layers, i)
		if open.Parent == message.Bottom && r.since > 0 {
			c.startAnew(out)
			return
		}
		s.toOpen = append(s.toOpen, open)
	}
	for _, l := range s.had {
		if l.ID != 0 && !has(msg.Layers, l.ID) {
			s.surplus = append(s.surplus, l.ID)
		}
	}
	for i := range s.shaped {
		c.shapeStrata(&s.shaped[i], out)
	}
	c.openNext(out)
	if !s.unfinished() {
		c.startPass(out)
	}
}

// startAnew gives a resync of what changed up for one of everything. While it began
// the volume went back to a snapshot that is gone since: what that had counts as the
// head's at the source, long unchanged, and would be nowhere in the target's.
func (c *Coordinator) startAnew(out *step.Effects) {
	c.resync.target.crowded = true
	c.abortResync(out)
	c.reconfigure(out)
}

func has(layers []message.LayerInfo, id block.LayerID) bool {
	return slices.ContainsFunc(layers, func(l message.LayerInfo) bool { return l.ID == id })
}

// opening returns what makes the target close its head as layers[i] and open the
// one that follows.
func opening(layers []message.LayerInfo, i int) message.Record {
	open := message.Record{Position: layers[i].Closed, Op: message.OpSnap, Layer: layers[i].ID}
	switch parent := layers[i+1].Parent; {
	case parent == open.Layer:
	case parent != 0 && has(layers, parent):
		open.Parent = parent // the volume went back there
	default:
		open.Parent = message.Bottom // and that snapshot is gone
	}
	return open
}

// resyncShaped takes a record that was just sent to all members of the stream.
func (c *Coordinator) resyncShaped(record *message.Record, out *step.Effects) {
	r := c.resync
	switch {
	case r == nil || r.ending || !r.strata.asked:
	case !r.strata.known:
		r.strata.shaped = append(r.strata.shaped, *record)
	default:
		c.shapeStrata(record, out)
		c.openNext(out)
	}
}

// shapeStrata lets a record shape the layers of a resync. A target that gets the
// stream does it by itself.
func (c *Coordinator) shapeStrata(record *message.Record, out *step.Effects) {
	r := c.resync
	s := &r.strata
	at := slices.IndexFunc(s.layers, func(l stratum) bool { return l.id == record.Layer })
	switch {
	case record.Op == message.OpResize:
		if !r.live {
			s.toOpen = append(s.toOpen, *record)
		}
	case record.Op == message.OpDelSnap:
		if at >= 0 && !r.live {
			s.layers[at].deleted = true
		}
	case at < 0: // else it was taken in an earlier session
		out.Marks.Hit("coordinator: snapshot taken while a member is filled")
		head := &s.layers[len(s.layers)-1]
		head.id, head.closed = record.Layer, record.Position.Seq
		s.layers = append(s.layers, stratum{})
		r.rename(record.Layer)
		c.requireStable(record.Position.Seq)
		if !r.live {
			s.toOpen = append(s.toOpen, *record)
		}
	}
}

// rename turns what is listed and on its way of the head into what is of a
// snapshot.
func (r *resync) rename(id block.LayerID) {
	for i := range r.listed {
		if r.listed[i].layer == 0 {
			r.listed[i].layer = id
		}
	}
	for i := range r.copies {
		if r.copies[i].layer == 0 {
			r.copies[i].layer = id
		}
	}
}

// openNext has the target open the next layer: one after the other.
func (c *Coordinator) openNext(out *step.Effects) {
	s := &c.resync.strata
	if len(s.toOpen) > 0 && !s.opens {
		s.opens = true
		c.askResync(c.resync.target, resyncShape, message.Message{Kind: message.Shape, Record: s.toOpen[0]}, out)
	}
}

// onShaped goes on when the target has opened a layer.
func (c *Coordinator) onShaped(out *step.Effects) {
	r := c.resync
	s := &r.strata
	if !s.opens {
		return // it dropped one
	}
	s.opens, s.toOpen = false, s.toOpen[1:]
	c.openNext(out)
	switch {
	case s.unfinished():
	case r.passes == 0:
		c.startPass(out)
	default:
		c.copyChunks(out)
	}
}

// dropLayers has the target let go of the snapshots that were deleted before it
// got the stream.
func (c *Coordinator) dropLayers(out *step.Effects) {
	s := &c.resync.strata
	gone := s.surplus
	for _, l := range s.layers {
		if l.deleted {
			gone = append(gone, l.id)
		}
	}
	for _, id := range gone {
		out.Marks.Hit("coordinator: member filled with a snapshot that was deleted")
		record := message.Record{Op: message.OpDelSnap, Layer: id}
		c.askResync(c.resync.target, resyncShape, message.Message{Kind: message.Shape, Record: record}, out)
	}
}

// resyncUnshaped ends a resync whose layers had one that was taken back.
func (c *Coordinator) resyncUnshaped(out *step.Effects) {
	if c.resync != nil && !c.resync.ending {
		c.abortResync(out)
	}
}
