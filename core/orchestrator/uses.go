package orchestrator

import (
	"fmt"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Who uses a volume is known to the node that it is attached to, and recorded
// in the attachment for all others. When nobody does any more, the holder keeps
// it for a while and says that it lingers; another node that wants it says so in
// the same record:
//
//	holder                                 another node
//	users: web
//	users: none, lingering ──────────────▶ attach: wanted by me, waits
//	lets go: detaches in order ──────────▶ attaches
//	or: users: job, wanted by nobody ────▶ attached elsewhere
//	or: nothing, for handOverWithin ─────▶ attached elsewhere
//
// All of these are guarded writes of one key, so a use that begins and a wish
// that comes at the same time meet there. A coordinator claims its volume at the
// revision of the attachment: nothing of this is written before it serves.

// handOverWithin bounds the wait for a holder to let go of a volume that
// lingers: it unmounts, flushes and detaches, mostly within a second.
const handOverWithin = 4 * time.Second

// onUses takes what the body says of who uses a volume here.
func (o *Orchestrator) onUses(c *step.Control) {
	l := o.volumes[c.Volume]
	if l == nil || l.coordinator == absent || c.Uses == nil {
		return // it ended meanwhile, and its uses with it
	}
	l.uses = c.Uses
	o.dirty[c.Volume] = true
}

// reconcileUses makes the attachment say who uses the volume here, and tells the
// body when another node wants what nobody uses.
func (o *Orchestrator) reconcileUses(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	a := v.Attachment.Value
	if l.uses == nil || l.coordinator != running || !l.serving || !o.attachedHere(v, l) {
		return
	}
	next := *a
	next.Users, next.Lingering = l.uses.Users[:min(len(l.uses.Users), volume.UsersMax)], l.uses.Lingering
	if !next.Lingering {
		next.Wanted = nil
	}
	differs := !slices.Equal(next.Users, a.Users) || next.Lingering != a.Lingering || next.Wanted != a.Wanted
	switch {
	case differs:
		if a.Wanted != nil {
			out.Marks.Hit("orchestrator: wanted volume is used again")
		}
		key := volume.AttachmentKey(id)
		o.write(key, id, metadata.Txn{
			Guards: []metadata.Guard{{Key: key, Revision: v.Attachment.Revision}},
			Ops:    []metadata.Op{{Key: key, Value: volume.Encode(next)}},
		}, out)
	case a.Wanted != nil && l.passedOn != v.Attachment.Revision:
		out.Marks.Hit("orchestrator: lingering volume is let go for another node")
		l.passedOn = v.Attachment.Revision
		out.Controls = append(out.Controls, step.Control{Kind: step.VolumeWanted, Volume: id})
	}
}

// want asks the node for which a volume only lingers to let it go, and waits
// until it is gone, in use again, or the time for it is over.
func (o *Orchestrator) want(op *operation, id block.VolumeID, v *view.Volume, out *step.Effects) decision {
	a, key := v.Attachment.Value, volume.AttachmentKey(id)
	switch {
	case op.asked && o.now >= op.until:
		out.Marks.Hit("orchestrator: waited in vain for a lingering volume")
		return refuse(o.notLetGo(op, a.Node), key)
	case op.asked && a.Wanted != nil: // by this node or a third one: it goes for either
		return o.await(op, id)
	}
	out.Marks.Hit("orchestrator: lingering volume is asked for")
	op.volume, op.wishes = id, true
	next := *a
	next.Wanted = &o.p.Node.ID
	return onward(metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: v.Attachment.Revision}},
		Ops:    []metadata.Op{{Key: key, Value: volume.Encode(next)}},
	})
}

// wanted begins the wait of an operation whose wish is recorded.
func (o *Orchestrator) wanted(op *operation) {
	if op.wishes = false; !op.asked {
		op.asked, op.until = true, o.now.Add(handOverWithin)
	}
}

// wakeWanting has the operations looked at again whose time may be over.
func (o *Orchestrator) wakeWanting() {
	for _, lane := range o.laneNames() {
		if op := o.lanes[lane][0]; op.asked {
			o.wake(op)
		}
	}
}

func (o *Orchestrator) notLetGo(op *operation, node block.NodeID) error {
	name := nameOf(op)
	e := &volume.Error{
		Kind:   volume.ErrAttachedElsewhere,
		What:   fmt.Sprintf("cannot %s volume %q: it is attached to node %s", verbOf(op), name, o.nodeName(node)),
		Causes: []string{fmt.Sprintf("nobody uses it there, but node %s has not let it go within %d s", o.nodeName(node), handOverWithin/time.Second)},
		Fix:    "try again in a moment",
	}
	if op.command.Kind == volume.AttachVolume {
		e.Fix = fmt.Sprintf("try again, or take it from that node:  lagan volume attach %s --force", name)
	}
	return e
}
