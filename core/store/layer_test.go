package store

import (
	"fmt"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

func (r *rig) snap(h Handle, at block.Position, id, parent block.LayerID) message.Status {
	st := r.store.Append(r.now, h, message.Record{Position: at, Op: message.OpSnap, Layer: id, Parent: parent}, block.Buffer{}, &r.out)
	r.collect()
	return st
}

func (r *rig) delSnap(h Handle, at block.Position, id block.LayerID) {
	r.t.Helper()
	if st := r.store.Append(r.now, h, message.Record{Position: at, Op: message.OpDelSnap, Layer: id}, block.Buffer{}, &r.out); st != message.OK {
		r.t.Fatalf("delete snapshot %d: status %d", id, st)
	}
	r.collect()
}

func (r *rig) clone(n byte, blocks uint64, image Image) Handle {
	r.t.Helper()
	h, st := r.store.Create(r.now, block.ReplicaID{n}, block.VolumeID{n}, blocks, image, Meta{Complete: true}, r.next(), &r.out)
	if st != message.OK {
		r.t.Fatalf("clone: status %d", st)
	}
	r.settle()
	r.expect(RecordDone)
	return h
}

// image returns the stamps of a chunk's blocks as of a snapshot.
func (r *rig) image(h Handle, id block.LayerID, c block.Chunk) (stamps [block.PerChunk]uint64) {
	r.t.Helper()
	r.store.Read(r.now, h, id, block.Range{First: c.First(), Count: block.PerChunk}, r.next(), &r.out)
	r.settle()
	res := r.expect(ReadDone)
	if res.Status != message.OK {
		r.t.Fatalf("read of chunk %d of layer %d: status %d", c, id, res.Status)
	}
	for b := range stamps {
		data := res.Payload.Bytes()[b*r.size : (b+1)*r.size]
		if block.ChecksumOf(data) != res.Checksums[b] {
			r.t.Fatalf("block %d of chunk %d of layer %d: checksum does not match", b, c, id)
		}
		stamps[b] = le64(data)
	}
	res.Payload.Release()
	return stamps
}

// solid makes everything appended to h durable and stable.
func (r *rig) solid(h Handle) {
	r.sync(h)
	r.settle()
	r.stable(h, r.appendedSeq(h))
}

// home brings everything home.
func (r *rig) home() { r.wait(62e9) }

// bed makes a replica with three snapshots: what is in which layer is in its name.
//
//	block  0 1 2 3 4 5   16…31
//	10     a a a a . .   a
//	11     . b 0 . . .   .
//	12     . . . c c .   c at 18
//	head   . . . . d .   .
func (r *rig) bed(settle func()) Handle {
	r.t.Helper()
	h := r.create(1, 64)
	r.write(h, pos(1, 1), 0, 4)
	r.write(h, pos(1, 2), 16, 16)
	r.snap(h, pos(1, 3), 10, 0)
	r.write(h, pos(1, 4), 1, 1)
	r.zero(h, pos(1, 5), 2, 1)
	settle()
	r.snap(h, pos(1, 6), 11, 0)
	r.write(h, pos(1, 7), 3, 2)
	r.write(h, pos(1, 8), 18, 1)
	r.snap(h, pos(1, 9), 12, 0)
	r.write(h, pos(1, 10), 4, 1)
	r.settle()
	r.solid(h)
	settle()
	return h
}

// bedImages is what the first blocks of the bed's images hold.
func bedImages() map[block.LayerID][6]uint64 {
	at := func(seq int) uint64 { return stampOf(pos(1, seq)) }
	return map[block.LayerID][6]uint64{
		10: {at(1), at(1), at(1), at(1), 0, 0},
		11: {at(1), at(4), 0, at(1), 0, 0},
		12: {at(1), at(4), 0, at(7), at(7), 0},
		0:  {at(1), at(4), 0, at(7), at(10), 0},
	}
}

func (r *rig) wantImages(h Handle, want map[block.LayerID][6]uint64) {
	r.t.Helper()
	for id, stamps := range want { // any order: each is checked alone
		got := r.image(h, id, 0)
		for b, s := range stamps {
			if got[b] != s {
				r.t.Errorf("block %d of layer %d: stamp %x, want %x", b, id, got[b], s)
			}
		}
		second := r.image(h, id, 1)
		if want18 := stampOf(pos(1, 8)); (second[2] == want18) != (id == 0 || id == 12) || second[0] != stampOf(pos(1, 2)) {
			r.t.Errorf("chunk 1 of layer %d holds %x", id, second)
		}
	}
	if r.t.Failed() {
		r.t.FailNow()
	}
}

func TestEverySnapshotKeepsItsImage(t *testing.T) {
	for name, settle := range map[string]func(*rig){ // any order: each is tried alone
		"in the journal": func(*rig) {}, "at home": (*rig).home,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, small())
			h := r.bed(func() { settle(r) })
			r.wantImages(h, bedImages())
			r.reopen()
			r.wantImages(h, bedImages())
			r.solid(h)
			r.home()
			r.wantImages(h, bedImages())
			r.check()
			r.reopen()
			r.wantImages(h, bedImages())
			ids := ""
			for _, l := range r.store.Layers(h, nil) {
				ids += fmt.Sprintf(" %d@%d/%d", l.ID, l.Closed.Seq, l.Used)
			}
			if want := " 10@3/2 11@6/1 12@9/2 0@0/1"; ids != want {
				t.Errorf("layers are%s, want%s", ids, want)
			}
		})
	}
}

func TestDeletedSnapshotsLeaveEveryOtherImageAlone(t *testing.T) {
	for _, order := range [][]block.LayerID{{10, 11, 12}, {12, 11, 10}, {11, 12, 10}, {11, 10, 12}} {
		r := newRig(t, 1, small())
		h := r.bed(func() {})
		want := bedImages()
		for i, id := range order {
			r.delSnap(h, pos(1, 11+i), id)
			r.settle()
			delete(want, id)
			r.wantImages(h, want)
			r.solid(h)
			r.home()
			r.wantImages(h, want)
			r.check()
			r.reopen()
			r.wantImages(h, want)
		}
		r.home()
		if list := r.store.Layers(h, nil); len(list) != 1 || list[0].Used != 2 {
			t.Errorf("order %v left %+v, want a head of two chunks", order, list)
		}
		if r.marks["store: layer merged"] != 3 || r.marks["store: chunk merged"] == 0 {
			t.Errorf("order %v: marks %v", order, r.marks)
		}
	}
}

func TestClonesKeepWhatTheyStandOn(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.home()
	c := r.clone(2, 80, Image{From: h, Layer: 11})
	r.write(c, pos(7, 1), 5, 1)
	r.settle()
	image := bedImages()[11]
	image[5] = stampOf(pos(7, 1))
	wantClone := func() {
		t.Helper()
		got := r.image(c, 0, 0)
		for b, s := range image {
			if got[b] != s {
				t.Fatalf("block %d of the clone: stamp %x, want %x", b, got[b], s)
			}
		}
		if got := r.image(c, 0, 4); got != [block.PerChunk]uint64{} {
			t.Fatalf("the clone's end, which its image has not, holds %x", got)
		}
	}
	wantClone()
	r.solid(c)
	r.home()
	r.reopen()
	wantClone()
	r.wantImages(h, bedImages())
	r.delSnap(h, pos(1, 11), 11)
	r.settle()
	r.solid(h)
	r.home()
	wantClone() // two stand on it: it waits
	r.store.Delete(r.now, h, r.next(), &r.out)
	r.settle()
	wantClone()
	r.home()
	r.home()
	r.check()
	wantClone()
	r.reopen()
	r.home()
	wantClone()
	if list := r.store.Layers(c, nil); len(list) != 1 || list[0].Used != 2 {
		t.Errorf("the clone's layers are %+v, want its head alone", list)
	}
	r.store.Delete(r.now, c, r.next(), &r.out)
	r.settle()
	r.home()
	r.home()
	r.check()
	if n := len(r.store.layers) + len(r.store.dead); n != 0 {
		t.Errorf("%d layers are left without a replica", n)
	}
}

func TestVolumeGoesBackToASnapshotAndForwardAgain(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.snap(h, pos(1, 11), 13, 10) // the state before is kept as 13
	r.settle()
	want := bedImages()
	want[13], want[0] = want[0], want[10]
	check := func() {
		t.Helper()
		for id, stamps := range want { // any order: each is checked alone
			got := r.image(h, id, 0)
			for b, s := range stamps {
				if got[b] != s {
					t.Fatalf("block %d of layer %d: stamp %x, want %x", b, id, got[b], s)
				}
			}
		}
	}
	check()
	r.reopen()
	check()
	r.solid(h)
	r.home()
	r.reopen()
	check()
	for i, id := range []block.LayerID{13, 10, 12, 11} {
		r.delSnap(h, pos(1, 12+i), id)
		r.settle()
		delete(want, id)
		r.solid(h)
		r.home()
		check()
		r.check()
	}
	r.home()
	if list := r.store.Layers(h, nil); len(list) != 1 {
		t.Errorf("layers are %+v, want the head alone", list)
	}
}

func TestUnstableSnapshotIsUndoneByATruncation(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.write(h, pos(1, 1), 0, 2)
	r.settle()
	r.solid(h)
	r.home()
	r.snap(h, pos(1, 2), 10, 0)
	r.write(h, pos(1, 3), 0, 1)
	r.settle()
	r.sync(h)
	r.home() // it is parked: nobody said that it is stable
	r.reopen()
	if got := r.image(h, 10, 0); got[0] != stampOf(pos(1, 1)) {
		t.Fatalf("block 0 of the snapshot: stamp %x", got[0])
	}
	if _, st := r.store.imageOf(Image{From: h, Layer: 10}, 64); st != message.BehindSeq {
		t.Errorf("a clone of it: status %d", st)
	}
	if st := r.store.Truncate(r.now, h, 2, 1, r.next(), &r.out); st != message.OK {
		t.Fatalf("truncate: status %d", st)
	}
	r.settle()
	r.home()
	r.reopen()
	if list := r.store.Layers(h, nil); len(list) != 1 || r.stamp(h, 0) != stampOf(pos(1, 1)) {
		t.Errorf("layers are %+v, block 0 holds %x", list, r.stamp(h, 0))
	}
	r.snap(h, pos(2, 2), 10, 0)
	r.snap(h, pos(2, 3), 10, 0) // once more: nothing
	r.settle()
	if list := r.store.Layers(h, nil); len(list) != 2 {
		t.Errorf("layers are %+v, want a snapshot and a head", list)
	}
}

func TestSnapshotsAreBounded(t *testing.T) {
	r := newRig(t, 1, large())
	h := r.create(1, 64)
	taken := 0
	for seq := 1; seq < 300; seq++ {
		if r.snap(h, pos(1, seq), block.LayerID(100+seq), 0) != message.OK {
			break
		}
		taken++
	}
	if taken != layersMax {
		t.Errorf("%d snapshots were taken, the bound is %d", taken, layersMax)
	}
	r.settle()
	r.solid(h)
	r.home()
	r.reopen()
	if n := len(r.store.Layers(h, nil)); n != layersMax+1 {
		t.Errorf("%d layers are there", n)
	}
	if st := r.snap(h, pos(1, taken+1), 1, 0); st != message.NoSpace {
		t.Errorf("one more: status %d", st)
	}
	r.delSnap(h, pos(1, taken+1), 101)
	r.settle()
	if st := r.snap(h, pos(1, taken+2), 1, 0); st != message.OK {
		t.Errorf("one more, after a deletion: status %d", st)
	}
}
