package linearizability_test

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/linearizability"
)

// A write is acknowledged, then another client reads what was there before.
func Example() {
	volume := block.VolumeID{1}
	first := linearizability.Stamp{Volume: volume, Block: 7, Writer: 1, Seq: 1}
	at := block.Range{First: 7, Count: 1}

	h := linearizability.NewHistory(volume)
	write := h.Call(10e6, 1, linearizability.Write, at, first.Value())
	h.Return(11e6, write)
	read := h.Call(12e6, 2, linearizability.Read, at)
	h.ReturnData(13e6, read, make([]byte, 64)) // zeroes

	var checker linearizability.Checker
	fmt.Println(checker.Check(h))
	// Output: block 7: client 2's read (called at 12ms, returned at 13ms) returned value zeroes, which contradicts client 1's write of value 1:1 (called at 10ms, acknowledged at 11ms)
}
