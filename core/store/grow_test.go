package store

import (
	"slices"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// wider is the size of a volume that has grown twice.
const wider = wide + 64

// grownTwice is a volume that grew before its first and before its second snapshot.
func (r *rig) grownTwice() Handle {
	h := r.create(1, 64)
	r.write(h, pos(1, 1), 0, 4)
	r.snap(h, pos(1, 2), 10, 0)
	r.resize(h, pos(1, 3), wide)
	r.write(h, pos(1, 4), wide-2, 2)
	r.snap(h, pos(1, 5), 11, 0)
	r.resize(h, pos(1, 6), wider)
	r.write(h, pos(1, 7), wider-1, 1)
	r.write(h, pos(1, 8), 2, 1)
	r.settle()
	r.solid(h)
	return h
}

// TestTargetIsAsLargeAsItsSourceWasLayerByLayer: also where it was made with the size
// that the volume has by now.
func TestTargetIsAsLargeAsItsSourceWasLayerByLayer(t *testing.T) {
	for name, bring := range map[string]func(*rig){"in the journal": func(*rig) {}, "at home": (*rig).home} { // any order: each is tried alone
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, small())
			source := r.grownTwice()
			bring(r)
			target := r.create(2, wider)
			r.store.Reset(r.now, target, 64, Meta{Resync: 7}, r.next(), &r.out)
			r.settle()
			if got := r.sizeOf(target); got != 64 {
				t.Fatalf("emptied it has %d blocks", got)
			}
			r.copyLayers(source, target)
			r.store.Continue(r.now, target, pos(1, 8), Meta{Complete: true}, r.next(), &r.out)
			r.settle()
			for _, what := range []func(){func() {}, r.reopen, r.home, r.reopen} {
				what()
				want, got := r.store.Layers(source, nil), r.store.Layers(target, nil)
				for i := range want {
					if want[i].Used = got[i].Used; got[i] != want[i] {
						t.Errorf("layer %+v, want %+v", got[i], want[i])
					}
				}
				for b, seq := range map[block.Block]int{0: 1, 2: 8, wide - 1: 4, wider - 1: 7} { // any order: each is read alone
					if got := r.stamp(target, b); got != stampOf(pos(1, seq)) {
						t.Errorf("block %d has stamp %x, want that of %d", b, got, seq)
					}
				}
				r.check()
			}
			if st := r.resize(target, pos(1, 9), wider+64); st != message.OK {
				t.Fatalf("it cannot grow by its stream: status %d", st)
			}
			clone := r.clone(3, 64, Image{From: target, Layer: 10}) // no larger than what it is a clone of
			if got := r.stamp(clone, 0); got != stampOf(pos(1, 1)) {
				t.Errorf("a clone of its first snapshot has stamp %x", got)
			}
		})
	}
}

// A push into a part that a RESIZE makes waits until that is stable: the part may be
// taken back, and the push would be left.
func TestPushBehindAGrowthThatIsNotStableWaits(t *testing.T) {
	r := newRig(t, 1, small())
	source, target := r.grownTwice(), r.create(2, 64)
	r.store.Reset(r.now, target, 64, Meta{Resync: 7}, r.next(), &r.out)
	r.settle()
	r.store.Continue(r.now, target, pos(1, 0), Meta{Resync: 7}, r.next(), &r.out)
	r.settle()
	chunk := block.Block(wider - 1).Chunk()
	push := func() message.Status {
		r.store.Pull(r.now, source, 0, chunk, r.next(), &r.out)
		r.settle()
		got := r.expect(PullDone)
		st := r.store.Push(r.now, target, 0, 0xffff, got.Content, got.Payload, r.next(), &r.out)
		r.settle()
		return st
	}
	if st := push(); st != message.WrongState {
		t.Errorf("behind its end: status %d", st)
	}
	r.resize(target, pos(1, 1), wider)
	r.settle()
	if st := push(); st != message.BehindSeq {
		t.Errorf("behind an end that is not stable: status %d", st)
	}
	r.solid(target)
	if st := push(); st != message.OK {
		t.Errorf("in the volume: status %d", st)
	}
	if got := r.stamp(target, wider-1); got != stampOf(pos(1, 7)) {
		t.Errorf("it has stamp %x", got)
	}
}

// TestGrowthOfATargetSurvivesPowerLossAnywhere cuts it off after every disk operation:
// the target has one of the sizes that it went through, never an older one than was
// durable, and can go on from there.
func TestGrowthOfATargetSurvivesPowerLossAnywhere(t *testing.T) {
	sizes := map[uint64]int{}
	for cut, over := 0, false; !over; cut++ {
		r := newRig(t, uint64(cut), small())
		h := r.create(1, wider)
		r.settle()
		r.sync(h)
		r.home()
		left, least := cut, uint64(0)
		work := func(durable uint64) bool {
			for left > 0 && r.step() {
				left--
			}
			if left > 0 {
				least = durable
			}
			return left > 0
		}
		made := Meta{Resync: 7}
		steps := []func(){
			func() { r.store.Reset(r.now, h, 64, made, r.next(), &r.out); r.store.Sync(r.now, h, &r.out) },
			func() {
				r.store.OpenLayer(r.now, h, 10, 0, pos(1, 2), r.next(), &r.out)
				r.store.Grow(r.now, h, wide, r.next(), &r.out)
				r.store.SetMeta(r.now, h, made, r.next(), &r.out)
			},
			r.fire,
			func() {
				r.store.OpenLayer(r.now, h, 11, 0, pos(1, 5), r.next(), &r.out)
				r.store.Grow(r.now, h, wider, r.next(), &r.out)
				r.store.SetMeta(r.now, h, made, r.next(), &r.out)
			},
			r.fire,
			r.fire,
		}
		over = true
		for i, do := range steps {
			do()
			if durable := [...]uint64{64, wide, wide, wider, wider, wider}[i]; !work(durable) {
				over = false
				break
			}
		}
		r.disk.powerLoss(r.random)
		r.reopen()
		info, _ := r.store.Info(h)
		sizes[info.Blocks]++
		if least != 0 && info.Blocks < least || !slices.Contains([]uint64{64, wide, wider}, info.Blocks) {
			t.Fatalf("cut %d: it has %d blocks, at least %d were durable", cut, info.Blocks, least)
		}
		r.check()
		for _, l := range r.store.Layers(h, nil) {
			if want := map[block.LayerID]uint64{10: 64, 11: wide, 0: info.Blocks}[l.ID]; l.Blocks != want {
				t.Fatalf("cut %d: layer %d has %d blocks, want %d", cut, l.ID, l.Blocks, want)
			}
		}
	}
	if sizes[64] == 0 || sizes[wide] == 0 || sizes[wider] == 0 {
		t.Errorf("sizes after a loss: %v", sizes)
	}
}
