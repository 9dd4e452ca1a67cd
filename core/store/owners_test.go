package store

import (
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store/format"
)

// What no crash and no decay of the medium brings about, only a fault of this
// program: the disk is refused rather than that one volume reads another's data.
func TestDiskWithASlotOfTwoOwnersIsRefused(t *testing.T) {
	r := newRig(t, 1, small())
	a, b := r.create(1, 64), r.create(2, 64)
	for _, h := range []Handle{a, b} {
		if st := r.write(h, pos(1, 1), 16, block.PerChunk); st != message.OK {
			t.Fatalf("append: status %d", st)
		}
		r.settle()
		if h == a { // forget that it is used: the next one gets the same
			slot := r.store.index.Version(r.store.index.Chunk(0).Newest).Slot
			r.store.slots.Return(slot)
			r.store.replica(b).head.hint = slot
		}
	}
	r.sync(b)
	r.settle()
	r.open()
	if res := r.expect(Failed); !strings.Contains(res.Text, "two owners") {
		t.Errorf("the disk was refused with %q", res.Text)
	}
}

func TestReplicaWithALeafOfTwoPlacesIsDamaged(t *testing.T) {
	r := newRig(t, 1, small())
	other := r.create(2, 64)
	h := r.create(1, 4096)
	r.durable(h, 1, 1, 2)
	r.stable(h, 2)
	r.home()
	tree := r.store.replica(h).head.tree
	tree.setChild(1, tree.child(0))
	r.write(h, pos(1, 3), 2*format.LeafChunks*block.PerChunk, 1) // leaf 0 stays where it is
	r.settle()
	r.solid(h)
	r.home()
	r.open()
	r.expect(Opened)
	if info, _ := r.store.Info(h); !info.Damaged {
		t.Errorf("%+v, want it damaged", info)
	}
	if info, _ := r.store.Info(other); info.Damaged {
		t.Errorf("the other replica is %+v, want it whole", info)
	}
}
