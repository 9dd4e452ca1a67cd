package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// listAll returns the changed chunks of h over as many calls as it takes.
func (r *rig) listAll(h Handle) (changes []message.Change, stable block.Seq) {
	r.t.Helper()
	for cursor := uint64(0); ; {
		r.store.ListChanged(r.now, h, 0, 0, cursor, r.next(), &r.out)
		r.settle()
		res := r.expect(ChangesDone)
		if res.Status != message.OK {
			r.t.Fatalf("list: status %d", res.Status)
		}
		changes = append(changes, res.Changes...)
		stable = res.Position.Seq
		if cursor = res.Cursor; cursor == 0 {
			return changes, stable
		}
	}
}

// copyChunk brings a chunk from one replica to another, but for the blocks in live.
func (r *rig) copyChunk(from, to Handle, c block.Chunk, apply uint16) {
	r.t.Helper()
	r.store.Pull(r.now, from, 0, c, r.next(), &r.out)
	r.settle()
	got := r.expect(PullDone)
	if got.Status != message.OK {
		r.t.Fatalf("pull of chunk %d: status %d", c, got.Status)
	}
	if st := r.store.Push(r.now, to, 0, apply, got.Content, got.Payload, r.next(), &r.out); st != message.OK {
		r.t.Fatalf("push of chunk %d: status %d", c, st)
	}
	r.settle()
	if done := r.expect(PushDone); done.Status != message.OK {
		r.t.Fatalf("push of chunk %d: result %d", c, done.Status)
	}
}

func TestResyncMakesAnEqualCopy(t *testing.T) {
	for seed := range uint64(20) {
		o := &oracle{rig: newRig(t, seed, small())}
		o.random = rand.New(rand.NewPCG(seed, 3))
		source := &model{blocks: 512, era: 1, meta: Meta{Complete: true}}
		source.h = o.create(1, source.blocks)
		o.models = []*model{source}
		for range 150 {
			o.act()
		}
		o.sync(source.h)
		o.settle()
		o.results()
		source.stable = source.durable
		o.stable(source.h, source.stable)

		target := o.create(9, source.blocks)
		for range 5 {
			o.write(target, block.Position{Era: 1, Seq: o.appendedSeq(target) + 1}, 3, 1)
		}
		o.store.Reset(o.now, target, 0, Meta{Resync: 77}, o.next(), &o.out)
		o.settle()
		o.expect(RecordDone)
		changes, stable := o.listAll(source.h)
		if stable != source.stable {
			t.Fatalf("listed at stable %d, want %d", stable, source.stable)
		}
		for _, c := range changes {
			o.copyChunk(source.h, target, c.Chunk, 0xffff)
		}
		at := block.Position{Era: source.era, Seq: block.Seq(len(source.records))}
		o.store.Continue(o.now, target, at, Meta{Complete: true}, o.next(), &o.out)
		o.settle()
		o.expect(RecordDone)
		copied := &model{h: target, blocks: source.blocks, era: source.era, meta: Meta{Complete: true}, records: source.records, stable: source.stable}
		copied.accepted, copied.durable = at.Seq, at.Seq
		o.rig.results = nil
		o.verify(copied, at.Seq)
		o.models = append(o.models, copied)
		if info, _ := o.store.Info(target); info.LastAccepted != at || info.Meta != copied.meta {
			t.Fatalf("target %+v, want last %v", info, at)
		}
		o.reopen()
		o.verify(copied, at.Seq)
		if st := o.write(target, block.Position{Era: at.Era, Seq: at.Seq + 1}, 1, 1); st != message.OK {
			t.Fatalf("append behind Continue: status %d", st)
		}
	}
}

// Whoever is filled from a copy that lost a page is given what that named as lost:
// what it was not given at all would read as zeroes there.
func TestWhatALostPageNamedIsListedAndPulledAsLost(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 64*block.PerChunk)
	for i, b := range []block.Block{0, 1 * block.PerChunk, 50 * block.PerChunk} {
		r.write(h, pos(1, i+1), b, 2)
	}
	r.solid(h)
	r.home()
	page := r.store.replica(h).head.tree.child(0).Page
	r.disk.data[r.store.pageAddress(page)+1000] ^= 4
	r.open()
	r.expect(Opened)
	h = r.store.Replicas(nil)[0].Handle
	var chunks []block.Chunk
	changes, _ := r.listAll(h)
	for _, c := range changes {
		chunks = append(chunks, c.Chunk)
	}
	if want := []block.Chunk{0, 1, 50}; !slices.Equal(chunks, want) {
		t.Errorf("chunks %v are listed, want %v", chunks, want)
	}
	for _, c := range []struct {
		chunk  block.Chunk
		bad, p uint16
	}{{1, 0xffff, 0xffff}, {2, 0, 0}, {50, 0, 3}} {
		r.store.Pull(r.now, h, 0, c.chunk, r.next(), &r.out)
		r.settle()
		got := r.expect(PullDone)
		if bad := got.Content.Present & got.Content.Zero; bad != c.bad || got.Content.Present != c.p {
			t.Errorf("chunk %d is pulled with %016b present and %016b lost, want %016b and %016b", c.chunk, got.Content.Present, bad, c.p, c.bad)
		}
		got.Payload.Release()
	}
}

func (r *rig) appendedSeq(h Handle) block.Seq { return r.store.replica(h).appended.Seq }

func TestPushLeavesBlocksAloneThatItDoesNotApplyTo(t *testing.T) {
	r := newRig(t, 1, small())
	a, b := r.create(1, 64), r.create(2, 64)
	r.write(a, pos(1, 1), 0, 16)
	r.settle()
	r.zero(a, pos(1, 2), 4, 2)
	r.settle()
	r.sync(a)
	r.settle()
	r.stable(a, 2)
	r.write(b, pos(1, 1), 7, 1)
	r.write(b, pos(1, 2), 4, 1)
	r.settle()
	r.copyChunk(a, b, 0, 0xffff&^(1<<7))
	for block, want := range map[block.Block]uint64{0: stampOf(pos(1, 1)), 4: 0, 5: 0, 7: stampOf(pos(1, 1))} { // any order: each is checked alone
		if got := r.stamp(b, block); got != want {
			t.Errorf("block %d: stamp %x, want %x", block, got, want)
		}
	}
	data := r.fill(stampOf(pos(1, 1)), 7, 1)
	if _, got := r.read(b, 7, 1); string(got) != string(data) {
		t.Error("the push wrote a block it did not apply to")
	}
}

func TestDeleteFreesEverySlot(t *testing.T) {
	r := newRig(t, 1, small())
	keep := r.create(1, 64)
	r.write(keep, pos(1, 1), 0, 1)
	r.settle()
	r.wait(2 * 60e9)
	before := r.store.slots.Free()
	h := r.create(2, 4096)
	for i := 1; i <= 200; i++ {
		r.write(h, pos(1, i), blockAt(uint64(i*16%4096)), 16)
		r.settle()
	}
	r.sync(h)
	r.settle()
	r.stable(h, 200)
	r.wait(2 * 60e9)
	if r.store.slots.Free() > before-100 {
		t.Fatalf("%d slots are free, the volume takes none", r.store.slots.Free())
	}
	r.store.Delete(r.now, h, r.next(), &r.out)
	r.settle()
	r.reopen()
	if len(r.store.Replicas(nil)) != 1 {
		t.Fatal("the deleted replica came back")
	}
	r.wait(3 * 60e9)
	r.check()
	if after := r.store.slots.Free(); after < before-1 {
		t.Fatalf("%d slots are free after the deletion, %d were before the creation", after, before)
	}
}
