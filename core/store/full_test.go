package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store/format"
)

func TestFullDiskRefusesWritesAndComesBack(t *testing.T) {
	refused := 0
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := Geometry{Capacity: 4<<20 + 512<<10 + 256*4096, BlockSize: 64, JournalBytes: 512 << 10}
			o := &oracle{rig: newRig(t, seed, g)}
			o.random = rand.New(rand.NewPCG(seed, 4))
			m := &model{blocks: 16 * 512, era: 1, meta: Meta{Complete: true}}
			m.h = o.create(1, m.blocks)
			o.models = []*model{m}
			for n := range 700 {
				before := len(m.records)
				first := block.Block(n * 16 % int(m.blocks))
				if st := o.write(m.h, block.Position{Era: 1, Seq: block.Seq(before + 1)}, first+block.Block(n%16), 1); st == message.OK {
					m.records = append(m.records, modelRecord{at: block.Position{Era: 1, Seq: block.Seq(before + 1)}, op: message.OpWrite, first: first + block.Block(n%16), count: 1})
				} else {
					refused++
				}
				o.act()
			}
			o.sync(m.h)
			o.settle()
			o.results()
			o.check()
			o.verify(m, block.Seq(len(m.records)))
			if m.accepted != block.Seq(len(m.records)) {
				t.Fatalf("%d of %d records were accepted", m.accepted, len(m.records))
			}
			// Zeroing must be possible on a full disk, and gives the space back.
			at := block.Position{Era: m.era, Seq: block.Seq(len(m.records) + 1)}
			if st := o.zero(m.h, at, 0, uint32(m.blocks)); st != message.OK {
				t.Fatalf("zero on a full disk: status %d", st)
			}
			m.records = append(m.records, modelRecord{at: at, op: message.OpZero, first: 0, count: uint32(m.blocks)})
			o.sync(m.h)
			o.settle()
			m.stable = block.Seq(len(m.records))
			o.stable(m.h, m.stable)
			o.wait(3 * time.Minute)
			o.results()
			o.check()
			if _, free := o.store.Space(); free < 100*16*64 {
				t.Fatalf("%d bytes are free after everything was zeroed", free)
			}
			o.append(m)
			o.settle()
			o.results()
			o.verify(m, block.Seq(len(m.records)))
		})
	}
	if refused == 0 {
		t.Fatal("the disk was never full")
	}
	t.Logf("%d writes were refused", refused)
}

func TestCloseEndsThoughAnAppendWaitsForSpace(t *testing.T) {
	r := newRig(t, 3, small())
	h := r.create(1, 256)
	r.durable(h, 1, 1, 3)
	r.crowd()
	data := r.fill(1, 0, 1)
	rec := format.Record{Kind: format.Write, Position: pos(1, 4), Range: block.Range{Count: 1}}
	waits := r.store.enqueueData(r.store.replica(h), rec, block.NewSlab(data, nil).Buffer(len(data)), 0, true)
	r.store.await(waits)
	r.store.Close(r.now, &r.out)
	r.settle()
	r.expect(Closed)
	r.expect(Refused)
	r.reopen()
	if info, _ := r.store.Info(h); info.LastAccepted != pos(1, 3) {
		t.Fatalf("last accepted %v", info.LastAccepted)
	}
}

// crowd takes slots until what is left is enough for a checkpoint, and not for
// what an append asks for.
func (r *rig) crowd() {
	for r.store.slots.Free() > 14 {
		r.store.slots.Alloc(0)
	}
}

func TestAppendThatWaitedInVainForSpaceIsRefusedAndHoldsNothingUp(t *testing.T) {
	r := newRig(t, 3, small())
	h := r.create(1, 256)
	r.durable(h, 1, 1, 3)
	r.crowd()
	data := r.fill(1, 0, 1)
	replica := r.store.replica(h)
	rec := format.Record{Kind: format.Write, Position: pos(1, 4), Range: block.Range{Count: 1}}
	r.store.await(r.store.enqueueData(replica, rec, block.NewSlab(data, nil).Buffer(len(data)), 0, true))
	replica.appended = pos(1, 4)
	if st := r.store.Append(r.now, h, message.Record{Position: pos(1, 5), Op: message.OpNop}, block.Buffer{}, &r.out); st != message.OK {
		t.Fatalf("a NOP behind it: status %d", st)
	}
	r.store.SetMeta(r.now, h, Meta{Promised: 7}, r.next(), &r.out)
	r.settle()
	if res := r.expect(Refused); res.Position != pos(1, 4) || res.Status != message.NoSpace {
		t.Fatalf("refused %v with status %d", res.Position, res.Status)
	}
	r.expect(RecordDone)
	if st := r.store.Append(r.now, h, message.Record{Position: pos(2, 4), Op: message.OpNop}, block.Buffer{}, &r.out); st != message.OK {
		t.Fatalf("a NOP in its place: status %d", st)
	}
	r.settle()
	if info, _ := r.store.Info(h); info.LastAccepted != pos(2, 4) || info.Meta.Promised != 7 {
		t.Fatalf("the replica is at %v, promised to %d", info.LastAccepted, info.Meta.Promised)
	}
}

func TestReplicaThatWasRefusedIsNotForgotten(t *testing.T) { // found by a random trace on a full disk
	r := newRig(t, 1, small(), Limits{BatchRecords: 1})
	var h [4]Handle
	for i := range h {
		h[i] = r.create(byte(i+1), 64)
	}
	r.write(h[0], pos(1, 1), 0, 1) // in flight: the others gather
	r.write(h[1], pos(1, 1), 0, 1)
	r.write(h[2], pos(1, 1), 0, 1)
	refused := r.store.replica(h[3])
	i := r.store.enqueueData(refused, format.Record{Kind: format.Nop, Position: pos(1, 1)}, block.Buffer{}, 0, false)
	r.store.unqueue(refused, i) // as for want of space
	r.settle()
	if st := r.write(h[3], pos(1, 1), 0, 1); st != message.OK {
		t.Fatalf("append: status %d", st)
	}
	r.settle()
	if info, _ := r.store.Info(h[3]); info.LastAccepted != pos(1, 1) {
		t.Errorf("accepted %v at rest", info.LastAccepted)
	}
}

// TestRefusalKnowsWhatTheBatchBeforeItTook has a NOP and the append that waits in
// vain behind it meet in one turn of the queue.
func TestRefusalKnowsWhatTheBatchBeforeItTook(t *testing.T) {
	r := newRig(t, 3, small())
	h := r.create(1, 256)
	r.durable(h, 1, 1, 3)
	r.crowd()
	data := r.fill(1, 0, 1)
	replica := r.store.replica(h)
	r.store.enqueue(replica, format.Record{Kind: format.Nop, Position: pos(1, 4)}, block.Buffer{}, 0)
	rec := format.Record{Kind: format.Write, Position: pos(1, 5), Range: block.Range{Count: 1}}
	waits := r.store.enqueueData(replica, rec, block.NewSlab(data, nil).Buffer(len(data)), 0, true)
	r.store.await(waits)
	r.store.queue.ops[waits].until = 0
	replica.appended = pos(1, 5)
	r.store.SetMeta(r.now, h, Meta{Promised: 7}, r.next(), &r.out)
	r.settle()
	if res := r.expect(Refused); res.Position != pos(1, 5) {
		t.Fatalf("refused %v", res.Position)
	}
	if st := r.store.Append(r.now, h, message.Record{Position: pos(1, 5), Op: message.OpNop}, block.Buffer{}, &r.out); st != message.OK {
		t.Fatalf("the record in its place: status %d", st)
	}
}

// TestDeletedSnapshotsGiveTheirSpaceBackOnAFullDisk fills a disk to its last slot
// with what a head and its snapshots hold, and whatever a full disk still takes.
// What is deleted then must be merged, and its space be there again.
func TestDeletedSnapshotsGiveTheirSpaceBackOnAFullDisk(t *testing.T) {
	for seed := range uint64(40) {
		for name, g := range map[string]Geometry{ // any order: each is tried alone
			"small blocks": {Capacity: 4<<20 + 512<<10 + int64(90+seed%40)*4096, BlockSize: 64, JournalBytes: 256 << 10},
			"large blocks": {Capacity: 4<<20 + 2<<20 + int64(70+seed%40)<<16, BlockSize: 4096, JournalBytes: 2 << 20},
		} {
			t.Run(fmt.Sprintf("%s %d", name, seed), func(t *testing.T) {
				f := &filler{rig: newRig(t, seed, g)}
				f.h = f.create(1, 16*128)
				f.fillUp(400)
				f.clear()
				if free := f.store.slots.Free() + f.store.slots.Pending() - f.store.need() - f.store.reserve(); free < 0 {
					t.Errorf("%d slots are missing with one layer left", -free)
				}
				f.fillUp(100)
				f.clear()
				f.check()
			})
		}
	}
}

// A copy that is filled as fast as it can be must find room for as much as one that
// waits for every chunk to come home: where a copy was before, it can be again.
func TestPushFindsTheRoomThatWhatWasPushedBeforeItLeavesAtHome(t *testing.T) {
	for seed := range uint64(20) {
		pushed := func(patient bool) (n int) {
			r := newRig(t, seed, Geometry{Capacity: 4<<20 + 512<<10 + int64(90+seed)*4096, BlockSize: 64, JournalBytes: 256 << 10})
			h := r.create(1, 16*128)
			r.store.Reset(r.now, h, 0, Meta{Resync: 77}, r.next(), &r.out)
			r.settle()
			r.expect(RecordDone)
			for ; n < 128; n++ {
				data := r.fill(1, block.Block(n*16), 16)
				content := ChunkContent{Chunk: block.Chunk(n), LastSeq: 1, Present: 1, Checksums: block.ChecksumsOf(data, 64)}
				st := r.store.Push(r.now, h, 0, 0xffff, content, block.NewSlab(data, nil).Buffer(len(data)), r.next(), &r.out)
				if st != message.OK {
					break
				}
				if r.settle(); patient {
					r.home()
				}
				if res := r.expect(PushDone); res.Status != message.OK {
					break
				}
			}
			return n
		}
		if fast, slow := pushed(false), pushed(true); fast < slow {
			t.Errorf("seed %d: %d chunks found room, and %d if each comes home first", seed, fast, slow)
		}
	}
}

// filler appends to one replica, and is refused at once or late.
type filler struct {
	*rig
	h Handle
}

// at is where the next record belongs.
func (f *filler) at() block.Position { return pos(1, int(f.store.replica(f.h).appended.Seq)+1) }

func (f *filler) took(st message.Status) {
	f.t.Helper()
	if st != message.OK && st != message.NoSpace {
		f.t.Fatalf("append: status %d", st)
	}
}

// fillUp appends whatever the disk takes.
func (f *filler) fillUp(turns int) {
	for range turns {
		chunk := block.Block(f.random.IntN(128) * 16)
		switch n := f.random.IntN(20); {
		case n == 0:
			f.took(f.snap(f.h, f.at(), block.LayerID(f.next()), 0))
		case n == 1:
			f.took(f.zero(f.h, f.at(), chunk+block.Block(f.random.IntN(16)), 1))
		case n < 6:
			f.took(f.write(f.h, f.at(), chunk, 16))
		default:
			f.took(f.write(f.h, f.at(), chunk+block.Block(f.random.IntN(16)), 1))
		}
		if f.random.IntN(8) == 0 {
			f.settle()
			f.solid(f.h)
		}
		if f.random.IntN(40) == 0 {
			f.home()
		}
	}
	f.settle()
}

// clear deletes every snapshot, and waits until they are merged.
func (f *filler) clear() {
	f.t.Helper()
	for _, l := range f.store.Layers(f.h, nil) {
		if l.ID != 0 {
			f.delSnap(f.h, f.at(), l.ID)
		}
	}
	f.settle()
	f.solid(f.h)
	f.wait(5 * time.Minute)
	if list := f.store.Layers(f.h, nil); len(list) != 1 {
		f.t.Fatalf("%d slots are free, %d pending, %d needed, and layers that were deleted are left: %+v",
			f.store.slots.Free(), f.store.slots.Pending(), f.store.needSlack(0), list)
	}
}
