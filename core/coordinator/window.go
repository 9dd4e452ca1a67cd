package coordinator

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// The window bounds what waits for members: a second of a fast network.
const (
	windowOpsMax   = 4096
	windowBytesMax = 64 << 20
)

// noOp is the op of an entry that no request waits for.
const noOp = -1

// entry is one operation that not every required member has accepted yet.
type entry struct {
	record  message.Record
	payload block.Buffer // one reference
	op      int32        // slot of the request that waits, or noOp
	sentAt  step.Time
}

// window holds the operations [base, next) in a ring.
type window struct {
	ring  []entry // length a power of two
	base  block.Seq
	next  block.Seq
	bytes int
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
	return w.next-w.base >= windowOpsMax || w.bytes >= windowBytesMax
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

// pop removes the oldest entry, releases its payload and returns its op.
func (w *window) pop() (op int32) {
	e := w.at(w.base)
	op = e.op
	w.bytes -= e.payload.Len()
	e.payload.Release()
	*e = entry{}
	w.base++
	return op
}
