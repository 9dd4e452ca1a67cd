package view

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// Volume returns what is recorded of a volume; nothing for one that is not known.
func (v *View) Volume(id block.VolumeID) Volume {
	if held := v.volumes[id]; held != nil {
		return *held
	}
	return Volume{}
}

// Name returns the record under a name.
func (v *View) Name(name string) Item[block.VolumeID] { return v.names[name] }

// Resolve finds a volume by its name or, if there is none of that name, by its
// identity.
func (v *View) Resolve(text string) (block.VolumeID, bool) {
	if named := v.names[text]; named.Value != nil {
		return *named.Value, true
	}
	id, ok := volume.ParseVolumeID(text)
	return id, ok && v.volumes[id] != nil
}

// Node returns what is recorded of a node.
func (v *View) Node(id block.NodeID) Node {
	if held := v.nodes[id]; held != nil {
		return *held
	}
	return Node{}
}

// Disk returns the record of a disk.
func (v *View) Disk(id block.DiskID) Item[volume.Disk] {
	if held := v.disks[id]; held != nil {
		return *held
	}
	return Item[volume.Disk]{}
}

// Volumes returns all volumes, by identity.
func (v *View) Volumes() []block.VolumeID { return sortedIDs(v.volumes) }

// VolumeCount is how many volumes there are.
func (v *View) VolumeCount() int { return len(v.volumes) }

// EachVolume calls f for every volume, in no order: to sort them all is not for
// those whom others wait for.
func (v *View) EachVolume(f func(id block.VolumeID, held *Volume)) {
	for id, held := range v.volumes { // any order: f is told so
		f(id, held)
	}
}

// Tally counts all volumes by what judge says of them. It must not change them.
func (v *View) Tally(judge func(id block.VolumeID, held *Volume) volume.Health) map[volume.Health]int {
	counts := map[volume.Health]int{}
	for id, held := range v.volumes { // any order: they are counted
		counts[judge(id, held)]++
	}
	return counts
}

// OnDisk returns the volumes with a member on one of the node's own disks.
func (v *View) OnDisk(id block.DiskID) []block.VolumeID { return sortedIDs(v.onDisk[id]) }

// EachSchedule calls f for every volume with a schedule of snapshots, in no order.
func (v *View) EachSchedule(f func(id block.VolumeID, held *Volume, schedule volume.Schedule)) {
	for id, schedule := range v.scheduled { // any order: f is told so
		f(id, v.volumes[id], schedule)
	}
}

// Nodes returns all nodes, by identity.
func (v *View) Nodes() []block.NodeID { return sortedIDs(v.nodes) }

// Disks returns all disks that can be read, by identity.
func (v *View) Disks() []volume.Disk {
	var all []volume.Disk
	for _, id := range sortedIDs(v.disks) {
		if held := v.disks[id]; held.Value != nil {
			all = append(all, *held.Value)
		}
	}
	return all
}

// TakeChanged returns the volumes that changed since the last call.
func (v *View) TakeChanged() []block.VolumeID {
	if len(v.changed) == 0 {
		return nil
	}
	changed := sortedIDs(v.changed)
	v.changed = map[block.VolumeID]bool{} // not cleared: a map stays as large as the snapshot made it
	return changed
}

// TakeChangedMachines returns the nodes and disks that changed since the last call.
func (v *View) TakeChangedMachines() (nodes []block.NodeID, disks []block.DiskID) {
	if len(v.nodesChanged)+len(v.disksChanged) == 0 {
		return nil, nil
	}
	nodes, disks = sortedIDs(v.nodesChanged), sortedIDs(v.disksChanged)
	v.nodesChanged, v.disksChanged = map[block.NodeID]bool{}, map[block.DiskID]bool{}
	return nodes, disks
}

// keys returns all known keys, sorted.
func (v *View) keys() []string {
	keys := append(v.machineKeys(), v.removedKeys()...)
	for _, name := range slices.Sorted(maps.Keys(v.names)) {
		keys = append(keys, volume.NameKey(name))
	}
	if v.balance.Revision != 0 {
		keys = append(keys, volume.RebalanceKey)
	}
	for _, id := range sortedIDs(v.volumes) {
		held := v.volumes[id]
		for _, k := range []struct {
			key     string
			present bool
		}{
			{volume.AttachmentKey(id), held.Attachment.Revision != 0},
			{volume.ConfigKey(id), held.Config.Revision != 0},
			{volume.PlacementKey(id), held.Placement.Revision != 0},
			{volume.SnapshotsKey(id), held.Snapshots.Revision != 0},
			{volume.SpecKey(id), held.Spec.Revision != 0},
		} {
			if k.present {
				keys = append(keys, k.key)
			}
		}
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}

// Rebalance returns the record of copies being moved from full disks to empty ones.
func (v *View) Rebalance() Item[volume.Rebalance] { return v.balance }

// machineKeys returns the known keys of nodes and disks.
func (v *View) machineKeys() []string {
	var keys []string
	for _, id := range sortedIDs(v.nodes) {
		if v.nodes[id].Record.Revision != 0 {
			keys = append(keys, volume.NodeKey(id))
		}
		if v.nodes[id].Alive.Revision != 0 {
			keys = append(keys, volume.AliveKey(id))
		}
		if v.nodes[id].Spec.Revision != 0 {
			keys = append(keys, volume.NodeSpecKey(id))
		}
	}
	for _, id := range sortedIDs(v.disks) {
		keys = append(keys, volume.DiskKey(id))
	}
	return keys
}

// sortedIDs returns the keys of a map in order.
func sortedIDs[ID ~[16]byte, V any](m map[ID]V) []ID {
	ids := slices.AppendSeq(make([]ID, 0, len(m)), maps.Keys(m)) // any order: sorted below
	slices.SortFunc(ids, func(a, b ID) int {
		x, y := [16]byte(a), [16]byte(b)
		return bytes.Compare(x[:], y[:])
	})
	return ids
}
