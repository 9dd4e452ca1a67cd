package store

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// measure counts everything that is to be counted, and returns how many calls it took.
func (r *rig) measure() (calls int) {
	r.t.Helper()
	for {
		calls++
		r.store.Measure(r.now, r.next(), &r.out)
		r.settle()
		switch res := r.expect(MeasureDone); {
		case res.Status != message.OK:
			r.t.Fatalf("measure: status %d", res.Status)
		case res.Cursor == 0:
			return calls
		}
	}
}

// usage returns what h takes and what its snapshots do, in chunks.
func (r *rig) usage(h Handle) (whole volume.Usage, snapshots map[block.LayerID]volume.Usage) {
	r.t.Helper()
	whole, snapshots, known := r.store.Usage(h)
	if !known {
		r.t.Fatal("no such replica")
	}
	chunk := int64(block.PerChunk * r.size)
	in := func(u volume.Usage) volume.Usage {
		return volume.Usage{Used: u.Used / chunk, Exclusive: u.Exclusive / chunk, Shared: u.Shared / chunk}
	}
	for id, u := range snapshots { // any order: each is changed alone
		snapshots[id] = in(u)
	}
	return in(whole), snapshots
}

// wantTallies counts on, and then everything anew, which must make no difference.
func (r *rig) wantTallies() {
	r.t.Helper()
	r.measure()
	kept := make(map[uint32]uint64)
	for _, l := range r.store.layers {
		if slots, known := l.exclusive(); known {
			kept[l.number] = slots
		}
		l.dropTally()
	}
	r.measure()
	for _, l := range r.store.layers {
		slots, known := l.exclusive()
		if was, before := kept[l.number]; known != before || was != slots {
			r.t.Fatalf("layer %d has %d slots of its own (known: %v), counted as it changed %d (known: %v)", l.number, slots, known, was, before)
		}
	}
}

func TestUsageOfASnapshotIsWhatItsDeletionFrees(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.home()
	r.reopen() // no leaf is in memory
	clone := r.clone(2, 64, Image{From: h, Layer: 12})
	r.measure()
	_, snapshots := r.usage(h)
	for id, want := range map[block.LayerID]volume.Usage{ // any order: each is judged alone
		10: {Used: 2, Exclusive: 1, Shared: 1}, // chunk 0 is in 11 too
		11: {Used: 1, Exclusive: 1},
		12: {Used: 2, Shared: 2}, // two stand on it
	} {
		if snapshots[id] != want {
			t.Errorf("snapshot %d: %+v, want %+v", id, snapshots[id], want)
		}
	}
	r.store.Delete(r.now, clone, r.next(), &r.out)
	r.settle()
	for i, id := range []block.LayerID{11, 12, 10} {
		r.measure()
		before, snapshots := r.usage(h)
		r.delSnap(h, pos(1, 11+i), id)
		r.settle()
		r.solid(h)
		r.home()
		after, _ := r.usage(h)
		if freed := before.Used - after.Used; freed != snapshots[id].Exclusive {
			t.Errorf("the deletion of %d freed %d chunks, exclusive were %d", id, freed, snapshots[id].Exclusive)
		}
	}
}

func TestSnapshotIsNotCountedBeforeItIsMeasured(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.home()
	if _, snapshots := r.usage(h); len(snapshots) != 0 {
		t.Errorf("%+v", snapshots)
	}
	r.measure()
	if _, snapshots := r.usage(h); len(snapshots) != 3 {
		t.Errorf("%+v", snapshots)
	}
}

// What a clone and its origin both read is shared, until only one of them does.
func TestUsageOfAReplicaIsWhatItReads(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.bed(func() {})
	r.solid(h)
	r.home()
	clone := r.clone(2, 64, Image{From: h, Layer: 11})
	r.write(clone, pos(1, 1), 40, 1)
	r.settle()
	r.solid(clone)
	r.home()
	for handle, want := range map[Handle]volume.Usage{ // any order: each is judged alone
		h:     {Used: 6, Exclusive: 3, Shared: 3}, // 12 and the head; 10 and 11
		clone: {Used: 4, Exclusive: 1, Shared: 3},
	} {
		if got, _ := r.usage(handle); got != want {
			t.Errorf("replica %d: %+v, want %+v", handle, got, want)
		}
	}
	r.store.Delete(r.now, h, r.next(), &r.out)
	r.settle()
	r.home()
	if got, snapshots := r.usage(clone); got != (volume.Usage{Used: 3, Exclusive: 3}) || len(snapshots) != 0 {
		t.Errorf("without its origin the clone has %+v, snapshots %v", got, snapshots)
	}
}

// Counting on reads what changed and nothing else.
func TestMeasureReadsWhatChanged(t *testing.T) {
	const leaves = 40
	r := newRig(t, 1, Geometry{Capacity: 32 << 20, BlockSize: 64, JournalBytes: 512 << 10})
	h := r.create(1, leaves*leafBlocks)
	seq := 0
	write := func(leaf int) {
		seq++
		r.write(h, pos(1, seq), block.Block(leaf*leafBlocks), block.PerChunk)
		r.settle()
	}
	for leaf := range leaves {
		write(leaf)
	}
	seq++
	r.snap(h, pos(1, seq), 10, 0)
	for leaf := range leaves / 2 {
		write(leaf)
	}
	r.solid(h)
	r.home()
	r.reopen()
	reads := func() (n int) {
		r.disk.log = nil
		r.measure()
		for _, op := range r.disk.log {
			if op.Kind == step.DiskRead {
				n++
			}
		}
		return n
	}
	want := func(what string, got, most int, exclusive int64) {
		t.Helper()
		if _, snapshots := r.usage(h); got > most || snapshots[10].Exclusive != exclusive || snapshots[10].Used != leaves {
			t.Errorf("%s: %d reads, want %d at most; %+v, want %d exclusive", what, got, most, snapshots[10], exclusive)
		}
	}
	want("all is new", reads(), leaves, leaves/2)
	want("nothing changed", reads(), 0, leaves/2)
	write(leaves - 1)
	r.solid(h)
	r.home()
	want("one leaf changed", reads(), 2, leaves/2+1)
	r.zero(h, pos(1, seq+1), 0, block.PerChunk) // it is still overwritten
	r.settle()
	r.solid(h)
	r.home()
	want("one is zero", reads(), 0, leaves/2+1)
}

// leafBlocks is how many blocks a leaf describes.
const leafBlocks = 48 * block.PerChunk
