package volume

import "time"

// EventKind says what happened.
type EventKind string

// The kinds of events, by what they are about.
const (
	VolumeCreated  EventKind = "volume-created"
	VolumeDeleted  EventKind = "volume-deleted"  // its name is free; its copies are freed after that
	VolumeAttached EventKind = "volume-attached" // Node serves it from now on
	VolumeReleased EventKind = "volume-released" // no node serves it any more
	VolumeDegraded EventKind = "volume-degraded" // fewer copies are in sync than were asked for
	VolumeHealed   EventKind = "volume-healed"   // all of them are in sync again
	NodeJoined     EventKind = "node-joined"
	NodeSilent     EventKind = "node-silent" // it is not heard from
	NodeBack       EventKind = "node-back"   // it is heard from again
	NodeRemoved    EventKind = "node-removed"
	DiskFailed     EventKind = "disk-failed" // it cannot be used: Text says why
	DiskBack       EventKind = "disk-back"
	DiskAdded      EventKind = "disk-added"
	DiskRemoved    EventKind = "disk-removed"
	DataRepaired   EventKind = "data-repaired" // a disk did not give blocks as written: they were written anew from another copy
	DataLost       EventKind = "data-lost"     // no copy in sync has blocks as they were written
	CopiesDiffer   EventKind = "copies-differ" // a check found blocks that are not the same on all copies
)

// EventKinds returns all kinds, in the order above.
func EventKinds() []EventKind {
	return []EventKind{
		VolumeCreated, VolumeDeleted, VolumeAttached, VolumeReleased, VolumeDegraded, VolumeHealed,
		NodeJoined, NodeSilent, NodeBack, NodeRemoved, DiskFailed, DiskBack,
		DiskAdded, DiskRemoved, DataRepaired, DataLost, CopiesDiffer,
	}
}

// Event is something that happened in the cluster, as one node saw it.
type Event struct {
	Number uint64 // 1 for the first since the node started, rising by one
	Time   time.Time
	Kind   EventKind
	Volume string // name; "" if it is about none
	Node   string // name; "" if it is about none
	Disk   string // identity; "" if it is about none
	Text   string // a sentence for people
}

// Alert is something that someone must act on: it stands for as long as it holds.
type Alert struct {
	Code    string // stable: "volume-degraded", "disk-nearly-full", "node-silent", …
	Subject string // what it is about: a name or an identity
	Text    string // what is wrong
	Fix     string // what to do, often the command to run
}
