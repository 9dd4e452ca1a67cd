package store

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

func TestPinnedLayersAreNotMerged(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.home()
	r.store.Pin(h)
	r.delSnap(h, pos(1, 11), 11)
	r.settle()
	r.solid(h)
	r.home()
	if list := r.store.Layers(h, nil); len(list) != 4 || !list[1].Deleted || list[1].Used != 1 {
		t.Fatalf("layers are %+v, want 11 deleted and whole", list)
	}
	r.store.Pull(r.now, h, 11, 0, r.next(), &r.out)
	r.settle()
	if res := r.expect(PullDone); res.Status != message.OK || res.Content.Present != 1<<1 || res.Content.Zero != 1<<2 {
		t.Errorf("pull of a deleted layer: status %d, %+v", res.Status, res.Content)
	}
	r.store.Read(r.now, h, 11, block.Range{First: 0, Count: 1}, r.next(), &r.out)
	if res := r.expect(ReadDone); res.Status != message.WrongState {
		t.Errorf("read of a deleted snapshot: status %d", res.Status)
	}
	r.store.Unpin(r.now, h, &r.out)
	r.home()
	if list := r.store.Layers(h, nil); len(list) != 3 {
		t.Errorf("layers are %+v, want 11 merged", list)
	}
}

func TestLeafSnapshotIsFreedAtOnce(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.snap(h, pos(1, 11), 13, 12)
	r.settle()
	r.delSnap(h, pos(1, 12), 13)
	r.settle()
	r.solid(h)
	r.home()
	r.check()
	if r.store.replica(h).find(13) != nil || r.marks["store: layer freed"] != 1 || len(r.store.Layers(h, nil)) != 4 {
		t.Errorf("marks %v, layers %+v", r.marks, r.store.Layers(h, nil))
	}
	r.reopen()
	r.check()
}

// TestMergesGoOnUnderWrites lets volumes of many leaves be written, read,
// snapshotted, and opened anew in the middle of merges of both directions.
func TestMergesGoOnUnderWrites(t *testing.T) {
	const blocks = 1024 // 64 chunks, two leaves
	marks := 0
	for seed := range uint64(12) {
		r := newRig(t, seed, Geometry{Capacity: 8 << 20, BlockSize: 64, JournalBytes: 256 << 10}, Limits{CacheBytes: 64 * 4096})
		h := r.create(1, blocks)
		content, images := make(map[block.Block]uint64), make(map[block.LayerID]map[block.Block]uint64)
		seq := 0
		check := func(first block.Block) {
			t.Helper()
			for id, image := range images { // any order: each is checked alone
				got := r.image(h, id, first.Chunk())
				for b, s := range got {
					if want := image[first.Chunk().First()+block.Block(b)]; s != want {
						t.Fatalf("seed %d: block %d of chunk %d of layer %d: stamp %x, want %x", seed, b, first.Chunk(), id, s, want)
					}
				}
			}
		}
		images[0] = content
		for step := range 400 {
			first := block.Block(r.random.Uint64N(blocks))
			if seed%3 == 0 {
				first %= blocks / 8 // a hot set: the layers above stay small
			}
			count := min(1+uint32(r.random.IntN(3)), uint32(block.PerChunk-first.Offset()))
			if step < 64 {
				first, count = block.Block(step*block.PerChunk), block.PerChunk
			}
			seq++
			switch draw := r.random.IntN(20); {
			case draw == 0 && step > 64 && len(images) < 6:
				id := block.LayerID(1000 + seq)
				r.snap(h, pos(1, seq), id, 0)
				images[id] = maps.Clone(content)
			case draw == 1 && len(images) > 1:
				id := slices.Sorted(maps.Keys(images))[1+r.random.IntN(len(images)-1)]
				r.delSnap(h, pos(1, seq), id)
				delete(images, id)
			case draw == 2:
				r.zero(h, pos(1, seq), first, count)
				for b := range block.Block(count) {
					content[first+b] = 0
				}
			default:
				if st := r.write(h, pos(1, seq), first, count); st != message.OK {
					t.Fatalf("seed %d: append: status %d", seed, st)
				}
				for b := range block.Block(count) {
					content[first+b] = stampOf(pos(1, seq))
				}
			}
			r.settle()
			if step%4 == 0 {
				r.solid(h)
				r.wait(time.Duration(r.random.IntN(4)) * mergeEvery)
			}
			if step%50 == 49 {
				r.wait(3 * time.Second)
				r.check()
				r.wantTallies()
			}
			if step%90 == 89 {
				r.solid(h)
				r.reopen()
			}
			check(first)
		}
		r.settle()
		r.solid(h)
		r.home()
		r.check()
		r.wantTallies()
		marks += min(r.marks["store: layer folded down"], r.marks["store: layer folded up"])
		for c := range block.Chunk(blocks / block.PerChunk) {
			check(c.First())
		}
		for id := range images { // any order: all go
			if id != 0 {
				seq++
				r.delSnap(h, pos(1, seq), id)
				delete(images, id)
			}
		}
		r.settle()
		r.solid(h)
		r.home()
		r.home()
		r.check()
		for c := range block.Chunk(blocks / block.PerChunk) {
			check(c.First())
		}
		if list := r.store.Layers(h, nil); len(list) != 1 || len(r.store.folding) > 0 || list[0].Used > blocks/block.PerChunk {
			t.Errorf("seed %d: layers %+v, %d of them not folded", seed, list, len(r.store.folding))
		}
	}
	if marks == 0 {
		t.Error("no volume was merged in both directions")
	}
}

// copyLayers makes target, which was just reset, what source is, layer by layer,
// as a resync does.
func (r *rig) copyLayers(source, target Handle) {
	r.t.Helper()
	list := slices.DeleteFunc(r.store.Layers(source, nil), func(l LayerInfo) bool { return !l.Own })
	for i, l := range list {
		if l.Blocks > r.sizeOf(target) {
			r.store.Grow(r.now, target, l.Blocks, r.next(), &r.out)
			r.settle()
		}
		for cursor := uint64(0); ; {
			r.store.ListChanged(r.now, source, l.ID, 0, cursor, r.next(), &r.out)
			r.settle()
			res := r.expect(ChangesDone)
			for _, c := range res.Changes {
				r.store.Pull(r.now, source, l.ID, c.Chunk, r.next(), &r.out)
				r.settle()
				got := r.expect(PullDone)
				if got.Status != message.OK {
					r.t.Fatalf("pull of chunk %d of layer %d: status %d", c.Chunk, l.ID, got.Status)
				}
				if st := r.store.Push(r.now, target, 0, 0xffff, got.Content, got.Payload, r.next(), &r.out); st != message.OK {
					r.t.Fatalf("push of chunk %d of layer %d: status %d", c.Chunk, l.ID, st)
				}
				r.settle()
			}
			if cursor = res.Cursor; cursor == 0 {
				break
			}
		}
		if l.ID == 0 {
			continue
		}
		parent := list[i+1].Parent // of what is opened on it, or elsewhere
		if parent == l.ID {
			parent = 0
		}
		if st := r.store.OpenLayer(r.now, target, l.ID, parent, l.Closed, r.next(), &r.out); st != message.OK {
			r.t.Fatalf("open layer %d: status %d", l.ID, st)
		}
		r.settle()
	}
}

func TestResyncCopiesEverySnapshot(t *testing.T) { // rule 14
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.snap(h, pos(1, 11), 13, 11) // it went back once
	r.write(h, pos(1, 12), 1, 1)
	r.settle()
	r.solid(h)
	target := r.create(2, 64)
	r.store.Reset(r.now, target, 0, Meta{Resync: 7}, r.next(), &r.out)
	r.settle()
	r.store.Pin(h)
	r.copyLayers(h, target)
	r.store.Unpin(r.now, h, &r.out)
	r.store.Continue(r.now, target, pos(1, 12), Meta{Complete: true}, r.next(), &r.out)
	r.settle()
	same := func(ids ...block.LayerID) {
		t.Helper()
		for _, id := range ids {
			for c := range block.Chunk(4) {
				if got, want := r.image(target, id, c), r.image(h, id, c); got != want {
					t.Fatalf("chunk %d of layer %d: %x, want %x", c, id, got, want)
				}
			}
		}
	}
	same(10, 11, 12, 13, 0)
	r.home()
	r.reopen()
	same(10, 11, 12, 13, 0)
	want, got := r.store.Layers(h, nil), r.store.Layers(target, nil)
	for i := range want {
		if want[i].Used = got[i].Used; got[i] != want[i] {
			t.Errorf("layer %+v, want %+v", got[i], want[i])
		}
	}
	for _, replica := range []Handle{h, target} { // the stream goes on for both
		for i, id := range []block.LayerID{12, 10} {
			r.delSnap(replica, pos(1, 13+i), id)
		}
		r.settle()
		r.solid(replica)
	}
	r.home()
	r.check()
	same(11, 13, 0)
	if st := r.store.DropLayer(r.now, target, 13, r.next(), &r.out); st != message.OK {
		t.Fatalf("drop a layer: status %d", st)
	}
	r.settle()
	r.home()
	r.reopen()
	same(11, 0)
	if r.store.replica(target).find(13) != nil {
		t.Error("a layer that was dropped is still there")
	}
}

func TestCloneIsCopiedWithWhatItStandsOn(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.solid(h)
	r.home()
	clone := r.clone(3, 96, Image{From: h, Layer: 11})
	r.write(clone, pos(1, 1), 3, 2)
	r.snap(clone, pos(1, 2), 20, 0)
	r.write(clone, pos(1, 3), 5, 1)
	r.settle()
	r.solid(clone)
	for _, bring := range []func(){func() {}, r.home} {
		bring()
		target := r.create(byte(4+len(r.store.replicas)), 96)
		r.store.Reset(r.now, target, 0, Meta{Resync: 7}, r.next(), &r.out)
		r.settle()
		r.copyLayers(clone, target)
		r.home()
		for _, id := range []block.LayerID{20, 0} {
			for c := range block.Chunk(6) {
				if got, want := r.image(target, id, c), r.image(clone, id, c); got != want {
					t.Errorf("chunk %d of layer %d: %x, want %x", c, id, got, want)
				}
			}
		}
	}
	r.check()
}

func TestLayerIsDroppedThoughTheStreamIsNotStable(t *testing.T) { // found by seed 0x859 of the simulation
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.solid(h)
	r.write(h, pos(1, 11), 5, 1) // accepted, and never stable here
	r.settle()
	if st := r.store.DropLayer(r.now, h, 11, r.next(), &r.out); st != message.OK {
		t.Fatalf("drop a layer: status %d", st)
	}
	r.settle()
	r.home()
	if r.store.replica(h).find(11) != nil {
		t.Error("it is not merged")
	}
	r.reopen()
	if r.store.HasLayer(h, 11) {
		t.Error("it is there again")
	}
}

func TestPageOfALayersTreeIsReadTwiceBeforeItIsLost(t *testing.T) { // found by a random trace with damage
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.home()
	page := r.store.pageAddress(r.store.replica(h).snapshots[0].tree.page.Page)
	failed := 0
	r.disk.fail = func(op step.DiskOp) bool {
		if op.Kind == step.DiskRead && op.Offset == page {
			failed++
		}
		return op.Kind == step.DiskRead && op.Offset == page && failed == 1
	}
	r.reopen()
	if info, _ := r.store.Info(h); info.Damaged || failed != 2 {
		t.Fatalf("the page was read %d times, the replica is damaged: %v", failed, info.Damaged)
	}
	r.wantImages(h, bedImages())
}
