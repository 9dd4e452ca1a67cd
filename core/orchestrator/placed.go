package orchestrator

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// placed is the transaction that makes a volume's placement next: disks promise
// its size to copies that are new, and no more to those that are neither wanted
// nor leaving now.
func (o *Orchestrator) placed(id block.VolumeID, v *view.Volume, next *volume.Placement) metadata.Txn {
	if err := next.Check(); err != nil {
		invariant.Thatf(false, "a placement is sound: %v", err)
	}
	config, key := v.Config.Value, volume.PlacementKey(id)
	txn := metadata.Txn{
		Guards: []metadata.Guard{
			{Key: key, Revision: v.Placement.Revision},
			{Key: volume.ConfigKey(id), Revision: v.Config.Revision},
			{Key: volume.SpecKey(id), Revision: v.Spec.Revision}, // nor grown meanwhile
		},
		Ops: []metadata.Op{{Key: key, Value: volume.Encode(*next)}},
	}
	before, after := v.Placement.Value.Promised(config), next.Promised(config)
	o.promiseTo(&txn, beyond(after, before), v.Spec.Value.Size)
	o.promiseTo(&txn, beyond(before, after), -v.Spec.Value.Size)
	return txn
}

// beyond returns the copies of one list that the other one has not.
func beyond(list, other []volume.Place) (rest []volume.Place) {
	for _, at := range list {
		if !slices.ContainsFunc(other, func(o volume.Place) bool { return o.Replica == at.Replica }) {
			rest = append(rest, at)
		}
	}
	return rest
}

// promiseTo adds to a transaction what disks promise to copies, or no more if
// bytes is negative. What was promised on a removed node's disks went with them.
func (o *Orchestrator) promiseTo(txn *metadata.Txn, places []volume.Place, bytes int64) {
	for _, at := range places {
		removed := o.view.Removed(at.Node).Revision
		if removed == 0 {
			o.promise(txn, at.Disk, bytes)
		}
		if key := volume.RemovedKey(at.Node); !slices.ContainsFunc(txn.Guards, func(g metadata.Guard) bool { return g.Key == key }) {
			txn.Guards = append(txn.Guards, metadata.Guard{Key: key, Revision: removed})
		}
	}
}

// reconcilePlacement has the first node write down what became of a change of a
// volume's copies: what was promised to those that left is given back.
func (o *Orchestrator) reconcilePlacement(id block.VolumeID, v *view.Volume, out *step.Effects) {
	c, p := v.Config.Value, v.Placement.Value
	if c == nil || c.Tombstone || v.Spec.Value == nil || !p.Changing() {
		delete(o.changing, id)
		return
	}
	o.changing[id] = true // until it is done, whoever is the first
	if next, differs := p.Settled(c); differs && o.first() {
		out.Marks.Hit("orchestrator: change of copies settled")
		o.write(volume.PlacementKey(id), id, o.placed(id, v, next), out)
	}
}

// tellPlacement has the session hear of the newest placement.
func (o *Orchestrator) tellPlacement(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	if p := v.Placement; l.coordinator != absent && p.Value != nil && p.Revision > l.placement {
		l.placement = p.Revision
		out.Controls = append(out.Controls, step.Control{
			Kind: step.PlacementChanged, Volume: id, Placement: p.Value, Revision: int64(p.Revision),
		})
	}
}

// reachable reports whether a copy that is not in sync could become so: its disk
// can be used and its node is heard from.
func (o *Orchestrator) reachable(disk block.DiskID, node block.NodeID) bool {
	d := o.view.Disk(disk).Value
	return d != nil && d.Unusable == "" && o.view.Node(node).Alive.Revision != 0
}

// movable reports whether a session could bring a volume nearer to its placement:
// a wanted copy can be filled, or one that is not wanted can go.
func (o *Orchestrator) movable(v *view.Volume) bool {
	c, p := v.Config.Value, v.Placement.Value
	wanted, complete, fillable := 0, true, false
	p.Each(c, func(at *volume.Place) {
		wanted++
		if !isInSync(c, at.Replica) {
			complete = false
			fillable = fillable || o.reachable(at.Disk, at.Node)
		}
	})
	return fillable && o.served(c) || complete && len(c.Members) > wanted
}

// served reports whether a copy in sync is on a node that is heard from.
func (o *Orchestrator) served(c *volume.Config) bool {
	return slices.ContainsFunc(c.Members, func(m volume.Member) bool {
		return m.State == volume.InSync && o.reachable(m.Disk, m.Node)
	})
}
