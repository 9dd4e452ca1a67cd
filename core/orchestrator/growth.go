package orchestrator

import (
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// A volume grows by its specification, and never shrinks. In the same transaction
// the disks of its copies promise what comes to it; the rest is for the session
// that serves it, or one for its upkeep, see core/coordinator/growth.go.

// setSize makes the size that a volume is asked to have a larger one.
func (o *Orchestrator) setSize(op *operation, asked volume.Spec) decision {
	r, missing := o.rearrange(op)
	if missing != nil {
		return *missing
	}
	key, more := volume.SpecKey(r.id), asked.Size-r.spec.Size
	switch {
	case asked.Replicas != 0 && asked.Replicas != r.spec.Replicas:
		return refuse(oneAtATime(op))
	case more < 0:
		return refuse(cannotShrink(op, r.spec.Size, asked.Size), key)
	}
	reschedule(&r.spec, &asked, op.command.Time)
	r.spec.Size = asked.Size
	if err := r.spec.Check(o.p.BlockSize); err != nil {
		return refuse(fmt.Errorf("cannot %s: %w", actionOf(op), err), key)
	}
	held := r.v.Placement.Value.Promised(r.v.Config.Value)
	if full := o.makeRoom(op, held, more); len(full) > 0 {
		return refuse(noRoomToGrow(op, more, full), key, volume.ConfigKey(r.id), volume.PlacementKey(r.id), volume.DisksPrefix)
	}
	name := volume.NameKey(r.v.Spec.Value.Name)
	txn := metadata.Txn{
		Guards: []metadata.Guard{
			{Key: key, Revision: r.v.Spec.Revision},
			{Key: volume.PlacementKey(r.id), Revision: r.v.Placement.Revision},
			{Key: volume.SnapshotsKey(r.id), Revision: r.v.Snapshots.Revision}, // nor cloned meanwhile
			{Key: name, Revision: o.view.Name(r.v.Spec.Value.Name).Revision},
		},
		Ops: []metadata.Op{{Key: key, Value: volume.Encode(r.spec)}},
	}
	o.promiseTo(&txn, held, more)
	return write(txn)
}

// makeRoom says which disks of a volume's copies have no room for more bytes of it. One
// on which they are really free takes them all the same, with a warning.
func (o *Orchestrator) makeRoom(op *operation, held []volume.Place, more int64) (full []string) {
	op.warnings = nil
	for _, at := range held {
		d := o.view.Disk(at.Disk).Value
		node := o.recorded(at.Node)
		switch {
		case d == nil || d.Capacity-d.Promised >= more:
		case min(d.Capacity, d.Free) >= more && d.Promised+more > node.MayPromise(d):
			full = append(full, fmt.Sprintf("node %s: %s", o.nodeName(at.Node), placement.TooMuchPromised(&node, d, more)))
		case min(d.Capacity, d.Free) >= more:
			op.warnings = append(op.warnings, fmt.Sprintf("disk %v of node %s has %s, and %s are promised to volumes with this one: add a disk, or delete volumes, before they are full",
				d.ID, o.nodeName(at.Node), volume.RoundSize(d.Capacity), volume.RoundSize(d.Promised+more)))
		default:
			full = append(full, fmt.Sprintf("node %s: %s free on disk %v", o.nodeName(at.Node), volume.RoundSize(min(d.Capacity, d.Free)), d.ID))
		}
	}
	slices.Sort(full)
	return full
}

// recorded returns the record of a node, or one that says nothing.
func (o *Orchestrator) recorded(id block.NodeID) volume.Node {
	record, _ := o.Node(id)
	return record
}

// blocksAsked is how many blocks a volume's specification asks for.
func (o *Orchestrator) blocksAsked(v *view.Volume) uint64 {
	if v.Spec.Value == nil {
		return 0
	}
	return uint64(v.Spec.Value.Size) / uint64(o.p.BlockSize)
}

// grows reports whether a volume is to have more blocks than its configuration says.
func (o *Orchestrator) grows(v *view.Volume) bool { return o.blocksAsked(v) > v.Config.Value.Blocks }

// tellSize has the session hear that its volume is to grow.
func (o *Orchestrator) tellSize(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	if l.coordinator == absent || v.Config.Value == nil || !o.grows(v) || o.blocksAsked(v) <= l.asked {
		return
	}
	l.asked = o.blocksAsked(v)
	out.Controls = append(out.Controls, step.Control{Kind: step.SizeChanged, Volume: id, Blocks: l.asked})
}

// growing says what the growth of a volume waits for.
func (o *Orchestrator) growing(id block.VolumeID, name string, v *view.Volume) volume.Operation {
	op := volume.Operation{ID: "growth-" + id.String(), Kind: volume.GrowthOperation, Volume: name}
	op.Node, op.Reason = o.drivenBy(id, v)
	return op
}

// drivenBy names the node whose session has a volume, and says what that waits for.
func (o *Orchestrator) drivenBy(id block.VolumeID, v *view.Volume) (node, waits string) {
	a := v.Attachment.Value
	if a == nil {
		return "", "a node is about to begin with it"
	}
	node = o.nodeName(a.Node)
	if o.view.Node(a.Node).Alive.Revision == 0 {
		return node, fmt.Sprintf("node %s is not heard from", node)
	}
	if l := o.volumes[id]; l != nil && a.Node == o.p.Node.ID {
		waits = l.status
	}
	return node, waits
}

func cannotShrink(op *operation, has, asked int64) error {
	return &volume.Error{
		Kind: volume.ErrCannotShrink,
		What: fmt.Sprintf("cannot %s: it has %s and never gets smaller, asked for were %s", actionOf(op), volume.FormatSize(has), volume.FormatSize(asked)),
		Fix:  "ask for more, or copy its files to a smaller volume:  lagan volume create NAME --size " + volume.FormatSize(asked),
	}
}

func oneAtATime(op *operation) error {
	return &volume.Error{
		Kind: volume.ErrInvalidOption,
		What: fmt.Sprintf("cannot %s: its size and its number of copies are not changed at once", actionOf(op)),
		Fix:  "change one after the other",
	}
}

func noRoomToGrow(op *operation, more int64, full []string) error {
	return &volume.Error{
		Kind:   volume.ErrNoPlacement,
		What:   fmt.Sprintf("cannot %s: it needs %s more on the disk of each copy", actionOf(op), volume.FormatSize(more)),
		Causes: full,
		Fix:    fmt.Sprintf("ask for less, or move the copy to a node with more room:  lagan replica move %s FROM TO", op.command.Name),
	}
}
