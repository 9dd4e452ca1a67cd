package step

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// ControlKind says what one shard of a node tells another.
type ControlKind uint8

// The controls, by who sends them.
const (
	ControlInvalid ControlKind = iota

	// From a disk's shard to the orchestrator.
	DiskReady    // Disk, Capacity, Free: recovery is over, its replicas can be reached
	DiskUnusable // Disk, Text: the disk was not opened, or stopped serving
	ReplicaMade  // Disk, Volume, Replica: the disk holds it: just made, made before, or found when the disk was opened
	ReplicaFreed // Disk, Volume, Replica: the disk does not hold it; also the answer when it never did
	DiskSpace    // Disk, Capacity, Free: now and then
	DiskScrubbed // Disk, Scrub: how far its scrub is, to the body: now and then, and when it is over

	// From the orchestrator to a disk's shard.
	MakeReplica   // Replica, Volume, Config: create it if it does not exist
	FreeReplica   // Replica: no configuration lists it any more
	ScrubDisk     // Disk, Scrub: begin or go on from At at Rate, or pause; from the body
	ConfigChanged // Config: to the shards of the members' disks and to the coordinator

	// From the orchestrator to the body.
	StartCoordinator // Volume, Config, Revision, Attached, Number, Era: this node is to serve the volume; Era: that of the session that served the device which outlived it, 0: there is none
	StopCoordinator  // Volume, Force: detach in order, or give up at once
	SnapshotsChanged // Volume, Snapshots, Revision: to the coordinator: the newest list
	CompareVolume    // Volume, Force: from the body to the coordinator: compare the copies, or with Force end that
	SizeChanged      // Volume, Blocks: to the coordinator: what the specification asks for
	PlacementChanged // Volume, Placement, Revision: to the coordinator: the newest one
	NodeEnded        // this node was removed from the cluster and must stop

	// From a coordinator to the body and the orchestrator.
	VolumeServing  // Volume, Era, Lossless, Blocks: requests are answered, from now on or again
	VolumeWaiting  // Volume, Text: requests wait; why, and for whom
	VolumeFenced   // Volume, Text: another session took over; the device must be torn down
	VolumeDetached // Volume: everything is durable and the configuration says so
	VolumeGrown    // Volume, Blocks: it has so many from now on
	VolumeCompared // Volume, Comparison, Force: to the body: how far its copies were compared; with Force it is over, and the orchestrator hears of it
	VolumeDamaged  // Volume, Damage, Lost: blocks were not what had been written

	// Between the body and the orchestrator.
	VolumeUsed   // Volume, Uses: who uses it here from now on
	VolumeWanted // Volume: another node asks for it and nobody uses it here: let it go
	DiskAiling   // Disk, Text: what its operations say of it; no text: nothing any more
	FreezeVolume // Volume: a snapshot is about to be taken: freeze its file system, and say VolumeFrozen
	VolumeFrozen // Volume: that was done, or cannot be
	ThawVolume   // Volume: no snapshot is being taken any more
)

// Control is one message between two shards of a node.
type Control struct {
	Kind       ControlKind
	Disk       block.DiskID // the shard it goes to, or comes from
	Volume     block.VolumeID
	Replica    block.ReplicaID
	Session    block.Session
	Config     *volume.Config
	Snapshots  *volume.Snapshots
	Placement  *volume.Placement
	Comparison *volume.Comparison // not changed any more
	Revision   int64              // of Config, Snapshots or Placement in the metadata store
	Attached   int64              // revision of the volume's attachment record that asks for this
	Number     uint64             // of that attachment
	Era        block.Epoch        // of a session
	Capacity   int64              // bytes
	Free       int64              // bytes
	Force      bool
	Lossless   bool // nothing acknowledged was lost in the takeover, nor since Era of StartCoordinator
	Text       string
	Damage     []volume.Damage // what was repaired since the last report
	Lost       int             // blocks that have no good copy
	Blocks     uint64          // size of a volume
	Scrub      *volume.Scrub   // not changed any more
	Uses       *volume.Uses    // not changed any more
}
