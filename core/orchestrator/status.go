package orchestrator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// VolumeStatus is what this node knows of a volume. What it refers to is not
// copied, and not to be changed.
type VolumeStatus struct {
	Volume     block.VolumeID
	Spec       volume.Spec
	Config     *volume.Config     // nil while it has not arrived
	Attachment *volume.Attachment // nil: not attached
	AttachedTo string             // name of the node; "" while that only does the volume's upkeep
	Snapshots  *volume.Snapshots  // nil: it never had one
	Placement  *volume.Placement  // nil: its copies were never changed
	Blocks     uint64             // that it has by now, as far as is known here
	Gone       []block.NodeID     // nodes with a copy that were removed
	Revision   metadata.Revision  // of the newest record of the volume
	Deleting   bool               // replicas are being freed
	Here       Service            // of the coordinator on this node
	Problem    error              // a record that cannot be read
}

// Service is how a coordinator on this node is doing.
type Service struct {
	Started  bool   // there is one
	Serving  bool   // it answers requests
	Stopping bool   // it is being detached
	Lossless bool   // nothing acknowledged was lost when it took over
	Lost     int    // blocks that have no good copy
	Text     string // why requests wait, or how the last one ended
}

// NodeStatus is what this node knows of a node.
type NodeStatus struct {
	volume.Node
	Alive  bool
	Silent time.Duration // how long one that is not alive was not heard from; 0: unknown
	Spec   volume.NodeSpec
}

// Known reports whether the records have arrived; until then every list is empty.
func (o *Orchestrator) Known() bool { return o.view.Known() }

// AttachedAs reports whether a volume is attached to this node, by the attachment of
// that number.
func (o *Orchestrator) AttachedAs(id block.VolumeID, number uint64) bool {
	v := o.view.Volume(id)
	a, c := v.Attachment.Value, v.Config.Value
	return a != nil && a.Node == o.p.Node.ID && a.Number == number && c != nil && !c.Tombstone
}

// Volumes returns all volumes in no order, those being deleted included: who
// shows them sorts them, and has an orchestrator wait for that no longer.
func (o *Orchestrator) Volumes() []VolumeStatus {
	all := make([]VolumeStatus, 0, o.view.VolumeCount())
	o.view.EachVolume(func(id block.VolumeID, held *view.Volume) { all = append(all, o.status(id, held)) })
	return all
}

// Volume returns the volume of a name or identity. A volume being deleted has
// no name any more.
func (o *Orchestrator) Volume(name string) (VolumeStatus, bool) {
	id, found := o.view.Resolve(name)
	if !found {
		return VolumeStatus{}, false
	}
	held := o.view.Volume(id)
	return o.status(id, &held), true
}

func (o *Orchestrator) status(id block.VolumeID, held *view.Volume) VolumeStatus {
	s := VolumeStatus{Volume: id, Revision: max(held.Spec.Revision, held.Config.Revision, held.Attachment.Revision, held.Snapshots.Revision, held.Placement.Revision)}
	s.Problem = cmp.Or(held.Spec.Problem, held.Config.Problem, held.Attachment.Problem, held.Snapshots.Problem, held.Placement.Problem)
	s.Snapshots, s.Placement = held.Snapshots.Value, held.Placement.Value
	if held.Spec.Value != nil {
		s.Spec = *held.Spec.Value
	}
	if s.Config = held.Config.Value; s.Config != nil {
		s.Deleting, s.Blocks = s.Config.Tombstone, s.Config.Blocks
		s.Gone = o.goneNodes(s.Config)
	}
	if s.Attachment = held.Attachment.Value; s.Attachment != nil && !s.Attachment.Upkeep {
		s.AttachedTo = o.nodeName(s.Attachment.Node)
	}
	if l := o.volumes[id]; l != nil && !upkept(held) {
		s.Here = Service{
			Started: l.coordinator != absent, Stopping: l.coordinator == stopping,
			Serving: l.serving, Lossless: l.lossless, Lost: l.lost, Text: l.status,
		}
		if l.serving {
			s.Blocks = min(s.Blocks, l.blocks)
		}
	}
	return s
}

// upkept reports whether the volume is attached for its upkeep alone.
func upkept(v *view.Volume) bool { return v.Attachment.Value != nil && v.Attachment.Value.Upkeep }

// Tally counts volumes by how they are doing. It copies none of them: it may be
// asked for often.
func (o *Orchestrator) Tally() map[volume.Health]int {
	return o.view.Tally(func(id block.VolumeID, v *view.Volume) volume.Health {
		l := o.volumes[id]
		switch {
		case v.Spec.Problem != nil || v.Config.Problem != nil || v.Attachment.Problem != nil || v.Snapshots.Problem != nil ||
			v.Placement.Problem != nil:
			return volume.Unreadable
		case v.Config.Value != nil && v.Config.Value.Tombstone:
			return volume.Deleting
		case l != nil && l.coordinator != absent && !l.serving && !upkept(v):
			return volume.Stalled
		case v.Config.Value == nil || v.Spec.Value == nil || o.missing(v) > 0:
			return volume.Degraded
		}
		return volume.Healthy
	})
}

// UnderWay returns how many commands are being carried out.
func (o *Orchestrator) UnderWay() int { return o.operations }

// Removed reports whether a node was removed from the cluster.
func (o *Orchestrator) Removed(id block.NodeID) bool { return o.view.Removed(id).Revision != 0 }

// RemovedNames returns what people called the nodes that were removed.
func (o *Orchestrator) RemovedNames() map[block.NodeID]string { return o.view.RemovedNames() }

// Replicas returns the copies that the disks of this node hold, in no order, be
// they listed in a configuration or not.
func (o *Orchestrator) Replicas() (held []block.ReplicaID) {
	for _, l := range o.volumes { // any order: so is the answer's
		for id, r := range l.replicas { // any order: likewise
			if r.held {
				held = append(held, id)
			}
		}
	}
	return held
}

// Nodes returns all nodes by name.
func (o *Orchestrator) Nodes() []NodeStatus {
	var all []NodeStatus
	for _, n := range o.placeable() {
		record := n.Node
		record.Labels = maps.Clone(record.Labels)
		all = append(all, NodeStatus{Node: record, Alive: n.Alive, Silent: n.Silent, Spec: n.Spec})
	}
	slices.SortStableFunc(all, func(a, b NodeStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Node returns the record of one node.
func (o *Orchestrator) Node(id block.NodeID) (volume.Node, bool) {
	record := o.view.Node(id).Record.Value
	if record == nil {
		return volume.Node{}, false
	}
	return *record, true
}

// HeardFrom reports whether a node is alive, as far as is known here.
func (o *Orchestrator) HeardFrom(id block.NodeID) bool { return o.view.Node(id).Alive.Revision != 0 }

// NodeName is what people call a node, or called it until it was removed.
func (o *Orchestrator) NodeName(id block.NodeID) string { return o.nodeName(id) }

// Disks returns all disks by identity, those that cannot be used included.
func (o *Orchestrator) Disks() []volume.Disk { return o.view.Disks() }
