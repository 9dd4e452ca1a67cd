// Package store keeps the replicas of one disk: a journal shared by all of
// them, 64 KiB chunks at home, layered maps from volume to disk.
//
// It is a machine (see package step): methods change state and emit disk
// operations; EventDiskDone and EventTimer come back through Step; what callers
// wait for comes out of Results. Its only caller is the disk's shard, which
// hands results on to the replicas of core/replica.
//
//	Append ─▶ queue ─▶ batch ─▶ accepted ─sync─▶ durable ─▶ sealed ─▶ home
//	                                │                          │
//	                                └─ index: reads ◀──────────┴─ or parked, if not stable
//
// What is accepted survives the process, what is durable survives power loss. A
// record changes home blocks, descriptors or the allocation only once it is
// stable (every required member has it durable) and sealed (a durable header
// says that its batch is durable). A checkpoint writes the changed metadata to
// fresh pages, names them in the superblock and only then moves the journal's
// tail; nothing live is overwritten but home blocks whose journal copy is live.
// So the state after any crash is a prefix of every replica's stream, at least
// up to what was durable.
//
// A replica's content is a stack of layers, of which the head takes its writes:
//
//	snapshot ◀── snapshot ◀── head        each a map from chunk to descriptor;
//	    ▲                                 what one has not is that of the one below
//	    └──── head of a clone
//
// SNAP closes the head and opens an empty one on it. A layer that is deleted is
// merged into the only one that stands on it, see merger; with several it waits.
// Records that shape layers take effect on disk when they are stable, like all
// others, and until then a truncation undoes them.
//
// Alignment: journal headers and metadata pages are 4 KiB, and so are their
// places. Data is written and read in whole blocks, whatever their size: with
// blocks below 4 KiB a disk must take offsets and lengths of a block's size.
//
// A store that Failed answers nothing any more, not even what it was asked
// before: the shard drops it and opens a new one over the same disk.
package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/volume"
)

// Handle names a replica while its store is open: its local volume id, never
// reused on a disk.
type Handle uint32

// Params is what a store is made from.
type Params struct {
	Pool   block.Pool
	Seed   uint64 // of every random choice (uuids of formatting)
	Owner  uint32 // goes into the tags of all effects
	Limits Limits
}

// Limits bounds the store's memory and batches. Zero fields take defaults.
type Limits struct {
	BatchRecords int // records of one journal batch, default 64
	BatchBytes   int // data bytes of one journal batch, default 256 KiB
	IndexEntries int // journal index entries that start a checkpoint, default 262,144
	CacheBytes   int // leaf and data cache, default 128 MiB
	RecentBytes  int // data of the journal kept in memory, grown on demand, default 0
}

// Geometry is how a disk is formatted.
type Geometry struct {
	Disk         block.DiskID
	Capacity     int64 // bytes used of the device, a multiple of 64 KiB
	BlockSize    int   // 4096; the simulator takes smaller powers of two from 64 on
	JournalBytes int64 // 0: 1 GiB, or a sixteenth of Capacity where that is less
}

// Meta is what a replica must remember besides its records. It changes as a
// whole, by one journal record.
type Meta struct {
	Promised    block.Epoch
	Session     block.Session
	KnownEpoch  block.Epoch // newest configuration it has seen
	MemberEpoch block.Epoch // newest configuration that listed it
	Complete    bool        // content is whole up to the last accepted record
	Resync      uint64      // the open resync, 0 = none
	SyncTarget  block.Position
	Overcome    uint32 // the failure of the disk that has cost this replica nothing after all; see step.Event.Taint
}

// ReplicaInfo is a replica as recovery found it, or as it is now.
type ReplicaInfo struct {
	Handle       Handle
	Replica      block.ReplicaID
	Volume       block.VolumeID
	Blocks       uint64
	Meta         Meta
	LastAccepted block.Position // of the last record whose journal write completed
	Durable      block.Seq
	Stable       block.Seq
	Damaged      bool // recovery met corruption and cut this replica's records
}

// ResultKind says which of Result's fields mean something.
type ResultKind uint8

// The results.
const (
	ResultInvalid ResultKind = iota
	Formatted                // the disk was formatted; it is not open
	Opened                   // recovery is over; Replicas lists what there is
	Failed                   // Status, Text: the store stopped (bad superblock, write or sync error); open it anew
	Closed                   // everything is durable and the superblock says so
	Accepted                 // Handle, Position: every record up to it has its journal write completed
	Refused                  // Handle, Position, Status: an append that was taken found no room after all; nothing from it on counts
	Durable                  // Handle, Position.Seq: every record up to it is covered by a completed sync
	RecordDone               // Handle, Token: a Create, Delete, SetMeta, Reset or Truncate is durable
	ReadDone                 // Handle, Token, Status, Checksums, Payload; Bad if it is not OK; of a Map Content.Present instead
	TailRecord               // Handle, Token, Record, Payload: one record of FetchTail, in order
	TailDone                 // Handle, Token, Status
	ChangesDone              // Handle, Token, Changes, Cursor, Position.Seq = stable
	PullDone                 // Handle, Token, Status, Chunk content
	PushDone                 // Handle, Token, Status: the push is accepted
	MeasureDone              // Token, Status, Cursor
	RepairDone               // Handle, Token, Status
	Rotten                   // Handle, Layer, Content.Chunk, Bad: what a scrub found lost, and the snapshot that shows it, 0: the head
	ScrubDone                // Token, Status, Scrub, Bytes
)

// Result is one thing the store's caller waits for. Payload is one reference
// handed over.
type Result struct {
	Kind      ResultKind
	Status    message.Status
	Handle    Handle
	Token     uint64
	Position  block.Position
	Record    message.Record
	Cursor    uint64 // 0: the end
	Changes   []message.Change
	Content   ChunkContent
	Checksums block.Checksums // of ReadDone, one a block of its range
	Bad       uint16          // bit i: block i of the chunk is damaged
	Layer     block.LayerID
	Scrub     volume.ScrubCursor
	Bytes     int64
	Payload   block.Buffer
	Text      string
}

// ChunkContent describes what a chunk of a layer holds. Its data travels
// beside it as one buffer of a whole chunk, each present block at its place.
type ChunkContent struct {
	Chunk     block.Chunk
	LastSeq   block.Seq
	Present   uint16 // bit i: block i has data
	Zero      uint16 // bit i: block i was zeroed; if Present says so too: it had data, which is lost
	Checksums block.Checksums
}

// Bad returns the blocks whose data is lost.
func (c *ChunkContent) Bad() uint16 { return c.Present & c.Zero }
