package store

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store/format"
)

// trim zeroes blocks of h as a coordinator asks for it: a few of the longest zeroes
// at a time, synced and stable whenever the store presses. look sees every state.
func (f *fast) trim(tb testing.TB, h Handle, blocks uint64, look func()) {
	const width = 4
	for n := 0; blocks > 0; n++ {
		f.seq++
		count := min(zeroBlocksMax, blocks)
		blocks -= count
		rec := message.Record{Position: pos(1, f.seq), Op: message.OpZero, Range: block.Range{First: block.Block(blocks), Count: uint32(count)}}
		if st := f.store.Append(f.now, h, rec, block.Buffer{}, &f.out); st != message.OK {
			tb.Fatalf("zero %d: status %d", f.seq, st)
		}
		if n%width != 0 && blocks > 0 {
			continue
		}
		f.run()
		look()
		if f.store.Pressure() >= 128 || blocks == 0 {
			f.store.Sync(f.now, h, &f.out)
			f.run()
			f.store.SetStable(f.now, h, block.Seq(f.seq), &f.out)
			f.run()
			look()
		}
		f.store.Results()
	}
}

// A record of a few bytes zeroes a thousand chunks: the ring alone would bound
// neither the index nor the leaves that are changed in memory.
func TestTrimOfAWholeVolumeTakesBoundedMemory(t *testing.T) {
	const (
		entries = 2048
		cache   = 1 << 20
		blocks  = 16 << 30 / 4096
		most    = 2*entries + 3*4*zeroBlocksMax/block.PerChunk // the last three turns are not sealed yet
	)
	f := newFast(t, Geometry{Capacity: 96 << 20, BlockSize: 4096, JournalBytes: 16 << 20}, Limits{IndexEntries: entries, CacheBytes: cache})
	h, st := f.store.Create(0, block.ReplicaID{2}, block.VolumeID{2}, blocks, Image{}, Meta{}, 1, &f.out)
	if st != message.OK {
		t.Fatalf("create: status %d", st)
	}
	f.run()
	for range 2 { // the second time over leaves that are zero as a whole
		f.trim(t, h, blocks, func() {
			if n := f.store.index.Len(); n > most {
				t.Fatalf("%d versions in the index", n)
			}
			if n := f.store.leaves.dirty; n > f.store.leaves.limit/2+most/format.LeafChunks+1 {
				t.Fatalf("%d leaves are changed in memory, of %d", n, f.store.leaves.limit)
			}
		})
	}
	f.store.Read(f.now, h, 0, block.Range{First: blocks - 16, Count: 16}, 9, &f.out)
	f.run()
	for _, res := range f.store.Results() {
		if res.Kind == ReadDone && (res.Status != message.OK || !res.Payload.Zero()) {
			t.Errorf("status %d of what was trimmed, or it is not zero", res.Status)
		}
	}
}
