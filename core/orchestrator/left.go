package orchestrator

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// A copy that left a volume is remembered until its data is gone, for its node may be
// away: should the volume be deleted meanwhile, it is deleted with that copy.
//
//	leaving, not listed any more ──▶ left ──▶ freed by the node that has its disk ──▶ forgotten
//	                                  └── node or disk removed ──▶ forgotten by the first node

// leftHere reports whether a copy that left is on a disk of this node.
func (o *Orchestrator) leftHere(v *view.Volume) bool {
	p := v.Placement.Value
	return p != nil && slices.ContainsFunc(p.Left, func(at volume.Place) bool { return o.disks[at.Disk] != nil })
}

// expectLeft takes copies that left for ones that disks of this node have, until those
// say that they have not.
func (o *Orchestrator) expectLeft(v *view.Volume, l *local) {
	if v.Placement.Value == nil {
		return
	}
	for _, at := range v.Placement.Value.Left {
		if d := o.disks[at.Disk]; d != nil && d.ready && l.replicas[at.Replica] == nil {
			l.replicas[at.Replica] = &replica{disk: at.Disk}
		}
	}
}

// lookForLeft has the volumes looked at again of which a copy that left is on a disk.
func (o *Orchestrator) lookForLeft(disk block.DiskID) {
	o.view.EachVolume(func(id block.VolumeID, v *view.Volume) {
		if p := v.Placement.Value; p != nil && slices.ContainsFunc(p.Left, func(at volume.Place) bool { return at.Disk == disk }) {
			o.dirty[id] = true
		}
	})
}

// forgetFreed takes the copies out of a placement that left and that this node has
// freed, and the first node those that nobody will free any more.
func (o *Orchestrator) forgetFreed(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	c, p := v.Config.Value, v.Placement.Value
	if c == nil || c.Tombstone || v.Spec.Value == nil || p == nil || len(p.Left) == 0 {
		return
	}
	next, first := p.Clone(), o.view.LeftGone(v) && o.first()
	next.Left = slices.DeleteFunc(next.Left, func(at volume.Place) bool {
		r := l.replicas[at.Replica]
		return r != nil && r.freed || first && o.view.Gone(&at)
	})
	if len(next.Left) < len(p.Left) {
		out.Marks.Hit("orchestrator: copy that left freed")
		o.write(volume.PlacementKey(id), id, o.placed(id, v, next), out)
	}
}
