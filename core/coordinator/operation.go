package coordinator

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/step"
)

// zeroBlocksMax is how much one ZERO may cover: 64 MiB keeps a store's index
// entry and a live resync's bookkeeping small. The body cuts longer ones.
const zeroBlocksMax = 16384

type opState uint8

const (
	opFree      opState = iota
	opWaiting           // for overlapping operations, for room in the window, for the volume to serve
	opReading           // holds its range; a member is asked
	opStalled           // a read that holds its range and has nobody to ask, or no grants, now
	opWriting           // holds its range; in the window
	opMending           // a repair of a snapshot that holds its range; the member was sent what it lost
	opComparing         // holds its range; members are asked for checksums
	opFlushing          // a FUA write that holds its range, or a flush: waits for stable
	opAnswered          // a write or zero that holds its range until whoever asked knows that it succeeded
)

// op is one request of the device.
type op struct {
	step.Request
	state      opState
	generation uint32
	asked      *member   // of a read: who
	askedAt    step.Time // of a read: when
	tried      uint32    // of a read: bit i: members[i] was asked and has not given it
	bad        uint32    // of a read: bit i: members[i] answered that its copy is damaged

	compares bool    // its members are compared: a request of nobody
	pieces   pieces  // of a read that no member can answer as a whole
	suspect  *member // of a repair: whose copy is damaged; nil: a request of the device
	donor    *member // of a repair: whose copy is written
}

// opTable holds the requests: slots with generations, a list of those that hold
// a range, and a queue of those that wait.
type opTable struct {
	slots   []op
	free    []int32
	active  []int32 // hold their range
	waiting []int32 // in order of arrival
}

func (t *opTable) add(r *step.Request) int32 {
	if len(t.free) == 0 {
		t.free = append(t.free, int32(len(t.slots)))
		t.slots = append(t.slots, op{})
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	generation := t.slots[i].generation + 1
	t.slots[i] = op{Request: *r, state: opWaiting, generation: generation}
	return i
}

// token names the op in slot i for as long as it asks the same member.
func (t *opTable) token(i int32) uint64 {
	return uint64(t.slots[i].generation)<<32 | uint64(uint32(i))
}

func (t *opTable) find(token uint64) (int32, bool) {
	i := int32(uint32(token))
	if i < 0 || int(i) >= len(t.slots) || t.slots[i].state == opFree || t.slots[i].generation != uint32(token>>32) {
		return 0, false
	}
	return i, true
}

// release frees slot i, which holds a range or not.
func (t *opTable) release(i int32) {
	for k, a := range t.active {
		if a == i {
			last := len(t.active) - 1
			t.active[k] = t.active[last]
			t.active = t.active[:last]
			break
		}
	}
	t.slots[i].state = opFree
	t.slots[i].Payload = block.Buffer{}
	t.slots[i].pieces.drop()
	t.slots[i].asked, t.slots[i].suspect, t.slots[i].donor = nil, nil, nil
	t.free = append(t.free, i)
}

// blocked reports whether an operation that r must not pass is under way, or
// waits before position limit of the queue. Two reads may pass each other.
func (t *opTable) blocked(r *step.Request, limit int) bool {
	if !r.Whole.Empty() && t.holder(r.Operation) >= 0 {
		return false // its range is locked for it
	}
	for _, i := range t.active {
		if repairUnlocked && t.slots[i].suspect != nil {
			continue
		}
		if conflicts(&t.slots[i].Request, r) {
			return true
		}
	}
	for _, i := range t.waiting[:limit] {
		if conflicts(&t.slots[i].Request, r) {
			return true
		}
	}
	return false
}

// holder returns a request that holds the range of an operation of the device, or -1.
func (t *opTable) holder(operation uint64) int32 {
	for _, i := range t.active {
		if operation != 0 && t.slots[i].Operation == operation {
			return i
		}
	}
	return -1
}

// locked returns what r locks: more than its own range if it is a part of an
// operation, which is locked as a whole, so that no two wait for each other.
func locked(r *step.Request) block.Range {
	if r.Whole.Empty() {
		return r.Range
	}
	return r.Whole
}

func conflicts(a, b *step.Request) bool {
	if a.Kind == step.FlushRequest || b.Kind == step.FlushRequest {
		return false
	}
	if a.Kind == step.ReadRequest && b.Kind == step.ReadRequest || a.Layer != b.Layer {
		return false // nobody writes to a snapshot
	}
	if a.Operation != 0 && a.Operation == b.Operation {
		return false // parts of one
	}
	return locked(a).Overlaps(locked(b))
}

// onRequest takes a request of the device.
func (c *Coordinator) onRequest(r *step.Request, out *step.Effects) {
	if c.phase == detaching {
		r.Payload.Release()
		out.Complete(r.ID, step.RequestRefused, block.Buffer{})
		return
	}
	c.checkRequest(r)
	c.requested = c.now
	i := c.ops.add(r)
	if !c.startable(&c.ops.slots[i].Request, len(c.ops.waiting)) {
		c.ops.waiting = append(c.ops.waiting, i)
		return
	}
	c.start(i, out)
}

// checkRequest states what the body promises: ranges are in the volume and cut
// at chunk boundaries.
func (c *Coordinator) checkRequest(r *step.Request) {
	switch r.Kind {
	case step.WriteRequest:
		invariant.That(r.Payload.Len() == int(r.Range.Count)*c.p.BlockSize, "a write's payload fills its range")
		invariant.That(r.Range.InOneChunk(), "a write lies in one chunk")
	case step.ReadRequest:
		invariant.That(r.Range.InOneChunk(), "a read lies in one chunk")
	case step.ZeroRequest:
		invariant.That(r.Range.Count > 0 && r.Range.Count <= zeroBlocksMax, "a zero covers at most zeroBlocksMax blocks")
	case step.FlushRequest:
		return
	}
	invariant.That(uint64(r.Range.End()) <= c.growth.usable, "a request lies in the volume")
}

// startable reports whether r may start now, with limit earlier requests of the
// queue still waiting.
func (c *Coordinator) startable(r *step.Request, limit int) bool {
	if !c.Serving() {
		return false
	}
	writes := r.Kind == step.WriteRequest || r.Kind == step.ZeroRequest
	if writes && c.window.full() {
		return false
	}
	return !c.ops.blocked(r, limit)
}

// startWaiting starts what need not wait any more, in order of arrival.
func (c *Coordinator) startWaiting(out *step.Effects) {
	c.beginRepairs(out)
	if len(c.ops.waiting) == 0 || !c.Serving() {
		return
	}
	kept := 0
	for k := 0; k < len(c.ops.waiting); k++ {
		i := c.ops.waiting[k]
		if c.startable(&c.ops.slots[i].Request, kept) {
			c.start(i, out)
			continue
		}
		c.ops.waiting[kept] = i
		kept++
	}
	c.ops.waiting = c.ops.waiting[:kept]
}

func (c *Coordinator) start(i int32, out *step.Effects) {
	switch o := &c.ops.slots[i]; o.Kind {
	case step.ReadRequest:
		c.ops.active = append(c.ops.active, i)
		if o.compares {
			c.startComparing(i, out)
			return
		}
		c.startRead(i, out)
	case step.WriteRequest, step.ZeroRequest:
		c.ops.active = append(c.ops.active, i)
		if o.suspect != nil {
			c.startRead(i, out)
			return
		}
		c.startWrite(i, out)
	case step.FlushRequest:
		o.state = opFlushing
		c.rhythm.flushed()
		c.flushTo(i, c.committed, out)
	}
}

// finish answers the request in slot i and frees it.
func (c *Coordinator) finish(i int32, result step.RequestError, payload block.Buffer, out *step.Effects) {
	if c.ops.slots[i].suspect != nil {
		c.repaired(i, result, out)
		return
	}
	id := c.ops.slots[i].ID
	if result != step.RequestOK || !c.keepLocked(i, out) {
		c.ops.release(i)
	}
	out.Complete(id, result, payload)
}

// keepLocked has the range of a write that succeeded stay locked until its answer is
// delivered, and reports whether the request in slot i is what holds it. If the
// process dies before that, the device asks again: nothing that was done in between
// may be undone by it, so nothing is.
func (c *Coordinator) keepLocked(i int32, out *step.Effects) bool {
	o := &c.ops.slots[i]
	if o.Operation == 0 {
		return false
	}
	if unlockEarly {
		out.Marks.Hit("mutant: unlock early")
		return false
	}
	o.state = opAnswered
	if c.ops.holder(o.Operation) == i {
		return true
	}
	return false // another part does
}

// onDelivered unlocks the range of an operation whose success is known to the device.
func (c *Coordinator) onDelivered(operation uint64, out *step.Effects) {
	for i := c.ops.holder(operation); i >= 0; i = c.ops.holder(operation) {
		invariant.That(c.ops.slots[i].state == opAnswered, "an operation is delivered once all of its parts are done")
		c.ops.release(i)
	}
	c.startWaiting(out)
	c.finishDetach(out)
}
