package volume

import (
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

// Prefix is the part of the metadata store that is ours; everything below it is
// watched by every node.
const Prefix = "/lagan/v1/"

// The folders of records that are read as a whole.
const (
	NamesPrefix = Prefix + "names/" // of NameKey
	NodesPrefix = Prefix + "nodes/" // of NodeKey
	AlivePrefix = Prefix + "alive/" // of AliveKey
	DisksPrefix = Prefix + "disks/" // of DiskKey
	// NodeSpecsPrefix is that of NodeSpecKey.
	NodeSpecsPrefix = Prefix + "nodespecs/"
	// RemovedPrefix is that of RemovedKey.
	RemovedPrefix = Prefix + "removed/"
)

// RebalanceKey is where it is kept that copies are moved from full disks to empty
// ones, while they are.
const RebalanceKey = Prefix + "rebalance"

// ConfigKey is where a volume's Config is kept.
func ConfigKey(id block.VolumeID) string { return Prefix + "volumes/" + id.String() + "/config" }

// SpecKey is where a volume's Spec is kept.
func SpecKey(id block.VolumeID) string { return Prefix + "volumes/" + id.String() + "/spec" }

// AttachmentKey is where a volume's Attachment is kept.
func AttachmentKey(id block.VolumeID) string {
	return Prefix + "volumes/" + id.String() + "/attachment"
}

// SnapshotsKey is where the list of a volume's snapshots is kept, once it had one.
func SnapshotsKey(id block.VolumeID) string { return Prefix + "volumes/" + id.String() + "/snapshots" }

// PlacementKey is where a volume's Placement is kept, once it was changed.
func PlacementKey(id block.VolumeID) string { return Prefix + "volumes/" + id.String() + "/placement" }

// NameKey is where the id of the volume called name is kept.
func NameKey(name string) string { return NamesPrefix + name }

// NodeKey is where a node's record is kept.
func NodeKey(id block.NodeID) string { return NodesPrefix + id.String() }

// NodeSpecKey is where it is kept what was asked of a node, once anything was.
func NodeSpecKey(id block.NodeID) string { return NodeSpecsPrefix + id.String() }

// AliveKey exists while a node is heard from.
func AliveKey(id block.NodeID) string { return AlivePrefix + id.String() }

// DiskKey is where a disk's record is kept.
func DiskKey(id block.DiskID) string { return DisksPrefix + id.String() }

// RemovedKey is where it is kept that a node was removed, for ever: nodes are
// never called back.
func RemovedKey(id block.NodeID) string { return RemovedPrefix + id.String() }

// ParseVolumeKey splits a key below volumes/ into the volume and the part
// ("config", "spec", "attachment", "snapshots", "placement").
func ParseVolumeKey(key string) (id block.VolumeID, part string, ok bool) {
	rest, found := strings.CutPrefix(key, Prefix+"volumes/")
	if !found {
		return id, "", false
	}
	text, part, found := strings.Cut(rest, "/")
	if !found || id.UnmarshalText([]byte(text)) != nil {
		return id, "", false
	}
	return id, part, true
}
