package store

import (
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// durable appends writes of one block each and makes them durable.
func (r *rig) durable(h Handle, era, first, last int) {
	r.t.Helper()
	for i := first; i <= last; i++ {
		if st := r.write(h, pos(era, i), blockAt(uint64(i)), 1); st != message.OK {
			r.t.Fatalf("append %d: status %d", i, st)
		}
		r.settle()
	}
	r.sync(h)
	r.settle()
}

func TestNothingGoesHomeBeforeASealedBatchSaysItIsDurable(t *testing.T) { // rules 1, 2, 3
	r := newRig(t, 1, small())
	h := r.create(1, 256)
	r.write(h, pos(1, 1), 1, 1)
	r.settle()
	r.wait(5 * time.Minute)
	home := func(op step.DiskOp) bool {
		return op.Kind == step.DiskWrite && op.Offset >= r.store.slotBase && !r.store.metaAt(op.Offset)
	}
	r.disk.log = nil
	r.stable(h, 1)
	r.wait(time.Second * 3)
	story := ""
	for _, op := range r.disk.log {
		switch {
		case op.Kind == step.DiskSync:
			story += "s"
		case home(op):
			story += "h"
		case op.Kind == step.DiskWrite:
			story += "j"
		}
	}
	if got := r.stamp(h, 1); got != stampOf(pos(1, 1)) {
		t.Fatalf("stamp %x", got)
	}
	if at := strings.Index(story, "h"); at < 0 || !strings.Contains(story[:at], "js") {
		t.Fatalf("trace %q: want a journal write and a sync before the home write", story)
	}
}

// metaAt reports whether an address lies in a slot of metadata pages.
func (s *Store) metaAt(address int64) bool {
	_, ok := s.pages.used[s.slotAt(address)]
	return ok
}

func TestUnstableRecordsNeverPinTheTailAndCanBeDropped(t *testing.T) { // rules 4, 5, 7
	r := newRig(t, 1, small())
	h := r.create(1, 256)
	r.durable(h, 1, 1, 20)
	r.stable(h, 10)
	r.zero(h, pos(1, 21), 5, 1)
	r.settle()
	r.write(h, pos(1, 22), 32, 16)
	r.settle()
	r.wait(2 * time.Minute)
	if r.marks["store: park"] == 0 || r.store.journal.tail == 0 {
		t.Fatalf("nothing was parked, the tail is at %d", r.store.journal.tail)
	}
	for range 2 {
		r.reopen()
		if info, _ := r.store.Info(h); info.LastAccepted != pos(1, 22) || info.Stable != 10 {
			t.Fatalf("after recovery: %+v", info)
		}
		if got := r.stamp(h, 15); got != stampOf(pos(1, 15)) {
			t.Fatalf("block 15: stamp %x", got)
		}
		if got := r.stamp(h, 5); got != 0 {
			t.Fatalf("block 5: stamp %x, it was zeroed", got)
		}
	}
	if st := r.store.Truncate(r.now, h, 2, 9, r.next(), &r.out); st != message.BelowStable {
		t.Fatalf("truncate below stable: status %d", st)
	}
	if st := r.store.Truncate(r.now, h, 2, 12, r.next(), &r.out); st != message.OK {
		t.Fatalf("truncate: status %d", st)
	}
	r.settle()
	r.expect(RecordDone)
	for range 2 {
		if info, _ := r.store.Info(h); info.LastAccepted != pos(1, 12) {
			t.Fatalf("after truncation: %+v", info)
		}
		for b, want := range map[block.Block]uint64{12: stampOf(pos(1, 12)), 13: 0, 5: stampOf(pos(1, 5)), 33: 0} { // any order: each is checked alone
			if got := r.stamp(h, b); got != want {
				t.Fatalf("block %d: stamp %x, want %x", b, got, want)
			}
		}
		r.wait(2 * time.Minute)
		r.check()
		r.reopen()
	}
	if st := r.write(h, pos(2, 13), 13, 1); st != message.OK {
		t.Fatalf("append after truncation: status %d", st)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.durable(h, 2, 1, 2)
	data := r.fill(1, 0, 1)
	bad := message.Record{Position: pos(2, 3), Op: message.OpWrite, Range: block.Range{First: 1, Count: 1}}
	for _, c := range []struct {
		name string
		got  message.Status
		want message.Status
	}{
		{"a gap", r.write(h, pos(2, 4), 0, 1), message.WrongState},
		{"a repeated seq", r.write(h, pos(2, 2), 0, 1), message.WrongState},
		{"an older era", r.write(h, pos(1, 3), 0, 1), message.WrongState},
		{"beyond the end", r.write(h, pos(2, 3), 64, 1), message.WrongState},
		{"across chunks", r.write(h, pos(2, 3), 15, 2), message.WrongState},
		{"no such replica", r.write(99, pos(1, 1), 0, 1), message.NoReplica},
		{"a wrong checksum", r.store.Append(r.now, h, bad, block.NewSlab(data, nil).Buffer(len(data)), &r.out), message.Corrupt},
	} {
		if c.got != c.want {
			t.Errorf("%s: status %d, want %d", c.name, c.got, c.want)
		}
	}
	if st := r.write(h, pos(2, 3), 3, 1); st != message.OK {
		t.Errorf("the right record: status %d", st)
	}
}

// superPage returns a copy of the superblock.
func (r *rig) superPage(i int) []byte {
	return r.disk.data[i*format.SuperblockStride:][:format.PageSize]
}

func TestTwoAgreeingSuperblocksAreEnough(t *testing.T) { // rule 12
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.durable(h, 1, 1, 3)
	clear(r.superPage(0))
	r.superPage(2)[200] ^= 1
	r.reopen()
	if got := r.stamp(h, 3); got != stampOf(pos(1, 3)) {
		t.Fatalf("stamp %x", got)
	}
	for i := range format.SuperblockCopies {
		if _, err := format.DecodeSuperblock(r.superPage(i), int64(i)*format.SuperblockStride); err != nil {
			t.Errorf("copy %d was not written anew: %v", i, err)
		}
	}
}

func TestUnusableSuperblocksAreNamed(t *testing.T) {
	for _, c := range []struct {
		name, want string
		damage     func(r *rig)
	}{
		{"erased", "not a Lagan disk", func(r *rig) {
			for i := range format.SuperblockCopies {
				clear(r.superPage(i))
			}
		}},
		{"one left", "whole, but alone", func(r *rig) {
			for i := range 3 {
				clear(r.superPage(i))
			}
		}},
		{"misplaced", "another place", func(r *rig) {
			for i := 1; i < format.SuperblockCopies; i++ {
				copy(r.superPage(i), r.superPage(0))
			}
		}},
		{"one far ahead", "older image", func(r *rig) {
			s := r.store.super
			s.Sequence += 7
			s.Settled = s.Sequence - 1
			s.Encode(r.superPage(3), 3*format.SuperblockStride)
		}},
		{"cut short", "cut short", func(r *rig) { r.disk.data = r.disk.data[:len(r.disk.data)-4096] }},
	} {
		r := newRig(t, 1, small())
		c.damage(r)
		r.open()
		if res := r.expect(Failed); !strings.Contains(res.Text, c.want) {
			t.Errorf("%s: %q does not say %q", c.name, res.Text, c.want)
		}
	}
}

// Openings that fail each leave one newer copy behind; nothing was ever settled
// that is lost.
func TestUnfinishedOpeningsDoNotLookLikeAnOlderImage(t *testing.T) {
	r := newRig(t, 1, small())
	s := r.store.super
	s.Sequence += 7
	s.Encode(r.superPage(3), 3*format.SuperblockStride)
	r.reopen()
}

// Openings whose syncs fail leave superblocks that a read shows and the disk
// may not have; what it has must outlast any number of them.
func TestFailedOpeningsLeaveASuperblockThatIsDurable(t *testing.T) { // rule 12
	for seed := range uint64(100) {
		r := newRig(t, seed, small())
		for range 1 + seed%4 {
			r.disk.fail = func(op step.DiskOp) bool { return op.Kind == step.DiskSync && r.random.IntN(3) > 0 }
			r.open()
		}
		r.disk.fail = nil
		r.disk.powerLoss(r.random)
		r.reopen()
	}
}

func TestWriteAndSyncErrorsStopTheStore(t *testing.T) { // rule 11
	for _, kind := range []step.DiskKind{step.DiskWrite, step.DiskSync} {
		r := newRig(t, 1, small())
		h := r.create(1, 64)
		r.durable(h, 1, 1, 3)
		r.disk.fail = func(op step.DiskOp) bool { return op.Kind == kind }
		r.write(h, pos(1, 4), 4, 1)
		r.sync(h)
		r.settle()
		r.expect(Failed)
		for _, res := range r.results {
			if res.Kind == Durable && res.Position.Seq == 4 {
				t.Error("a record is durable by a sync that failed")
			}
		}
		if st := r.write(h, pos(1, 5), 4, 1); st != message.DiskFailed {
			t.Errorf("append to a failed store: status %d", st)
		}
		r.disk.fail = nil
		r.reopen()
		if got := r.stamp(h, 3); got != stampOf(pos(1, 3)) {
			t.Errorf("stamp %x", got)
		}
	}
}

func TestReadErrorHurtsOnlyThatRead(t *testing.T) {
	r := newRig(t, 1, large())
	h := r.create(1, 64)
	r.durable(h, 1, 1, 3)
	v := r.store.index.Version(r.store.index.Chunk(0).Newest)
	r.disk.badRead[v.At] = true
	if res, _ := r.read(h, 3, 1); res.Status != message.DiskFailed {
		t.Fatalf("status %d, want DiskFailed", res.Status)
	}
	if got := r.stamp(h, 2); got != stampOf(pos(1, 2)) {
		t.Fatalf("stamp %x", got)
	}
	r.stable(h, 3)
	r.wait(2 * time.Minute) // what cannot be read goes home as bad and pins nothing (rule 20)
	clear(r.disk.badRead)
	if res, _ := r.read(h, 3, 1); res.Status != message.Corrupt {
		t.Fatalf("status %d of a block that was lost, want Corrupt", res.Status)
	}
	r.durable(h, 1, 4, 4)
	r.write(h, pos(1, 5), 3, 1)
	r.settle()
	if got := r.stamp(h, 3); got != stampOf(pos(1, 5)) {
		t.Fatalf("stamp %x after overwriting", got)
	}
}

// What two bad reads of a block show is for good, and nothing else is: not a bad
// one of it and one of its neighbour.
func TestBlockIsLostOnlyIfBothReadsOfItAreBad(t *testing.T) {
	r := newRig(t, 1, large())
	h := r.create(1, 64)
	r.durable(h, 1, 1, 3)
	newest := r.store.index.Chunk(0).Newest
	once, later := r.store.index.Version(newest).At, r.store.index.Version(r.store.index.Older(newest)).At
	reads := map[int64]int{}
	r.disk.fail = func(op step.DiskOp) bool {
		if op.Kind != step.DiskRead {
			return false
		}
		reads[op.Offset]++
		bad := op.Offset == once && reads[once] == 1 || op.Offset == later && reads[later] == 2
		if bad {
			clear(op.Pieces[0].Bytes()) // what an error leaves in memory is anything
		}
		return bad
	}
	r.stable(h, 3)
	r.wait(2 * time.Minute)
	if r.marks["store: read a second time"] == 0 {
		t.Fatal("every read went well")
	}
	for b := range 3 {
		if got := r.stamp(h, block.Block(b+1)); got != stampOf(pos(1, b+1)) {
			t.Fatalf("stamp %x of block %d", got, b+1)
		}
	}
}

func TestRotAtHomeIsCorruptUntilOverwritten(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.durable(h, 1, 1, 9)
	r.stable(h, 9)
	r.wait(2 * time.Minute)
	d := r.store.leaves.peek(r.store.replica(h).head.tree, 0)
	r.disk.data[r.store.slotAddress(d.Slot)+4*64] ^= 1
	if res, _ := r.read(h, 4, 1); res.Status != message.Corrupt {
		t.Fatalf("status %d, want Corrupt", res.Status)
	}
	if got := r.stamp(h, 5); got != stampOf(pos(1, 5)) {
		t.Fatalf("stamp %x of its neighbour", got)
	}
	r.write(h, pos(1, 10), 4, 1)
	r.settle()
	if got := r.stamp(h, 4); got != stampOf(pos(1, 10)) {
		t.Fatalf("stamp %x after overwriting", got)
	}
}

// batchAt returns the device address of the newest batch with data of h.
func (r *rig) batches() (at []int64) {
	s := r.store
	for offset := int64(format.JournalOffset); offset < format.JournalOffset+s.super.Journal.Length; offset += format.PageSize {
		if _, err := format.DecodeHeader(r.disk.data[offset:], s.super.Pool, offset); err == nil {
			at = append(at, offset)
		}
	}
	return at
}

func TestCorruptionBelowDurableIsNoTornTail(t *testing.T) { // rule 10
	r := newRig(t, 1, small())
	a, b := r.create(1, 64), r.create(2, 64)
	r.durable(a, 1, 1, 1)
	r.durable(a, 1, 2, 2)
	hole := r.batches()
	r.durable(a, 1, 3, 3)
	r.durable(b, 1, 1, 1)
	r.durable(b, 1, 2, 2)
	clear(r.disk.data[hole[len(hole)-1]:][:format.PageSize])
	r.reopen()
	ia, _ := r.store.Info(a)
	ib, _ := r.store.Info(b)
	if !ia.Damaged || ia.LastAccepted != pos(1, 1) {
		t.Errorf("the replica with the hole: %+v", ia)
	}
	if ib.Damaged || ib.LastAccepted != pos(1, 2) {
		t.Errorf("the replica without: %+v", ib)
	}
	if st := r.write(a, pos(1, 2), 1, 1); st != message.WrongState {
		t.Errorf("append to a damaged replica: status %d", st)
	}
	r.wait(2 * time.Minute)
	r.reopen()
	if ia, _ := r.store.Info(a); !ia.Damaged || ia.LastAccepted != pos(1, 1) {
		t.Errorf("the damage was forgotten: %+v", ia)
	}
	r.store.Reset(r.now, a, 0, Meta{Resync: 1}, r.next(), &r.out)
	r.settle()
	r.expect(RecordDone)
	if st := r.write(a, pos(3, 1), 1, 1); st != message.OK {
		t.Errorf("append after a reset: status %d", st)
	}
	r.settle()
	r.reopen()
	if ia, _ := r.store.Info(a); ia.Damaged || ia.LastAccepted != pos(3, 1) {
		t.Errorf("after the reset: %+v", ia)
	}
}

func TestRotInADurableBatchCostsThatBlockOnly(t *testing.T) { // rule 10, 20
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.durable(h, 1, 1, 1)
	rotten := r.batches()
	r.durable(h, 1, 2, 3)
	r.disk.data[rotten[len(rotten)-1]+format.PageSize] ^= 1
	r.reopen()
	for range 2 {
		if info, _ := r.store.Info(h); info.LastAccepted != pos(1, 3) {
			t.Fatalf("%+v", info)
		}
		if res, _ := r.read(h, 1, 1); res.Status != message.Corrupt {
			t.Fatalf("status %d of the rotten block", res.Status)
		}
		if got := r.stamp(h, 2); got != stampOf(pos(1, 2)) {
			t.Fatalf("stamp %x", got)
		}
		r.stable(h, 3)
		r.wait(2 * time.Minute) // home, as a bad block
	}
}

func TestTornTailIsCut(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.durable(h, 1, 1, 2)
	r.write(h, pos(1, 3), 3, 1)
	r.settle()
	at := r.batches()
	r.disk.data[at[len(at)-1]+format.PageSize] ^= 1
	r.reopen()
	if info, _ := r.store.Info(h); info.LastAccepted != pos(1, 2) || info.Damaged {
		t.Fatalf("%+v", info)
	}
	if got := r.stamp(h, 3); got != 0 {
		t.Fatalf("stamp %x of a torn write", got)
	}
}

func TestALostLeafDamagesItsReplicaOnly(t *testing.T) {
	r := newRig(t, 1, small())
	a, b := r.create(1, 64), r.create(2, 64)
	r.durable(a, 1, 1, 3)
	r.durable(b, 1, 1, 3)
	r.stable(a, 3)
	r.stable(b, 3)
	r.wait(2 * time.Minute)
	page := r.store.replica(a).head.tree.child(0).Page
	r.disk.data[r.store.pageAddress(page)+100] ^= 1
	r.open()
	r.expect(Opened)
	if res, _ := r.read(a, 1, 1); res.Status != message.Corrupt {
		t.Fatalf("status %d", res.Status)
	}
	if got := r.stamp(b, 1); got != stampOf(pos(1, 1)) {
		t.Fatalf("stamp %x", got)
	}
	if info, _ := r.store.Info(a); !info.Damaged {
		t.Error("the replica is not called damaged")
	}
}

func TestReleasedSpaceWaitsForReaders(t *testing.T) { // rule 17
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.durable(h, 1, 1, 3)
	r.store.Read(r.now, h, 0, block.Range{First: 2, Count: 1}, 1, &r.out)
	r.collect()
	read := r.flight[len(r.flight)-1]
	r.flight = r.flight[:len(r.flight)-1]
	r.stable(h, 3)
	r.wait(2 * time.Minute)
	if r.store.journal.tail != 0 || r.marks["store: release waits for readers"] == 0 {
		t.Fatalf("the tail is at %d while a read is in flight behind it", r.store.journal.tail)
	}
	r.flight = append(r.flight, read)
	r.settle()
	if res := r.expect(ReadDone); le64(res.Payload.Bytes()) != stampOf(pos(1, 2)) {
		t.Fatal("the read found something else")
	}
	if r.store.journal.tail == 0 {
		t.Fatal("the tail never moved")
	}
}

func TestAllocatedBlocksCanBeOverwrittenOnAFullDisk(t *testing.T) {
	r := newRig(t, 1, Geometry{Capacity: 4<<20 + 512<<10 + 128*4096, BlockSize: 64, JournalBytes: 512 << 10})
	h := r.create(1, 16*512)
	seq := 0
	for c := 0; ; c++ {
		if st := r.write(h, pos(1, seq+1), blockAt(uint64(c*16)), 1); st == message.NoSpace {
			break
		}
		seq++
		r.settle()
		r.sync(h)
		r.settle()
		r.stable(h, block.Seq(seq))
		r.wait(40 * time.Second)
	}
	for c := range 20 {
		if st := r.write(h, pos(1, seq+1), blockAt(uint64(c*16+1)), 1); st != message.OK {
			t.Fatalf("write %d to a chunk that has its slot: status %d", c, st)
		}
		seq++
		r.settle()
	}
}

// Chunk after chunk is written over, faster than anything goes home: what was
// written before frees as much as is taken.
func TestWholeChunksCanBeOverwrittenForEver(t *testing.T) {
	const chunks = 128
	r := newRig(t, 1, Geometry{Capacity: 4<<20 + 2<<20 + 3*chunks<<16, BlockSize: 4096, JournalBytes: 2 << 20})
	h := r.create(1, 16*chunks)
	for seq := range 20 * chunks {
		at := blockAt(uint64(seq % chunks * 16))
		if st := r.write(h, pos(1, seq+1), at, 16); st != message.OK {
			t.Fatalf("write %d over chunk %d: status %d, free %d need %d reserve %d pending %d", seq/chunks, seq%chunks, st,
				r.store.slots.Free(), r.store.need(), r.store.reserve(), r.store.slots.Pending())
		}
		if seq%64 == 63 {
			r.settle()
			r.sync(h)
			r.settle()
			r.stable(h, block.Seq(seq+1))
			r.settle()
		}
	}
}

func TestCloseIsCleanAndOpensWithoutWritingAnew(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.write(h, pos(1, 1), 1, 1)
	r.store.Close(r.now, &r.out)
	r.settle()
	r.expect(Closed)
	r.reopen()
	if r.marks["store: batch written anew after an unclean close"] != 0 {
		t.Error("batches were written anew after a clean close")
	}
	if info, _ := r.store.Info(h); info.LastAccepted != pos(1, 1) || info.Durable != 1 {
		t.Errorf("%+v", info)
	}
}

func TestWhatWasCutStaysCut(t *testing.T) { // found by a random trace: two torn headers in one place made a whole old one
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.durable(h, 1, 1, 2)
	r.write(h, pos(1, 3), 3, 1)
	r.settle()
	at := r.batches()
	stale := &r.disk.data[at[len(at)-1]+2048]
	*stale = 1 // a sector that the power loss left as it was before
	for range 2 {
		r.reopen()
		if info, _ := r.store.Info(h); info.LastAccepted != pos(1, 2) {
			t.Fatalf("last accepted %v", info.LastAccepted)
		}
		*stale = 0 // the next batch's header tore there: this sector is written, the first is not
	}
}

func TestStableToldAheadOfLostRecordsIsNotThatOfLaterOnes(t *testing.T) { // found by a random trace on a full disk
	r := newRig(t, 1, small())
	h, other := r.create(1, 64), r.create(2, 64)
	r.write(other, pos(1, 1), 0, 1)
	r.settle()
	r.store.ckpt.wanted = true
	r.sync(other)
	r.store.Truncate(r.now, h, 1, 0, r.next(), &r.out) // waits for the end of the checkpoint, and what is behind it too
	r.write(h, pos(1, 1), 0, 1)
	r.stable(h, 1) // the others have it
	for r.store.ckpt.phase == ckptSeal && r.step() {
	}
	if r.store.queue.records != 2 {
		t.Fatalf("%d records wait, want 2", r.store.queue.records)
	}
	r.reopen()
	if st := r.write(h, pos(2, 1), 3, 1); st != message.OK {
		t.Fatalf("append: status %d", st)
	}
	r.settle()
	r.sync(h)
	r.settle()
	r.reopen()
	if info, _ := r.store.Info(h); info.Stable != 0 || info.LastAccepted != pos(2, 1) {
		t.Errorf("last is %v, stable %d: nobody called that stable", info.LastAccepted, info.Stable)
	}
}
