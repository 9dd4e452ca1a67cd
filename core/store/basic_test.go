package store

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

func TestAppendOnAnIdleJournalIsEmittedAtOnce(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 1024)
	if st := r.write(h, pos(1, 1), 5, 1); st != message.OK {
		t.Fatalf("append: status %d", st)
	}
	writes := 0
	for _, op := range r.flight {
		if op.Kind == step.DiskWrite {
			writes++
		}
	}
	if writes != 1 {
		t.Fatalf("%d writes are in flight, want 1", writes)
	}
	r.settle()
	if got := r.expect(Accepted); got.Position != pos(1, 1) {
		t.Fatalf("accepted %v", got.Position)
	}
	if got := r.stamp(h, 5); got != stampOf(pos(1, 1)) {
		t.Fatalf("read stamp %x", got)
	}
}

func TestWritesComeHomeAndSurvive(t *testing.T) {
	for _, g := range []Geometry{small(), large()} {
		r := newRig(t, 2, g)
		h := r.create(1, 1024)
		for i := 1; i <= 100; i++ {
			first, count := uint64(i*7%900), uint32(1)
			if i%3 == 0 {
				first, count = first/16*16, 16
			}
			if st := r.write(h, pos(1, i), blockAt(first), count); st != message.OK {
				t.Fatalf("append %d: status %d", i, st)
			}
			r.settle()
		}
		r.sync(h)
		r.settle()
		r.stable(h, 100)
		r.wait(2 * time.Minute)
		r.check()
		if r.store.index.Len() != 0 {
			t.Fatalf("%d versions did not go home", r.store.index.Len())
		}
		want := r.stamp(h, 693)
		r.reopen()
		if got := r.stamp(h, 693); got != want {
			t.Fatalf("stamp %x after recovery, want %x", got, want)
		}
	}
}
