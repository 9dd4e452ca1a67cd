package orchestrator

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// VolumeStatus is what this node knows of a volume. Its values are copies.
type VolumeStatus struct {
	Volume     block.VolumeID
	Spec       volume.Spec
	Config     *volume.Config     // nil while it has not arrived
	Attachment *volume.Attachment // nil: not attached
	AttachedTo string             // name of the node
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
	Text     string // why requests wait, or how the last one ended
}

// NodeStatus is what this node knows of a node.
type NodeStatus struct {
	volume.Node
	Alive  bool
	Silent time.Duration // how long one that is not alive was not heard from; 0: unknown
}

// Known reports whether the records have arrived; until then every list is empty.
func (o *Orchestrator) Known() bool { return o.view.Known() }

// Volumes returns all volumes by name, those being deleted included.
func (o *Orchestrator) Volumes() []VolumeStatus {
	var all []VolumeStatus
	for _, id := range o.view.Volumes() {
		all = append(all, o.volume(id))
	}
	slices.SortStableFunc(all, func(a, b VolumeStatus) int { return strings.Compare(a.Spec.Name, b.Spec.Name) })
	return all
}

// Volume returns the volume of a name or identity. A volume being deleted has
// no name any more.
func (o *Orchestrator) Volume(name string) (VolumeStatus, bool) {
	id, found := o.view.Resolve(name)
	if !found {
		return VolumeStatus{}, false
	}
	return o.volume(id), true
}

func (o *Orchestrator) volume(id block.VolumeID) VolumeStatus {
	held := o.view.Volume(id)
	s := VolumeStatus{Volume: id, Revision: max(held.Spec.Revision, held.Config.Revision, held.Attachment.Revision)}
	for _, problem := range []error{held.Spec.Problem, held.Config.Problem, held.Attachment.Problem} {
		if s.Problem == nil {
			s.Problem = problem
		}
	}
	if held.Spec.Value != nil {
		s.Spec = held.Spec.Value.Clone()
	}
	if held.Config.Value != nil {
		s.Config = held.Config.Value.Clone()
		s.Deleting = s.Config.Tombstone
		s.Gone = o.goneNodes(s.Config)
	}
	if held.Attachment.Value != nil {
		a := *held.Attachment.Value
		a.Users = slices.Clone(a.Users)
		s.Attachment, s.AttachedTo = &a, o.nodeName(a.Node)
	}
	if l := o.volumes[id]; l != nil {
		s.Here = Service{
			Started: l.coordinator != absent, Stopping: l.coordinator == stopping,
			Serving: l.serving, Lossless: l.lossless, Text: l.status,
		}
	}
	return s
}

// Tally counts volumes by how they are doing. It copies none of them: it may be
// asked for often.
func (o *Orchestrator) Tally() map[volume.Health]int {
	return o.view.Tally(func(id block.VolumeID, v *view.Volume) volume.Health {
		l := o.volumes[id]
		switch {
		case v.Spec.Problem != nil || v.Config.Problem != nil || v.Attachment.Problem != nil:
			return volume.Unreadable
		case v.Config.Value != nil && v.Config.Value.Tombstone:
			return volume.Deleting
		case l != nil && l.coordinator != absent && !l.serving:
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

// Nodes returns all nodes by name.
func (o *Orchestrator) Nodes() []NodeStatus {
	var all []NodeStatus
	for _, n := range o.placeable() {
		record := n.Node
		record.Labels = maps.Clone(record.Labels)
		all = append(all, NodeStatus{Node: record, Alive: n.Alive, Silent: n.Silent})
	}
	slices.SortStableFunc(all, func(a, b NodeStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Disks returns all disks by identity, those that cannot be used included.
func (o *Orchestrator) Disks() []volume.Disk { return o.view.Disks() }
