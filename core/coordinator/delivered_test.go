package coordinator_test

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// part asks for a part of an operation of a device that covers [10, 30).
func (w *world) part(id uint64, first block.Block, count uint32) {
	w.step(step.Event{Kind: step.EventRequest, Request: step.Request{
		ID: id, Kind: step.ZeroRequest, Range: block.Range{First: first, Count: count},
		Operation: 7, Whole: block.Range{First: 10, Count: 20},
	}})
}

func (w *world) delivered(operation uint64) {
	w.step(step.Event{Kind: step.EventDelivered, Request: step.Request{Operation: operation}})
}

func TestRangeStaysLockedUntilTheAnswerIsDelivered(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.step(step.Event{Kind: step.EventRequest, Request: step.Request{
		ID: 1, Kind: step.WriteRequest, Range: block.Range{First: 5, Count: 1}, Payload: content(), Operation: 3,
	}})
	w.expectAnswer(1, step.RequestOK)
	w.write(2, 5)
	w.request(3, step.ReadRequest, 5)
	w.write(4, 6)
	w.expectAnswer(4, step.RequestOK)
	w.expectNoAnswer(2)
	w.expectNoAnswer(3)
	w.delivered(3)
	w.expectAnswer(2, step.RequestOK)
	w.expectAnswer(3, step.RequestOK)
}

// TestPartsOfAnOperationWaitForNobodyOnceItsRangeIsLocked: a part that comes late would
// otherwise wait for who waits for the first.
func TestPartsOfAnOperationWaitForNobodyOnceItsRangeIsLocked(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.part(1, 10, 6)
	w.expectAnswer(1, step.RequestOK)
	w.write(2, 25)
	w.expectNoAnswer(2)
	w.part(3, 16, 14)
	w.expectAnswer(3, step.RequestOK)
	w.expectNoAnswer(2)
	w.delivered(7)
	w.expectAnswer(2, step.RequestOK)
}
