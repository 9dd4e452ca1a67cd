package storetest

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/sim/disk"
	"github.com/lagan-storage/lagan/sim/fsck"
)

// beginRepair gives a block of a snapshot its data back. How that ended is there
// once it has.
func (m *Machine) beginRepair(id block.LayerID, b block.Block, data block.Buffer) (ended *repairEnd) {
	ended = &repairEnd{}
	token := m.token(func(res *store.Result) { *ended = repairEnd{over: true, status: res.Status} })
	m.log("repair block %d of snapshot %d", b, id)
	m.store.(*store.Store).Repair(m.now, m.replicas[0].handle, id, b, block.ChecksumOf(data.Bytes()), data, token, &m.out)
	m.settle()
	return ended
}

type repairEnd struct {
	over   bool
	status message.Status
}

// snapshot returns the first one that there is.
func (m *Machine) snapshot() block.LayerID {
	s := m.replicas[0].after(len(m.replicas[0].log)).strata
	return s.ids()[0]
}

// heldBy is what a block of a snapshot holds.
func (m *Machine) heldBy(id block.LayerID, b block.Block) block.Buffer {
	r := m.replicas[0]
	s := r.after(len(r.log)).strata
	return m.content(r, block.Range{First: b, Count: 1}, s.image(id)[b])
}

// repair is beginRepair with the right data, until it has ended.
func (m *Machine) repair(t *testing.T, id block.LayerID, b block.Block, want message.Status) {
	t.Helper()
	ended := m.beginRepair(id, b, m.heldBy(id, b))
	if m.Drain(); !ended.over || ended.status != want {
		t.Fatalf("the repair of block %d ended: %v, with status %d, want %d\n%s", b, ended.over, ended.status, want, m.Trace())
	}
}

// placeOf finds where a disk has a block of a snapshot at home.
func placeOf(t *testing.T, m *Machine, id block.LayerID, b block.Block) int64 {
	t.Helper()
	r := m.replicas[0]
	s := r.after(len(r.log)).strata
	want := s.image(id)[b]
	data := make([]byte, blockSize)
	for at := int64(homeAt); at+blockSize <= capacity; at += blockSize {
		raw(t, m, diskRead, at, data)
		if got, ok := stampOf(r.pattern, b, data); ok && got == want {
			return at
		}
	}
	t.Fatalf("block %d is nowhere on the disk\n%s", b, m.Trace())
	return 0
}

// gives insists that a block of a snapshot can be read, and holds what it should.
func (m *Machine) gives(t *testing.T, id block.LayerID, b block.Block) {
	t.Helper()
	m.refused = 0
	m.ReadImage(0, id, block.Range{First: b, Count: 1})
	m.Drain()
	healthy(t, m)
	if m.refused > 0 {
		t.Fatalf("block %d of the snapshot is lost\n%s", b, m.Trace())
	}
}

// A repair takes no record. Wherever it is cut off, the block is lost or good, the
// disk is in order, and the next repair is the last.
func TestRepairOfASnapshotMayBeCutOffAnywhere(t *testing.T) {
	t.Parallel()
	m := inOrder(t)
	id := m.snapshot()
	const lost, covered = 3, 9 // the head has the first as well
	places := []int64{placeOf(t, m, id, lost), placeOf(t, m, id, covered)}
	f := damagedBy(t, m, func(f *Machine) {
		for _, at := range places {
			f.disk.Rot(at+7, 1)
		}
	})
	cuts := 0
	for _, cut := range []Crash{{}, {Power: true, Loss: disk.LoseAll}, {Power: true, Loss: disk.LossDrawn}} {
		for _, b := range []block.Block{lost, covered} {
			for n, over := 0, false; !over; n++ {
				g := f.fork(uint64(n))
				g.Crash(Crash{})
				ended := g.beginRepair(id, b, g.heldBy(id, b))
				g.Run(n)
				over = ended.over
				g.Crash(cut)
				g.ReadImage(0, id, block.Range{First: b, Count: 1})
				g.Drain()
				healthy(t, g)
				g.repair(t, id, b, message.OK)
				g.gives(t, id, b)
				g.Idle(62 * time.Second)
				g.Crash(Crash{Power: true, Loss: disk.LoseAll})
				g.gives(t, id, b)
				if err := fsck.Check(g.disk); err != nil {
					t.Fatal(err)
				}
				cuts++
			}
		}
	}
	if cuts < 12 {
		t.Errorf("%d repairs were cut off", cuts)
	}
}

func TestRepairLeavesWhatIsGoodAlone(t *testing.T) {
	t.Parallel()
	m := inOrder(t)
	id := m.snapshot()
	before := len(m.operations)
	m.repair(t, id, 3, message.OK)
	for _, op := range m.operations[before:] {
		if op.kind == diskWrite {
			t.Errorf("%d bytes were written at %d", op.length, op.offset)
		}
	}
	m.gives(t, id, 3)
}

// Data with another checksum than the block had is not what it held.
func TestRepairWithOtherDataIsRefused(t *testing.T) {
	t.Parallel()
	m := inOrder(t)
	id := m.snapshot()
	at := placeOf(t, m, id, 3)
	f := damagedBy(t, m, func(f *Machine) { f.disk.Rot(at+7, 1) })
	data := f.content(f.replicas[0], block.Range{First: 3, Count: 1}, 12345)
	ended := f.beginRepair(id, 3, data)
	if f.Drain(); ended.status != message.Corrupt {
		t.Errorf("status %d, want Corrupt", ended.status)
	}
	f.refused = 0
	f.ReadImage(0, id, block.Range{First: 3, Count: 1})
	f.Drain()
	healthy(t, f)
	if f.refused != 1 {
		t.Error("the block was read")
	}
}
