package orchestrator

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// delete marks a volume that is not attached as deleted: its name is free, no
// coordinator may claim it, and every node frees its replicas (see
// shrinkTombstone), those that left before included.
func (o *Orchestrator) delete(op *operation, out *step.Effects) decision {
	if o.applied(op) {
		return succeed(op.volume) // by this operation, or by another one meanwhile
	}
	id, v, missing := o.find("delete", op.command.Name)
	if missing != nil {
		return *missing
	}
	op.volume = id
	config, name := v.Config.Value, v.Spec.Value.Name
	switch {
	case config == nil:
		return refuse(unreadable("delete", name, v.Config.Problem), volume.ConfigKey(id))
	case v.Placement.Problem != nil:
		return refuse(unreadable("delete", name, v.Placement.Problem), volume.PlacementKey(id))
	case v.Snapshots.Value != nil && len(v.Snapshots.Value.List) > 0 && !op.command.Snapshots:
		return refuse(hasSnapshots(name, len(v.Snapshots.Value.List)), volume.SnapshotsKey(id))
	}
	if v.Snapshots.Value != nil {
		for i := range v.Snapshots.Value.List {
			if d := o.unclaimed(op, fmt.Sprintf("delete volume %q", name), &v.Snapshots.Value.List[i]); d != nil {
				return *d
			}
		}
	}
	if d := o.clear(op, id, &v, out); d != nil {
		return *d
	}
	next := config.Clone()
	next.Epoch, next.Change = config.Epoch+1, o.random.next()
	next.Coordinator, next.Tombstone = nil, true
	for _, at := range v.Placement.Value.Unlisted(config) {
		next.Members = append(next.Members, volume.Member{Replica: at.Replica, Node: at.Node, Disk: at.Disk, State: volume.Out})
	}
	txn := metadata.Txn{
		Guards: []metadata.Guard{
			{Key: volume.ConfigKey(id), Revision: v.Config.Revision},
			{Key: volume.AttachmentKey(id), Revision: v.Attachment.Revision},
			{Key: volume.SnapshotsKey(id), Revision: v.Snapshots.Revision},
			{Key: volume.PlacementKey(id), Revision: v.Placement.Revision},
			{Key: volume.SpecKey(id), Revision: v.Spec.Revision}, // nor grown meanwhile
			{Key: volume.NameKey(name), Revision: o.view.Name(name).Revision},
		},
		Ops: []metadata.Op{
			{Key: volume.ConfigKey(id), Value: next.Encode()},
			{Key: volume.NameKey(name), Delete: true},
		},
	}
	if v.Attachment.Value != nil { // of a node that died over the volume's upkeep
		txn.Ops = append(txn.Ops, metadata.Op{Key: volume.AttachmentKey(id), Delete: true})
	}
	o.promiseTo(&txn, v.Placement.Value.Promised(config), -v.Spec.Value.Size)
	return write(txn)
}

// markFormatted records that a file system was made.
func (o *Orchestrator) markFormatted(op *operation) decision {
	id, v, missing := o.find("mark as formatted", op.command.Name)
	if missing != nil {
		return *missing
	}
	op.volume = id
	if v.Spec.Value.Formatted {
		return succeed(id) // never taken back
	}
	next := *v.Spec.Value
	next.Formatted = true
	key := volume.SpecKey(id)
	return write(metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: v.Spec.Revision}},
		Ops:    []metadata.Op{{Key: key, Value: volume.Encode(next)}},
	})
}
