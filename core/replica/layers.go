package replica

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// Layers: a source tells which it has, a target makes the same ones. Both keep
// them all until the resync ends, or the connection over which it goes does.

// layerChunk is a chunk of one layer, 0 being the head.
type layerChunk struct {
	layer block.LayerID
	chunk block.Chunk
}

func (r *Replica) pin(l *link) {
	if !l.pinned {
		l.pinned = true
		r.store.Pin(r.handle)
	}
}

func (r *Replica) unpin(now step.Time, l *link, out *step.Effects) {
	if l.pinned {
		l.pinned = false
		r.store.Unpin(now, r.handle, out)
	}
}

func (r *Replica) onListLayers(l *link, m *message.Message, out *step.Effects) {
	answer := message.Message{Kind: message.Layers, Era: m.Era, Request: m.Request, Status: message.BehindSeq}
	if copyAny || r.stableFrom(m.Seq) {
		r.pin(l)
		answer.Status, answer.Layers = message.OK, r.layers()
	}
	out.Send(l.conn, answer)
}

// layers lists the layers of this replica, but for those that dissolve: a pull of
// what stands on one shows what it has. So does a pull of the lowest with what
// that stands on, which belongs to another volume.
func (r *Replica) layers() (list []message.LayerInfo) {
	for _, l := range r.store.Layers(r.handle, nil) {
		if l.Own && !l.Dissolved {
			list = append(list, message.LayerInfo{ID: l.ID, Parent: l.Parent, Closed: l.Closed, Deleted: l.Deleted, Blocks: l.Blocks})
		}
	}
	return list
}

// onShape has a target do what a record of the stream did at its source.
func (r *Replica) onShape(now step.Time, l *link, m *message.Message, out *step.Effects) {
	if r.refuseOtherResync(l, m, out) {
		return
	}
	token := r.requests.add(request{conn: l.conn, request: m.Request, kind: m.Kind, era: m.Era})
	status := message.WrongState
	switch rec := &m.Record; rec.Op {
	case message.OpSnap:
		status = r.store.OpenLayer(now, r.handle, rec.Layer, rec.Parent, rec.Position, token, out)
	case message.OpDelSnap:
		status = r.store.DropLayer(now, r.handle, rec.Layer, token, out)
	case message.OpResize:
		status = r.store.Grow(now, r.handle, rec.Blocks, token, out)
	case message.OpInvalid, message.OpWrite, message.OpZero, message.OpNop, message.OpCount:
	}
	if status != message.OK {
		r.requests.take(token)
		out.Send(l.conn, message.Message{Kind: message.Done, Era: m.Era, Request: m.Request, Status: status})
	}
}

// noteSnapshot makes what the live stream wrote into the head what it wrote into
// a snapshot.
func (r *Replica) noteSnapshot(id block.LayerID) {
	closed := map[layerChunk]uint16{}
	for at, mask := range r.live { // any order: each moves alone
		if at.layer == 0 {
			at.layer = id
		}
		closed[at] = mask
	}
	r.live = closed
}
