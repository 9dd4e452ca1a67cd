// Package message holds what nodes say to each other about a volume, as values.
//
// A connection joins one coordinator session and one replica; Hello opens it
// and binds volume, replica, session and connection number, so that no frame
// repeats them. A second connection of the same session carries resync bulk.
// Frames of one connection arrive in order; nothing is promised across two.
//
//	coordinator                          replica
//	    │ PREPARE(era) ──────────────────▶ │ promise made durable
//	    │ ◀──────────── PROMISE | FENCED   │
//	    │ APPEND(seq, committed, stable) ▶ │ journal write
//	    │ ◀──── ACK(accepted, durable)     │ cumulative
//	    │ SYNC(seq) ─────────────────────▶ │ fdatasync
//	    │ READ, MAP, GRANT, FETCHTAIL, TRUNCATE, LISTCHANGED, PULL, PUSH … each answered
//
// One message carries at most one chunk of data (block.PerChunk blocks): an
// operation on more is cut at chunk boundaries by the coordinator.
package message

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
)

// Version is the version of these messages; a Hello with another is refused.
const Version = 1

// Kind says what a message is. Values are part of the wire format.
type Kind uint8

// Requests go from coordinator to replica, answers back.
const (
	KindInvalid Kind = iota

	Prepare     // Era
	Append      // Era, Committed, Stable, Record, Payload
	Sync        // Era, Seq, Stable: make durable up to Seq
	Read        // Era, Request, Layer, Range (one chunk), Seq = lowest accepted that may answer
	Grant       // Era, Request, Duration, Committed, Stable: also the heartbeat
	FetchTail   // Era, Request, Seq: records after Seq, up to Until
	Truncate    // Era, Request, Position: drop records after Position.Seq written before Era
	ListChanged // Era, Request, Layer, Cursor, Since, Seq: chunks changed after Since, S.stable >= Seq
	Pull        // Era, Request, Layer, Chunk, Seq: the chunk's newest stable content in that layer
	Push        // Era, Request, Resync, Layer, Chunk, LastSeq, Present, Zero, Checksums, Payload, Credit
	ResyncBegin // Era, Request, Resync, Position, Record: a replica becomes the target of a resync; it has all up to Position, or is emptied, with the Blocks of an OpResize
	ResyncLive  // Era, Request, Resync, Position: the stream follows from Position.Seq+1 on
	ResyncEnd   // Era, Request, Resync: close the resync durably; later pushes are discarded; to the source: it is over
	ListLayers  // Era, Request, Resync, Seq: the layers of the source, S.stable >= Seq; none is merged before ResyncEnd
	Checksum    // Era, Request, Layer, Range (one chunk), Seq = lowest accepted that may answer: checksums of what is read there
	Repair      // Era, Request, Layer, Range (one block), Checksums, Payload: what a snapshot has lost of it is this

	Promise    // answers Prepare: PromiseInfo
	Ack        // Accepted, Durable, Credit, Pressure: cumulative
	Data       // answers Read, Checksum and Map: Request, Range, Checksums, of a Read Payload, of a Map Present, or Status, Present and Zero: what is damaged
	Granted    // answers Grant: Request, Accepted, Durable
	Tail       // one record of FetchTail's answer: Request, Record, Payload
	Done       // ends FetchTail, answers Truncate, Push, Shape, Repair, Resync*: Request, Status; of a ResyncBegin Layers, that the target has
	Changed    // answers ListChanged: Request, Layer, Changes, Cursor (0 = end), Stable
	Pulled     // answers Pull: Request, Layer, Chunk, LastSeq, Present, Zero, Checksums, Payload
	Fenced     // Era = promised: the sender has been replaced
	Unprepared // no PREPARE was answered on this connection
	Rotten     // unasked: Layer, Chunk, Present and Zero: blocks that a scrub found lost

	Shape  // a request: Era, Request, Resync, Record: an OpSnap, OpDelSnap or OpResize that a target does outside its stream
	Layers // answers ListLayers: Request, Layers, or Status

	ResyncPass // a request: Era, Request, Resync, Position: a pass has brought the target all up to Position

	Map // a request: Era, Request, Layer, Range (one chunk), Seq = lowest accepted that may answer: which of its blocks may have data

	KindCount // how many kinds there are, not a kind
)

// Status is the outcome a replica reports for a request.
type Status uint8

// The statuses. Values are part of the wire format.
const (
	OK          Status = iota
	NoSpace            // the disk has no room: nothing was accepted
	Corrupt            // the data does not match its checksum
	BehindSeq          // accepted or stable is below the asked Seq
	Gone               // records asked for are not in the journal any more
	NoReplica          // this disk does not hold the replica
	WrongState         // the replica is not in the state this request needs
	DiskFailed         // the disk returned an error
	BelowStable        // TRUNCATE below what may be in place already
	StatusCount
)

// Op is what a record does to the volume. Values are part of the disk format.
type Op uint8

// The operations of a volume's stream.
const (
	OpInvalid Op = iota
	OpWrite      // Range within one chunk, with data
	OpZero       // any Range, no data
	OpNop        // takes a seq, changes nothing
	OpSnap       // closes the head as Layer; a new one stands on it, or on Parent
	OpDelSnap    // the snapshot Layer is gone
	OpResize     // the volume has Blocks from here on, no fewer than before
	OpCount
)

// Record is one operation of a volume's ordered stream, without its data.
type Record struct {
	Position  block.Position
	Op        Op
	FUA       bool // the client waits for durability
	Range     block.Range
	Layer     block.LayerID   // of an OpSnap or OpDelSnap
	Parent    block.LayerID   // of an OpSnap: an older snapshot that the volume goes back to, or 0
	Blocks    uint64          // of an OpResize
	Checksums block.Checksums // of an OpWrite, one a block
}

// Change is one entry of a ListChanged answer.
type Change struct {
	Chunk   block.Chunk
	LastSeq block.Seq
}

// Bottom stands for what the lowest layer of a replica stands on, where a record of a
// Shape names a parent.
const Bottom = ^block.LayerID(0)

// LayerInfo is one layer of a replica, of a Layers answer.
type LayerInfo struct {
	ID      block.LayerID // 0: the head
	Parent  block.LayerID // the one that it stands on, 0: none
	Closed  block.Position
	Deleted bool   // its snapshot is gone: it is there for what stands on it
	Blocks  uint64 // its size
}

// PromiseInfo is what a replica tells a new coordinator about itself.
type PromiseInfo struct {
	Incarnation    block.Incarnation
	BootID         block.BootID
	Tainted        bool // it may have lost accepted records since Incarnation was recorded
	Complete       bool // its content is whole up to LastAccepted: not a resync cut short
	LastAccepted   block.Position
	Durable        block.Seq
	Stable         block.Seq
	SyncTarget     block.Position // what it has if it is not Complete: all up to there, and parts of what follows; zero: nothing
	KnownEpoch     block.Epoch    // newest configuration it knows
	Blocks         uint64         // its size as of LastAccepted
	GrantRemaining time.Duration  // how long an old coordinator may still answer reads
}

// Message is one message; which fields mean something depends on Kind (see the
// constants). It is passed by value; Payload is one reference that moves with it.
type Message struct {
	Kind      Kind
	Status    Status
	Era       block.Epoch
	Request   uint64 // chosen by the asking side, echoed in the answer
	Seq       block.Seq
	Until     block.Seq
	Committed block.Seq
	Stable    block.Seq
	Accepted  block.Seq
	Durable   block.Seq
	Credit    uint32 // chunks the replica still has room for; of Pulled and of a Push's Done: how many may be under way
	Pressure  uint8  // how full its journal is, 0 to 255
	Duration  time.Duration
	Position  block.Position
	Range     block.Range
	Record    Record
	Chunk     block.Chunk
	LastSeq   block.Seq
	Since     block.Seq
	Resync    uint64
	Cursor    uint64
	Layer     block.LayerID // a snapshot; 0: the head
	Present   uint16        // bit i: block i of the chunk has data, in Payload at its place
	Zero      uint16        // bit i: block i of the chunk reads as zeroes by a ZERO; if Present says so too: its data is lost
	Checksums block.Checksums
	Promise   *PromiseInfo
	Changes   []Change
	Layers    []LayerInfo
	Payload   block.Buffer
}

// Bad returns the blocks of the chunk whose data is lost, as the sender knows it.
func (m *Message) Bad() uint16 { return m.Present & m.Zero }

// Purpose says what a connection is for.
type Purpose uint8

// The purposes of a connection.
const (
	Stream Purpose = iota // the volume's operations
	Bulk                  // PULL and PUSH of a resync
)

// Hello is the first frame of a connection, from its dialler.
type Hello struct {
	Version uint16
	Node    block.NodeID // the dialling node
	Volume  block.VolumeID
	Disk    block.DiskID // where the dialler expects the replica
	Replica block.ReplicaID
	Session block.Session
	Number  uint64 // rises with every connection of a session: frames of a lower one are discarded
	Purpose Purpose
}
