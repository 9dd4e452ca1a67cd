package store

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

func (r *rig) resize(h Handle, at block.Position, blocks uint64) message.Status {
	st := r.store.Append(r.now, h, message.Record{Position: at, Op: message.OpResize, Blocks: blocks}, block.Buffer{}, &r.out)
	r.collect()
	return st
}

func (r *rig) sizeOf(h Handle) uint64 {
	r.t.Helper()
	info, known := r.store.Info(h)
	if !known {
		r.t.Fatal("no such replica")
	}
	return info.Blocks
}

// wide is a volume of more leaves than a page of references has: its tree gets a level.
const wide = (256 + 3) * leafBlocks

func TestVolumeGrows(t *testing.T) {
	for name, settle := range map[string]func(*rig, Handle){ // any order: each is tried alone
		"in the journal": func(r *rig, _ Handle) { r.settle() },
		"stable":         func(r *rig, h Handle) { r.settle(); r.solid(h) },
		"at home":        func(r *rig, h Handle) { r.settle(); r.solid(h); r.home() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, small())
			h := r.create(1, 64)
			r.write(h, pos(1, 1), 0, 4)
			settle(r, h)
			r.snap(h, pos(1, 2), 10, 0)
			if st := r.write(h, pos(1, 3), 64, 1); st != message.WrongState {
				t.Fatalf("write behind the end: status %d", st)
			}
			if st := r.resize(h, pos(1, 3), wide); st != message.OK {
				t.Fatalf("resize: status %d", st)
			}
			if st := r.write(h, pos(1, 4), wide-2, 2); st != message.OK { // the record is not accepted yet
				t.Fatalf("write into the new part: status %d", st)
			}
			r.write(h, pos(1, 5), 2, 1)
			settle(r, h)
			want := func(what string) {
				t.Helper()
				if got := r.sizeOf(h); got != wide {
					t.Fatalf("%s: %d blocks, want %d", what, got, uint64(wide))
				}
				for b, seq := range map[block.Block]int{0: 1, 2: 5, 3: 1, wide - 2: 4, wide - 1: 4} { // any order: each is read alone
					if got := r.stamp(h, b); got != stampOf(pos(1, seq)) {
						t.Errorf("%s: block %d has stamp %x, want that of %d", what, b, got, seq)
					}
				}
				if got := r.image(h, 10, 0); got[2] != stampOf(pos(1, 1)) {
					t.Errorf("%s: the snapshot has %x", what, got)
				}
				r.check()
			}
			want("as it is")
			r.reopen()
			want("opened again")
			r.solid(h)
			r.home()
			want("at home")
			r.delSnap(h, pos(1, 6), 10)
			r.settle()
			r.solid(h)
			r.home()
			if got := r.stamp(h, 0); got != stampOf(pos(1, 1)) || len(r.store.Layers(h, nil)) != 1 {
				t.Errorf("merged into the grown layer, block 0 has stamp %x", got)
			}
			r.reopen()
			if got := r.stamp(h, wide-1); got != stampOf(pos(1, 4)) {
				t.Errorf("block %d has stamp %x", wide-1, got)
			}
		})
	}
}

func TestVolumeNeverShrinks(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	for blocks, want := range map[uint64]message.Status{0: message.WrongState, 48: message.WrongState, 63: message.WrongState} { // any order: nothing changes
		if st := r.resize(h, pos(1, 1), blocks); st != want {
			t.Errorf("to %d blocks: status %d", blocks, st)
		}
	}
	if st := r.resize(h, pos(1, 1), 64); st != message.OK { // once more, as a takeover does
		t.Errorf("to the size that it has: status %d", st)
	}
	r.resize(h, pos(1, 2), 96)
	if st := r.resize(h, pos(1, 3), 64); st != message.WrongState {
		t.Errorf("below one that is on its way: status %d", st)
	}
	r.settle()
	r.solid(h)
	r.home()
	if got := r.sizeOf(h); got != 96 {
		t.Errorf("it has %d blocks", got)
	}
}

// A RESIZE that is not stable is parked like any record, and taken back by a
// truncation with all that came after it.
func TestGrowthIsTakenBackWithTheRecordsAfterIt(t *testing.T) {
	for _, again := range []bool{false, true} {
		r := newRig(t, 1, small())
		h := r.create(1, 64)
		r.write(h, pos(1, 1), 0, 4)
		r.settle()
		r.solid(h)
		r.resize(h, pos(1, 2), wide)
		r.write(h, pos(1, 3), wide-1, 1)
		r.snap(h, pos(1, 4), 10, 0)
		r.write(h, pos(1, 5), wide-3, 1)
		r.settle()
		r.sync(h)
		r.home() // parked: nobody called it stable
		if again {
			r.reopen()
		}
		if got := r.sizeOf(h); got != wide || r.stamp(h, wide-1) != stampOf(pos(1, 3)) {
			t.Fatalf("it has %d blocks", got)
		}
		r.store.FetchTail(r.now, h, 2, 5, r.next(), &r.out)
		r.settle()
		if res := r.expect(TailRecord); res.Record.Op != message.OpResize || res.Record.Blocks != wide {
			t.Errorf("the tail begins with %+v", res.Record)
		}
		if st := r.store.Truncate(r.now, h, 2, 1, r.next(), &r.out); st != message.OK {
			t.Fatalf("truncate: status %d", st)
		}
		r.settle()
		for _, what := range []string{"truncated", "opened again"} {
			if got := r.sizeOf(h); got != 64 || r.stamp(h, 0) != stampOf(pos(1, 1)) {
				t.Errorf("%s it has %d blocks", what, got)
			}
			r.reopen()
		}
		if st := r.write(h, pos(2, 2), 64, 1); st != message.WrongState {
			t.Errorf("write behind the end: status %d", st)
		}
		if st := r.resize(h, pos(2, 2), 128); st != message.OK {
			t.Errorf("resize: status %d", st)
		}
		r.settle()
		r.solid(h)
		r.home()
		r.reopen()
		if got := r.sizeOf(h); got != 128 {
			t.Errorf("it has %d blocks", got)
		}
	}
}

// TestGrowthSurvivesPowerLossAnywhere cuts a volume's growth off after every disk
// operation: it has the old size or the new one, the new one if that was durable,
// and everything that was durable can be read.
func TestGrowthSurvivesPowerLossAnywhere(t *testing.T) {
	sizes := map[uint64]int{}
	for cut := 0; ; cut++ {
		r := newRig(t, uint64(cut), small())
		h := r.create(1, 64)
		r.write(h, pos(1, 1), 0, 16)
		r.settle()
		r.solid(h)
		r.home()
		left, durable := cut, block.Seq(1)
		work := func() bool { // one operation after the other, until the power goes
			for left > 0 && r.step() {
				left--
			}
			for i := range r.results {
				if r.results[i].Kind == Durable {
					durable = max(durable, r.results[i].Position.Seq)
				}
			}
			return left > 0
		}
		over := func() bool {
			r.resize(h, pos(1, 2), wide)
			r.write(h, pos(1, 3), wide-1, 1)
			r.write(h, pos(1, 4), 3, 1)
			r.sync(h)
			if !work() {
				return false
			}
			r.stable(h, durable)
			r.write(h, pos(1, 5), wide-2, 1)
			r.sync(h)
			if !work() {
				return false
			}
			r.stable(h, durable)
			for range 4 { // until a checkpoint was asked for
				r.fire()
				if !work() {
					return false
				}
			}
			return true
		}()
		r.disk.powerLoss(r.random)
		r.reopen()
		info, _ := r.store.Info(h)
		if info.Damaged || info.LastAccepted.Seq < durable {
			t.Fatalf("cut %d: it came back with %+v, durable was %d", cut, info, durable)
		}
		want := uint64(64)
		if info.LastAccepted.Seq >= 2 {
			want = wide
		}
		if sizes[info.Blocks]++; info.Blocks != want {
			t.Fatalf("cut %d: it has %d blocks at %v", cut, info.Blocks, info.LastAccepted)
		}
		if info.LastAccepted.Seq >= 3 && r.stamp(h, wide-1) != stampOf(pos(1, 3)) || r.stamp(h, 0) != stampOf(pos(1, 1)) {
			t.Fatalf("cut %d: content is lost", cut)
		}
		if over {
			break
		}
	}
	if sizes[64] == 0 || sizes[wide] < 10 {
		t.Errorf("sizes after a loss: %v", sizes)
	}
}

// fire lets the next timer fire.
func (r *rig) fire() {
	r.collect()
	if len(r.timers) == 0 {
		return
	}
	next := r.timers[0]
	r.timers = r.timers[1:]
	r.now = max(r.now, next.At).Add(31e9)
	r.store.Step(r.now, &step.Event{Kind: step.EventTimer, Tag: next.Tag}, &r.out)
}
