package diskio

import (
	"slices"

	"github.com/lagan-storage/lagan/core/step"
)

// blockingWorker performs one operation at a time by blocking system calls.
type blockingWorker struct {
	queue  *Queue
	pieces [][]byte
	event  [1]step.Event
	next   []step.DiskOp
}

// run performs operations until the queue is closed. The first of what follows
// from a completion it performs itself, a sync behind a journal write, a write
// home of what was read: to hand it over would wake another worker for nothing.
func (w *blockingWorker) run() {
	for op := range w.queue.syncs {
		for more := true; more; {
			w.event[0] = w.queue.done(&op, w.perform(&op))
			w.next = w.queue.params.Deliver(w.event[:], w.next[:0])
			if more = len(w.next) > 0; more {
				op = w.next[0]
				w.queue.Submit(w.next[1:])
				clear(w.next)
			}
		}
	}
}

func (w *blockingWorker) perform(op *step.DiskOp) step.DiskError {
	w.pieces = slices.Grow(w.pieces, len(op.Pieces))
	began := w.queue.work.begin(op.Kind)
	err := w.queue.file.perform(op, w.pieces)
	w.queue.work.end(op.Kind, began, err)
	clear(w.pieces[:len(op.Pieces)])
	return err
}
