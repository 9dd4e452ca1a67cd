package orchestrator

import (
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// create makes a volume in one transaction: nobody has taken the name, and the
// chosen disks are as they were when they were chosen.
func (o *Orchestrator) create(op *operation, out *step.Effects) decision {
	asked := op.command.Spec
	spec := asked.WithDefaults()
	if asked.Parent != "" {
		spec = asked // what it inherits is no default
	}
	if err := spec.Check(o.p.BlockSize); err != nil {
		return refuse(fmt.Errorf("cannot create volume %q: %w", spec.Name, err))
	}
	name := volume.NameKey(asked.Name)
	switch named := o.view.Name(asked.Name); {
	case named.Problem != nil:
		return refuse(unreadable("create", asked.Name, named.Problem), name)
	case named.Value != nil:
		return o.createExisting(op, *named.Value, out)
	}
	from, missing := o.originOf(op)
	if missing != nil {
		return *missing
	}
	if from != nil {
		if err := from.inherit(&asked, o.p.BlockSize); err != nil {
			return refuse(fmt.Errorf("cannot create volume %q: %w", asked.Name, err))
		}
		spec = asked.WithDefaults()
	}
	if id, isID := volume.ParseVolumeID(spec.Name); isID && o.view.Volume(id).Config.Revision != 0 {
		return refuse(nameIsIdentity(spec.Name), volume.ConfigKey(id))
	}
	everything := []string{name, volume.NodesPrefix, volume.NodeSpecsPrefix, volume.AlivePrefix, volume.DisksPrefix}
	nodes, lacking := o.placeable(), []string(nil)
	if from != nil {
		nodes, lacking = from.placeable(nodes)
		everything = append(everything, volume.ConfigKey(from.id), volume.SnapshotsKey(from.id), volume.PlacementKey(from.id))
	}
	plan := placement.Place(&spec, nodes)
	plan.Reasons = append(plan.Reasons, lacking...)
	op.reasons, op.warnings = plan.Reasons, plan.Warnings
	if len(plan.Disks) == 0 {
		return refuse(noPlacement(&spec, &plan), everything...)
	}
	if spec.MinWritable > plan.Replicas {
		return refuse(tooFewForWrites(op, plan.Replicas, spec.MinWritable), everything...)
	}
	if op.command.DryRun {
		return decision{answer: &answer{reasons: plan.Reasons, warnings: plan.Warnings, restsOn: everything}}
	}
	if op.volume == (block.VolumeID{}) {
		op.volume = block.VolumeID(o.random.id())
	}
	spec.Volume, spec.Replicas, spec.Formatted = op.volume, plan.Replicas, from != nil && from.snapshot.Formatted
	switch spec.Schedule {
	case volume.NoSchedule:
		spec.Schedule = ""
	case "":
	default:
		spec.Scheduled = spec.Created
	}
	return write(o.creation(&spec, plan.Disks, from))
}

// createExisting answers when the name is taken: by this very operation, by a
// volume that is as it was asked for, or by another one.
func (o *Orchestrator) createExisting(op *operation, id block.VolumeID, out *step.Effects) decision {
	if id == op.volume {
		out.Marks.Hit("orchestrator: refused creation turned out to be applied")
		d := succeed(id)
		d.answer.reasons, d.answer.warnings = op.reasons, op.warnings
		return d
	}
	name := op.command.Spec.Name
	restsOn := []string{volume.NameKey(name), volume.SpecKey(id)}
	existing := o.view.Volume(id).Spec
	if existing.Value == nil {
		return refuse(unreadable("create", name, existing.Problem), restsOn...)
	}
	if field := existing.Value.Difference(&op.command.Spec); field != "" {
		return refuse(nameTaken(name, field, existing.Value, &op.command.Spec), restsOn...)
	}
	return succeed(id, restsOn...)
}

// creation is the transaction that makes a volume, as a clone if from is not nil.
func (o *Orchestrator) creation(spec *volume.Spec, disks []volume.Disk, from *origin) metadata.Txn {
	config := volume.Config{
		Format: volume.Format, Volume: spec.Volume, Blocks: uint64(spec.Size) / uint64(o.p.BlockSize),
		Epoch: 1, Change: o.random.next(), CleanAt: &block.Position{}, MinWritable: max(1, spec.MinWritable), Recovery: "wait",
	}
	name := volume.NameKey(spec.Name)
	id, err := spec.Volume.MarshalText()
	if err != nil {
		panic(fmt.Sprintf("orchestrator: identity cannot be encoded: %v", err)) // no identity can fail
	}
	txn := metadata.Txn{
		Guards: []metadata.Guard{{Key: name}, {Key: volume.ConfigKey(spec.Volume)}},
		Ops:    []metadata.Op{{Key: name, Value: id}, {Key: volume.SpecKey(spec.Volume), Value: volume.Encode(*spec)}},
	}
	if other, isID := volume.ParseVolumeID(spec.Name); isID { // or that volume could not be named any more
		txn.Guards = append(txn.Guards, metadata.Guard{Key: volume.ConfigKey(other)})
	}
	if from != nil {
		config.Origin = &volume.Origin{Volume: from.id, Layer: from.snapshot.Layer}
		o.cloned(from, spec.Volume, &txn)
	}
	for _, d := range disks {
		config.Members = append(config.Members, volume.Member{
			Replica: block.ReplicaID(o.random.id()), Node: d.Node, Disk: d.ID, State: volume.InSync,
		})
		o.promise(&txn, d.ID, spec.Size)
	}
	txn.Ops = append(txn.Ops, metadata.Op{Key: volume.ConfigKey(spec.Volume), Value: config.Encode()})
	return txn
}

// promise adds to a transaction that bytes of a disk are promised to a volume,
// or no more if bytes is negative. That its node is to have new copies holds with it.
func (o *Orchestrator) promise(txn *metadata.Txn, id block.DiskID, bytes int64) {
	item, key := o.view.Disk(id), volume.DiskKey(id)
	if slices.ContainsFunc(txn.Guards, func(g metadata.Guard) bool { return g.Key == key }) {
		return
	}
	txn.Guards = append(txn.Guards, metadata.Guard{Key: key, Revision: item.Revision})
	if item.Value == nil {
		return // the disk was removed, and its promises with it: not if this node has only not heard of it
	}
	if bytes > 0 {
		node := item.Value.Node
		if key := volume.NodeSpecKey(node); !slices.ContainsFunc(txn.Guards, func(g metadata.Guard) bool { return g.Key == key }) {
			txn.Guards = append(txn.Guards, metadata.Guard{Key: key, Revision: o.view.Node(node).Spec.Revision})
		}
	}
	d := *item.Value
	d.Promised = max(0, d.Promised+bytes)
	txn.Ops = append(txn.Ops, metadata.Op{Key: key, Value: volume.Encode(d)})
}
