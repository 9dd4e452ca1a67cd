package coordinator

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// Window bounds what is kept of the operations that may still be lost. Full, it takes
// no more writes; from half of that on syncs make room.
type Window struct {
	Ops   int
	Bytes int           // of their payloads
	Kept  time.Duration // how long it goes back for a member that was put out, if there is room
}

// DefaultWindow returns more than a second of a fast network, between two syncs.
func DefaultWindow() Window { return Window{Ops: 16384, Bytes: 64 << 20, Kept: 30 * time.Second} }

// noOp is the op of an entry that no request waits for.
const noOp = -1

// entry is one operation that not every required member has durable yet.
type entry struct {
	record  message.Record
	payload block.Buffer // one reference
	op      int32        // slot of the request that waits, or noOp once it was answered
	sentAt  step.Time
}

// window holds the operations [base, next) in a ring: the unstable ones. A member
// that lost what it had not made durable is given it again from here, and so is one
// that was away for a moment.
type window struct {
	limits Window
	ring   []entry // length a power of two
	base   block.Seq
	next   block.Seq
	bytes  int
}

// reset empties w; the next operation is seq.
func (w *window) reset(seq block.Seq) {
	w.drop()
	w.base, w.next = seq, seq
}

// drop releases all entries.
func (w *window) drop() {
	for w.base < w.next {
		w.pop()
	}
}

func (w *window) full() bool {
	return w.next-w.base >= block.Seq(w.limits.Ops) || w.bytes >= w.limits.Bytes
}

// filling reports whether it is time to make room.
func (w *window) filling() bool {
	return w.next-w.base >= block.Seq(w.limits.Ops/2) || w.bytes >= w.limits.Bytes/2
}

// at returns the entry of seq, or nil if it is not in the window.
func (w *window) at(seq block.Seq) *entry {
	if seq < w.base || seq >= w.next {
		return nil
	}
	return &w.ring[int(seq)&(len(w.ring)-1)]
}

// push appends e, whose seq must be w.next.
func (w *window) push(e entry) {
	if int(w.next-w.base) == len(w.ring) {
		w.grow()
	}
	w.ring[int(w.next)&(len(w.ring)-1)] = e
	w.bytes += e.payload.Len()
	w.next++
}

func (w *window) grow() {
	ring := make([]entry, max(64, 2*len(w.ring)))
	for seq := w.base; seq < w.next; seq++ {
		ring[int(seq)&(len(ring)-1)] = *w.at(seq)
	}
	w.ring = ring
}

// pop removes the oldest entry and releases its payload.
func (w *window) pop() {
	e := w.at(w.base)
	w.bytes -= e.payload.Len()
	e.payload.Release()
	*e = entry{}
	w.base++
}

// dropBelow releases the entries up to seq.
func (w *window) dropBelow(seq block.Seq) {
	for w.base <= seq && w.base < w.next {
		w.pop()
	}
}
