package store

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// present asks which blocks of chunk 0 may have data, and insists that no data is read.
func (r *rig) present(h Handle, id block.LayerID) uint16 {
	r.t.Helper()
	r.store.Map(r.now, h, id, block.Range{Count: block.PerChunk}, r.next(), &r.out)
	r.settle()
	res := r.expect(ReadDone)
	if res.Status != message.OK || !res.Payload.Empty() {
		r.t.Fatalf("status %d with %d bytes", res.Status, res.Payload.Len())
	}
	return res.Content.Present
}

func TestMapKnowsWhatIsWrittenZeroedAndShownThrough(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 1024)
	for _, home := range []bool{false, true} {
		at := r.after(h)
		do := func(st message.Status) {
			t.Helper()
			if st != message.OK {
				t.Fatalf("status %d", st)
			}
			r.settle()
			at.Seq++
		}
		do(r.write(h, at, 3, 2))
		do(r.snap(h, at, block.LayerID(at.Seq), 0))
		snapshot := block.LayerID(at.Seq - 1)
		do(r.write(h, at, 7, 1))
		do(r.zero(h, at, 3, 1))
		if home {
			r.sync(h)
			r.settle()
			r.stable(h, at.Seq-1)
			r.home()
			r.reopen()
		}
		if got := r.present(h, 0); got != 1<<4|1<<7 {
			t.Errorf("at home %v: the volume has %#x", home, got)
		}
		got := r.present(h, snapshot)
		if got &^= 1 << 7; got != 1<<3|1<<4 { // of the second round, block 7 is the first's
			t.Errorf("at home %v: the snapshot has %#x", home, got)
		}
	}
}
