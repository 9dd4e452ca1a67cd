package volume

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
)

// Health sums up in a word how a volume is doing.
type Health string

// The words.
const (
	Healthy    Health = "healthy"    // as many copies are in sync as were asked for
	Degraded   Health = "degraded"   // fewer are: the reason says which
	Stalled    Health = "stalled"    // it is attached here, and requests wait: the reason says for what
	Deleting   Health = "deleting"   // its replicas are being freed
	Unreadable Health = "unreadable" // a record cannot be read: the reason says why
)

// Report is a volume as one node knows it: what was asked for, and what is.
// The use cases of a node make it, the faces print it.
type Report struct {
	ID       block.VolumeID
	Spec     Spec
	Health   Health
	Reason   string // why it is not healthy
	Size     int64  // bytes that it has by now
	Epoch    block.Epoch
	Revision int64  // of the newest of its records
	Attached string // name of the node that serves it, "" if none does
	Users    []User // containers that use it there, as that node recorded them
	Lingers  bool   // nobody uses it there, and the node gives it up on request
	Here     *Use   // how this node uses it, nil if it does not
	Copies   []Copy
	// Snapshots is how many it has.
	Snapshots int
	Usage     *Usage // of the copy on this node, snapshots included; nil: none is here
}

// Usage is the space that a copy of something takes on its disk, in bytes:
// exclusive is what only that takes, shared what something else has, too.
type Usage struct{ Used, Exclusive, Shared int64 }

// Plus returns the space of both.
func (u Usage) Plus(o Usage) Usage {
	return Usage{u.Used + o.Used, u.Exclusive + o.Exclusive, u.Shared + o.Shared}
}

// SnapshotReport is a snapshot as people see it.
type SnapshotReport struct {
	Snapshot
	Of         string   // name of the volume
	Size       int64    // bytes of the volume then
	RestoredTo string   // name of the snapshot that the volume went back to, if it is still there
	CloningTo  []string // names of the volumes that are being made from it
	Usage      *Usage   // of the copy on this node; nil: none is here, or it is not counted yet
}

// OperationKind says what takes a while.
type OperationKind string

// The kinds.
const (
	SnapshotOperation         OperationKind = "snapshot"          // one is being taken, or was not
	SnapshotDeletionOperation OperationKind = "snapshot-deletion" // one goes from all copies
	RestorationOperation      OperationKind = "restoration"       // a volume goes back to a snapshot
	DeletionOperation         OperationKind = "volume-deletion"   // the space of copies is being freed
	ResyncOperation           OperationKind = "resync"            // a copy is being filled
	ScrubOperation            OperationKind = "scrub"             // all that is on a disk is being read
	CheckOperation            OperationKind = "check"             // the copies of a volume are being compared
	ReplicasOperation         OperationKind = "replica-change"    // copies come or go
	GrowthOperation           OperationKind = "growth"            // a volume gets larger
	DrainOperation            OperationKind = "drain"             // the copies of a node are moved elsewhere
	DecommissionOperation     OperationKind = "decommission"      // and it leaves the cluster then
	RebalanceOperation        OperationKind = "rebalance"         // copies are moved from full disks to empty ones
)

// Operation is something that takes a while, whoever asked for it. What is done
// is not one any more, but for a check: its result is kept for who asks for it.
type Operation struct {
	ID          string
	Kind        OperationKind
	Volume      string // name, or identity of one that has no name any more; "" if it is about a disk
	Disk        string // identity, if it is about one
	Snapshot    string // name, if it is about one
	Node        string // name of the one that does it, "" if none does
	Failed      bool
	Over        bool          // it came to its end, and did not fail
	Reason      string        // what it waits for, why it failed, or what came of it
	Since       string        // RFC 3339, "" if that is not known
	Done, Total int64         // bytes; 0: not counted, or not known here
	Rate        int64         // bytes a second of late, likewise
	Left        time.Duration // how long it takes at that rate, likewise
	Cancellable bool
	Differences []Differing // that a check has found, DifferencesMax at most
}

// Use is a volume attached to the node that reports.
type Use struct {
	Serving  bool   // requests are answered
	Lossless bool   // nothing acknowledged was lost when this node took over
	Reason   string // why requests wait
	Device   string // the block device, "" for none
	Smaller  string // why device or file system are smaller than the volume, if so
	Mounts   []string
	Exports  []ExportReport
}

// ExportReport is a volume, or a snapshot of one, that block clients can use through
// the node that reports.
type ExportReport struct {
	Name     string   // that clients ask for: VOLUME or VOLUME@SNAPSHOT
	Snapshot string   // name, "" for the volume itself
	URIs     []string // where clients find it; the first is on the node's own socket
	Clients  int      // connections
}

// ExportOptions says how a volume is to be exported.
type ExportOptions struct {
	Snapshot string // name of the snapshot that is exported, for reading; "": the volume itself
	Force    bool   // take the volume from the node that holds it
}

// UnexportOptions says how an export is to end.
type UnexportOptions struct {
	Snapshot string
	Force    bool // clients that are connected are cut off
}

// Copy is one member of a volume, or one to come.
type Copy struct {
	Replica block.ReplicaID
	Node    string // name
	NodeID  block.NodeID
	Disk    block.DiskID
	State   State // Out for one to come
	Leaving bool  // it goes when all that are wanted are in sync
	Fill    *Fill // how far it is, if it is being filled and that is known here
}

// Fill is how far a copy is that is being filled. Total has what is done, and what is
// left as far as the source has listed it; the rest is an estimate. Writes that go on
// meanwhile add to it.
type Fill struct {
	Replica     block.ReplicaID
	Done, Total int64         // bytes of the chunks that were and are to be copied; Total is 0 until the first are listed
	Rate        int64         // bytes a second of late
	Left        time.Duration // how long it takes at that rate; 0: not known
}

// NodeReport is what is known of a node.
type NodeReport struct {
	Node
	Alive  bool
	Silent time.Duration // how long one that is not alive was not heard from; 0: unknown
	Spec   NodeSpec      // what people asked of it
	Self   bool          // it is the node that reports
	Votes  bool          // it is a voter of the metadata store
}

// DiskReport is what is known of a disk.
type DiskReport struct {
	Disk
	NodeName string
	Path     string    // on its node; known to that node alone
	Work     *DiskWork // what it has done since the node started; likewise
	Scrub    *DiskScrub
	// PromiseMax is how many bytes it may promise to volumes.
	PromiseMax int64
}

// DiskScrub is what is known of the reading of all that is on a disk of this node.
type DiskScrub struct {
	ScrubRecord
	Next time.Time // when it is due; zero: when somebody asks for it
}

// DiskWork is what a disk has been asked to do, and how that went.
type DiskWork struct {
	Direct               bool // it is read and written past the page cache
	Reads, Writes, Syncs Operations
	Waiting              time.Duration // how long the disk has not answered anything of a kind that it was asked; 0: it answers
}

// Operations is how the operations of one kind went.
type Operations struct {
	Count  uint64
	Errors uint64
	Took   time.Duration // all of them together
}

// Mean is how long one took.
func (o Operations) Mean() time.Duration {
	if o.Count == 0 {
		return 0
	}
	return o.Took / time.Duration(o.Count)
}

// NewDisk is a disk that a node is to be given while it runs.
type NewDisk struct {
	Node string // name or identity; "" is the node that is asked
	Path string
	Size int64 // bytes of a file that is made; 0 for what exists
	Wipe bool  // whatever is on it is lost
}

// AttachOptions says how a volume is to be attached.
type AttachOptions struct {
	Force  bool   // take it from the node that holds it
	Device bool   // show it to the kernel as a block device
	Mount  string // where to mount its file system, making one first if it has none; implies Device
	Uses   *Uses  // who uses it there; nil: whoever asks, until told otherwise
}

// DetachOptions says how a volume is to be detached.
type DetachOptions struct {
	Force   bool // at once: what was not flushed may be lost
	Unmount bool // unmount it first; otherwise a mounted volume stays attached
}

// Damage is what a disk did not give as it had been written, and what became of it.
type Damage struct {
	Node     block.NodeID
	Disk     block.DiskID
	Source   block.NodeID // of the copy that was good
	First    block.Block  // one of the blocks
	Repaired int          // blocks that were written anew from another copy
}
