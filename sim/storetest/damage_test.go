package storetest

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/sim/disk"
)

const (
	superblockStride = 1 << 20
	journalAt        = 4 << 20
	homeAt           = journalAt + journal
)

// raw reads or writes the medium itself, behind the store's back.
func raw(t *testing.T, m *Machine, kind step.DiskKind, at int64, data []byte) {
	t.Helper()
	b := block.NewSlab(data, nil).Buffer(len(data))
	h, _ := m.disk.Submit(&step.DiskOp{Kind: kind, Offset: at, Pieces: []block.Buffer{b}})
	if err := m.disk.Complete(h); err != step.DiskOK {
		t.Fatalf("raw access at %d: error %d", at, err)
	}
}

// damagedBy reports what a machine that is cleanly at rest looks like after
// its medium was changed and the store opened anew.
func damagedBy(t *testing.T, m *Machine, change func(f *Machine)) *Machine {
	t.Helper()
	f := m.fork(m.config.Seed)
	f.faulty = true
	f.disk.Kill()
	change(f)
	f.Reopen()
	healthy(t, f)
	return f
}

// batches returns the writes of the journal that the store made since n.
func (m *Machine) batches(n int) (list []operation) {
	for _, op := range m.operations[n:] {
		if op.kind == diskWrite && op.offset >= journalAt && op.offset < homeAt {
			list = append(list, op)
		}
	}
	return list
}

func (m *Machine) infoOf(t *testing.T, slot int) store.ReplicaInfo {
	t.Helper()
	info, ok := store.ReplicaInfo{}, false
	for _, i := range m.store.Replicas(nil) {
		if m.replicas[slot] != nil && i.Replica == m.replicas[slot].id {
			info, ok = i, true
		}
	}
	if !ok {
		t.Fatalf("slot %d has no replica\n%s", slot, m.Trace())
	}
	return info
}

func TestRule10CorruptionBelowADurableBatchIsNotATornTail(t *testing.T) {
	t.Parallel()
	m := play(t, small(5), Line{Create, 0, 0, 32}, Line{Create, 1, 0, 32}, Line{Sync, 0, 0, 0}, Line{Drain, 0, 0, 0})
	start := len(m.operations)
	for i := range uint64(4) { // every write a batch of its own, every one made durable and vouched for by the next
		m.Play(lines(durableWrite(0, i, 1), durableWrite(1, i, 1)))
	}
	healthy(t, m)
	list := m.batches(start)
	if len(list) < 8 {
		t.Fatalf("%d batches of 8 writes:\n%s", len(list), m.Trace())
	}
	for i, name := range []string{"of slot 0", "of slot 1"} {
		slot := i
		f := damagedBy(t, m, func(f *Machine) { f.disk.Rot(list[2+i].offset+200, 3) }) // the second write of the slot
		if info := f.infoOf(t, slot); !info.Damaged || info.LastAccepted.Seq != 1 {
			t.Errorf("batch 2 %s rotten: damaged %v, last %v; want damaged and cut at seq 1", name, info.Damaged, info.LastAccepted)
		}
		if info := f.infoOf(t, 1-slot); info.Damaged || info.LastAccepted.Seq != 4 {
			t.Errorf("batch 2 %s rotten: the other replica has damaged %v, last %v; want it whole", name, info.Damaged, info.LastAccepted)
		}
		f.Crash(Crash{Power: true, Loss: disk.LoseAll})
		healthy(t, f)
		if info := f.infoOf(t, slot); info.LastAccepted.Seq != 1 {
			t.Errorf("after another power loss the damaged replica is at %v", info.LastAccepted)
		}
	}
}

func TestRule10TornTailIsCutSilently(t *testing.T) {
	t.Parallel()
	m := play(t, small(6), lines([]Line{{Create, 0, 0, 32}}, durableWrite(0, 0, 2), []Line{{Write, 0, 1, 3}, {Drain, 0, 0, 0}})...)
	list := m.batches(0)
	last := list[len(list)-1]
	f := damagedBy(t, m, func(f *Machine) { f.disk.Rot(last.offset+4096+70, 1) })
	if info := f.infoOf(t, 0); info.Damaged || info.LastAccepted.Seq != 1 {
		t.Errorf("torn tail: damaged %v, last %v; want the prefix, undamaged", info.Damaged, info.LastAccepted)
	}
}

func TestRule12TwoGoodSuperblocksAreEnough(t *testing.T) {
	t.Parallel()
	m := play(t, small(7), lines([]Line{{Create, 0, 0, 32}}, durableWrite(0, 0, 16), []Line{{Idle, 0, 0, 31}})...)
	for a := range int64(4) {
		for b := range a {
			f := m.fork(1)
			f.disk.Kill()
			f.disk.Rot(a*superblockStride+60, 1)
			f.disk.Spoil(b * superblockStride)
			f.Reopen() // the oracle forgives nothing
			healthy(t, f)
			for _, copyOf := range []int64{a, b} { // and all four are good again: two others may go
				g := f.fork(2)
				g.disk.Kill()
				g.disk.Rot((copyOf+1)%4*superblockStride+60, 1)
				g.disk.Rot((copyOf+2)%4*superblockStride+60, 1)
				g.Reopen()
				healthy(t, g)
			}
		}
	}
}

func TestRule12WithoutTwoGoodSuperblocksTheDiskIsRefusedByName(t *testing.T) {
	t.Parallel()
	m := play(t, small(7), lines([]Line{{Create, 0, 0, 32}}, durableWrite(0, 0, 16))...)
	f := damagedBy(t, m, func(f *Machine) {
		for i := range int64(3) {
			f.disk.Rot(i*superblockStride+60, 1)
		}
	})
	if f.opened || f.stopped == "" {
		t.Fatalf("one superblock left: opened %v, %q", f.opened, f.stopped)
	}
}

func TestRule12SuperblockFromTheFutureIsRefused(t *testing.T) {
	t.Parallel()
	m := play(t, small(8), lines([]Line{{Create, 0, 0, 32}}, durableWrite(0, 0, 16))...)
	newer := m.fork(3)
	newer.Play(lines([]Line{{Verb: Kill}}, durableWrite(0, 0, 16), []Line{{Idle, 0, 0, 31}}, durableWrite(0, 0, 16), []Line{{Idle, 0, 0, 31}}))
	healthy(t, newer)
	page := make([]byte, 4096)
	raw(t, newer, diskRead, 0, page)
	f := damagedBy(t, m, func(f *Machine) { raw(t, f, diskWrite, 0, page) })
	if f.opened {
		t.Fatal("a disk whose superblock was put back to an older one in three of four places was opened")
	}
}

func TestRule13ZeroedBlocksAreListedAsChanged(t *testing.T) {
	t.Parallel()
	m := play(t, small(9), lines([]Line{{Create, 0, 0, 64}},
		durableWrite(0, 0, 16), durableWrite(0, 16, 2), []Line{{Idle, 0, 0, 31}},
		[]Line{{Zero, 0, 0, 64}, {Sync, 0, 0, 0}, {Drain, 0, 0, 0}, {Stable, 0, 0, 0}, {Idle, 0, 0, 31}, {Verb: PowerCut}})...)
	r := m.replicas[0]
	m.Stable(0, 0)
	listed := m.listed(r, 2)
	for c := range block.Chunk(4) {
		if listed[c] != 3 {
			t.Errorf("chunk %d, zeroed by seq 3, is listed with %d", c, listed[c])
		}
	}
	m.Play([]Line{{Read, 0, 0, 16}, {Read, 0, 16, 16}})
	healthy(t, m)
}

func TestRule18FullDiskRefusesWhatHasNoRoomAndServesTheRest(t *testing.T) {
	t.Parallel()
	c := small(10)
	c.BlockSize, c.Capacity, c.Journal = 4096, 16<<20, 2<<20 // pages are small beside chunks, as in earnest
	c.Limits = store.Limits{BatchRecords: 8, BatchBytes: 128 << 10, IndexEntries: 64, CacheBytes: 1 << 20}
	m := play(t, c, Line{Create, 0, 0, 4096}, Line{Create, 1, 0, 64}, Line{Drain, 0, 0, 0})
	m.Idle(62 * time.Second)
	empty := m.Free()
	fill := func() (written uint64) {
		for i := range uint64(256) {
			if m.usable(0) && m.Write(0, block.Block(i*block.PerChunk), block.PerChunk) == noSpace {
				return i
			}
			m.Play([]Line{{Sync, 0, 0, 0}, {Drain, 0, 0, 0}, {Stable, 0, 0, 0}})
		}
		return 256
	}
	n := fill()
	healthy(t, m)
	if n < 8 || n >= 256 {
		t.Fatalf("%d chunks fit, of a disk of %d bytes", n, c.Capacity)
	}
	for i := range n { // everything can be read and overwritten, again and again
		m.Play([]Line{{Read, 0, i * block.PerChunk, block.PerChunk}})
		if s := m.Write(0, block.Block(i*block.PerChunk), block.PerChunk); s != message.OK {
			t.Fatalf("overwriting chunk %d of a full disk: status %d\n%s", i, s, m.Trace())
		}
		m.Play([]Line{{Sync, 0, 0, 0}, {Drain, 0, 0, 0}, {Stable, 0, 0, 0}})
	}
	m.Play([]Line{{Idle, 0, 0, 31}, {Verb: PowerCut}, {Verb: Kill}})
	healthy(t, m)
	m.Play([]Line{{Delete, 0, 0, 0}, {Drain, 0, 0, 0}, {Idle, 0, 0, 62}, {Create, 0, 0, 4096}, {Drain, 0, 0, 0}})
	healthy(t, m)
	if back := m.Free(); back != empty {
		t.Fatalf("free was %d, and is %d after the replica that filled the disk was deleted", empty, back)
	}
	if again := fill(); again < n-1 {
		t.Fatalf("%d chunks fitted, %d the second time", n, again)
	}
	healthy(t, m)
}

func TestRule19CreateAndDeleteAreRecords(t *testing.T) {
	t.Parallel()
	everywhere(t, lines(
		[]Line{{Create, 0, 0, 32}, {Run, 0, 0, 2}, {Create, 1, 0, 16}, {Write, 1, 0, 16}, {Drain, 0, 0, 0}},
		durableWrite(0, 0, 16), durableWrite(1, 0, 3),
		[]Line{
			{Write, 1, 4, 2},
			{Delete, 1, 0, 0},
			{Run, 0, 0, 2},
			{Create, 2, 0, 32},
			{Write, 2, 0, 16},
			{Run, 0, 0, 3},
			{Sync, 2, 0, 0},
			{Idle, 0, 0, 31},
			{Delete, 0, 0, 0},
			{Drain, 0, 0, 0},
			{Create, 1, 0, 16},
			{Write, 1, 0, 16},
			{Sync, 1, 0, 0},
			{Idle, 0, 0, 31},
		})...)
}

func TestRule20BadBlocksAreKnownAndDoNotPinTheJournal(t *testing.T) {
	t.Parallel()
	m := play(t, small(11), lines([]Line{{Create, 0, 0, 64}}, durableWrite(0, 0, 4), []Line{{Write, 0, 8, 2}, {Sync, 0, 0, 0}, {Drain, 0, 0, 0}},
		durableWrite(0, 12, 1), durableWrite(0, 40, 1))...)
	var data operation // the batch that holds blocks 8 and 9
	for _, op := range m.batches(0) {
		if page := make([]byte, 64); op.length > 4096 {
			raw(t, m, diskRead, op.offset+4096, page)
			if s, ok := stampOf(m.replicas[0].id, 8, page); ok && s != 0 {
				data = op
			}
		}
	}
	if data.length == 0 {
		t.Fatalf("the data of block 8 is not in the journal\n%s", m.Trace())
	}
	m.faulty = true
	m.disk.Rot(data.offset+4096+5, 1)
	m.Crash(Crash{Power: true, Loss: disk.LoseNothing})
	healthy(t, m)
	m.Stable(0, 0)
	m.Idle(31 * time.Second)
	m.Play(fillRing(0, 2)) // the ring goes round: nothing pins it
	healthy(t, m)
	if p := m.store.(*store.Store).Pressure(); p > 128 {
		t.Errorf("pressure is %d after everything became stable", p)
	}
	m.Play([]Line{{Write, 0, 0, 16}, {Sync, 0, 0, 0}, {Drain, 0, 0, 0}, {Stable, 0, 0, 0}, {Idle, 0, 0, 31}})
	m.refused = 0
	m.Play([]Line{{Read, 0, 0, 16}, {Drain, 0, 0, 0}})
	healthy(t, m)
	if m.refused > 0 {
		t.Error("a block that was bad is refused after it was overwritten")
	}
}

func TestRule20HomeThatRotsIsRefusedBlockByBlock(t *testing.T) {
	t.Parallel()
	m := play(t, small(12), lines([]Line{{Create, 0, 0, 32}}, durableWrite(0, 0, 16), []Line{{Idle, 0, 0, 31}, {Verb: PowerCut}})...)
	place := int64(-1)
	page := make([]byte, 1024)
	for at := int64(homeAt); at+chunkSize <= capacity; at += chunkSize {
		raw(t, m, diskRead, at, page)
		if s, ok := stampOf(m.replicas[0].id, 0, page[:64]); ok && s != 0 {
			place = at
		}
	}
	if place < 0 {
		t.Fatalf("the chunk is nowhere on the disk\n%s", m.Trace())
	}
	m.faulty = true
	m.disk.Rot(place+5*blockSize+9, 1)
	m.Play([]Line{{Read, 0, 0, 5}, {Read, 0, 6, 10}, {Drain, 0, 0, 0}})
	healthy(t, m)
	if m.refused > 0 {
		t.Errorf("%d good blocks beside a rotten one were refused", m.refused)
	}
	m.Play([]Line{{Read, 0, 5, 1}, {Drain, 0, 0, 0}})
	healthy(t, m)
	if m.refused != 1 {
		t.Errorf("the rotten block was not refused")
	}
	m.refused = 0
	m.Play(lines(durableWrite(0, 5, 1), []Line{{Idle, 0, 0, 31}, {Verb: PowerCut}, {Read, 0, 0, 16}, {Drain, 0, 0, 0}}))
	healthy(t, m)
	if m.refused > 0 {
		t.Errorf("an overwritten block is still refused")
	}
}

func TestRule10LostPromiseDamagesTheReplicaThoughNoSeqIsMissing(t *testing.T) {
	t.Parallel()
	m := play(t, small(13), lines([]Line{{Create, 0, 0, 32}, {Create, 1, 0, 32}, {Drain, 0, 0, 0}}, durableWrite(0, 0, 1), durableWrite(1, 0, 1))...)
	start := len(m.operations)
	m.Play(lines([]Line{{Meta, 0, 0, 0}, {Drain, 0, 0, 0}}, durableWrite(1, 1, 1), durableWrite(0, 1, 1), durableWrite(1, 2, 1), durableWrite(0, 2, 1)))
	healthy(t, m)
	promise := m.batches(start)[0]
	f := damagedBy(t, m, func(f *Machine) { f.disk.Rot(promise.offset+100, 2) })
	if info := f.infoOf(t, 0); !info.Damaged || info.LastAccepted.Seq != 1 {
		t.Errorf("the batch of a promise is rotten: damaged %v, last %v; want damaged, and nothing behind it", info.Damaged, info.LastAccepted)
	}
	if info := f.infoOf(t, 1); info.Damaged || info.LastAccepted.Seq != 3 {
		t.Errorf("the other replica has damaged %v, last %v; want it whole", info.Damaged, info.LastAccepted)
	}
}

// What goes on where a resync's target was emptied means nothing if it was not
// emptied: the old content is not that of the new position.
func TestRule10NothingBehindALostResetTakesEffect(t *testing.T) { // found by the random script of seed 7080
	m := play(t, small(14), lines([]Line{{Create, 0, 0, 32}, {Create, 1, 0, 32}, {Drain, 0, 0, 0}}, durableWrite(0, 0, 16), durableWrite(1, 0, 1))...)
	start := len(m.operations)
	m.Play(lines(
		[]Line{{Reset, 0, 0, 0}, {Drain, 0, 0, 0}}, durableWrite(1, 1, 1),
		[]Line{{OpenLayer, 0, 0, 0}, {Drain, 0, 0, 0}}, durableWrite(1, 2, 1),
		[]Line{{Continue, 0, 480, 0}, {Drain, 0, 0, 0}}, durableWrite(1, 3, 1)))
	healthy(t, m)
	reset := m.batches(start)[0]
	f := damagedBy(t, m, func(f *Machine) { f.disk.Rot(reset.offset+100, 2) })
	if info := f.infoOf(t, 0); !info.Damaged || info.LastAccepted.Seq != 1 {
		t.Errorf("the batch of a reset is rotten: damaged %v, last %v; want damaged, and nothing behind it", info.Damaged, info.LastAccepted)
	}
	if layers := f.store.Layers(f.replicas[0].handle, nil); len(layers) != 1 {
		t.Errorf("layers are %+v, want the head that was not emptied", layers)
	}
	if info := f.infoOf(t, 1); info.Damaged || info.LastAccepted.Seq != 4 {
		t.Errorf("the other replica has damaged %v, last %v; want it whole", info.Damaged, info.LastAccepted)
	}
	f.Play([]Line{{Reset, 0, 0, 0}, {OpenLayer, 0, 0, 0}, {Continue, 0, 700, 0}, {Write, 0, 1, 2}, {Sync, 0, 0, 0}, {Drain, 0, 0, 0}}) // filled anew
	healthy(t, f)
	if info := f.infoOf(t, 0); info.Damaged || info.LastAccepted.Seq != 701 || len(f.store.Layers(f.replicas[0].handle, nil)) != 2 {
		t.Errorf("emptied again it is %+v, want it to go on", info)
	}
}

// Of two holes the first one's replica is whole behind it, and says nothing of the
// second.
func TestRule10EveryHoleIsJudgedByWhatIsBehindIt(t *testing.T) { // found by the random damage of seed 10693
	m := play(t, small(15), lines([]Line{{Create, 0, 0, 32}, {Create, 1, 0, 32}, {Drain, 0, 0, 0}}, durableWrite(0, 0, 1), durableWrite(1, 0, 1))...)
	start := len(m.operations)
	m.Play(lines(
		durableWrite(1, 1, 1),                     // lost
		durableWrite(0, 1, 1),                     // whole
		durableWrite(0, 2, 1),                     // lost
		[]Line{{Meta, 0, 0, 0}, {Drain, 0, 0, 0}}, // no seq that would show a gap
		durableWrite(1, 2, 1), durableWrite(1, 3, 1)))
	healthy(t, m)
	list := m.batches(start)
	f := damagedBy(t, m, func(f *Machine) {
		f.disk.Rot(list[0].offset+200, 3)
		f.disk.Rot(list[2].offset+200, 3)
	})
	if info := f.infoOf(t, 0); !info.Damaged || info.LastAccepted.Seq != 2 {
		t.Errorf("the second hole cost record 3: damaged %v, last %v; want damaged, cut at 2", info.Damaged, info.LastAccepted)
	}
	if info := f.infoOf(t, 1); !info.Damaged || info.LastAccepted.Seq != 1 {
		t.Errorf("the first hole cost record 2: damaged %v, last %v; want damaged, cut at 1", info.Damaged, info.LastAccepted)
	}
}
