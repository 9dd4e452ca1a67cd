// Package step is what all machines of core share: the events that go in and
// the effects that come out of one Step.
//
//	           ┌──────────────┐
//	Event ───▶ │ machine.Step │ ───▶ Effects
//	           └──────────────┘
//
// A machine never blocks, reads no clock and does no I/O: it is handed the time
// and one event, changes its state, and appends what the world shall do to
// Effects. The body (core/host in production, sim in simulation) performs the
// effects after the step and brings each outcome back as a later event.
//
// Ordering: effects of one step are unordered. What must come after a disk
// operation is emitted in the step that hears of its completion. So every point
// where state is persisted is a point where a crash can happen in between.
package step

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
)

// Time is a point on a node's monotonic clock (CLOCK_BOOTTIME) in nanoseconds.
type Time int64

// Add returns t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns t-o.
func (t Time) Sub(o Time) time.Duration { return time.Duration(t - o) }

// Tag finds, when an effect completes, the machine and the slot of its table
// that wait for it. The event carries it back unchanged; a slot used anew has
// another generation, so a late completion is recognised.
type Tag struct {
	Owner      uint32 // which machine of the shard
	Slot       uint32
	Generation uint32
}

// Conn names a connection within its shard.
type Conn uint64

// ConnError says why a connection ended or was not made.
type ConnError uint8

// The reasons.
const (
	ConnClosed  ConnError = iota // the other side closed it in order
	ConnReset                    // it broke
	ConnRefused                  // the node answered that nobody listens
	ConnTimeout                  // the node did not answer
	ConnDenied                   // the node refused the Hello: other version or unknown replica
)

// DiskError is the outcome of a disk operation.
type DiskError uint8

// The outcomes.
const (
	DiskOK    DiskError = iota
	DiskEIO             // the device returned an error; for a Sync: nothing un-synced may be trusted
	DiskShort           // beyond the end of the device
)

// RequestKind is what a client of a volume asks.
type RequestKind uint8

// The kinds of request.
const (
	ReadRequest RequestKind = iota
	WriteRequest
	ZeroRequest
	FlushRequest
)

// Request is one operation of a volume's device. A write's Payload is one
// reference handed to the machine, and its range must lie in one chunk, as must
// a read's: the body cuts longer ones.
type Request struct {
	ID      uint64 // chosen by the body, returned in the Completion
	Kind    RequestKind
	FUA     bool
	Layer   block.LayerID // of a read: the snapshot that is read, 0: the volume
	Map     bool          // of a read: only which blocks may have data is asked for
	Range   block.Range
	Payload block.Buffer
	// Operation, unless 0, numbers what a device asked for, of which a write or
	// zero is one part. Its range stays locked beyond the success of its parts,
	// until EventDelivered: a device that was not told of it may ask again in
	// another life of the node, and then nobody must have seen it, and what came
	// after it.
	Operation uint64
	Whole     block.Range // of the operation, locked with its first part; empty: it has one part
}

// RequestError is the outcome of a request.
type RequestError uint8

// The outcomes.
const (
	RequestOK        RequestError = iota
	RequestNoSpace                // definitely not done: no required replica had room
	RequestIO                     // no copy of the data could be read
	RequestAmbiguous              // the coordinator was replaced meanwhile: done or not
	RequestRefused                // definitely not done: the volume is detached here, or has no such snapshot
)

// EventKind says which of Event's fields mean something.
type EventKind uint8

// The events.
const (
	EventInvalid     EventKind = iota
	EventStart                 // the shard was just made
	EventTimer                 // Tag
	EventDiskDone              // Tag, DiskError; a read's data is in the op's buffer
	EventConnected             // Conn: a Dial succeeded and its Hello was accepted
	EventAccepted              // Conn, Hello: a peer's connection
	EventMessage               // Conn, Message
	EventClosed                // Conn, ConnError: also the outcome of a Dial that failed
	EventTransaction           // Tag, Result
	EventWatch                 // Update
	EventRequest               // Request
	EventDelivered             // Request.Operation: whoever asked for it knows that it succeeded
	EventControl               // Control: from another shard of the same node
	EventCommand               // Command: from a user, to the orchestrator
)

// Event is one thing that happened. It is passed by pointer and must not be
// kept; Message.Payload and Request.Payload are references handed over.
type Event struct {
	Kind      EventKind
	ConnError ConnError
	DiskError DiskError
	Taint     uint32 // of a write or sync that failed: the body has noted the failure under this number, until the next boot
	Tag       Tag
	Conn      Conn
	Hello     message.Hello
	Message   message.Message
	Result    metadata.Result
	Update    *metadata.Update
	Request   Request
	Control   Control
	Command   *volume.Command
}

// DiskKind is what a disk operation does.
type DiskKind uint8

// The disk operations. Nothing but pread, pwrite and fdatasync is asked for.
const (
	DiskRead DiskKind = iota
	DiskWrite
	DiskSync // covers exactly the writes that completed before it was submitted
)

// DiskOp is one operation on the shard's disk. Offset and the length of every
// piece are multiples of 4096 bytes, or, on a disk formatted with smaller blocks,
// of a block's size; the pieces are written from, or read into, in order. The machine that issued it keeps pieces and their slice alive and
// unchanged until the completion.
type DiskOp struct {
	Kind   DiskKind
	Tag    Tag
	Offset int64
	Pieces []block.Buffer
}

// End returns the offset behind the operation.
func (op *DiskOp) End() int64 {
	end := op.Offset
	for _, b := range op.Pieces {
		end += int64(b.Len())
	}
	return end
}

// Dial asks for a connection to Replica's shard on a node.
type Dial struct {
	Conn  Conn // chosen by the machine
	Node  block.NodeID
	Hello message.Hello
}

// Send hands one message to a connection; its Payload is one reference given
// to the transport.
type Send struct {
	Conn    Conn
	Message message.Message
}

// Timer asks for an EventTimer at At. Timers are never cancelled: a machine
// recognises one that is out of date by its tag.
type Timer struct {
	At  Time
	Tag Tag
}

// Transaction asks for a metadata transaction.
type Transaction struct {
	Tag Tag
	Txn metadata.Txn
}

// Completion answers a Request. A read's Payload is one reference handed over.
type Completion struct {
	ID      uint64
	Error   RequestError
	Present uint16 // of a read that asked for a map: bit i: block i of the chunk may have data
	Payload block.Buffer
}

// Effects is what one or more steps ask the world to do. The body keeps one per
// shard and resets it after performing it: no allocation in steady state.
type Effects struct {
	Dials        []Dial
	Sends        []Send
	Closes       []Conn
	Disk         []DiskOp
	Timers       []Timer
	Transactions []Transaction
	Completions  []Completion
	Controls     []Control
	Answers      []volume.Answer
	Events       []volume.Event // in order; the body gives them number and time
	Marks        Marks
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() {
	clear(e.Sends)
	clear(e.Disk)
	clear(e.Completions)
	clear(e.Transactions)
	clear(e.Controls)
	clear(e.Answers)
	clear(e.Events)
	e.Dials, e.Sends, e.Closes = e.Dials[:0], e.Sends[:0], e.Closes[:0]
	e.Disk, e.Timers, e.Transactions = e.Disk[:0], e.Timers[:0], e.Transactions[:0]
	e.Completions, e.Controls, e.Answers = e.Completions[:0], e.Controls[:0], e.Answers[:0]
	e.Events = e.Events[:0]
}

// Send appends a message to a connection.
func (e *Effects) Send(c Conn, m message.Message) {
	e.Sends = append(e.Sends, Send{Conn: c, Message: m})
}

// After appends a timer for tag.
func (e *Effects) After(now Time, d time.Duration, tag Tag) {
	e.Timers = append(e.Timers, Timer{At: now.Add(d), Tag: tag})
}

// Complete appends the answer to a request.
func (e *Effects) Complete(id uint64, err RequestError, payload block.Buffer) {
	e.Completions = append(e.Completions, Completion{ID: id, Error: err, Payload: payload})
}
