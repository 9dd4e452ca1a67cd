package orchestrator

import (
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Snapshots are made and deleted by the session that serves the volume. A
// command writes into the volume's list what is wanted, and waits until the list
// says what became of it:
//
//	command: creating ──▶ session: ready, failed
//	command: deleting ──▶ session: not listed any more
//
// A list whose volume nobody serves is carried out by an attachment for its
// upkeep, see upkeep.go.

// listOf returns a copy of a volume's snapshots, to be changed.
func listOf(id block.VolumeID, v *view.Volume) *volume.Snapshots {
	if v.Snapshots.Value == nil {
		return &volume.Snapshots{Format: volume.Format, Volume: id}
	}
	return v.Snapshots.Value.Clone()
}

// findSnapshot returns what a command on a snapshot is about, or the answer.
func (o *Orchestrator) findSnapshot(op *operation) (id block.VolumeID, v view.Volume, list *volume.Snapshots, missing *decision) {
	verb := verbOf(op)
	id, v, missing = o.find(verb, op.command.Name)
	if missing != nil {
		return id, v, nil, missing
	}
	op.volume = id
	if v.Snapshots.Problem != nil {
		d := refuse(unreadable(verb, op.command.Name, v.Snapshots.Problem), volume.SnapshotsKey(id))
		return id, v, nil, &d
	}
	return id, v, listOf(id, &v), nil
}

// await has an operation decided again at the next news of its volume.
func (o *Orchestrator) await(op *operation, id block.VolumeID) decision {
	l := o.local(id)
	op.volume = id
	if !slices.Contains(l.awaiting, op) {
		l.awaiting = append(l.awaiting, op)
		o.dirty[id] = true // it may be what the upkeep waits for
	}
	return decision{waiting: true}
}

// change is the transaction that writes a volume's list. With it holds that the
// volume is not deleted.
func (o *Orchestrator) change(id block.VolumeID, v *view.Volume, list *volume.Snapshots) metadata.Txn {
	key, name := volume.SnapshotsKey(id), v.Spec.Value.Name
	return metadata.Txn{
		Guards: []metadata.Guard{
			{Key: key, Revision: v.Snapshots.Revision},
			{Key: volume.NameKey(name), Revision: o.view.Name(name).Revision},
		},
		Ops: []metadata.Op{{Key: key, Value: volume.Encode(*list)}},
	}
}

// onward writes, and has the operation decided again when that is done.
func onward(txn metadata.Txn) decision {
	d := write(txn)
	d.onward = true
	return d
}

// createSnapshot lists a snapshot to be made and waits for it. One of that name
// which is there already is the answer, whoever asked for it.
func (o *Orchestrator) createSnapshot(op *operation, out *step.Effects) decision {
	id, v, list, missing := o.findSnapshot(op)
	if missing != nil {
		return *missing
	}
	c, key := &op.command, volume.SnapshotsKey(id)
	if s := list.Named(c.Snapshot); s != nil {
		switch {
		case s.Restores != 0 || s.Rule != c.Rule:
			return refuse(snapshotTaken(c, s), key)
		case s.State == volume.SnapshotCreating:
			return o.await(op, id)
		case s.State == volume.SnapshotReady:
			return succeed(id, key)
		case s.State == volume.SnapshotDeleting:
			return refuse(snapshotDeleted("create", c.Name, c.Snapshot), key)
		case s.Layer == op.layer:
			return refuse(snapshotFailed(c.Name, s), key)
		}
		out.Marks.Hit("orchestrator: snapshot that failed asked for again")
		list.List = slices.DeleteFunc(list.List, func(o volume.Snapshot) bool { return o.Layer == s.Layer })
	}
	if len(list.List) >= volume.SnapshotsMax {
		return refuse(tooManySnapshots(c.Name), key)
	}
	list.List = append(list.List, o.newSnapshot(op, &v, c.Snapshot))
	if c.Rule != "" {
		o.took(list, v.Spec.Value, c)
	}
	return onward(o.change(id, &v, list))
}

// newSnapshot is one to be made.
func (o *Orchestrator) newSnapshot(op *operation, v *view.Volume, name string) volume.Snapshot {
	if op.layer == 0 {
		op.layer = block.LayerID(o.random.next() | 1)
	}
	return volume.Snapshot{
		Layer: op.layer, Name: name, State: volume.SnapshotCreating, Created: op.command.Time, Rule: op.command.Rule,
		Blocks: uint64(v.Spec.Value.Size) / uint64(o.p.BlockSize), Formatted: v.Spec.Value.Formatted, Freeze: op.command.Freeze,
	}
}

// deleteSnapshot lists a snapshot to be deleted and waits until it is gone. One
// that is still being made is given up; one that failed is nowhere but in the
// list.
func (o *Orchestrator) deleteSnapshot(op *operation) decision {
	id, v, list, missing := o.findSnapshot(op)
	if missing != nil {
		return *missing
	}
	c, key := &op.command, volume.SnapshotsKey(id)
	s := list.Named(c.Snapshot)
	switch {
	case op.layer != 0 && list.Find(op.layer) == nil:
		return succeed(id, key)
	case s == nil:
		return refuse(snapshotNotFound("delete", c.Name, c.Snapshot), key)
	case s.State == volume.SnapshotDeleting:
		op.layer = s.Layer
		return o.await(op, id)
	case s.State == volume.SnapshotCreating && s.Restores != 0:
		return refuse(restoring("delete", c.Name, s), key)
	}
	if r := list.Restoring(); r != nil && r.Restores == s.Layer {
		return refuse(restoring("delete", c.Name, s), key)
	}
	if d := o.unclaimed(op, fmt.Sprintf("delete snapshot %q of volume %q", s.Name, c.Name), s); d != nil {
		return *d
	}
	op.layer = s.Layer
	if s.State == volume.SnapshotFailed {
		list.List = slices.DeleteFunc(list.List, func(o volume.Snapshot) bool { return o.Layer == op.layer })
	} else {
		s.State = volume.SnapshotDeleting
	}
	return onward(o.change(id, &v, list))
}

// unclaimed sees to it that no volume is being cloned from a snapshot; nil: it is
// so. A clone of which nothing is known yet is asked for.
func (o *Orchestrator) unclaimed(op *operation, what string, s *volume.Snapshot) *decision {
	var unread []string
	for _, clone := range s.Cloning {
		key, v := volume.ConfigKey(clone), o.view.Volume(clone)
		switch c := v.Config.Value; {
		case v.Config.Revision == 0 && !op.confirmed[key]:
			unread = append(unread, key)
		case c != nil && !c.Tombstone && c.Virgin():
			name := clone.String()
			if v.Spec.Value != nil {
				name = v.Spec.Value.Name
			}
			d := refuse(beingCloned(what, name), key)
			return &d
		}
	}
	if len(unread) > 0 {
		return &decision{txn: &metadata.Txn{Read: unread}}
	}
	return nil
}

// restoreSnapshot has a volume that nobody uses go back to a snapshot. The state
// before is kept as another one. This node attaches the volume in the same
// transaction, for its upkeep alone, so that nobody else does meanwhile.
//
//	nobody has it ──▶ creating{restores}, attached for upkeep ──▶ ready ──▶ detached
func (o *Orchestrator) restoreSnapshot(op *operation, out *step.Effects) decision {
	id, v, list, missing := o.findSnapshot(op)
	if missing != nil {
		return *missing
	}
	c, key := &op.command, volume.SnapshotsKey(id)
	if mine := list.Find(op.layer); op.layer != 0 && mine != nil {
		switch mine.State {
		case volume.SnapshotCreating:
			return o.await(op, id)
		case volume.SnapshotFailed:
			return refuse(snapshotFailed(c.Name, mine), key)
		case volume.SnapshotReady, volume.SnapshotDeleting:
			return succeed(id, key)
		}
	}
	s := list.Named(c.Snapshot)
	switch {
	case s == nil:
		return refuse(snapshotNotFound("restore", c.Name, c.Snapshot), key)
	case s.State != volume.SnapshotReady:
		return refuse(snapshotNotReady("restore", c.Name, s), key)
	case list.Restoring() != nil:
		return refuse(restoring("restore", c.Name, list.Restoring()), key)
	case list.Named(c.As) != nil:
		return refuse(snapshotTaken(c, list.Named(c.As)), key)
	case len(list.List) >= volume.SnapshotsMax:
		return refuse(tooManySnapshots(c.Name), key)
	}
	if d := o.clear(op, id, &v, out); d != nil {
		return *d
	}
	l := o.local(id)
	if l.attaching {
		return o.await(op, id)
	}
	next := o.newSnapshot(op, &v, c.As)
	next.Restores = s.Layer
	list.List = append(list.List, next)
	txn := o.change(id, &v, list)
	if spec := v.Spec.Value; spec.Formatted && !s.Formatted {
		before := *spec
		before.Formatted = false // what that was is looked at before anything is made
		txn.Guards = append(txn.Guards, metadata.Guard{Key: volume.SpecKey(id), Revision: v.Spec.Revision})
		txn.Ops = append(txn.Ops, metadata.Op{Key: volume.SpecKey(id), Value: volume.Encode(before)})
	}
	op.number = o.attachForUpkeep(id, &v, &txn)
	l.mine, l.attaching = op.number, true
	return onward(txn)
}

// clear sees to it that nobody has a volume: one that only lingers is asked for.
// nil: it is so.
func (o *Orchestrator) clear(op *operation, id block.VolumeID, v *view.Volume, out *step.Effects) *decision {
	var d decision
	a := v.Attachment.Value
	switch {
	case a == nil || o.abandoned(a):
		return nil
	case a.Upkeep && a.Node == o.p.Node.ID:
		o.endUpkeep(id, o.local(id), out)
		d = o.await(op, id)
	case a.Lingering:
		d = o.want(op, id, v, out)
	default:
		d = refuse(o.attached(verbOf(op), v.Spec.Value.Name, a), volume.AttachmentKey(id))
	}
	return &d
}

// setVolume changes what can be changed of a specification.
func (o *Orchestrator) setVolume(op *operation) decision {
	id, v, missing := o.find(verbOf(op), op.command.Name)
	if missing != nil {
		return *missing
	}
	op.volume = id
	key, asked := volume.SpecKey(id), op.command.Spec
	if asked.Size != 0 && asked.Size != v.Spec.Value.Size {
		return o.setSize(op, asked)
	}
	if asked.Replicas != 0 && asked.Replicas != v.Spec.Value.Replicas {
		return o.setReplicas(op, asked)
	}
	if asked.MinWritable != 0 && asked.MinWritable != max(1, v.Spec.Value.MinWritable) {
		return o.setMinWritable(op, asked)
	}
	next := v.Spec.Value.Clone()
	if !reschedule(&next, &asked, op.command.Time) {
		return succeed(id, key)
	}
	name := volume.NameKey(next.Name)
	return write(metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: v.Spec.Revision}, {Key: name, Revision: o.view.Name(next.Name).Revision}},
		Ops:    []metadata.Op{{Key: key, Value: volume.Encode(next)}},
	})
}

// reschedule gives a specification the schedule that is asked for, if one is, and
// reports whether that is another one.
func reschedule(spec, asked *volume.Spec, now string) bool {
	schedule := asked.Schedule
	if schedule == volume.NoSchedule {
		schedule = ""
	}
	if asked.Schedule == "" || schedule == spec.Schedule {
		return false
	}
	spec.Schedule, spec.Scheduled = schedule, now
	return true
}
