package orchestrator

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// Copies are added, moved and removed by writing down which ones are wanted. That
// is all that a command does; the rest is for loops, whoever dies meanwhile:
//
//	command ──▶ placement, specification, promises of disks    one transaction
//	                 │
//	                 ├─▶ session that serves: the configuration follows
//	                 ├─▶ no session: attached for its upkeep (upkeep.go)
//	                 └─▶ first node: gives back what was promised to copies that left (placed.go)

// rearrangement is a change of a volume's copies being planned.
type rearrangement struct {
	id   block.VolumeID
	v    view.Volume
	spec volume.Spec
	next *volume.Placement
}

// rearrange begins to plan one, or answers why there can be none.
func (o *Orchestrator) rearrange(op *operation) (*rearrangement, *decision) {
	id, v, missing := o.find(verbOf(op), op.command.Name)
	if missing != nil {
		return nil, missing
	}
	op.volume = id
	var d decision
	switch name := v.Spec.Value.Name; {
	case v.Config.Value == nil:
		d = refuse(unreadable(verbOf(op), name, v.Config.Problem), volume.ConfigKey(id))
	case v.Placement.Problem != nil:
		d = refuse(unreadable(verbOf(op), name, v.Placement.Problem), volume.PlacementKey(id))
	default:
		if d := o.beingCloned(op, &v); d != nil {
			return nil, d
		}
		return &rearrangement{id: id, v: v, spec: v.Spec.Value.Clone(), next: placementOf(id, &v)}, nil
	}
	return nil, &d
}

// beingCloned refuses a change while a clone waits for its copies, which begin as
// those that are there; nil: none does.
func (o *Orchestrator) beingCloned(op *operation, v *view.Volume) *decision {
	if v.Snapshots.Value == nil {
		return nil
	}
	for i := range v.Snapshots.Value.List {
		if d := o.unclaimed(op, actionOf(op), &v.Snapshots.Value.List[i]); d != nil {
			return d
		}
	}
	return nil
}

// placementOf returns a copy of a volume's placement, to be changed.
func placementOf(id block.VolumeID, v *view.Volume) *volume.Placement {
	if v.Placement.Value != nil {
		return v.Placement.Value.Clone()
	}
	return &volume.Placement{Format: volume.Format, Volume: id, Copies: v.Placement.Value.Wanted(v.Config.Value)}
}

// begin is rearrange for what cannot be begun while another change is under way,
// and notes how to break it off.
func (o *Orchestrator) begin(op *operation) (*rearrangement, *decision) {
	r, missing := o.rearrange(op)
	if missing != nil {
		return nil, missing
	}
	if r.next.Changing() {
		d := refuse(o.alreadyChanging(op, r), volume.PlacementKey(r.id))
		return nil, &d
	}
	r.next.Before = &volume.Former{Copies: slices.Clone(r.next.Copies), Replicas: r.spec.Replicas}
	return r, nil
}

// addReplica adds one copy.
func (o *Orchestrator) addReplica(op *operation) decision {
	if o.applied(op) {
		return succeed(op.volume)
	}
	r, missing := o.begin(op)
	if missing != nil {
		return *missing
	}
	r.spec.Replicas++
	if err := r.spec.Check(o.p.BlockSize); err != nil {
		return refuse(tooManyReplicas(op, err), volume.SpecKey(r.id))
	}
	return o.grow(op, r, 1, r.next.Promised(nil))
}

// grow adds copies beside those that are held, and writes that.
func (o *Orchestrator) grow(op *operation, r *rearrangement, count int, held []volume.Place) decision {
	nodes := o.placeable()
	if op.command.Node != (block.NodeID{}) {
		if d := o.narrow(op, r, &nodes, held); d != nil {
			return *d
		}
	}
	plan := placement.Add(&r.spec, nodes, held, count)
	if op.command.Node != (block.NodeID{}) { // nobody asked about others
		about := "node " + o.nodeName(op.command.Node) + ":"
		plan.Reasons = slices.DeleteFunc(plan.Reasons, func(reason string) bool { return !strings.HasPrefix(reason, about) })
	}
	op.reasons, op.warnings = plan.Reasons, plan.Warnings
	if len(plan.Disks) == 0 {
		return refuse(noPlaceFor(op, &plan), volume.SpecKey(r.id), volume.ConfigKey(r.id), volume.NodesPrefix, volume.NodeSpecsPrefix, volume.AlivePrefix, volume.DisksPrefix)
	}
	for _, d := range plan.Disks { // another identity at every try: it may have been there, and gone, meanwhile
		at := volume.Place{Replica: block.ReplicaID(o.random.id()), Node: d.Node, Disk: d.ID}
		op.added = append(op.added, at.Replica)
		r.next.Copies = append(r.next.Copies, at)
	}
	return write(o.rearranged(r))
}

// narrow leaves of the nodes the one that a command names, and of its disks the
// one that it names, if it does.
func (o *Orchestrator) narrow(op *operation, r *rearrangement, nodes *[]placement.Node, held []volume.Place) *decision {
	node, disk := op.command.Node, op.command.Disk
	if slices.ContainsFunc(held, func(at volume.Place) bool { return at.Node == node }) {
		d := refuse(o.replicaExists(op), volume.ConfigKey(r.id), volume.PlacementKey(r.id))
		return &d
	}
	*nodes = slices.DeleteFunc(*nodes, func(n placement.Node) bool { return n.ID != node })
	for i := range *nodes {
		if n := &(*nodes)[i]; disk != (block.DiskID{}) {
			n.Disks = slices.DeleteFunc(slices.Clone(n.Disks), func(d volume.Disk) bool { return d.ID != disk })
		}
	}
	return nil
}

// moveReplica makes the copy of one node anew on another, and removes it then.
func (o *Orchestrator) moveReplica(op *operation) decision {
	if o.applied(op) {
		return succeed(op.volume)
	}
	r, missing := o.begin(op)
	if missing != nil {
		return *missing
	}
	held := r.next.Promised(nil)
	if d := r.leave(o, op, op.command.From); d != nil {
		return *d
	}
	return o.grow(op, r, 1, held)
}

// leave makes the copy on a node one that is not wanted.
func (r *rearrangement) leave(o *Orchestrator, op *operation, node block.NodeID) *decision {
	i := slices.IndexFunc(r.next.Copies, func(at volume.Place) bool { return at.Node == node })
	if i < 0 {
		d := refuse(o.replicaNotFound(op, node), volume.ConfigKey(r.id), volume.PlacementKey(r.id))
		return &d
	}
	r.next.Leaving = append(r.next.Leaving, r.next.Copies[i])
	r.next.Copies = slices.Delete(r.next.Copies, i, i+1)
	return nil
}

// removeReplica removes the copy on a node.
func (o *Orchestrator) removeReplica(op *operation) decision {
	if o.applied(op) {
		return succeed(op.volume)
	}
	r, missing := o.begin(op)
	if missing != nil {
		return *missing
	}
	if d := r.leave(o, op, op.command.Node); d != nil {
		return *d
	}
	op.removed = r.next.Leaving[len(r.next.Leaving)-1].Replica
	r.spec.Replicas = max(1, r.spec.Replicas-1)
	if least := r.spec.MinWritable; least > r.spec.Replicas {
		return refuse(tooFewForWrites(op, r.spec.Replicas, least), volume.SpecKey(r.id))
	}
	return o.shrunk(op, r)
}

// shrunk writes that copies are not wanted any more, unless what stays does not
// hold everything.
func (o *Orchestrator) shrunk(op *operation, r *rearrangement) decision {
	c := r.v.Config.Value
	for _, at := range r.next.Copies {
		if m := c.Member(at.Replica); m != nil && m.State == volume.InSync {
			return write(o.rearranged(r))
		}
	}
	return refuse(o.lastReplica(op, r), volume.ConfigKey(r.id), volume.PlacementKey(r.id))
}

// setReplicas changes how many copies there are. Those go first that hold least,
// then one of the fullest disk.
func (o *Orchestrator) setReplicas(op *operation, spec volume.Spec) decision {
	if op.hasAdded(o.view.Volume(op.volume).Placement.Value) {
		return succeed(op.volume) // and others have changed it again
	}
	r, missing := o.begin(op)
	if missing != nil {
		return *missing
	}
	asked := spec.Replicas
	reschedule(&r.spec, &spec, op.command.Time)
	r.spec.Replicas = asked
	r.needs(spec.MinWritable)
	if least := r.spec.MinWritable; least > asked {
		return refuse(tooFewForWrites(op, asked, least), volume.SpecKey(r.id))
	}
	if err := r.spec.Check(o.p.BlockSize); err != nil {
		return refuse(tooManyReplicas(op, err), volume.SpecKey(r.id))
	}
	if count := asked - len(r.next.Copies); count > 0 {
		return o.grow(op, r, count, r.next.Promised(nil))
	}
	order := slices.Clone(r.next.Copies)
	slices.SortStableFunc(order, func(a, b volume.Place) int {
		return cmp.Or(cmp.Compare(o.worth(r, a), o.worth(r, b)), cmp.Compare(o.room(a.Disk), o.room(b.Disk)))
	})
	for _, at := range order[:len(order)-asked] {
		if d := r.leave(o, op, at.Node); d != nil {
			return *d
		}
	}
	return o.shrunk(op, r)
}

// setMinWritable changes how many copies in sync a write needs. The session that
// serves follows, and what comes later does.
func (o *Orchestrator) setMinWritable(op *operation, asked volume.Spec) decision {
	r, missing := o.rearrange(op)
	switch {
	case missing != nil:
		return *missing
	case r.next.Changing(): // that may yet be broken off, and end with fewer
		return refuse(o.alreadyChanging(op, r), volume.PlacementKey(r.id))
	case asked.MinWritable > r.spec.Replicas:
		return refuse(tooFewForWrites(op, r.spec.Replicas, asked.MinWritable), volume.SpecKey(r.id))
	}
	reschedule(&r.spec, &asked, op.command.Time)
	r.needs(asked.MinWritable)
	return write(o.rearranged(r))
}

// needs has a write need so many copies in sync; 0 changes nothing.
func (r *rearrangement) needs(copies int) {
	if copies != 0 {
		r.spec.MinWritable, r.next.MinWritable = copies, copies
	}
}

// worth orders copies by what would be lost with them.
func (o *Orchestrator) worth(r *rearrangement, at volume.Place) int {
	m, a := r.v.Config.Value.Member(at.Replica), r.v.Attachment.Value
	switch {
	case m == nil || m.State != volume.InSync:
		return 0
	case o.view.Node(at.Node).Alive.Revision == 0:
		return 1
	case a != nil && a.Node == at.Node:
		return 3 // its node reads it without the network
	}
	return 2
}

func (o *Orchestrator) room(id block.DiskID) int64 {
	if d := o.view.Disk(id).Value; d != nil {
		return placement.Room(d)
	}
	return 0
}

// keepReplicas breaks off the change that is under way: what was wanted before is
// wanted again, as far as it is still there.
func (o *Orchestrator) keepReplicas(op *operation) decision {
	r, missing := o.rearrange(op)
	if missing != nil {
		return *missing
	}
	before := r.next.Before
	if before == nil {
		return refuse(nothingToKeep(op), volume.PlacementKey(r.id))
	}
	kept := func(at volume.Place) bool { // a copy that went is never called back
		there := r.next.Wants(at.Replica) || r.v.Config.Value.Member(at.Replica) != nil
		return there && slices.ContainsFunc(before.Copies, func(o volume.Place) bool { return o.Replica == at.Replica })
	}
	all := r.next.Promised(nil)
	copies := slices.DeleteFunc(slices.Clone(all), func(at volume.Place) bool { return !kept(at) })
	r.next.Copies, r.next.Leaving, r.next.Before = copies, beyond(all, copies), nil
	r.spec.Replicas = before.Replicas
	if least := r.spec.MinWritable; least > before.Replicas {
		return refuse(tooFewForWrites(op, before.Replicas, least), volume.SpecKey(r.id))
	}
	return o.shrunk(op, r)
}

// rearranged is the transaction that writes a change down. With it holds that the
// volume is not deleted, and that its copies are what they were taken for.
func (o *Orchestrator) rearranged(r *rearrangement) metadata.Txn {
	txn := o.placed(r.id, &r.v, r.next)
	key, name := volume.SpecKey(r.id), volume.NameKey(r.v.Spec.Value.Name)
	txn.Guards = append(txn.Guards,
		metadata.Guard{Key: volume.SnapshotsKey(r.id), Revision: r.v.Snapshots.Revision}, // nor cloned meanwhile
		metadata.Guard{Key: name, Revision: o.view.Name(r.v.Spec.Value.Name).Revision})
	if !r.spec.Equal(r.v.Spec.Value) {
		txn.Ops = append(txn.Ops, metadata.Op{Key: key, Value: volume.Encode(r.spec)})
	}
	return txn
}
