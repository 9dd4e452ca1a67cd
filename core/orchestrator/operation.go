package orchestrator

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// operation is a command being carried out.
//
//	queued ──▶ planned ──▶ transaction ──applied──▶ answered
//	              ▲ ▲          └──refused──┐            ▲
//	              │ └──────────────────────┘            │
//	              └── read ◀── an answer to confirm ────┘ confirmed
type operation struct {
	command   volume.Command
	deadline  step.Time
	lane      string
	flight    uint32 // under way, 0 = none
	duels     int
	done      bool
	confirmed map[string]bool // keys that were read since the command came

	volume   block.VolumeID    // that it is about, once known; of a creation: drawn
	number   uint64            // of an attachment
	change   uint64            // of a recovery: the configuration's that it writes
	added    []block.ReplicaID // that it tried to add
	removed  block.ReplicaID   // that it removes, once known
	layer    block.LayerID     // of the snapshot that it is about, once known
	wishes   bool              // it writes that another node is to let the volume go
	asked    bool              // the holder of a lingering volume was asked to let it go
	until    step.Time         // and is waited for that long
	reasons  []string          // of a placement
	warnings []string          // likewise
}

// decision is what an operation is to do next: one of txn, answer and waiting.
type decision struct {
	txn     *metadata.Txn
	onward  bool // with txn: it is decided again when that was applied
	answer  *answer
	waiting bool
}

// answer ends an operation, once the keys that it rests on are confirmed by a
// linearizable read.
type answer struct {
	err      error
	restsOn  []string
	reasons  []string
	warnings []string
	volumeID block.VolumeID
}

func write(txn metadata.Txn) decision { return decision{txn: &txn} }

func refuse(err error, restsOn ...string) decision {
	return decision{answer: &answer{err: err, restsOn: restsOn}}
}

func succeed(id block.VolumeID, restsOn ...string) decision {
	return decision{answer: &answer{volumeID: id, restsOn: restsOn}}
}

// onCommand queues a command behind those that would contend with it. Creations,
// deletions, removals and changes of copies share one lane: all of them change the
// records of disks.
func (o *Orchestrator) onCommand(c *volume.Command, out *step.Effects) {
	op := &operation{command: *c, deadline: o.now.Add(answerWithin), confirmed: map[string]bool{}}
	op.command.Spec = c.Spec.Clone()
	switch c.Kind {
	case volume.CreateVolume, volume.DeleteVolume, volume.RemoveNode, volume.ChangeNode, volume.CordonDisk, volume.RemoveDisk,
		volume.AddReplica, volume.MoveReplica, volume.RemoveReplica, volume.KeepReplicas, volume.BalanceDisks:
	case volume.SetVolume:
		if c.Spec.Replicas == 0 && c.Spec.Size == 0 {
			op.lane = c.Name
		}
	case volume.AttachVolume, volume.DetachVolume, volume.MarkFormatted, volume.FindVolume, volume.RecoverVolume:
		op.lane = c.Name
	case volume.CreateSnapshot, volume.DeleteSnapshot, volume.RestoreSnapshot:
		op.lane = c.Name + "/snapshots" // no attachment waits for them
	}
	if err := checkNames(c); err != nil {
		err = fmt.Errorf("cannot %s: %w", intentOf(op), err)
		out.Answers = append(out.Answers, volume.Answer{ID: c.ID, Err: err})
		return
	}
	if o.operations >= operationsMax {
		out.Marks.Hit("orchestrator: command refused because too many are under way")
		out.Answers = append(out.Answers, volume.Answer{ID: c.ID, Err: busy(op)})
		return
	}
	o.operations++
	o.lanes[op.lane] = append(o.lanes[op.lane], op)
	if c.Kind == volume.DetachVolume && c.Force {
		o.hasten(c.Name, out)
	}
	if o.lanes[op.lane][0] == op {
		o.wake(op)
	}
}

// checkNames refuses what nothing can be called.
func checkNames(c *volume.Command) error {
	switch c.Kind {
	case volume.RemoveNode, volume.ChangeNode, volume.CordonDisk, volume.RemoveDisk, volume.BalanceDisks:
		return nil // it is not about a volume
	case volume.CreateVolume:
		return volume.CheckName(c.Spec.Name)
	case volume.CreateSnapshot, volume.DeleteSnapshot, volume.RestoreSnapshot:
		if err := volume.CheckName(c.Name); err != nil {
			return err
		}
		if c.Kind == volume.RestoreSnapshot {
			if err := volume.CheckSnapshotName(c.As); err != nil {
				return err
			}
		}
		return volume.CheckSnapshotName(c.Snapshot)
	case volume.AttachVolume, volume.DetachVolume, volume.DeleteVolume, volume.MarkFormatted, volume.FindVolume, volume.SetVolume,
		volume.AddReplica, volume.MoveReplica, volume.RemoveReplica, volume.KeepReplicas, volume.RecoverVolume:
	}
	return volume.CheckName(c.Name)
}

// wake has an operation looked at again.
func (o *Orchestrator) wake(op *operation) {
	if op.flight == 0 && !op.done && !slices.Contains(o.ready, op) {
		o.ready = append(o.ready, op)
	}
}

// readyAll wakes the first operation of every lane.
func (o *Orchestrator) readyAll() {
	for _, lane := range o.laneNames() {
		o.wake(o.lanes[lane][0])
	}
}

// laneNames returns the lanes in order.
func (o *Orchestrator) laneNames() []string {
	if len(o.lanes) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(o.lanes))
}

// advance does an operation's next step.
func (o *Orchestrator) advance(op *operation, out *step.Effects) {
	if op.done || op.flight != 0 {
		return
	}
	d := o.decide(op, out)
	switch {
	case d.waiting: // reconciliation of its volume wakes it
	case d.txn != nil:
		if op.duels >= duelsMax {
			o.finish(op, &answer{err: contended(op)}, out)
			return
		}
		o.fly(op, &d, out)
	default:
		var missing []string
		for _, key := range d.answer.restsOn {
			if !op.confirmed[key] {
				missing = append(missing, key)
			}
		}
		if len(missing) > 0 {
			o.fly(op, &decision{txn: &metadata.Txn{Read: missing}}, out)
			return
		}
		o.finish(op, d.answer, out)
	}
}

func (o *Orchestrator) decide(op *operation, out *step.Effects) decision {
	switch op.command.Kind {
	case volume.CreateVolume:
		return o.create(op, out)
	case volume.AttachVolume:
		return o.attach(op, out)
	case volume.DetachVolume:
		return o.detach(op, out)
	case volume.DeleteVolume:
		return o.delete(op, out)
	case volume.MarkFormatted:
		return o.markFormatted(op)
	case volume.SetVolume:
		return o.setVolume(op)
	case volume.CreateSnapshot:
		return o.createSnapshot(op, out)
	case volume.DeleteSnapshot:
		return o.deleteSnapshot(op)
	case volume.RestoreSnapshot:
		return o.restoreSnapshot(op, out)
	case volume.FindVolume:
		return o.lookUp(op)
	case volume.RemoveNode:
		return o.remove(op)
	case volume.ChangeNode:
		return o.changeNode(op)
	case volume.CordonDisk:
		return o.cordonDisk(op)
	case volume.RemoveDisk:
		return o.removeDisk(op)
	case volume.AddReplica:
		return o.addReplica(op)
	case volume.MoveReplica:
		return o.moveReplica(op)
	case volume.RemoveReplica:
		return o.removeReplica(op)
	case volume.KeepReplicas:
		return o.keepReplicas(op)
	case volume.RecoverVolume:
		return o.recoverVolume(op)
	case volume.BalanceDisks:
		return o.balanceDisks(op)
	}
	invariant.That(false, "every kind of command is carried out")
	return decision{}
}

func (o *Orchestrator) fly(op *operation, d *decision, out *step.Effects) {
	o.launch(&flight{txn: *d.txn, operation: op, onward: d.onward, volume: op.volume}, out)
	op.flight = o.lastFlight
}

// landed takes the definite outcome of an operation's transaction. What was
// read is confirmed. A refusal says nothing of an earlier try of the same
// transaction: the next decision finds out whether that was applied.
func (o *Orchestrator) landed(f *flight, res *metadata.Result, out *step.Effects) {
	op := f.operation
	op.flight = 0
	for _, key := range f.txn.Read {
		op.confirmed[key] = true
	}
	if len(f.txn.Ops) > 0 {
		if l := o.volumes[op.volume]; l != nil && (op.command.Kind == volume.AttachVolume || op.command.Kind == volume.RestoreSnapshot) {
			l.attaching = false
		}
		o.dirty[op.volume] = true
		if res.Outcome == metadata.Applied && f.onward {
			if op.wishes {
				o.wanted(op)
			}
			o.wake(op)
			return
		}
		if res.Outcome == metadata.Applied {
			o.finish(op, &answer{volumeID: op.volume, reasons: op.reasons, warnings: op.warnings}, out)
			return
		}
		op.duels++
		out.Marks.Hit("orchestrator: duel lost")
		if f.tries > 1 {
			out.Marks.Hit("orchestrator: refused after an unknown outcome")
		}
	}
	o.wake(op)
}

// finish answers a command and begins the next one of its lane.
func (o *Orchestrator) finish(op *operation, a *answer, out *step.Effects) {
	op.done = true
	o.operations--
	if op.command.Kind == volume.RemoveDisk && a.err == nil {
		o.forgetDisk(op.command.Disk)
	}
	if op.command.Kind == volume.AttachVolume && a.err != nil {
		o.giveUpAttachment(op)
	}
	if l := o.volumes[op.volume]; l != nil {
		if op.command.Kind == volume.AttachVolume && a.err == nil && l.mine == op.number {
			l.attaching = false // its answer may never have come: the watch said that it is there
		}
		if op.command.Kind == volume.RestoreSnapshot && l.attaching && l.mine == op.number {
			o.giveUpAttachment(op)
		}
		l.detaching = slices.DeleteFunc(l.detaching, func(other *operation) bool { return other == op })
		l.awaiting = slices.DeleteFunc(l.awaiting, func(other *operation) bool { return other == op })
		o.dirty[op.volume] = true
	}
	out.Answers = append(out.Answers, volume.Answer{ID: op.command.ID, Volume: a.volumeID, Reasons: a.reasons, Warnings: a.warnings, Err: a.err})

	lane := slices.DeleteFunc(o.lanes[op.lane], func(other *operation) bool { return other == op })
	if len(lane) == 0 {
		delete(o.lanes, op.lane)
		return
	}
	o.lanes[op.lane] = lane
	o.wake(lane[0])
}

// expire answers commands whose time is over. What a transaction under way
// becomes of is not known.
func (o *Orchestrator) expire(out *step.Effects) {
	for _, lane := range o.laneNames() {
		for _, op := range slices.Clone(o.lanes[lane]) {
			if o.now < op.deadline {
				continue
			}
			delete(o.flights, op.flight)
			op.flight = 0
			if o.applied(op) {
				out.Marks.Hit("orchestrator: outcome learnt from the watch")
				o.finish(op, &answer{volumeID: op.volume, reasons: op.reasons, warnings: op.warnings}, out)
				continue
			}
			out.Marks.Hit("orchestrator: command given up")
			o.finish(op, &answer{err: o.late(op)}, out)
		}
	}
}

// applied reports whether the view shows that the transaction of an operation
// was applied although its answer never came.
func (o *Orchestrator) applied(op *operation) bool {
	switch op.command.Kind {
	case volume.RemoveNode:
		return o.view.Removed(op.command.Node).Revision != 0
	case volume.ChangeNode:
		return o.changed(op) == o.nodeSpec(op.command.Node)
	case volume.RemoveDisk:
		return o.view.Disk(op.command.Disk).Revision == 0
	case volume.BalanceDisks:
		return o.balances(op)
	case volume.CordonDisk:
		d := o.view.Disk(op.command.Disk).Value
		return d != nil && d.Cordoned != op.command.Force
	default:
	}
	if op.volume == (block.VolumeID{}) {
		return false
	}
	v := o.view.Volume(op.volume)
	switch op.command.Kind {
	case volume.CreateVolume:
		named := o.view.Name(op.command.Spec.Name).Value
		return named != nil && *named == op.volume
	case volume.AttachVolume:
		a := v.Attachment.Value
		return a != nil && a.Node == o.p.Node.ID && a.Number == op.number && !a.Upkeep
	case volume.DetachVolume:
		return v.Attachment.Revision == 0
	case volume.DeleteVolume:
		return v.Config.Revision == 0 || v.Config.Value != nil && v.Config.Value.Tombstone
	case volume.MarkFormatted:
		return v.Spec.Value != nil && v.Spec.Value.Formatted
	case volume.SetVolume:
		s, asked := v.Spec.Value, &op.command.Spec
		return s != nil && (asked.Schedule == "" || s.Scheduled == op.command.Time) && (asked.Replicas == 0 || s.Replicas == asked.Replicas) &&
			(asked.MinWritable == 0 || max(1, s.MinWritable) == asked.MinWritable) && s.Size >= asked.Size
	case volume.AddReplica, volume.MoveReplica:
		return op.hasAdded(v.Placement.Value)
	case volume.RemoveReplica:
		return op.removed != (block.ReplicaID{}) && !v.Placement.Value.Wants(op.removed)
	case volume.KeepReplicas:
		return v.Placement.Value != nil && v.Placement.Value.Before == nil
	case volume.RecoverVolume:
		return op.change != 0 && v.Config.Value != nil && v.Config.Value.Change == op.change
	case volume.CreateSnapshot, volume.RestoreSnapshot:
		s := v.Snapshots.Value
		return s != nil && op.layer != 0 && s.Find(op.layer) != nil && s.Find(op.layer).State == volume.SnapshotReady
	case volume.DeleteSnapshot:
		s := v.Snapshots.Value
		return op.layer != 0 && (s == nil || s.Find(op.layer) == nil)
	case volume.FindVolume, volume.RemoveNode, volume.ChangeNode, volume.CordonDisk, volume.RemoveDisk, volume.BalanceDisks: // it writes nothing, it is not about a volume
	}
	return false
}

// hasAdded reports whether a copy that the operation tried to add is there.
func (op *operation) hasAdded(p *volume.Placement) bool {
	return p != nil && slices.ContainsFunc(op.added, func(id block.ReplicaID) bool {
		return slices.ContainsFunc(p.Promised(nil), func(at volume.Place) bool { return at.Replica == id })
	})
}
