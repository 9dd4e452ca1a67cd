package store

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/volume"
)

// scrubbed scrubs to the end and returns what is said to be lost.
func (r *rig) scrubbed() (rotten []Result) {
	r.t.Helper()
	at := volume.ScrubCursor{}
	for !ScrubEnded(at) {
		r.store.Scrub(r.now, at, 1<<20, r.next(), &r.out)
		r.settle()
		at = r.expect(ScrubDone).Scrub
	}
	for _, res := range r.results {
		if res.Kind == Rotten {
			rotten = append(rotten, res)
		}
	}
	return rotten
}

// openPinned opens the disk anew and pins the layers of h before anything is merged.
func (r *rig) openPinned(h Handle) {
	r.t.Helper()
	r.fresh()
	r.store.Open(r.now, int64(len(r.disk.data)), &r.out)
	for r.store.phase != phaseOpen && r.step() {
	}
	r.expect(Opened)
	r.store.Pin(h)
}

// ripe makes everything appended to h durable and stable, and lets the journal say so.
func (r *rig) ripe(h Handle) {
	r.t.Helper()
	for range 3 {
		r.settle()
		r.solid(h)
		r.store.Append(r.now, h, message.Record{Position: r.after(h), Op: message.OpNop}, block.Buffer{}, &r.out)
	}
	r.settle()
}

// rot damages a block of chunk 0 at home in a layer.
func (r *rig) rot(layer uint32, b int) {
	r.t.Helper()
	d := r.store.leaves.peek(r.store.byNumber[layer].tree, 0)
	if d == nil || d.State(b) != format.Present {
		r.t.Fatalf("layer %d has no block %d: %+v", layer, b, d)
	}
	r.disk.data[r.store.slotAddress(d.Slot)+int64(b*r.size)] ^= 1
}

// A store that dies while it merges has written blocks of the upper layer to the slots of
// the lower, and brings them home elsewhere after its restart: what it wrote there
// before is read by nobody, and is no loss.
func TestWhatNobodyReadsOfALayerThatIsMergedIsNoLoss(t *testing.T) { // found by seed 0x2e of the simulation
	for name, merge := range map[string]func(*rig, Handle) Handle{ // any order: each has a disk of its own
		"its origin is deleted": func(r *rig, h Handle) Handle {
			r.write(h, pos(1, 3), 3, 4)
			r.snap(h, pos(1, 4), 11, 0)
			r.ripe(h)
			clone := r.clone(2, 64, Image{From: h, Layer: 11})
			r.delSnap(h, r.after(h), 10)
			r.ripe(h)
			r.wait(2 * calmAfter)
			r.store.Delete(r.now, h, r.next(), &r.out)
			r.settle()
			return clone
		},
		"a second snapshot on it is deleted": func(r *rig, h Handle) Handle {
			r.write(h, pos(1, 3), 1, 1)
			r.snap(h, pos(1, 4), 11, 10) // back to it
			r.delSnap(h, pos(1, 5), 11)
			r.delSnap(h, pos(1, 6), 10)
			r.ripe(h)
			r.wait(2 * calmAfter)
			r.write(h, r.after(h), 3, 4)
			r.ripe(h)
			r.wait(2 * calmAfter)
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, small())
			h := r.create(1, 64)
			r.write(h, pos(1, 1), 0, block.PerChunk)
			r.snap(h, pos(1, 2), 10, 0)
			r.settle()
			r.solid(h)
			r.home()
			lowest := r.store.replica(h).snapshots[0].number
			h = merge(r, h)
			if r.store.byNumber[lowest] != nil {
				t.Fatal("the lowest layer is not merged")
			}
			r.openPinned(h) // no root has it merged
			if lost := r.scrubbed(); len(lost) != 0 {
				t.Errorf("said to be lost: %+v", lost)
			}
			if err := examine(r.disk.data).Err(); err != nil {
				t.Error(err)
			}
			r.write(h, r.after(h), 7, 1) // and may still be taken back
			r.settle()
			r.rot(lowest, 4)
			r.rot(lowest, 7)
			if lost := r.scrubbed(); len(lost) != 1 || lost[0].Handle != h || lost[0].Bad != 1<<7 {
				t.Errorf("said to be lost: %+v, want block 7", lost)
			}
		})
	}
}
