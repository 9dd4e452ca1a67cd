package view

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
)

// Removed returns what is kept of a node that was removed; nothing of one that
// was not.
func (v *View) Removed(id block.NodeID) Item[volume.Removed] {
	if held := v.removed[id]; held != nil {
		return *held
	}
	return Item[volume.Removed]{}
}

// RemovedDisk reports whether a disk was one of a removed node.
func (v *View) RemovedDisk(id block.DiskID) bool {
	for _, held := range v.removed { // any order: looks for one
		if held.Value != nil && slices.Contains(held.Value.Disks, id) {
			return true
		}
	}
	return false
}

// NamesRemoved reports whether a volume is attached to a removed node, or a copy
// of it is there or on a removed disk, or left there.
func (v *View) NamesRemoved(held *Volume) bool {
	if a := held.Attachment.Value; a != nil && v.removed[a.Node] != nil {
		return true
	}
	c := held.Config.Value
	return c != nil && slices.ContainsFunc(c.Members, func(m volume.Member) bool { return v.Gone(&volume.Place{Node: m.Node, Disk: m.Disk}) }) || v.LeftGone(held)
}

// LeftGone reports whether a copy that left a volume will be freed by nobody.
func (v *View) LeftGone(held *Volume) bool {
	p := held.Placement.Value
	return p != nil && slices.ContainsFunc(p.Left, func(at volume.Place) bool { return v.Gone(&at) })
}

// Gone reports whether the node of a place was removed, or its disk.
func (v *View) Gone(at *volume.Place) bool {
	return v.removed[at.Node] != nil || v.disks[at.Disk] == nil
}

// changeNamesRemoved marks the volumes as changed that name what was removed.
func (v *View) changeNamesRemoved() {
	for id, known := range v.volumes { // any order: each is judged alone
		if v.NamesRemoved(known) {
			v.changed[id] = true
		}
	}
}

// OnNode returns the volumes that list a copy on a node, by identity.
func (v *View) OnNode(node block.NodeID) []block.VolumeID {
	return slices.DeleteFunc(v.Volumes(), func(id block.VolumeID) bool {
		c := v.volumes[id].Config.Value
		return c == nil || !slices.ContainsFunc(c.Members, func(m volume.Member) bool { return m.Node == node })
	})
}

// applyRemoved takes a change of a node's removal. Every volume that names the
// node changes with it.
func (v *View) applyRemoved(text string, c *metadata.Change) {
	var id block.NodeID
	if id.UnmarshalText([]byte(text)) != nil {
		return
	}
	held := v.removed[id]
	if held == nil {
		held = &Item[volume.Removed]{}
	}
	if !update(held, c, volume.Parse[volume.Removed]) {
		return
	}
	v.removed[id] = held
	if held.Revision == 0 {
		delete(v.removed, id)
		return
	}
	v.changeNamesRemoved()
}

// removedKeys returns the known keys of removals.
func (v *View) removedKeys() []string {
	var keys []string
	for _, id := range sortedIDs(v.removed) {
		keys = append(keys, volume.RemovedKey(id))
	}
	return keys
}

// AnyRemoved reports whether a node was ever removed.
func (v *View) AnyRemoved() bool { return len(v.removed) > 0 }

// RemovedNamed finds a removed node by its name or identity.
func (v *View) RemovedNamed(text string) (id block.NodeID, name string, found bool) {
	for _, id := range sortedIDs(v.removed) {
		held := v.removed[id]
		if id.String() == text || held.Value != nil && held.Value.Name == text {
			if held.Value != nil {
				name = held.Value.Name
			}
			return id, name, true
		}
	}
	return id, "", false
}

// RemovedNames returns what people called the nodes that were removed.
func (v *View) RemovedNames() map[block.NodeID]string {
	names := map[block.NodeID]string{}
	for id, held := range v.removed { // any order: into another map
		if held.Value != nil {
			names[id] = held.Value.Name
		}
	}
	return names
}
