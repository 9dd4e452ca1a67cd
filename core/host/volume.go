package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// What an operation on a volume ends with, besides nil.
var (
	// ErrNoSpace: no replica had room; nothing was written.
	ErrNoSpace = errors.New("no space left on the disks of the volume")
	// ErrGone: the volume is not served here any more. A write may have been
	// done or not.
	ErrGone = errors.New("volume is not attached here any more")
	// ErrDamaged: no copy of the data could be read.
	ErrDamaged = errors.New("no good copy of the data could be read")
	// ErrRange: the operation does not lie in the volume or is not aligned.
	ErrRange = errors.New("operation outside the volume or not aligned to its blocks")
)

// Operation is one read, write, zero or flush of a volume, of any length. Its
// maker owns it and may use it again after Done.
type Operation struct {
	Kind   step.RequestKind
	FUA    bool
	Layer  block.LayerID // of a read: the snapshot that is read, 0: the volume
	Offset int64         // bytes, a multiple of the block size
	Length int64         // bytes, a multiple of the block size
	// Buffer has Length bytes of a read, to fill, or of a write. The maker
	// holds its reference until Done.
	Buffer block.Buffer
	// Map is not nil of a read that asks only where there may be data: it gets a mask
	// of blocks for each chunk that the operation touches, and there is no Buffer.
	Map []uint16
	// Done is called once, on any goroutine, and must not block.
	Done func(op *Operation, err error)
	// Delivers says that whoever asked knows the outcome when Done returns, and
	// that it asks again in another life of the node if that ends before: the
	// range of a write or zero stays locked until then.
	Delivers bool

	number uint64 // of a write or zero that delivers

	left   atomic.Int32 // parts not answered
	failed atomic.Uint32
	began  time.Duration // on the host's stopwatch
}

// part is what one request of a coordinator is of an operation.
type part struct {
	op    *Operation
	from  int // where its bytes are in the operation's buffer
	next  int32
	inUse bool
}

// Volume is one volume that this node serves, from its attachment to its end.
type Volume struct {
	host    *Host
	id      block.VolumeID
	name    string
	first   atomic.Uint64 // blocks that it was created with
	blocks  atomic.Uint64 // that it has by now
	numbers atomic.Uint64 // of operations that deliver
	number  uint64        // of its attachment
	shard   *shard
	traffic Traffic

	mu      sync.Mutex // guards what follows
	parts   []part
	free    int32 // first free part, -1 none
	zeroing zeroing

	state   Serving
	changed chan struct{} // closed and replaced when state changes
}

// Serving is what is known of a volume's coordinator.
type Serving struct {
	Serving  bool
	Lossless bool        // see step.Control
	Era      block.Epoch // of the session that serves
	Ended    bool
	Clean    bool   // it ended by an orderly detach
	Text     string // why requests wait, or why it ended
	Wanted   int    // how often another node asked for it while it lingered
	Blocks   uint64 // that it has, once it is served
	Freeze   bool   // a snapshot is being taken that asks for a frozen file system
}

// ID returns the volume's identity.
func (v *Volume) ID() block.VolumeID { return v.id }

// Attachment returns the number of the attachment for which it is served.
func (v *Volume) Attachment() uint64 { return v.number }

// Size returns the volume's size in bytes, as it is now: it may rise.
func (v *Volume) Size() int64 { return int64(v.blocks.Load()) * int64(v.host.params.BlockSize) }

// Grown reports whether the volume is larger than it was created.
func (v *Volume) Grown() bool { return v.blocks.Load() > v.first.Load() }

// Submit starts op. Done is called with its outcome, perhaps before Submit
// returns.
func (v *Volume) Submit(op *Operation) {
	if op.Kind == step.FlushRequest {
		op.Offset, op.Length = 0, 0
	}
	if err := v.check(op); err != nil {
		op.Done(op, err)
		return
	}
	op.began = v.host.stopwatch()
	if op.Map == nil {
		v.traffic.begun.Add(1)
	}
	n := v.countParts(op)
	op.left.Store(int32(n))
	op.failed.Store(0)
	op.number = 0
	if op.Delivers && (op.Kind == step.WriteRequest || op.Kind == step.ZeroRequest) {
		op.number = v.numbers.Add(1)
	}
	switch {
	case n == 0:
		op.left.Store(1)
		v.settle(op, step.RequestOK)
		return
	case op.Kind == step.ZeroRequest:
		v.queueZero(op)
		return
	}
	cut := cutter{v: v, op: op, at: op.Offset / int64(v.host.params.BlockSize)}
	v.shard.deliverAll(n, cut.next)
}

func (v *Volume) check(op *Operation) error {
	size := int64(v.host.params.BlockSize)
	aligned := op.Offset%size == 0 && op.Length%size == 0
	if !aligned || op.Offset < 0 || op.Length < 0 || op.Offset > v.Size()-op.Length {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, op.Length, op.Offset, v.Size())
	}
	hasData := (op.Kind == step.ReadRequest || op.Kind == step.WriteRequest) && op.Map == nil
	if hasData && int64(op.Buffer.Len()) != op.Length {
		return fmt.Errorf("%w: a buffer of %d bytes for %d", ErrRange, op.Buffer.Len(), op.Length)
	}
	if chunks := v.chunk(op, int(max(op.Length, 1))-1) + 1; op.Map != nil && len(op.Map) != chunks {
		return fmt.Errorf("%w: %d masks for %d chunks", ErrRange, len(op.Map), chunks)
	}
	return nil
}

// chunk returns which of the chunks that the operation touches has its byte from.
func (v *Volume) chunk(op *Operation, from int) int {
	chunk := int64(v.host.params.BlockSize) * block.PerChunk
	return int((op.Offset+int64(from))/chunk - op.Offset/chunk)
}

// span returns how many blocks the part at block index at has: up to the end of
// its chunk, or of the operation.
func (op *Operation) span(at, end int64) int64 {
	return min(end-at, block.PerChunk-at%block.PerChunk)
}

func (v *Volume) countParts(op *Operation) (n int) {
	size := int64(v.host.params.BlockSize)
	switch op.Kind {
	case step.FlushRequest:
		return 1
	case step.ZeroRequest:
		return zeroParts(op.Length / size)
	case step.ReadRequest, step.WriteRequest:
	}
	end := (op.Offset + op.Length) / size
	for at := op.Offset / size; at < end; n++ {
		at += op.span(at, end)
	}
	return n
}

// cutter makes the requests of an operation, one after the other.
type cutter struct {
	v  *Volume
	op *Operation
	at int64 // block
}

func (c *cutter) next(_ int, ev *step.Event) {
	size := int64(c.v.host.params.BlockSize)
	span := c.op.span(c.at, (c.op.Offset+c.op.Length)/size)
	from := int(c.at*size - c.op.Offset)
	ev.Kind = step.EventRequest
	ev.Request = step.Request{
		ID:    c.v.addPart(c.op, from),
		Kind:  c.op.Kind,
		FUA:   c.op.FUA,
		Layer: c.op.Layer,
		Map:   c.op.Map != nil,
		Range: block.Range{First: block.Block(c.at), Count: uint32(span)},
	}
	c.op.mark(&ev.Request, size)
	if c.op.Kind == step.FlushRequest {
		ev.Request.Range = block.Range{}
	}
	if c.op.Kind == step.WriteRequest {
		ev.Request.Payload = c.op.Buffer.Slice(from, from+int(span*size)).Retain()
	}
	c.at += span
}

// mark says of which operation a request is a part, as far as it is to be known when
// that is delivered.
func (op *Operation) mark(r *step.Request, blockSize int64) {
	whole := block.Range{First: block.Block(op.Offset / blockSize), Count: uint32(op.Length / blockSize)}
	if r.Operation = op.number; r.Operation != 0 && whole != r.Range {
		r.Whole = whole
	}
}

func (v *Volume) addPart(op *Operation, from int) uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := v.free
	if i < 0 {
		i = int32(len(v.parts))
		v.parts = append(v.parts, part{})
	} else {
		v.free = v.parts[i].next
	}
	v.parts[i] = part{op: op, from: from, inUse: true}
	return uint64(i)
}

func (v *Volume) takePart(id uint64) part {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.parts[id]
	v.parts[id] = part{next: v.free}
	v.free = int32(id)
	return p
}

// complete answers parts, and the operations whose last part that was.
func (v *Volume) complete(list []step.Completion) {
	for i := range list {
		c := &list[i]
		p := v.takePart(c.ID)
		switch {
		case c.Error != step.RequestOK:
		case p.op.Map != nil:
			p.op.Map[v.chunk(p.op, p.from)] = c.Present
		case !c.Payload.Empty():
			copy(p.op.Buffer.Bytes()[p.from:], c.Payload.Bytes())
		}
		c.Payload.Release()
		zero := p.op.Kind == step.ZeroRequest
		v.settle(p.op, c.Error)
		if zero {
			v.zeroed()
		}
	}
}

func (v *Volume) settle(op *Operation, outcome step.RequestError) {
	if outcome != step.RequestOK {
		op.failed.Store(uint32(outcome))
	}
	v.settled(op, 1)
}

// settled ends op if these were its last parts.
func (v *Volume) settled(op *Operation, parts int) {
	if op.left.Add(-int32(parts)) == 0 {
		outcome := step.RequestError(op.failed.Load())
		if op.Map == nil {
			v.traffic.ended(op, v.host.stopwatch()-op.began, outcome)
		}
		number := op.number // it is its maker's again when it is done
		op.Done(op, errorOf(outcome))
		if number != 0 {
			v.shard.deliver(&step.Event{Kind: step.EventDelivered, Request: step.Request{Operation: number}}, nil)
		}
	}
}

func errorOf(outcome step.RequestError) error {
	switch outcome {
	case step.RequestOK:
		return nil
	case step.RequestNoSpace:
		return ErrNoSpace
	case step.RequestIO:
		return ErrDamaged
	case step.RequestAmbiguous, step.RequestRefused:
		return ErrGone
	}
	return ErrGone
}

// Do runs one operation to its end: for callers that have one at a time.
func (v *Volume) Do(op *Operation) error {
	done := make(chan error, 1)
	op.Done = func(_ *Operation, err error) { done <- err }
	v.Submit(op)
	return <-done
}

// set changes what is known of the coordinator and wakes who waits for it.
func (v *Volume) set(change func(*Serving)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.state)
	close(v.changed)
	v.changed = make(chan struct{})
}

// fail ends the volume on this node without the coordinator's word.
// What is under way is answered as ambiguous.
func (v *Volume) fail(text string) {
	v.mu.Lock()
	var ids []step.Completion
	for i := range v.parts {
		if v.parts[i].inUse {
			ids = append(ids, step.Completion{ID: uint64(i), Error: step.RequestAmbiguous})
		}
	}
	v.mu.Unlock()
	v.complete(ids)
	v.host.onControl(&step.Control{Kind: step.VolumeFenced, Volume: v.id, Text: text})
}

// Use tells the cluster who uses the volume here. It does not wait: that is
// recorded when the metadata store can be reached. The caller keeps the order.
func (v *Volume) Use(uses volume.Uses) {
	uses.Users = slices.Clone(uses.Users)
	v.host.tell(v.host.orchestrator, &step.Control{Kind: step.VolumeUsed, Volume: v.id, Uses: &uses})
}

// Frozen tells the cluster that the file system is frozen, or cannot be.
func (v *Volume) Frozen() {
	v.host.tell(v.host.orchestrator, &step.Control{Kind: step.VolumeFrozen, Volume: v.id})
}

// State returns what is known of the coordinator now, and a channel that is
// closed when that changes.
func (v *Volume) State() (state Serving, changed <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state, v.changed
}

// AwaitServing returns once requests are answered. When ctx ends first, the
// error says what the coordinator waits for.
func (v *Volume) AwaitServing(ctx context.Context) error {
	for {
		state, changed := v.State()
		switch {
		case state.Ended:
			return fmt.Errorf("volume %q: %w: %s", v.name, ErrGone, state.Text)
		case state.Serving:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			why := state.Text
			if why == "" {
				why = "its replicas have not answered yet"
			}
			return fmt.Errorf("volume %q is not served yet: %s: %w", v.name, why, ctx.Err())
		}
	}
}
