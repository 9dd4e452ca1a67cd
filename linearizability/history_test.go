package linearizability

import (
	"runtime"
	"testing"
	"unsafe"

	"github.com/lagan-storage/lagan/core/block"
)

// entryMax is what an operation on one block may take in memory, in bytes.
const entryMax = 40

// TestHistoryTakesFortyBytesPerOperation measures the heap, so that spare room
// and the memory of growing are counted as well.
func TestHistoryTakesFortyBytesPerOperation(t *testing.T) {
	if size := unsafe.Sizeof(entry{}); size > entryMax {
		t.Fatalf("an entry takes %d bytes, at most %d are allowed", size, entryMax)
	}
	const ops = 1_000_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h := NewHistory(block.VolumeID{1})
	at := block.Range{First: 7, Count: 1}
	for i := range int64(ops) {
		h.Return(2*i+1, h.Call(2*i, 1, Write, at, uint64(i+1)))
	}
	runtime.ReadMemStats(&after)
	bytes := float64(after.TotalAlloc-before.TotalAlloc) / ops
	t.Logf("%.2f bytes per operation, with all that recording allocated", bytes)
	if bytes > entryMax+0.5 { // half a byte for the list of chunks, and for what the test binary does meanwhile
		t.Fatalf("an operation took %.2f bytes", bytes)
	}
	runtime.KeepAlive(h)
}

func TestOperationMayCrossChunks(t *testing.T) {
	h := NewHistory(block.VolumeID{1})
	const count = 3 * chunkLen
	h.Return(2, h.Call(1, 0, Flush, block.Range{}))
	all := block.Range{First: 5, Count: count}
	values := make([]uint64, count)
	for i := range values {
		values[i] = uint64(i) + 1
	}
	w := h.Call(3, 0, Write, all, values...)
	h.Serve(w, 2)
	h.Return(4, w)
	r := h.Call(5, 0, Read, all)
	h.Return(6, r, values...)
	if h.Len() != 1+2*count || h.opOf(uint32(r)+count-1) != r {
		t.Fatalf("%d entries, the last one of operation %d, not %d", h.Len(), h.opOf(uint32(r)+count-1), r)
	}
	if v := (&Checker{Thorough: true}).Check(h); v != nil {
		t.Fatal(v)
	}
	h.Reset(block.VolumeID{2})
	if h.Len() != 0 || (&Checker{}).Check(h) != nil {
		t.Fatal("not empty after Reset")
	}
}
