package orchestrator

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Upkeep is what only a session can do of a volume that nobody has attached: to
// make and delete its snapshots, to make a clone independent of its origin, to make it
// larger, to fill copies, and to have them come and go.
// A node attaches the volume for that without a device, and detaches it as soon
// as it is done:
//
//	work, nobody has it ──▶ attached for upkeep ──▶ work done, or wanted ──▶ detached
//
// It is the node that got the command; for work that nobody on a node waits for,
// the first node once it has waited for a while. Such an attachment lingers from
// its beginning: whoever wants the volume gets it by the hand-over of uses.go.

const (
	// upkeepAfter is how long work waits for the node that was asked for it
	// before the first node does it; it might have died.
	upkeepAfter = 5 * time.Second
	// upkeepPause is between two tries.
	upkeepPause = time.Second
	// fillsMax is how many volumes a node attaches at once to fill copies: each of
	// them reads all that one holds.
	fillsMax = 4
	// upkeepEnds bounds the end in order of an attachment for upkeep: who wants
	// the volume waits for it, and nobody's writes are lost with it.
	upkeepEnds = 2 * time.Second
)

// owed reports whether a volume needs a session for its upkeep.
func (o *Orchestrator) owed(v *view.Volume) bool {
	c := v.Config.Value
	if c == nil || c.Tombstone || v.Spec.Value == nil {
		return false
	}
	return o.owedNow(v) || o.movable(v)
}

// owedNow reports whether that is for work that takes a moment.
func (o *Orchestrator) owedNow(v *view.Volume) bool {
	c := v.Config.Value
	return v.Snapshots.Value.Pending() || c.Origin != nil && c.Virgin() || o.grows(v)
}

// abandoned reports whether the node that has an attachment for upkeep is not
// heard from: anybody may take it.
func (o *Orchestrator) abandoned(a *volume.Attachment) bool {
	return a.Upkeep && a.Node != o.p.Node.ID && o.view.Node(a.Node).Alive.Revision == 0
}

// reconcileUpkeep attaches a volume for its upkeep, and ends that.
func (o *Orchestrator) reconcileUpkeep(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	a, owed := v.Attachment.Value, o.owed(v)
	left := a != nil && o.abandoned(a)
	if owed || left || a != nil && a.Upkeep && a.Node == o.p.Node.ID {
		o.kept[id] = true
	} else {
		delete(o.kept, id)
		delete(o.fills, id)
		l.owedSince = 0
		return
	}
	if a != nil && a.Upkeep && a.Node == o.p.Node.ID {
		if l.retryAt = 0; owed { // should it end without being done
			l.retryAt = o.now.Add(upkeepPause)
		}
		if !owed || a.Wanted != nil && v.Snapshots.Value.Restoring() == nil {
			o.endUpkeep(id, l, out)
		}
		return
	}
	if l.owedSince == 0 {
		l.owedSince = o.now
	}
	if !l.attaching {
		delete(o.fills, id)
	}
	switch {
	case a != nil && !left, l.attaching, l.coordinator != absent, o.now < l.retryAt, !o.keeps(v, l):
	case owed && len(o.fills) >= fillsMax && !o.owedNow(v):
	case owed:
		txn := metadata.Txn{}
		number := o.attachForUpkeep(id, v, &txn)
		if o.write(volume.AttachmentKey(id), id, txn, out) {
			out.Marks.Hit("orchestrator: volume attached for its upkeep")
			l.mine, l.attaching, o.flights[o.lastFlight].upkeep = number, true, true
			if !o.owedNow(v) {
				o.fills[id] = true
			}
		}
	default:
		out.Marks.Hit("orchestrator: upkeep of a node that died given up")
		key := volume.AttachmentKey(id)
		o.write(key, id, metadata.Txn{
			Guards: []metadata.Guard{{Key: key, Revision: v.Attachment.Revision}},
			Ops:    []metadata.Op{{Key: key, Delete: true}},
		}, out)
	}
}

// keeps reports whether the upkeep is this node's: somebody here waits for it, or
// nobody else has done it for a while.
func (o *Orchestrator) keeps(v *view.Volume, l *local) bool {
	for _, op := range l.awaiting {
		switch op.command.Kind {
		case volume.CreateSnapshot, volume.DeleteSnapshot, volume.RestoreSnapshot:
			return true
		case volume.CreateVolume, volume.AttachVolume, volume.DetachVolume, volume.DeleteVolume, volume.MarkFormatted,
			volume.FindVolume, volume.SetVolume, volume.RemoveNode, volume.ChangeNode, volume.CordonDisk, volume.RemoveDisk,
			volume.AddReplica, volume.MoveReplica, volume.RemoveReplica, volume.KeepReplicas, volume.RecoverVolume, volume.BalanceDisks:
			if v.Snapshots.Value.Restoring() != nil {
				return true
			}
		}
	}
	return o.now >= l.owedSince.Add(upkeepAfter) && o.first()
}

// attachForUpkeep adds to a transaction that this node attaches a volume that
// nobody has, and returns the attachment's number.
func (o *Orchestrator) attachForUpkeep(id block.VolumeID, v *view.Volume, txn *metadata.Txn) uint64 {
	number := uint64(o.view.Newest()) + 1 // above that of any attachment seen
	next := volume.Attachment{Format: volume.Format, Node: o.p.Node.ID, Number: number, Lingering: true, Upkeep: true}
	key, name := volume.AttachmentKey(id), volume.NameKey(v.Spec.Value.Name)
	txn.Guards = append(txn.Guards, metadata.Guard{Key: key, Revision: v.Attachment.Revision})
	if !slices.ContainsFunc(txn.Guards, func(g metadata.Guard) bool { return g.Key == name }) {
		txn.Guards = append(txn.Guards, metadata.Guard{Key: name, Revision: o.view.Name(v.Spec.Value.Name).Revision})
	}
	txn.Ops = append(txn.Ops, metadata.Op{Key: key, Value: volume.Encode(next)})
	return number
}

// endUpkeep detaches in order, and by force when that takes too long: nobody's
// writes can be lost.
func (o *Orchestrator) endUpkeep(id block.VolumeID, l *local, out *step.Effects) {
	switch {
	case l.coordinator == absent:
		if !l.attaching && l.mine != 0 {
			l.mine = 0
			o.dirty[id] = true
		}
	case l.coordinator == running:
		l.endsBy = o.now.Add(upkeepEnds)
		o.stop(id, l, false, out)
	case o.now >= l.endsBy:
		o.stop(id, l, true, out)
	}
}
