package orchestrator

import (
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// witness tells what happens in the cluster by comparing what is recorded with
// what it told of last:
//
//	records before ──┐
//	                 ├─ differ ──▶ events: of nodes, of disks, of volumes
//	records now ─────┘
//
// So nothing is told twice, and what came and went between two looks, because
// the store had forgotten the changes in between, is not told at all: what is
// told always ends at what is. The first records that arrive are what was there
// before, and no news.
type witness struct {
	begun   bool // the first records have arrived
	volumes map[block.VolumeID]volumeTold
	nodes   map[block.NodeID]nodeTold
	disks   map[block.DiskID]diskTold
}

// volumeTold is what was told last of a volume that exists.
type volumeTold struct {
	name    string
	unread  bool   // its records could not be read when they came: what they say then is no news
	holder  string // name of the node that it is attached to
	node    block.NodeID
	number  uint64 // of the attachment, 0 = none
	missing int    // copies that are asked for and not in sync
}

// diskTold is what was told last of a disk that has a record.
type diskTold struct {
	node   string // its name
	failed bool
}

// nodeTold is what was told last of a node that has a record.
type nodeTold struct {
	name   string
	alive  bool
	silent bool // it was alive, or recorded at first without being so
}

func newWitness() witness {
	return witness{
		volumes: map[block.VolumeID]volumeTold{}, nodes: map[block.NodeID]nodeTold{}, disks: map[block.DiskID]diskTold{},
	}
}

// tell emits the events of what has changed.
func (o *Orchestrator) tell(volumes []block.VolumeID, out *step.Effects) {
	nodes, disks := o.view.TakeChangedMachines()
	told := len(out.Events)
	for _, id := range nodes {
		o.tellNode(id, out)
	}
	for _, id := range disks {
		o.tellDisk(id, out)
	}
	for _, id := range volumes {
		o.tellVolume(id, out)
	}
	if !o.witness.begun {
		o.witness.begun = true
		clear(out.Events[told:])
		out.Events = out.Events[:told]
	}
	slices.SortStableFunc(out.Events[told:], func(a, b volume.Event) int { return ended(b.Kind) - ended(a.Kind) })
}

// ended is 1 for events after which a name may be another's: they come first.
func ended(kind volume.EventKind) int {
	if kind == volume.VolumeDeleted || kind == volume.NodeRemoved {
		return 1
	}
	return 0
}

func (o *Orchestrator) tellNode(id block.NodeID, out *step.Effects) {
	held := o.view.Node(id)
	before, known := o.witness.nodes[id]
	if held.Record.Revision == 0 {
		if known {
			delete(o.witness.nodes, id)
			out.Events = append(out.Events, volume.Event{
				Kind: volume.NodeRemoved, Node: before.name, Text: fmt.Sprintf("node %s was removed from the cluster", before.name),
			})
		}
		return
	}
	now := nodeTold{name: o.nodeName(id), alive: held.Alive.Revision != 0}
	if held.Record.Value == nil && known {
		now.name = before.name
	}
	now.silent = !now.alive && (before.silent || before.alive || !o.witness.begun)
	o.witness.nodes[id] = now
	event := volume.Event{Node: now.name}
	switch {
	case !known:
		event.Kind, event.Text = volume.NodeJoined, fmt.Sprintf("node %s joined the cluster", now.name)
	case now.silent && !before.silent:
		event.Kind, event.Text = volume.NodeSilent, fmt.Sprintf("node %s is not heard from", now.name)
	case now.alive && before.silent:
		event.Kind, event.Text = volume.NodeBack, fmt.Sprintf("node %s is heard from again", now.name)
	default:
		return
	}
	out.Events = append(out.Events, event)
}

func (o *Orchestrator) tellDisk(id block.DiskID, out *step.Effects) {
	item := o.view.Disk(id)
	before, known := o.witness.disks[id]
	if item.Revision == 0 {
		if known {
			delete(o.witness.disks, id)
			out.Events = append(out.Events, volume.Event{
				Kind: volume.DiskRemoved, Node: before.node, Disk: id.String(), Text: fmt.Sprintf("disk %s of node %s was removed", id, before.node),
			})
		}
		return
	}
	if item.Value == nil {
		return // of a newer version: what it says is not known
	}
	disk := item.Value
	now := diskTold{node: o.nodeName(disk.Node), failed: disk.Unusable != ""}
	o.witness.disks[id] = now
	if !known {
		out.Events = append(out.Events, volume.Event{
			Kind: volume.DiskAdded, Node: now.node, Disk: id.String(), Text: fmt.Sprintf("disk %s was added to node %s", id, now.node),
		})
	}
	if now.failed == before.failed {
		return
	}
	event := volume.Event{
		Kind: volume.DiskBack, Node: now.node, Disk: id.String(),
		Text: fmt.Sprintf("disk %s of node %s serves again", id, now.node),
	}
	if now.failed {
		event.Kind = volume.DiskFailed
		event.Text = fmt.Sprintf("disk %s of node %s cannot be used: %s", id, event.Node, disk.Unusable)
	}
	out.Events = append(out.Events, event)
}

// tellVolume compares one volume. It exists while its name is its own: a name
// that is free again may be another volume's before the rest of what was
// written with it has arrived.
func (o *Orchestrator) tellVolume(id block.VolumeID, out *step.Effects) {
	v := o.view.Volume(id)
	before, known := o.witness.volumes[id]
	named := view.Item[block.VolumeID]{}
	if v.Spec.Value != nil {
		named = o.view.Name(v.Spec.Value.Name)
	}
	if v.Spec.Problem != nil || v.Config.Problem != nil || v.Attachment.Problem != nil || named.Problem != nil {
		if !known {
			o.witness.volumes[id] = volumeTold{unread: true}
		}
		return
	}
	if named.Value == nil || *named.Value != id || v.Config.Value == nil || v.Config.Value.Tombstone {
		delete(o.witness.volumes, id)
		if known && !before.unread {
			out.Events = append(out.Events, volume.Event{
				Kind: volume.VolumeDeleted, Volume: before.name, Text: fmt.Sprintf("volume %s was deleted", before.name),
			})
		}
		return
	}
	now := volumeTold{name: v.Spec.Value.Name, missing: o.missing(&v)}
	if a := v.Attachment.Value; a != nil && !a.Upkeep {
		now.node, now.number, now.holder = a.Node, a.Number, o.nodeName(a.Node)
	}
	o.witness.volumes[id] = now
	if before.unread {
		return
	}
	if !known {
		out.Events = append(out.Events, volume.Event{
			Kind: volume.VolumeCreated, Volume: now.name, Text: fmt.Sprintf("volume %s was created", now.name),
		})
	}
	tellAttachment(now, before, out)
	o.tellHealth(&v, now, before, out)
}

func tellAttachment(now, before volumeTold, out *step.Effects) {
	if now.node == before.node && now.number == before.number {
		return
	}
	event := volume.Event{
		Kind: volume.VolumeAttached, Volume: now.name, Node: now.holder,
		Text: fmt.Sprintf("volume %s was attached to node %s", now.name, now.holder),
	}
	switch {
	case now.number == 0:
		event.Kind, event.Node = volume.VolumeReleased, before.holder
		event.Text = fmt.Sprintf("volume %s was released by node %s", now.name, before.holder)
	case before.number != 0 && now.node != before.node:
		event.Text = fmt.Sprintf("volume %s moved from node %s to node %s", now.name, before.holder, now.holder)
	}
	out.Events = append(out.Events, event)
}

// tellHealth says that a volume has lost a copy, even one of several, and that
// none is missing any more.
func (o *Orchestrator) tellHealth(v *view.Volume, now, before volumeTold, out *step.Effects) {
	asked := v.Spec.Value.Replicas
	event := volume.Event{
		Kind: volume.VolumeHealed, Volume: now.name,
		Text: fmt.Sprintf("volume %s has all %d copies in sync again", now.name, asked),
	}
	switch {
	case now.missing > before.missing:
		event.Kind = volume.VolumeDegraded
		event.Text = fmt.Sprintf("volume %s has %d of %d copies in sync", now.name, asked-now.missing, asked)
		for _, m := range v.Config.Value.Members {
			switch {
			case o.view.Removed(m.Node).Revision != 0:
				event.Text += fmt.Sprintf(", the one on node %s went with it", o.nodeName(m.Node))
			case m.State != volume.InSync:
				event.Text += fmt.Sprintf(", the one on node %s is %s", o.nodeName(m.Node), m.State)
			}
		}
	case now.missing == 0 && before.missing > 0:
	default:
		return
	}
	out.Events = append(out.Events, event)
}

// missing returns how many copies of a volume are asked for and not in sync. One
// on a node that was removed is none, whatever the configuration still says.
func (o *Orchestrator) missing(v *view.Volume) int {
	missing := v.Spec.Value.Replicas
	for i := range v.Config.Value.Members {
		if m := &v.Config.Value.Members[i]; m.State == volume.InSync && o.view.Removed(m.Node).Revision == 0 {
			missing--
		}
	}
	return max(0, missing)
}
