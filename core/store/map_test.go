package store

import (
	"slices"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// withhold takes writes to slots out of what is in flight.
func (r *rig) withhold() (held []step.DiskOp) {
	r.flight = slices.DeleteFunc(r.flight, func(op step.DiskOp) bool {
		slot := op.Kind == step.DiskWrite && op.Offset >= r.store.slotBase
		if slot {
			held = append(held, op)
		}
		return slot
	})
	return held
}

func TestMapIsJournaledWhileItsDataIsWritten(t *testing.T) { // rule 15
	for _, crash := range []bool{false, true} {
		r := newRig(t, 1, large())
		h := r.create(1, 256)
		r.write(h, pos(1, 1), 0, 16)
		r.write(h, pos(1, 2), 16, 1)
		held := r.withhold()
		r.disk.log, r.results = nil, nil
		r.settle()
		if len(held) != 1 || len(r.disk.log) != 2 {
			t.Fatalf("%d writes of data are withheld and %d batches are written, want 1 and 2", len(held), len(r.disk.log))
		}
		if len(r.results) > 0 {
			t.Fatalf("%+v: the data of the first record is not written", r.results[0])
		}
		want := pos(1, 2)
		if crash {
			r.reopen()
			want = block.Position{}
		} else {
			r.flight = held
			r.settle()
		}
		if info, _ := r.store.Info(h); info.LastAccepted != want {
			t.Errorf("crash %v: accepted up to %v, want %v", crash, info.LastAccepted, want)
		}
	}
}
