package store

import (
	"fmt"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// snap takes a snapshot and lets it become stable.
func (f *fast) snap(tb testing.TB) {
	f.seq++
	rec := message.Record{Position: pos(1, f.seq), Op: message.OpSnap, Layer: block.LayerID(f.seq)}
	if st := f.store.Append(f.now, f.h, rec, block.Buffer{}, &f.out); st != message.OK {
		tb.Fatalf("snapshot %d: status %d", f.seq, st)
	}
	f.run()
}

// stack makes depth snapshots of a volume whose data is in the first one, and
// writes a few blocks after each, everything at home.
func stack(tb testing.TB, depth int) *fast {
	f := newFast(tb, benchGeometry(), Limits{})
	for range 1000 {
		f.turn(tb, 64, 60_000)
	}
	for range depth {
		f.snap(tb)
		f.turn(tb, 8, 60_000)
	}
	f.store.timer.idle = true
	for i := 0; i < 100 && f.store.unfinished(); i++ {
		f.store.ckpt.wanted = true
		f.turn(tb, 1, 16)
	}
	return f
}

func (f *fast) readOne(b block.Block) {
	f.store.Read(f.now, f.h, 0, block.Range{First: b, Count: 1}, 1, &f.out)
	f.run()
	for _, res := range f.store.Results() {
		res.Payload.Release()
	}
}

// BenchmarkReadBelowSnapshots reads blocks that only the oldest layer has.
func BenchmarkReadBelowSnapshots(b *testing.B) {
	for _, depth := range []int{0, 10, 100, 250} {
		b.Run(fmt.Sprint(depth), func(b *testing.B) {
			f := stack(b, depth)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				f.readOne(block.Block(i * 7919 % 60_000))
			}
		})
	}
}

// BenchmarkAppendBelowSnapshots is BenchmarkAppend with snapshots below the head.
func BenchmarkAppendBelowSnapshots(b *testing.B) {
	for _, depth := range []int{0, 10, 250} {
		b.Run(fmt.Sprint(depth), func(b *testing.B) {
			f := stack(b, depth)
			b.ReportAllocs()
			b.ResetTimer()
			for range (b.N + 31) / 32 {
				f.turn(b, 32, 60_000)
			}
		})
	}
}

// BenchmarkSnapshot takes snapshots of volumes of different content.
func BenchmarkSnapshot(b *testing.B) {
	for _, turns := range []int{1, 1000} {
		b.Run(fmt.Sprintf("of-%d-blocks", turns*64), func(b *testing.B) {
			b.ReportAllocs()
			b.ResetTimer()
			b.StopTimer()
			var f *fast
			for i := range b.N {
				if i%layersMax == 0 { // as many as there may be
					f = newFast(b, benchGeometry(), Limits{})
					for range turns {
						f.turn(b, 64, 100_000)
					}
				}
				b.StartTimer()
				f.snap(b)
				b.StopTimer()
			}
		})
	}
}

// BenchmarkDeleteSnapshot deletes the only snapshot of a volume whose head has
// few chunks beside it: the fewer move, whatever is below. It waits for the end
// of the merge; the turns between which it yields take no time here.
func BenchmarkDeleteSnapshot(b *testing.B) {
	for _, turns := range []int{1, 1000} {
		b.Run(fmt.Sprintf("of-%d-blocks", turns*64), func(b *testing.B) {
			f := newFast(b, benchGeometry(), Limits{})
			for range turns {
				f.turn(b, 64, 60_000)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.StopTimer()
			for range b.N {
				f.snap(b)
				id := block.LayerID(f.seq)
				f.turn(b, 8, 60_000)
				f.seq++
				rec := message.Record{Position: pos(1, f.seq), Op: message.OpDelSnap, Layer: id}
				b.StartTimer()
				f.store.Append(f.now, f.h, rec, block.Buffer{}, &f.out)
				f.turn(b, 1, 60_000)
				f.turn(b, 1, 60_000) // its deletion is sealed
				for len(f.store.doomed)+len(f.store.folding) > 0 {
					f.now = f.now.Add(mergeEvery)
					f.store.now = f.now
					f.store.pump(&f.out)
					f.run()
				}
				b.StopTimer()
			}
		})
	}
}

func TestReadsAndWritesAboveSnapshotsAllocateNothing(t *testing.T) {
	f := newFast(t, Geometry{Capacity: 160 << 20, BlockSize: 4096, JournalBytes: 4 << 20}, Limits{})
	for i := range 2000 {
		f.turn(t, 8, 4096)
		if i%500 == 0 {
			f.snap(t)
		}
	}
	for range 2000 { // the head has every chunk: tables have grown to their size
		f.turn(t, 8, 4096)
	}
	if got := testing.AllocsPerRun(2000, func() { f.turn(t, 32, 4096) }); got != 0 {
		t.Errorf("%v allocations for 32 appends, a sync and a stable", got)
	}
	f.readOne(7)
	if got := testing.AllocsPerRun(1000, func() { f.readOne(7) }); got != 0 {
		t.Errorf("%v allocations for a read", got)
	}
}
