package orchestrator

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// A clone is a volume whose copies begin as what a snapshot of another one is,
// so they are on the disks that have that: nothing is copied. Until a session of
// the clone has begun, its origin and the snapshot have to stay; after that the
// layers on the disks keep themselves.

// origin is what a volume to be created is cloned from.
type origin struct {
	id       block.VolumeID
	v        view.Volume
	name     string // of the volume
	snapshot *volume.Snapshot
	list     *volume.Snapshots // to be changed
}

// originOf finds what a creation wants to clone, or the answer; nil and nil if
// it clones nothing. A trial run needs no snapshot yet.
func (o *Orchestrator) originOf(op *operation) (*origin, *decision) {
	spec := &op.command.Spec
	if spec.Parent == "" {
		return nil, nil
	}
	failed := func(err error, restsOn ...string) (*origin, *decision) {
		d := refuse(fmt.Errorf("cannot create volume %q: %w", spec.Name, err), restsOn...)
		return nil, &d
	}
	name, snapshot := volume.SplitParent(spec.Parent)
	from := &origin{name: name}
	snapshot = cmp.Or(snapshot, op.command.Snapshot)
	var missing *decision
	if from.id, from.v, missing = o.find("clone", name); missing != nil {
		return failed(missing.answer.err, missing.answer.restsOn...)
	}
	key := volume.SnapshotsKey(from.id)
	switch {
	case from.v.Snapshots.Problem != nil:
		return failed(unreadable("clone", name, from.v.Snapshots.Problem), key)
	case from.v.Config.Value == nil:
		return failed(unreadable("clone", name, from.v.Config.Problem), volume.ConfigKey(from.id))
	}
	from.list = listOf(from.id, &from.v)
	if snapshot == "" {
		from.snapshot = &volume.Snapshot{Blocks: max(from.v.Config.Value.Blocks, o.blocksAsked(&from.v)), Formatted: from.v.Spec.Value.Formatted}
		return from, nil
	}
	if from.snapshot = from.list.Named(snapshot); from.snapshot == nil {
		return failed(snapshotNotFound("clone", name, snapshot), key)
	}
	if from.snapshot.State != volume.SnapshotReady {
		return failed(snapshotNotReady("clone", name, from.snapshot), key)
	}
	return from, nil
}

// inherit gives a clone what its origin has, and refuses what it cannot have.
func (f *origin) inherit(spec *volume.Spec, blockSize int) error {
	parent := f.v.Spec.Value
	size := int64(f.snapshot.Blocks) * int64(blockSize)
	spec.Size = cmp.Or(spec.Size, size)
	spec.Replicas = cmp.Or(spec.Replicas, parent.Replicas)
	spec.MinWritable = cmp.Or(spec.MinWritable, min(parent.MinWritable, spec.Replicas))
	spec.MountOptions = cmp.Or(spec.MountOptions, parent.MountOptions)
	what := ""
	switch {
	case spec.Size < size:
		return &volume.Error{
			Kind: volume.ErrInvalidSize,
			What: fmt.Sprintf("a clone of volume %q cannot have %s: the snapshot has %s", f.name, volume.FormatSize(spec.Size), volume.FormatSize(size)),
			Fix:  "leave the size out, or ask for more",
		}
	case spec.Filesystem != "" && spec.Filesystem != parent.Filesystem:
		what = "fs"
	}
	spec.Filesystem = parent.Filesystem
	if what != "" {
		return &volume.Error{
			Kind: volume.ErrInvalidOption,
			What: fmt.Sprintf("option %s: a clone has what volume %q has, which is %s", what, f.name, parent.Filesystem),
			Fix:  "leave " + what + " out",
		}
	}
	return nil
}

// placeable returns the nodes that can have a copy of the clone, with the disks
// that have one of the origin, and a reason for each of its other copies.
func (f *origin) placeable(all []placement.Node) (nodes []placement.Node, reasons []string) {
	for _, n := range all {
		disks := n.Disks
		n.Disks = nil
		for _, d := range disks {
			i := slices.IndexFunc(f.v.Config.Value.Members, func(m volume.Member) bool { return m.Disk == d.ID })
			if i < 0 {
				continue
			}
			switch m := &f.v.Config.Value.Members[i]; {
			case !f.v.Placement.Value.Wants(m.Replica):
				reasons = append(reasons, fmt.Sprintf("node %s: its copy of volume %q is leaving", n.Name, f.name))
			case m.State == volume.InSync:
				n.Disks = append(n.Disks, d)
			default:
				reasons = append(reasons, fmt.Sprintf("node %s: its copy of volume %q is %s", n.Name, f.name, m.State))
			}
		}
		if len(n.Disks) > 0 {
			nodes = append(nodes, n)
		}
	}
	return nodes, reasons
}

// cloned adds to the creation of a clone that it is made from the snapshot, so
// that a deletion that does not know of it is refused, and that the copies of the
// origin are what they were taken for.
func (o *Orchestrator) cloned(f *origin, clone block.VolumeID, txn *metadata.Txn) {
	f.snapshot.Cloning = append(slices.DeleteFunc(f.snapshot.Cloning, func(id block.VolumeID) bool {
		c := o.view.Volume(id).Config.Value
		return c != nil && (c.Tombstone || !c.Virgin())
	}), clone)
	key := volume.SnapshotsKey(f.id)
	txn.Guards = append(txn.Guards,
		metadata.Guard{Key: key, Revision: f.v.Snapshots.Revision},
		metadata.Guard{Key: volume.ConfigKey(f.id), Revision: f.v.Config.Revision},
		metadata.Guard{Key: volume.PlacementKey(f.id), Revision: f.v.Placement.Revision})
	txn.Ops = append(txn.Ops, metadata.Op{Key: key, Value: volume.Encode(*f.list)})
}
