package volume

import (
	"cmp"
	"maps"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

// Spec is what a user asked for. The system never edits it.
type Spec struct {
	Format       int               `json:"format"`
	Volume       block.VolumeID    `json:"volume"`
	Name         string            `json:"name"`
	Size         int64             `json:"size"` // bytes, a multiple of 64 KiB
	Replicas     int               `json:"replicas"`
	MinWritable  int               `json:"minWritable,omitempty"` // copies in sync that a write needs; 0 is 1
	Filesystem   string            `json:"fs"`                    // "ext4", "xfs" or "none"
	Nodes        []string          `json:"nodes,omitempty"`
	Zones        []string          `json:"zones,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	MountOptions string            `json:"mountOptions,omitempty"`
	Preempt      bool              `json:"preempt,omitempty"` // a container engine takes it from the node that has it
	Parent       string            `json:"parent,omitempty"`  // the volume, or VOLUME@SNAPSHOT, that it was cloned from
	Schedule     string            `json:"snapshotSchedule,omitempty"`
	Scheduled    string            `json:"scheduled,omitempty"` // RFC 3339: since when Schedule holds, given by the body
	Formatted    bool              `json:"formatted"`           // a file system was made: never make one again
	Created      string            `json:"created"`             // RFC 3339, given by the body
}

// Attachment names the node that is to serve a volume. Who uses it there is what
// that node said last; its own catalogue is the authority.
type Attachment struct {
	Format int          `json:"format"`
	Node   block.NodeID `json:"node"`
	Number uint64       `json:"number"` // rises with every attachment of the volume
	Users  []User       `json:"users,omitempty"`
	// Lingering says that nobody uses the volume and the node gives it up when
	// another one asks for it.
	Lingering bool `json:"lingering,omitempty"`
	// Upkeep says that nobody attached the volume: its node does work on its
	// snapshots, and gives it up as one that lingers.
	Upkeep bool `json:"upkeep,omitempty"`
	// Wanted names the node that asks for a volume that lingers.
	Wanted *block.NodeID `json:"wanted,omitempty"`
}

// Uses is who uses an attached volume on its node, as that node knows it.
type Uses struct {
	Users     []User
	Lingering bool // nobody does, and it is given up on request
}

// UsersMax is how many users an attachment names: it is one small record,
// however many containers share a volume.
const UsersMax = 64

// User is one use of an attached volume, mostly by a container.
type User struct {
	Mount     string `json:"mount"`               // identity that the container engine gave to the mount; else where it is mounted
	Container string `json:"container,omitempty"` // name of the container, where the engine tells it
	Since     string `json:"since"`               // RFC 3339
}

// String returns what people call the user.
func (u *User) String() string {
	switch {
	case u.Container != "":
		return "container " + u.Container
	case strings.HasPrefix(u.Mount, "/"):
		return "mounted at " + u.Mount
	}
	return "unknown container, mount " + u.Mount
}

// Node is what a node says of itself.
type Node struct {
	Format  int               `json:"format"`
	ID      block.NodeID      `json:"id"`
	Name    string            `json:"name"`
	Address string            `json:"address"` // host:port of its data port
	API     string            `json:"api"`     // host:port of its API
	Zone    string            `json:"zone,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	BootID  block.BootID      `json:"boot"`
	Version string            `json:"version"`
	// PromiseMax is how many percent of what its disks have they may promise to
	// volumes; 0: PromiseMaxDefault.
	PromiseMax int `json:"promiseMax,omitempty"`
}

// What disks may promise to volumes, in percent of what they have. Volumes are thin
// and mostly far from full, and copies on a disk that is full fall behind.
const (
	PromiseMaxDefault = 200
	PromiseMaxLeast   = 100
	PromiseMaxMost    = 1000 // and no product with what a disk has overflows
)

// MayPromise returns how many bytes a disk of the node may promise to volumes.
func (n *Node) MayPromise(d *Disk) int64 {
	return d.Capacity * int64(cmp.Or(n.PromiseMax, PromiseMaxDefault)) / 100
}

// Equal reports whether both say the same.
func (n *Node) Equal(o *Node) bool {
	return n.Format == o.Format && n.ID == o.ID && n.Name == o.Name && n.Address == o.Address && n.API == o.API &&
		n.Zone == o.Zone && maps.Equal(n.Labels, o.Labels) && n.BootID == o.BootID && n.Version == o.Version && n.PromiseMax == o.PromiseMax
}

// Disk is what a node says of one of its disks.
type Disk struct {
	Format   int          `json:"format"`
	ID       block.DiskID `json:"id"`
	Node     block.NodeID `json:"node"`
	Capacity int64        `json:"capacity"` // bytes for data
	Free     int64        `json:"free"`     // bytes, when the record was written
	Promised int64        `json:"promised"` // bytes of the volumes placed here; guarded by the record's revision
	Unusable string       `json:"unusable,omitempty"`
	// Ailing says why the disk is not to be trusted with new copies, though it
	// serves those that it has.
	Ailing string `json:"ailing,omitempty"`
	// Cordoned keeps new copies away, until it is taken back.
	Cordoned bool `json:"cordoned,omitempty"`
}

// Avoid says why no new copy is to be placed on the disk, or nothing.
func (d *Disk) Avoid() string {
	switch {
	case d.Unusable != "":
		return "cannot be used: " + d.Unusable
	case d.Cordoned:
		return "is cordoned"
	case d.Ailing != "":
		return "is not well: " + d.Ailing
	}
	return ""
}

// Removed says that a node was removed from the cluster. It is what the node is
// told when it starts again, and what allows others to take out of the records
// what the node would have to.
type Removed struct {
	Format int            `json:"format"`
	Node   block.NodeID   `json:"node"`
	Name   string         `json:"name"`
	Disks  []block.DiskID `json:"disks,omitempty"` // that it had
}

// CommandKind says what a user wants.
type CommandKind uint8

// The commands.
const (
	CreateVolume    CommandKind = iota // Spec; Snapshot: of Spec.Parent, where that names none; DryRun: only the placement and its reasons
	AttachVolume                       // Name, to this node; Force: take it from a node that holds it
	DetachVolume                       // Name, from this node; Force: without waiting for the device's writes
	DeleteVolume                       // Name; Snapshots: those of the volume too
	MarkFormatted                      // Name: Spec.Formatted is set
	FindVolume                         // Name: nothing is changed; refused when there is certainly none
	SetVolume                          // Name, Spec: what can be changed becomes what is set there
	CreateSnapshot                     // Name, Snapshot, Rule: answered when it is durable on all copies
	DeleteSnapshot                     // Name, Snapshot: answered when it is gone
	RestoreSnapshot                    // Name, Snapshot; As: what the state before it is kept as
	RemoveNode                         // Node, and Name for people: it is not heard from and never comes back; Force: it is, was asked to leave, and nothing is there
	CordonDisk                         // Disk, and Name for people; Force: the contrary
	AddReplica                         // Name; Node and Disk: where, if not wherever there is most room
	MoveReplica                        // Name; From, Node: the copy on one node is made anew on the other
	RemoveReplica                      // Name; Node: the copy there
	RecoverVolume                      // Name; Node: its copy is the volume from now on, for those that held more are lost
	KeepReplicas                       // Name: the change of its copies that is under way is broken off
	RemoveDisk                         // Disk, a cordoned one of this node, and Name for people: it has no copies
	ChangeNode                         // Node, and Name for people; Change: what is asked of it from now on
	BalanceDisks                       // Spread: copies are moved until disks differ by no more, in points; 0: no more are
)

// Command is one thing a user wants done, through the node that got it.
type Command struct {
	ID     uint64
	Kind   CommandKind
	Name   string
	Node   block.NodeID
	From   block.NodeID
	Disk   block.DiskID
	Spec   Spec
	Force  bool
	DryRun bool
	Change NodeChange
	Spread int

	Snapshot  string
	As        string
	Rule      string // name of the rule of the volume's schedule that asks
	Snapshots bool
	Freeze    bool   // the file system is frozen meanwhile, where it is mounted
	Time      string // RFC 3339, when the command was given
}

// Answer ends a Command. Err is nil, or one of the package's errors with what
// happened, to what, and what to do next. An attach is answered when the record
// is written; that the volume serves is said by the coordinator.
type Answer struct {
	ID      uint64
	Volume  block.VolumeID
	Reasons []string // of a placement: one line a node, chosen or not
	// Warnings are of a placement that was made all the same: a line each.
	Warnings []string
	Err      error
}
