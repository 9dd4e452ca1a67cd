package orchestrator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// ResyncPrefix begins the identity of the operation that fills a copy, which ends it.
const ResyncPrefix = "resync-"

// UnderWayInRecords returns what takes a while and is recorded, by volume.
func (o *Orchestrator) UnderWayInRecords() (all []volume.Operation) {
	drains := o.drains()
	o.view.EachVolume(func(id block.VolumeID, v *view.Volume) {
		c := v.Config.Value
		if c == nil {
			return
		}
		name := id.String()
		if v.Spec.Value != nil && !c.Tombstone {
			name = v.Spec.Value.Name
		}
		drains.look(o, id, v)
		if c.Tombstone {
			all = append(all, volume.Operation{
				ID: "deletion-" + id.String(), Kind: volume.DeletionOperation, Volume: name,
				Reason: "copies that are not free yet: " + strings.Join(o.memberNodes(c), ", "),
			})
			return
		}
		for i := range c.Members {
			if m := &c.Members[i]; m.State == volume.Syncing {
				all = append(all, volume.Operation{
					ID: ResyncPrefix + m.Replica.String(), Kind: volume.ResyncOperation, Volume: name, Node: o.nodeName(m.Node),
				})
			}
		}
		if o.grows(v) && !c.Tombstone {
			all = append(all, o.growing(id, name, v))
		}
		if v.Placement.Value.Changing() {
			all = append(all, o.rearranging(id, name, v))
		}
		if v.Snapshots.Value != nil {
			for i := range v.Snapshots.Value.List {
				all = o.snapshotUnderWay(all, name, v, &v.Snapshots.Value.List[i])
			}
		}
	})
	all = append(all, drains.operations(o)...)
	all = o.rebalancing(all)
	slices.SortFunc(all, func(a, b volume.Operation) int {
		return cmp.Or(strings.Compare(a.Volume, b.Volume), strings.Compare(a.ID, b.ID))
	})
	return all
}

// rearranging says what a change of copies waits for.
func (o *Orchestrator) rearranging(id block.VolumeID, name string, v *view.Volume) volume.Operation {
	c, p := v.Config.Value, v.Placement.Value
	op := volume.Operation{ID: "replicas-" + id.String(), Kind: volume.ReplicasOperation, Volume: name, Cancellable: p.Before != nil}
	var waits []string
	for _, at := range p.Copies {
		node := o.nodeName(at.Node)
		m, d := c.Member(at.Replica), o.view.Disk(at.Disk).Value
		switch {
		case m != nil && m.State == volume.InSync:
		case o.view.Node(at.Node).Alive.Revision == 0:
			waits = append(waits, fmt.Sprintf("node %s, which is not heard from", node))
		case d == nil || d.Unusable != "":
			waits = append(waits, fmt.Sprintf("the disk on node %s, which cannot be used", node))
		case !o.served(c):
			waits = append(waits, "a copy that holds everything to be reached")
		case m == nil:
			waits = append(waits, fmt.Sprintf("the copy on node %s to be made", node))
		default:
			waits = append(waits, fmt.Sprintf("the copy on node %s, which is %s", node, m.State))
		}
	}
	if len(waits) > 0 {
		op.Reason = "waits for " + strings.Join(waits, ", ")
	}
	if a := v.Attachment.Value; a != nil {
		op.Node = o.nodeName(a.Node)
	}
	return op
}

func (o *Orchestrator) snapshotUnderWay(all []volume.Operation, name string, v *view.Volume, s *volume.Snapshot) []volume.Operation {
	op := volume.Operation{
		ID: fmt.Sprintf("snapshot-%016x", uint64(s.Layer)), Kind: volume.SnapshotOperation, Volume: name, Snapshot: s.Name, Since: s.Created,
	}
	switch s.State {
	case volume.SnapshotReady:
		return all
	case volume.SnapshotFailed:
		op.Failed, op.Reason, op.Cancellable = true, s.Error, true
		return append(all, op)
	case volume.SnapshotDeleting:
		op.Kind, op.Since = volume.SnapshotDeletionOperation, ""
	case volume.SnapshotCreating:
		if op.Cancellable = s.Restores == 0; !op.Cancellable {
			op.Kind = volume.RestorationOperation
		}
	}
	op.Node, op.Reason = o.drivenBy(v.Config.Value.Volume, v)
	return append(all, op)
}

// memberNodes names the nodes of all members.
func (o *Orchestrator) memberNodes(c *volume.Config) (names []string) {
	for i := range c.Members {
		names = append(names, o.nodeName(c.Members[i].Node))
	}
	return names
}
