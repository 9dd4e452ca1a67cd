// Package store keeps the replicas of one disk: a journal shared by all of
// them, 64 KiB chunks at home, layered maps from volume to disk.
//
// It is a machine (see package step): methods change state and emit disk
// operations; EventDiskDone and EventTimer come back through Step; what callers
// wait for comes out of Results. Its only caller is the disk's shard, which
// hands results on to the replicas of core/replica.
package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
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
	UsedChunks   uint64
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
	Durable                  // Handle, Position.Seq: every record up to it is covered by a completed sync
	RecordDone               // Handle, Token: a Create, Delete, SetMeta, Reset or Truncate is durable
	ReadDone                 // Handle, Token, Status, Checksums, Payload
	TailRecord               // Handle, Token, Record, Payload: one record of FetchTail, in order
	TailDone                 // Handle, Token, Status
	ChangesDone              // Handle, Token, Changes, Cursor, Position.Seq = stable
	PullDone                 // Handle, Token, Status, Chunk content
	PushDone                 // Handle, Token, Status: the push is accepted
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
	Payload   block.Buffer
	Text      string
}

// ChunkContent describes what a chunk of a layer holds. Its data travels
// beside it as one buffer of a whole chunk, each present block at its place.
type ChunkContent struct {
	Chunk     block.Chunk
	LastSeq   block.Seq
	Present   uint16 // bit i: block i has data
	Zero      uint16 // bit i: block i was zeroed
	Checksums block.Checksums
}

// New returns a store that is not open.
func New(p Params) *Store { panic("core/store: New is under construction") }

// Store is one disk. See the package comment.
type Store struct{}

// Format writes an empty store over the disk. Result: Formatted or Failed.
func (s *Store) Format(now step.Time, g Geometry, out *step.Effects) {}

// Open recovers the store from a disk of capacity bytes. Result: Opened or Failed.
func (s *Store) Open(now step.Time, capacity int64, out *step.Effects) {}

// Close makes everything durable and marks the disk clean. Result: Closed.
// Nothing may be called after it.
func (s *Store) Close(now step.Time, out *step.Effects) {}

// Step takes an EventDiskDone or EventTimer whose tag carries the store's owner.
func (s *Store) Step(now step.Time, ev *step.Event, out *step.Effects) {}

// Results returns what was finished since the last call. The slice is valid
// until the next call of any method.
func (s *Store) Results() []Result { return nil }

// Disk returns the identity in the superblock; valid once open.
func (s *Store) Disk() block.DiskID { return block.DiskID{} }

// BlockSize returns the size of a block in bytes; valid once open.
func (s *Store) BlockSize() int { return 0 }

// Space returns the bytes for data in all and those not reserved by anything.
func (s *Store) Space() (capacity, free int64) { return 0, 0 }

// Pressure returns how full the journal is with what cannot leave it, 0 to 255.
func (s *Store) Pressure() uint8 { return 0 }

// Replicas appends what is on the disk to list, in handle order.
func (s *Store) Replicas(list []ReplicaInfo) []ReplicaInfo { return list }

// Info returns one replica's state.
func (s *Store) Info(h Handle) (ReplicaInfo, bool) { return ReplicaInfo{}, false }

// Create makes an empty replica; it takes part in the journal at once. Result:
// RecordDone.
func (s *Store) Create(now step.Time, replica block.ReplicaID, vol block.VolumeID, blocks uint64, meta Meta, token uint64, out *step.Effects) (Handle, message.Status) {
	return 0, message.OK
}

// Delete removes a replica and frees its space. Result: RecordDone.
func (s *Store) Delete(now step.Time, h Handle, token uint64, out *step.Effects) {}

// SetMeta replaces what h remembers. Result: RecordDone; everything appended to
// h before it is accepted and durable by then.
func (s *Store) SetMeta(now step.Time, h Handle, meta Meta, token uint64, out *step.Effects) {}

// Reset drops all content and records of h, as if it had just been created with
// meta: the start of a full resync. Result: RecordDone.
func (s *Store) Reset(now step.Time, h Handle, meta Meta, token uint64, out *step.Effects) {}

// Continue makes at the last accepted position of h: the next Append is
// at.Seq+1. Only for a target of a resync, whose records below at never arrive.
// Result: RecordDone.
func (s *Store) Continue(now step.Time, h Handle, at block.Position, meta Meta, token uint64, out *step.Effects) {
}

// Append adds the next record of h's stream: rec.Position.Seq must be one above
// the last appended. The data of an OpWrite is payload, whose reference is taken
// over if the answer is OK. Results: Accepted, and Durable after a later sync.
// NoSpace: nothing was changed.
func (s *Store) Append(now step.Time, h Handle, rec message.Record, payload block.Buffer, out *step.Effects) message.Status {
	return message.OK
}

// Sync makes everything appended to h so far durable. Result: Durable.
func (s *Store) Sync(now step.Time, h Handle, out *step.Effects) {}

// SetStable tells that every required member has h's records durable up to seq:
// they may take effect at home. It never goes back.
func (s *Store) SetStable(now step.Time, h Handle, seq block.Seq, out *step.Effects) {}

// Truncate drops the records of h above to that were written in an era below
// era. Result: RecordDone. BelowStable: nothing was changed, h needs a resync.
func (s *Store) Truncate(now step.Time, h Handle, era block.Epoch, to block.Seq, token uint64, out *step.Effects) message.Status {
	return message.OK
}

// Read reads the newest accepted content of r, which lies in one chunk. Result:
// ReadDone with one buffer of r.Count blocks; every block was verified.
func (s *Store) Read(now step.Time, h Handle, r block.Range, token uint64, out *step.Effects) {}

// FetchTail reads the records of h from first to last. Results: TailRecord for
// each, then TailDone: OK, or Gone if one is not in the journal any more.
func (s *Store) FetchTail(now step.Time, h Handle, first, last block.Seq, token uint64, out *step.Effects) {
}

// ListChanged lists the chunks of h with a change above since, from cursor (0 =
// start) on, at most a few thousand a call. Result: ChangesDone.
func (s *Store) ListChanged(now step.Time, h Handle, since block.Seq, cursor, token uint64, out *step.Effects) {
}

// Pull reads the newest stable content of a chunk. Result: PullDone.
func (s *Store) Pull(now step.Time, h Handle, c block.Chunk, token uint64, out *step.Effects) {}

// Push replaces the blocks in apply of a chunk by content that is stable at its
// source; blocks neither present nor zero are cleared. The payload's reference
// is taken over if the answer is OK. Result: PushDone.
func (s *Store) Push(now step.Time, h Handle, apply uint16, content ChunkContent, payload block.Buffer, token uint64, out *step.Effects) message.Status {
	return message.OK
}
