package volume

import "github.com/lagan-storage/lagan/core/block"

// DifferencesMax is how many places are named at which copies differ: all are counted.
const DifferencesMax = 100

// Comparison is how far the copies of a volume were compared, and what was found. What
// differs is never made equal by itself: nobody can tell which copy is right.
type Comparison struct {
	Done, Total uint64 // chunks, those of the snapshots included
	Ended       bool
	Waits       string // why it does not go on, if so
	Damaged     uint64 // chunks that a copy could not read, and that were not compared with it
	Blocks      uint64 // that are not the same on all copies
	Places      []Difference
}

// Difference is a chunk of which copies do not hold the same.
type Difference struct {
	Layer  block.LayerID // of a snapshot; 0: the volume
	Chunk  block.Chunk
	Blocks uint16 // bit i: its block i
	Copies []CopySum
}

// CopySum is what a copy holds of the first block of a Difference.
type CopySum struct {
	Replica block.ReplicaID
	Node    block.NodeID
	Sum     block.Checksum
}

// Differing is a Difference as people read it.
type Differing struct {
	Snapshot       string // name, or identity of one that is gone; "": the volume itself
	Offset, Length int64  // bytes, from the first block that differs to the last one of its chunk
	Copies         []CopyContent
}

// CopyContent is what a copy holds of the first block of a Differing.
type CopyContent struct {
	Node     string
	Checksum string // CRC-32C, hexadecimal
}
