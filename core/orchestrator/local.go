package orchestrator

import (
	"bytes"
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// life says whether a coordinator of a volume runs on this node.
type life uint8

const (
	absent   life = iota
	running       // StartCoordinator was sent
	stopping      // so was StopCoordinator; it has not ended yet
)

// local is what this node does for one volume.
type local struct {
	mine        uint64 // number of the attachment that this process made, 0 = none
	started     uint64 // number of the attachment that the last coordinator was started for
	coordinator life
	forced      bool // it was told to stop at once
	attaching   bool // the transaction that makes attachment mine is under way
	told        metadata.Revision
	serving     bool
	lossless    bool
	lost        int    // blocks that have no good copy, as the coordinator last said
	status      string // why requests wait, or how the coordinator ended
	replicas    map[block.ReplicaID]*replica
	detaching   []*operation      // wait for the attachment to be gone
	awaiting    []*operation      // wait for news of it: for another node to let it go, for a snapshot
	uses        *volume.Uses      // as the body told; nil: not yet of this attachment
	passedOn    metadata.Revision // of the newest attachment record whose wish the body was told of
	snapshots   metadata.Revision // of the newest list of snapshots of which the coordinator was told
	placement   metadata.Revision // of the newest placement of which it was told
	asked       uint64            // blocks that it was told to grow to
	blocks      uint64            // that the volume has, as the coordinator last said

	freeze    freezing
	freezeBy  step.Time // when the wait for it is over
	owedSince step.Time // when this node first saw work that is its upkeep, 0: there is none
	retryAt   step.Time // when it may be attached for that again
	endsBy    step.Time // when an attachment for it that is to end is ended by force
}

// asked is what the disk's shard was last told about a replica.
type asked uint8

const (
	askedNothing asked = iota
	askedMake
	askedFree
)

// replica is one copy on a disk of this node.
type replica struct {
	disk  block.DiskID
	held  bool // the disk has it
	freed bool // the disk has it no more, or never had
	asked asked
	told  metadata.Revision // of the newest configuration its disk knows
}

// reconcileDirty brings every changed volume up to date.
func (o *Orchestrator) reconcileDirty(out *step.Effects) {
	ids := slices.SortedFunc(maps.Keys(o.dirty), func(a, b block.VolumeID) int { return bytes.Compare(a[:], b[:]) })
	o.dirty = map[block.VolumeID]bool{} // not cleared: a map stays as large as the snapshot made it
	for _, id := range ids {
		v := o.view.Volume(id)
		o.reconcilePlacement(id, &v, out)
		o.examine(id, &v)
		l := o.volumes[id]
		if l == nil {
			if !o.concerns(&v) {
				continue
			}
			l = o.local(id)
		}
		o.reconcileCoordinator(id, &v, l, out)
		o.reconcileUpkeep(id, &v, l, out)
		o.reconcileUses(id, &v, l, out)
		o.clearRemoved(id, &v, out)
		o.reconcileReplicas(id, &v, l, out)
		o.forgetFreed(id, &v, l, out)
		o.accuseRestored(id, &v, l, out)
		o.shrinkTombstone(id, &v, l, out)
		for _, op := range l.detaching {
			o.wake(op)
		}
		for _, op := range l.awaiting {
			o.wake(op)
		}
		if l.idle() && !o.concerns(&v) {
			delete(o.volumes, id)
		}
	}
}

func (o *Orchestrator) local(id block.VolumeID) *local {
	l := o.volumes[id]
	if l == nil {
		l = &local{replicas: map[block.ReplicaID]*replica{}}
		o.volumes[id] = l
	}
	return l
}

// concerns reports whether the records name this node.
func (o *Orchestrator) concerns(v *view.Volume) bool {
	if a := v.Attachment.Value; a != nil && (a.Node == o.p.Node.ID || a.Upkeep) || o.owed(v) {
		return true
	}
	c := v.Config.Value
	return c != nil && slices.ContainsFunc(c.Members, func(m volume.Member) bool { return m.Node == o.p.Node.ID }) || o.view.NamesRemoved(v) || o.leftHere(v)
}

func (l *local) idle() bool {
	return l.mine == 0 && l.coordinator == absent && len(l.detaching) == 0 && len(l.awaiting) == 0 && len(l.replicas) == 0
}

// attachedHere reports whether v is attached to this node by this process and
// its coordinator has not ended: one that was fenced never tries again. l may be
// nil.
func (o *Orchestrator) attachedHere(v *view.Volume, l *local) bool {
	a := v.Attachment.Value
	return a != nil && l != nil && a.Node == o.p.Node.ID && a.Number == l.mine && (l.started != a.Number || l.coordinator != absent)
}

// reconcileCoordinator starts and stops the coordinator as the attachment says.
// An attachment that names this node without a live coordinator to come is
// stale: its device died with a former process, or was torn down. One whose device
// outlived that process is this one's from the start.
func (o *Orchestrator) reconcileCoordinator(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	a, c := v.Attachment.Value, v.Config.Value
	named := a != nil && a.Node == o.p.Node.ID
	here := o.attachedHere(v, l)
	switch {
	case l.coordinator != absent && !named:
		if l.coordinator == running {
			out.Marks.Hit("orchestrator: coordinator stopped because the attachment moved")
		}
		o.stop(id, l, true, out)
	case l.coordinator == absent && here && c != nil && !c.Tombstone:
		*l = local{
			mine: l.mine, attaching: l.attaching, started: a.Number, coordinator: running,
			told: v.Config.Revision, replicas: l.replicas, detaching: l.detaching, awaiting: l.awaiting,
			owedSince: l.owedSince, retryAt: l.retryAt,
		}
		out.Controls = append(out.Controls, step.Control{
			Kind: step.StartCoordinator, Volume: id, Config: c,
			Revision: int64(v.Config.Revision), Attached: int64(v.Attachment.Revision), Number: a.Number, Era: o.servedBy(id, a),
		})
	case l.coordinator != absent && c != nil && v.Config.Revision > l.told:
		l.told = v.Config.Revision
		out.Controls = append(out.Controls, step.Control{
			Kind: step.ConfigChanged, Volume: id, Config: c, Revision: int64(v.Config.Revision),
		})
	}
	o.tellSnapshots(id, v, l, out)
	o.tellPlacement(id, v, l, out)
	o.tellSize(id, v, l, out)
	if l.attaching {
		return // what is recorded is about to be replaced
	}
	if !named {
		l.mine = 0
	}
	if named && !here && l.coordinator == absent {
		out.Marks.Hit("orchestrator: stale attachment removed")
		key := volume.AttachmentKey(id)
		o.write(key, id, metadata.Txn{
			Guards: []metadata.Guard{{Key: key, Revision: v.Attachment.Revision}},
			Ops:    []metadata.Op{{Key: key, Delete: true}},
		}, out)
	}
}

// servedBy returns the era of the session that served the device which this attachment
// was made for and which outlived its process, or 0.
func (o *Orchestrator) servedBy(id block.VolumeID, a *volume.Attachment) block.Epoch {
	if h := o.p.Held[id]; h.Number == a.Number {
		return h.Era
	}
	return 0
}

// stop tells the coordinator to end, at most once in order and once by force.
func (o *Orchestrator) stop(id block.VolumeID, l *local, force bool, out *step.Effects) {
	if l.coordinator == stopping && (l.forced || !force) {
		return
	}
	l.coordinator, l.forced = stopping, force
	out.Controls = append(out.Controls, step.Control{Kind: step.StopCoordinator, Volume: id, Force: force})
}

// onCoordinator takes what a coordinator says of itself.
func (o *Orchestrator) onCoordinator(c *step.Control) {
	l := o.volumes[c.Volume]
	if l == nil || l.coordinator == absent {
		return
	}
	if c.Kind == step.VolumeGrown {
		l.blocks = c.Blocks
		return
	}
	l.status = c.Text
	if c.Kind == step.VolumeServing {
		l.serving, l.lossless, l.blocks = true, c.Lossless, c.Blocks
		o.dirty[c.Volume] = true // who uses it can be recorded
	}
	if c.Kind == step.VolumeFenced || c.Kind == step.VolumeDetached {
		l.coordinator, l.serving = absent, false
		o.dirty[c.Volume] = true
	}
}

// reconcileReplicas has replicas made that the configuration lists on disks of
// this node, and those freed that it does not list any more. A configuration
// that is not there says nothing.
func (o *Orchestrator) reconcileReplicas(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	c := v.Config.Value
	if c == nil {
		o.freeForgotten(id, v, l, out)
		maps.DeleteFunc(l.replicas, func(_ block.ReplicaID, r *replica) bool { return r.freed }) // any order: each is judged alone
		return
	}
	for i := range c.Members {
		m := &c.Members[i]
		if d := o.disks[m.Disk]; m.Node == o.p.Node.ID && d != nil && d.ready && l.replicas[m.Replica] == nil {
			l.replicas[m.Replica] = &replica{disk: m.Disk}
		}
	}
	o.expectLeft(v, l)
	for _, r := range l.sortedReplicas() {
		held := l.replicas[r]
		if d := o.disks[held.disk]; d == nil || !d.ready {
			continue
		}
		listed := c.Member(r) != nil
		if !listed && held.freed && !v.Placement.Value.HasLeft(r) {
			delete(l.replicas, r)
			continue
		}
		if kind := held.next(listed && !c.Tombstone, v.Config.Revision); kind != step.ControlInvalid {
			held.told = v.Config.Revision
			if kind == step.MakeReplica {
				o.disks[held.disk].making[r] = id
			}
			out.Controls = append(out.Controls, step.Control{
				Kind: kind, Disk: held.disk, Volume: id, Replica: r, Config: c, Revision: int64(v.Config.Revision),
			})
		}
	}
}

func (l *local) sortedReplicas() []block.ReplicaID {
	return slices.SortedFunc(maps.Keys(l.replicas), func(a, b block.ReplicaID) int { return bytes.Compare(a[:], b[:]) })
}

// next is what the disk is to be told about the replica, if anything. A disk
// that does not free a replica yet is asked again with the next configuration,
// and when it says that it has just made it.
func (r *replica) next(wanted bool, revision metadata.Revision) step.ControlKind {
	switch {
	case !wanted && !r.freed && (r.asked != askedFree || revision > r.told):
		r.asked = askedFree
		return step.FreeReplica
	case wanted && !r.held && r.asked != askedMake:
		r.asked = askedMake
		return step.MakeReplica
	case wanted && revision > r.told:
		return step.ConfigChanged
	}
	return step.ControlInvalid
}

// onReplica takes what a disk's shard says of a replica.
func (o *Orchestrator) onReplica(c *step.Control) {
	invariant.That(c.Volume != block.VolumeID{}, "a disk's shard says whose replica it means")
	l := o.local(c.Volume)
	r := l.replicas[c.Replica]
	if r == nil {
		r = &replica{disk: c.Disk}
		l.replicas[c.Replica] = r
	}
	if d := o.disks[c.Disk]; d != nil {
		delete(d.making, c.Replica)
	}
	r.held, r.freed = c.Kind == step.ReplicaMade, c.Kind == step.ReplicaFreed
	if r.held && r.asked == askedFree {
		r.asked = askedNothing // it was being made when it was to be freed: once more
	}
	o.dirty[c.Volume] = true
}

// shrinkTombstone takes the freed replicas of this node out of the configuration
// of a deleted volume, and the first node those of nodes that were removed; whoever
// takes the last one out removes the volume's records.
func (o *Orchestrator) shrinkTombstone(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	c := v.Config.Value
	if c == nil || !c.Tombstone {
		return
	}
	next, first := c.Clone(), o.view.NamesRemoved(v) && o.first()
	next.Members = slices.DeleteFunc(next.Members, func(m volume.Member) bool {
		r := l.replicas[m.Replica]
		return r != nil && r.freed || o.goneFor(&m, first)
	})
	if len(next.Members) == len(c.Members) && len(c.Members) > 0 {
		return
	}
	key := volume.ConfigKey(id)
	txn := metadata.Txn{Guards: []metadata.Guard{{Key: key, Revision: v.Config.Revision}}}
	if len(next.Members) > 0 {
		next.Epoch, next.Change = c.Epoch+1, o.random.next()
		txn.Ops = []metadata.Op{{Key: key, Value: next.Encode()}}
	} else {
		out.Marks.Hit("orchestrator: last replica of a deleted volume freed")
		for _, gone := range []string{key, volume.SpecKey(id), volume.AttachmentKey(id), volume.SnapshotsKey(id), volume.PlacementKey(id)} {
			txn.Ops = append(txn.Ops, metadata.Op{Key: gone, Delete: true})
		}
	}
	o.write(key, id, txn, out)
}

// forgetReplicas drops what was known of a disk that ceased to be reached, or
// that begins a new life.
func (o *Orchestrator) forgetReplicas(id block.DiskID) {
	for v, l := range o.volumes { // any order: each is changed alone
		for r, held := range l.replicas { // any order: each is judged alone
			if held.disk == id {
				delete(l.replicas, r)
				o.dirty[v] = true
			}
		}
	}
}

func (o *Orchestrator) onControl(c *step.Control, out *step.Effects) {
	switch c.Kind {
	case step.DiskReady, step.DiskUnusable, step.DiskSpace, step.DiskAiling:
		o.onDisk(c)
	case step.ReplicaMade, step.ReplicaFreed:
		o.onReplica(c)
	case step.VolumeServing, step.VolumeGrown, step.VolumeWaiting, step.VolumeFenced, step.VolumeDetached:
		o.onCoordinator(c)
	case step.VolumeUsed:
		o.onUses(c)
	case step.VolumeDamaged:
		o.onDamage(c, out)
	case step.VolumeCompared:
		o.onCompared(c, out)
	case step.VolumeFrozen:
		o.onFrozen(c)
	case step.ControlInvalid, step.DiskScrubbed, step.ScrubDisk, step.MakeReplica, step.FreeReplica, step.ConfigChanged,
		step.StartCoordinator, step.StopCoordinator, step.VolumeWanted, step.PlacementChanged, step.SizeChanged, step.NodeEnded, step.SnapshotsChanged,
		step.FreezeVolume, step.ThawVolume, step.CompareVolume:
		// not for orchestrators
	}
}
