package orchestrator

import (
	"maps"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// missingAfter is when a recorded disk that this node has not opened since it
// started is taken for lost: longer than any recovery of a journal.
const missingAfter = time.Minute

// freeShareMin: the record of a disk is written anew when what is free has
// changed by this part of the capacity. Every writer of a volume makes its disks
// fill, and the store is not for that.
const freeShareMin = 64

// disk is one of this node's, as its shard says.
type disk struct {
	ready    bool
	capacity int64 // bytes
	free     int64 // bytes
	problem  string
	ailing   string                             // why it is not to be trusted with new copies
	making   map[block.ReplicaID]block.VolumeID // asked to be made and not yet there
}

// reconcileMachines makes the records of this node and its disks say what is.
// It runs at every tick and when something here has changed, not when a record
// has: two processes that claim to be one node must not answer each other.
func (o *Orchestrator) reconcileMachines(out *step.Effects) {
	if o.endIfRemoved(out) {
		return // nothing of this node is to be recorded any more
	}
	o.clearMachines(out)
	self := o.view.Node(o.p.Node.ID)
	if self.Alive.Value == nil || *self.Alive.Value != o.life {
		key := volume.AliveKey(o.p.Node.ID)
		o.write(key, block.VolumeID{}, metadata.Txn{
			Guards: []metadata.Guard{{Key: key, Revision: self.Alive.Revision}, {Key: volume.RemovedKey(o.p.Node.ID)}},
			Ops:    []metadata.Op{{Key: key, Value: []byte(o.life), Leased: true}},
		}, out)
	}
	recorded := self.Record.Value
	if self.Record.Problem == nil && (recorded == nil || !recorded.Equal(&o.p.Node)) {
		o.put(volume.NodeKey(o.p.Node.ID), self.Record.Revision, volume.Encode(o.p.Node), out)
	}
	for _, id := range slices.SortedFunc(maps.Keys(o.disks), compareDisks) {
		item := o.view.Disk(id)
		if item.Problem != nil {
			continue // of a newer version: not ours to overwrite
		}
		recorded := item.Value
		if recorded != nil && o.view.Removed(recorded.Node).Revision != 0 {
			recorded = nil // what was promised there went with its node
		}
		if next, differs := o.disks[id].record(id, o.p.Node.ID, recorded); differs {
			o.put(volume.DiskKey(id), item.Revision, volume.Encode(next), out)
		}
	}
	o.reportMissing(out)
}

// reportMissing records that disks of this node cannot be used because they did
// not turn up: a disk that cannot be opened cannot say which one it is.
func (o *Orchestrator) reportMissing(out *step.Effects) {
	if o.now.Sub(o.started) < missingAfter {
		return
	}
	for _, d := range o.view.Disks() {
		if d.Node != o.p.Node.ID || d.Unusable != "" || o.disks[d.ID] != nil {
			continue
		}
		d.Unusable = "its node has not found it since it started"
		if o.nameless != "" {
			d.Unusable += "; of a disk it could not open: " + o.nameless
		}
		o.put(volume.DiskKey(d.ID), o.view.Disk(d.ID).Revision, volume.Encode(d), out)
	}
}

// record is what the disk's record should say, and whether that differs enough
// from what it says to be written. What is promised belongs to those who place
// volumes.
func (d *disk) record(id block.DiskID, node block.NodeID, recorded *volume.Disk) (next volume.Disk, differs bool) {
	if recorded == nil {
		return volume.Disk{Format: volume.Format, ID: id, Node: node, Capacity: d.capacity, Free: d.free}, d.ready
	}
	next = *recorded
	next.Format, next.Node, next.Unusable, next.Ailing = volume.Format, node, d.problem, d.ailing
	if d.ready {
		next.Capacity, next.Free = d.capacity, d.free
	}
	moved := max(next.Free-recorded.Free, recorded.Free-next.Free)
	return next, next.Node != recorded.Node || next.Unusable != recorded.Unusable || next.Ailing != recorded.Ailing ||
		next.Capacity != recorded.Capacity || moved > next.Capacity/freeShareMin
}

// put writes a record of this node, unless it was removed.
func (o *Orchestrator) put(key string, at metadata.Revision, value []byte, out *step.Effects) {
	o.write(key, block.VolumeID{}, metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: at}, {Key: volume.RemovedKey(o.p.Node.ID)}},
		Ops:    []metadata.Op{{Key: key, Value: value}},
	}, out)
}

// onDisk takes what a disk's shard says of the disk itself.
func (o *Orchestrator) onDisk(c *step.Control) {
	if c.Disk == (block.DiskID{}) {
		o.nameless = c.Text // no identity could be read; see reportMissing
		return
	}
	d := o.disks[c.Disk]
	switch {
	case o.gone[c.Disk]:
		return // it was removed; what it says is late
	case d == nil && c.Kind == step.DiskAiling:
		return // it has not been opened yet
	case d == nil:
		d = &disk{making: map[block.ReplicaID]block.VolumeID{}}
		o.disks[c.Disk] = d
	}
	if c.Kind == step.DiskAiling {
		o.machines = o.machines || d.ailing != c.Text
		d.ailing = c.Text
		return
	}
	o.machines = true
	if c.Kind == step.DiskUnusable {
		d.ready, d.problem = false, c.Text
		o.forgetReplicas(c.Disk)
		return
	}
	d.capacity, d.free = c.Capacity, c.Free
	if c.Kind == step.DiskSpace {
		o.makeAgain(d)
		return
	}
	d.ready, d.problem = true, ""
	d.making = map[block.ReplicaID]block.VolumeID{}
	o.forgetReplicas(c.Disk) // it says next which ones it holds
	for _, id := range o.view.OnDisk(c.Disk) {
		o.dirty[id] = true
	}
	o.lookForLeft(c.Disk)
}

// makeAgain asks again for the replicas that a disk had no room for.
func (o *Orchestrator) makeAgain(d *disk) {
	for r, id := range d.making { // any order: each is changed alone
		if l := o.volumes[id]; l != nil && l.replicas[r] != nil && !l.replicas[r].held {
			l.replicas[r].asked = askedNothing
			o.dirty[id] = true
		}
	}
	d.making = map[block.ReplicaID]block.VolumeID{}
}

// placeable returns all nodes with their disks, as placement takes them.
func (o *Orchestrator) placeable() []placement.Node {
	disks := map[block.NodeID][]volume.Disk{}
	for _, d := range o.view.Disks() {
		disks[d.Node] = append(disks[d.Node], d)
	}
	var nodes []placement.Node
	for _, id := range o.view.Nodes() {
		held := o.view.Node(id)
		if held.Record.Value == nil {
			continue
		}
		n := placement.Node{Node: *held.Record.Value, Alive: held.Alive.Revision != 0, Disks: disks[id]}
		if held.Spec.Value != nil {
			n.Spec = *held.Spec.Value
		}
		if held.SilentSince != 0 {
			n.Silent = o.now.Sub(held.SilentSince)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// nodeName is what people call a node.
func (o *Orchestrator) nodeName(id block.NodeID) string {
	if record := o.view.Node(id).Record.Value; record != nil && record.Name != "" {
		return record.Name
	}
	if removed := o.view.Removed(id).Value; removed != nil && removed.Name != "" {
		return removed.Name
	}
	return id.String()
}

func compareDisks(a, b block.DiskID) int { return slices.Compare(a[:], b[:]) }
