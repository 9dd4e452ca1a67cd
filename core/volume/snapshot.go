package volume

import (
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
)

// SnapshotsMax is how many snapshots a volume has at most: each is one more
// place to look for a block that nobody wrote since.
const SnapshotsMax = 250

// SnapshotState is how far a snapshot has come.
type SnapshotState string

// The states of a snapshot.
//
//	asked for ──▶ creating ──▶ ready ──▶ deleting ──▶ not listed any more
//	                  └──▶ failed ──────────────────▶
const (
	SnapshotCreating SnapshotState = "creating" // its record may be in the stream or not
	SnapshotReady    SnapshotState = "ready"    // durable on every member in sync
	SnapshotDeleting SnapshotState = "deleting" // likewise, of the record of its end
	SnapshotFailed   SnapshotState = "failed"   // it was not made, and its record is not in the stream
)

// Snapshots lists the snapshots of a volume: one key, so that one guard covers
// all of them. Users' commands add to the list and ask for deletions; only the
// session that serves the volume says what became of them, in transactions that
// the volume's configuration guards as well: one that was replaced cannot.
type Snapshots struct {
	Format int            `json:"format"`
	Volume block.VolumeID `json:"volume"`
	List   []Snapshot     `json:"list"` // oldest first
	// Taken says when a snapshot of each rule of the schedule was taken last,
	// RFC 3339, by the rule's name: it outlives the snapshot.
	Taken map[string]string `json:"taken,omitempty"`
	// Restored is where in the stream the volume went back to an older snapshot
	// last: a copy that was away then cannot tell what it has from what it lost.
	Restored block.Seq `json:"restored,omitempty"`
}

// Snapshot is one snapshot of a volume.
type Snapshot struct {
	Layer   block.LayerID  `json:"layer,string"` // random, never used again
	Name    string         `json:"name"`         // unlike any other of the volume
	State   SnapshotState  `json:"state"`
	Error   string         `json:"error,omitempty"` // why it failed
	At      block.Position `json:"at"`              // its place in the stream, once ready
	Blocks  uint64         `json:"blocks"`          // size of the volume then
	Created string         `json:"created"`         // RFC 3339, given by the body
	Rule    string         `json:"rule,omitempty"`  // of the volume's schedule that made it
	// Restores is an older snapshot of the volume: with this one the volume goes
	// back to it.
	Restores block.LayerID `json:"restores,omitempty,string"`
	// Cloning names the volumes that are being made from it: it must stay until
	// each was served once. Those that were are left out when the next is added.
	Cloning []block.VolumeID `json:"cloning,omitempty"`
	// Formatted says that the volume had a file system then.
	Formatted bool `json:"formatted,omitempty"`
	// Freeze asks the node that has the volume mounted to freeze its file system
	// meanwhile.
	Freeze bool `json:"freeze,omitempty"`
}

// Pending reports whether there is work for the session that serves the volume.
func (s *Snapshot) Pending() bool {
	return s.State == SnapshotCreating || s.State == SnapshotDeleting
}

// Pending reports whether a snapshot of the list is. s may be nil.
func (s *Snapshots) Pending() bool {
	return s != nil && s.find((*Snapshot).Pending) != nil
}

// Restoring returns the snapshot with which the volume is going back to an older
// one, or nil. s may be nil.
func (s *Snapshots) Restoring() *Snapshot {
	if s == nil {
		return nil
	}
	return s.find(func(o *Snapshot) bool { return o.State == SnapshotCreating && o.Restores != 0 })
}

// Origin is the snapshot from which a volume was cloned.
type Origin struct {
	Volume block.VolumeID `json:"volume"`
	Layer  block.LayerID  `json:"layer,string"`
}

// Clone returns a deep copy of s.
func (s *Snapshots) Clone() *Snapshots {
	d := *s
	d.List, d.Taken = slices.Clone(s.List), maps.Clone(s.Taken)
	for i := range d.List {
		d.List[i].Cloning = slices.Clone(d.List[i].Cloning)
	}
	return &d
}

// Find returns the snapshot that is layer, or nil.
func (s *Snapshots) Find(layer block.LayerID) *Snapshot {
	return s.find(func(o *Snapshot) bool { return o.Layer == layer })
}

// Named returns the snapshot called name, or nil.
func (s *Snapshots) Named(name string) *Snapshot {
	return s.find(func(o *Snapshot) bool { return o.Name == name })
}

func (s *Snapshots) find(is func(*Snapshot) bool) *Snapshot {
	for i := range s.List {
		if is(&s.List[i]) {
			return &s.List[i]
		}
	}
	return nil
}
