package orchestrator

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// find returns the volume that a command names, or the answer when there is none.
func (o *Orchestrator) find(verb string, name string) (block.VolumeID, view.Volume, *decision) {
	id, found := o.view.Resolve(name)
	if !found {
		d := refuse(notFound(verb, name), volume.NameKey(name))
		return id, view.Volume{}, &d
	}
	v := o.view.Volume(id)
	switch {
	case v.Spec.Value == nil:
		d := refuse(unreadable(verb, name, v.Spec.Problem), volume.NameKey(name), volume.SpecKey(id))
		return id, v, &d
	case v.Config.Value != nil && v.Config.Value.Tombstone:
		d := refuse(beingDeleted(verb, name), volume.ConfigKey(id))
		return id, v, &d
	case v.Attachment.Problem != nil:
		d := refuse(unreadable(verb, name, v.Attachment.Problem), volume.AttachmentKey(id))
		return id, v, &d
	}
	return id, v, nil
}

// lookUp answers once the volume is in the view: what was created through
// another node may not have come by the watch yet.
func (o *Orchestrator) lookUp(op *operation) decision {
	id, _, missing := o.find(verbOf(op), op.command.Name)
	if missing != nil {
		return *missing
	}
	return succeed(id)
}

// attach writes that this node is to serve the volume: nobody was attached
// meanwhile, and the volume is not being deleted (that removes its name). A
// holder whose lease has run out is not asked for: if it is there after all,
// the copies fence it. One for whom the volume only lingers is asked to let go.
func (o *Orchestrator) attach(op *operation, out *step.Effects) decision {
	id, v, missing := o.find("attach", op.command.Name)
	if missing != nil {
		return *missing
	}
	l := o.volumes[id]
	a := v.Attachment.Value
	switch {
	case v.Config.Value != nil && v.Config.Value.Regressed():
		return refuse(o.regressed(op, v.Config.Value), volume.ConfigKey(id))
	case op.volume == id && o.applied(op):
		out.Marks.Hit("orchestrator: refused attachment turned out to be applied")
		return succeed(id)
	case l != nil && l.attaching: // for its upkeep
		return o.await(op, id)
	case v.Snapshots.Value.Restoring() != nil && (a == nil || a.Upkeep): // who attaches it must find it restored
		return o.await(op, id)
	case a != nil && a.Upkeep && a.Node == o.p.Node.ID:
		o.endUpkeep(id, o.local(id), out)
		return o.await(op, id)
	case o.attachedHere(&v, l) && l.coordinator != stopping:
		return succeed(id)
	case a != nil && a.Node != o.p.Node.ID && !op.command.Force && o.view.Node(a.Node).Alive.Revision != 0:
		if a.Lingering {
			return o.want(op, id, &v, out)
		}
		return refuse(o.attachedElsewhere("attach", op.command.Name, a), volume.AttachmentKey(id))
	}
	op.volume, op.number = id, uint64(o.view.Newest())+1 // above that of any attachment seen
	l = o.local(id)
	l.mine, l.attaching = op.number, true
	next := volume.Attachment{Format: volume.Format, Node: o.p.Node.ID, Number: op.number}
	name := volume.NameKey(v.Spec.Value.Name)
	key := volume.AttachmentKey(id)
	return write(metadata.Txn{
		Guards: []metadata.Guard{
			{Key: key, Revision: v.Attachment.Revision},
			{Key: name, Revision: o.view.Name(v.Spec.Value.Name).Revision},
			{Key: volume.SnapshotsKey(id), Revision: v.Snapshots.Revision}, // none is being restored
		},
		Ops: []metadata.Op{{Key: key, Value: volume.Encode(next)}},
	})
}

// giveUpAttachment sees to it that an attachment that was answered with an error
// is removed should it be applied later.
func (o *Orchestrator) giveUpAttachment(op *operation) {
	l := o.volumes[op.volume]
	if l == nil || op.number == 0 || l.mine != op.number {
		return
	}
	l.mine, l.attaching = 0, false
	o.dirty[op.volume] = true
}

// detach ends the coordinator; with it gone, the attachment is stale and
// reconciliation removes it.
func (o *Orchestrator) detach(op *operation, out *step.Effects) decision {
	id, v, missing := o.find("detach", op.command.Name)
	if missing != nil {
		return *missing
	}
	op.volume = id
	a, key := v.Attachment.Value, volume.AttachmentKey(id)
	switch {
	case a == nil:
		return succeed(id, key)
	case a.Node == o.p.Node.ID:
		l := o.local(id)
		if !slices.Contains(l.detaching, op) {
			l.detaching = append(l.detaching, op)
		}
		if l.coordinator != absent {
			o.stop(id, l, op.command.Force, out)
		} else if l.mine != 0 {
			l.mine = 0
			o.dirty[id] = true
		}
		return decision{waiting: true}
	case !op.command.Force:
		return refuse(o.attachedElsewhere("detach", op.command.Name, a), key)
	}
	return write(metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: v.Attachment.Revision}},
		Ops:    []metadata.Op{{Key: key, Delete: true}},
	})
}

// hasten makes a detach that waits for the last writes give them up: one by
// force was asked for behind it.
func (o *Orchestrator) hasten(name string, out *step.Effects) {
	id, found := o.view.Resolve(name)
	if l := o.volumes[id]; found && l != nil && l.coordinator == stopping {
		o.stop(id, l, true, out)
	}
}
