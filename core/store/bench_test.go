package store

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// slabPool hands out memory again, by size: what production does.
type slabPool struct{ free map[int][]*block.Slab }

func (p *slabPool) Get(length int) block.Buffer {
	size := 4096
	for size < length {
		size *= 2
	}
	if list := p.free[size]; len(list) > 0 {
		p.free[size] = list[:len(list)-1]
		return list[len(list)-1].Buffer(length)
	}
	return block.NewSlab(make([]byte, size), func(s *block.Slab) { p.free[size] = append(p.free[size], s) }).Buffer(length)
}

// fast drives a store whose disk operations are done at once, in order.
type fast struct {
	store *Store
	disk  *memoryDisk
	pool  *slabPool
	out   step.Effects
	now   step.Time
	ev    step.Event
	ops   []step.DiskOp
	h     Handle
	seq   int
	rec   message.Record
}

func newFast(tb testing.TB, g Geometry, limits Limits) *fast {
	f := &fast{pool: &slabPool{free: make(map[int][]*block.Slab)}}
	f.disk = &memoryDisk{data: make([]byte, g.Capacity)}
	f.store = New(Params{Pool: f.pool, Seed: 1, Limits: limits})
	f.store.Format(0, g, &f.out)
	f.run()
	f.open(tb, limits)
	f.h, _ = f.store.Create(0, block.ReplicaID{1}, block.VolumeID{1}, uint64(g.Capacity)/4096, Image{}, Meta{}, 1, &f.out)
	f.run()
	return f
}

func (f *fast) open(tb testing.TB, limits Limits) {
	f.store = New(Params{Pool: f.pool, Seed: 1, Limits: limits})
	f.store.Open(0, int64(len(f.disk.data)), &f.out)
	f.run()
	for _, res := range f.store.Results() {
		if res.Kind == Failed {
			tb.Fatal(res.Text)
		}
	}
}

func (f *fast) do(op *step.DiskOp) {
	at := op.Offset
	for _, p := range op.Pieces {
		if op.Kind == step.DiskWrite {
			copy(f.disk.data[at:], p.Bytes())
		} else {
			copy(p.Bytes(), f.disk.data[at:])
		}
		at += int64(p.Len())
	}
}

// run performs what was emitted until nothing is left.
func (f *fast) run() {
	for len(f.out.Disk) > 0 {
		f.ops = append(f.ops[:0], f.out.Disk...)
		f.out.Reset()
		for i := range f.ops {
			f.do(&f.ops[i])
			f.now += 1000
			f.ev.Kind, f.ev.Tag = step.EventDiskDone, f.ops[i].Tag
			f.store.Step(f.now, &f.ev, &f.out)
		}
	}
	f.out.Reset()
}

// append writes one range and takes its results.
func (f *fast) append(tb testing.TB, first block.Block, count uint32) {
	f.seq++
	buf := f.pool.Get(int(count) * 4096)
	f.rec.Position, f.rec.Op = pos(1, f.seq), message.OpWrite
	f.rec.Range = block.Range{First: first, Count: count}
	f.rec.Checksums = block.ChecksumsOf(buf.Bytes(), 4096)
	if st := f.store.Append(f.now, f.h, f.rec, buf, &f.out); st != message.OK {
		tb.Fatalf("append %d: status %d", f.seq, st)
	}
}

func benchGeometry() Geometry {
	return Geometry{Capacity: 1 << 30, BlockSize: 4096, JournalBytes: 128 << 20}
}

// turn appends n single blocks at spread places, makes them durable and stable.
func (f *fast) turn(tb testing.TB, n int, spread uint64) {
	for range n {
		f.append(tb, block.Block(uint64(f.seq)*7919%spread), 1)
	}
	f.run()
	f.store.Sync(f.now, f.h, &f.out)
	f.run()
	f.store.SetStable(f.now, f.h, block.Seq(f.seq), &f.out)
	f.run()
	for _, res := range f.store.Results() {
		if res.Kind == Failed {
			tb.Fatal(res.Text)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	f := newFast(t, Geometry{Capacity: 96 << 20, BlockSize: 4096, JournalBytes: 4 << 20}, Limits{})
	for range 2000 { // several times the ring: tables have grown to their size
		f.turn(t, 8, 4096)
	}
	for _, n := range []int{1, 32} {
		if got := testing.AllocsPerRun(2000, func() { f.turn(t, n, 4096) }); got != 0 {
			t.Errorf("%v allocations for %d appends, a sync and a stable", got, n)
		}
	}
	buf := func() {
		f.store.Read(f.now, f.h, 0, block.Range{First: 7, Count: 1}, 1, &f.out)
		f.run()
		for _, res := range f.store.Results() {
			res.Payload.Release()
		}
	}
	buf()
	if got := testing.AllocsPerRun(1000, buf); got != 0 {
		t.Errorf("%v allocations for a read", got)
	}
}

// BenchmarkAppend is the cost of 4 KiB writes in the store alone, destaging and
// checkpoints included, on a disk that only copies.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name string
		n    int
	}{{"qd1", 1}, {"qd32", 32}} {
		b.Run(c.name, func(b *testing.B) {
			f := newFast(b, benchGeometry(), Limits{})
			b.SetBytes(4096)
			b.ReportAllocs()
			b.ResetTimer()
			for range (b.N + c.n - 1) / c.n {
				f.turn(b, c.n, 100_000)
			}
		})
	}
}

func BenchmarkAppendChunk(b *testing.B) {
	f := newFast(b, benchGeometry(), Limits{})
	b.SetBytes(65536)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		f.append(b, block.Block(i%8000)*16, 16)
		f.run()
		if i%16 == 0 {
			f.turn(b, 1, 100)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	f := newFast(b, benchGeometry(), Limits{})
	for range 1000 {
		f.turn(b, 64, 100_000)
	}
	b.SetBytes(4096)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		f.store.Read(f.now, f.h, 0, block.Range{First: block.Block(i * 7919 % 60_000), Count: 1}, 1, &f.out)
		f.run()
		for _, res := range f.store.Results() {
			res.Payload.Release()
		}
	}
}

// BenchmarkRecovery opens a disk whose journal is as full as it gets.
func BenchmarkRecovery(b *testing.B) {
	f := newFast(b, benchGeometry(), Limits{IndexEntries: 1 << 30})
	for f.store.journal.used() < f.store.super.Journal.Length*49/100 {
		for range 32 {
			f.append(b, block.Block(uint64(f.seq)*7919%100_000), 1)
		}
		f.run()
		f.store.Results()
	}
	b.SetBytes(f.store.super.Journal.Length)
	b.ResetTimer()
	for range b.N {
		f.open(b, Limits{IndexEntries: 1 << 30})
	}
	b.ReportMetric(float64(f.store.index.Len()), "records")
}
