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

// confirmMax is how many records one read confirms: the store bounds what a
// transaction may ask for.
const confirmMax = 500

// remove keeps for ever that a node is gone, and removes its own records, in one
// transaction: it is not heard from, and no volume was placed on its disks
// meanwhile. What is left of it in the records of volumes goes after that, see
// clearRemoved, whoever asked and whoever dies.
//
//	node, alive, disks ──▶ removed ──▶ attachments deleted by the first node alive
//	                                   deleted volumes shrunk by it
//	                                   copies made anew, or not wanted any more: see heal.go
func (o *Orchestrator) remove(op *operation) decision {
	id, name := op.command.Node, op.command.Name
	held := o.view.Node(id)
	switch {
	case o.view.Removed(id).Revision != 0:
		return succeed(block.VolumeID{}, volume.RemovedKey(id))
	case op.command.Force:
		return o.letGo(op)
	case id == o.p.Node.ID:
		return refuse(removesItself(name))
	case held.Alive.Revision != 0:
		return refuse(stillAlive(name), volume.AliveKey(id))
	}
	volumes := o.view.OnNode(id)
	var unread []string
	for _, v := range volumes {
		if key := volume.ConfigKey(v); !op.confirmed[key] && len(unread) < confirmMax {
			unread = append(unread, key)
		}
	}
	if len(unread) > 0 { // another copy may have fallen behind since
		return decision{txn: &metadata.Txn{Read: unread}}
	}
	if last := o.lastCopies(id, volumes); len(last) > 0 {
		return refuse(lastCopies(name, last))
	}
	txn := o.removal(id, name)
	txn.Guards = append(txn.Guards, metadata.Guard{Key: volume.AliveKey(id)})
	return write(txn)
}

// lastCopies returns the names of those volumes whose every copy in sync is on a
// node.
func (o *Orchestrator) lastCopies(node block.NodeID, volumes []block.VolumeID) (names []string) {
	for _, id := range volumes {
		v := o.view.Volume(id)
		c := v.Config.Value
		if c == nil || c.Tombstone || slices.ContainsFunc(c.Members, func(m volume.Member) bool { return m.State == volume.InSync && m.Node != node }) {
			continue
		}
		if v.Spec.Value != nil {
			names = append(names, v.Spec.Value.Name)
		} else {
			names = append(names, id.String())
		}
	}
	slices.Sort(names)
	return names
}

// removal is the transaction that removes a node.
func (o *Orchestrator) removal(id block.NodeID, name string) metadata.Txn {
	held := o.view.Node(id)
	record := volume.Removed{Format: volume.Format, Node: id, Name: name}
	txn := metadata.Txn{
		Guards: []metadata.Guard{
			{Key: volume.RemovedKey(id)},
			{Key: volume.NodeKey(id), Revision: held.Record.Revision},
			{Key: volume.NodeSpecKey(id), Revision: held.Spec.Revision},
		},
		Ops: []metadata.Op{{Key: volume.NodeKey(id), Delete: true}},
	}
	if held.Spec.Revision != 0 {
		txn.Ops = append(txn.Ops, metadata.Op{Key: volume.NodeSpecKey(id), Delete: true})
	}
	for _, d := range o.view.Disks() {
		if d.Node != id {
			continue
		}
		key := volume.DiskKey(d.ID)
		record.Disks = append(record.Disks, d.ID)
		txn.Guards = append(txn.Guards, metadata.Guard{Key: key, Revision: o.view.Disk(d.ID).Revision})
		txn.Ops = append(txn.Ops, metadata.Op{Key: key, Delete: true})
	}
	txn.Ops = append(txn.Ops, metadata.Op{Key: volume.RemovedKey(id), Value: volume.Encode(record)})
	return txn
}

// first reports whether this node is the one that does what any could: of the
// nodes that are heard from, the one with the lowest identity. Two that both
// think so cost each other a retry.
func (o *Orchestrator) first() bool {
	for _, id := range o.view.Nodes() {
		if o.view.Node(id).Alive.Revision != 0 && o.view.Removed(id).Revision == 0 {
			return id == o.p.Node.ID
		}
	}
	return false
}

// goneFor reports whether nobody but the first node frees a copy: its node or its
// disk was removed.
func (o *Orchestrator) goneFor(m *volume.Member, first bool) bool {
	return first && o.view.Gone(&volume.Place{Node: m.Node, Disk: m.Disk})
}

// clearRemoved does for a volume what removed nodes would have to: it gives up
// what they had attached. Copies of a deleted volume are dropped with it; others
// are lost ones, see heal.go, or have left, see left.go.
func (o *Orchestrator) clearRemoved(id block.VolumeID, v *view.Volume, out *step.Effects) {
	if !o.view.NamesRemoved(v) {
		delete(o.orphans, id)
		return
	}
	a, c := v.Attachment.Value, v.Config.Value
	stale := a != nil && o.view.Removed(a.Node).Revision != 0
	if stale || c != nil && c.Tombstone || o.view.LeftGone(v) {
		o.orphans[id] = true // until it is done, whoever is the first
	} else {
		delete(o.orphans, id)
	}
	if stale && o.first() {
		out.Marks.Hit("orchestrator: attachment of a removed node given up")
		key := volume.AttachmentKey(id)
		o.write(key, id, metadata.Txn{
			Guards: []metadata.Guard{{Key: key, Revision: v.Attachment.Revision}},
			Ops:    []metadata.Op{{Key: key, Delete: true}},
		}, out)
	}
}

// goneNodes returns the nodes with a member that were removed.
func (o *Orchestrator) goneNodes(c *volume.Config) (gone []block.NodeID) {
	for i := range c.Members {
		if n := c.Members[i].Node; o.view.Removed(n).Revision != 0 && !slices.Contains(gone, n) {
			gone = append(gone, n)
		}
	}
	return gone
}

// clearMachines removes records of removed nodes that came after the removal, or
// that whoever removed them had not heard of.
func (o *Orchestrator) clearMachines(out *step.Effects) {
	if !o.view.AnyRemoved() || !o.first() {
		return
	}
	forget := func(key string, at metadata.Revision) {
		o.write(key, block.VolumeID{}, metadata.Txn{
			Guards: []metadata.Guard{{Key: key, Revision: at}}, Ops: []metadata.Op{{Key: key, Delete: true}},
		}, out)
	}
	for _, id := range o.view.Nodes() {
		if o.view.Removed(id).Revision == 0 {
			continue
		}
		held := o.view.Node(id)
		if held.Record.Revision != 0 {
			forget(volume.NodeKey(id), held.Record.Revision)
		}
		if held.Spec.Revision != 0 {
			forget(volume.NodeSpecKey(id), held.Spec.Revision)
		}
	}
	for _, d := range o.view.Disks() {
		if o.view.Removed(d.Node).Revision != 0 && o.disks[d.ID] == nil {
			forget(volume.DiskKey(d.ID), o.view.Disk(d.ID).Revision)
		}
	}
}

// endIfRemoved tells the body, once, that this node was removed.
func (o *Orchestrator) endIfRemoved(out *step.Effects) bool {
	if o.view.Removed(o.p.Node.ID).Revision == 0 {
		return false
	}
	if !o.ended {
		o.ended = true
		out.Controls = append(out.Controls, step.Control{Kind: step.NodeEnded})
	}
	return true
}

// freeForgotten frees the copies of volumes of which nothing is recorded on a
// disk that came from a removed node: they were deleted without waiting for it.
// That nothing is recorded says so only because the removal is, which names the
// disk: another cluster's records, or none at all, prove nothing.
func (o *Orchestrator) freeForgotten(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	if v.Exists() {
		return
	}
	for _, r := range l.sortedReplicas() {
		held := l.replicas[r]
		d := o.disks[held.disk]
		if d == nil || !d.ready || !held.held || held.asked == askedFree || !o.view.RemovedDisk(held.disk) {
			continue
		}
		invariant.That(o.view.Known(), "nothing is concluded from what is missing before all is known")
		out.Marks.Hit("orchestrator: copy of a forgotten volume freed")
		held.asked = askedFree
		out.Controls = append(out.Controls, step.Control{
			Kind: step.FreeReplica, Disk: held.disk, Volume: id, Replica: r,
			Config: &volume.Config{Format: volume.Format, Volume: id, Tombstone: true},
		})
	}
}

// NodeNamed finds a node by its name or identity, a removed one if there is no
// other.
func (o *Orchestrator) NodeNamed(text string) (id block.NodeID, name string, found bool) {
	for _, n := range o.Nodes() {
		if n.Name == text || n.ID.String() == text {
			return n.ID, n.Name, true
		}
	}
	return o.view.RemovedNamed(text)
}
