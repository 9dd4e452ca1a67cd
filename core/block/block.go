// Package block holds the nouns that every other package speaks: blocks and
// ranges of them, positions in a volume's stream, identities, checksums and
// buffers. It imports nothing of ours and does nothing by itself.
package block

import (
	"encoding/hex"
	"fmt"
)

const (
	// Size is the size of a block in bytes wherever real data is stored. The
	// simulator formats its disks with smaller blocks (see Geometry).
	Size = 4096
	// PerChunk is how many blocks a chunk has. A chunk is the unit of
	// allocation on a disk and the most that one operation or message carries.
	PerChunk = 16
)

// Block is the index of one block of a volume.
type Block uint64

// Chunk is the index of one chunk of a volume: PerChunk blocks, aligned.
type Chunk uint64

// Chunk returns the chunk that holds b.
func (b Block) Chunk() Chunk { return Chunk(b / PerChunk) }

// Offset returns the index of b within its chunk, 0 to PerChunk-1.
func (b Block) Offset() int { return int(b % PerChunk) }

// First returns the first block of c.
func (c Chunk) First() Block { return Block(c) * PerChunk }

// Range is Count blocks starting at First.
type Range struct {
	First Block
	Count uint32
}

// End returns the block after the last one of r.
func (r Range) End() Block { return r.First + Block(r.Count) }

// Empty reports whether r has no block.
func (r Range) Empty() bool { return r.Count == 0 }

// Overlaps reports whether r and o share a block.
func (r Range) Overlaps(o Range) bool { return r.First < o.End() && o.First < r.End() }

// Contains reports whether b lies in r.
func (r Range) Contains(b Block) bool { return r.First <= b && b < r.End() }

// InOneChunk reports whether all blocks of r belong to the same chunk.
func (r Range) InOneChunk() bool {
	return r.Count > 0 && r.First.Chunk() == (r.End()-1).Chunk()
}

func (r Range) String() string { return fmt.Sprintf("[%d,%d)", r.First, r.End()) }

// Epoch numbers the configurations of a volume; it only rises.
type Epoch uint64

// Seq is the place of an operation in its volume's stream. The first is 1.
type Seq uint64

// Position names a record for ever: the era it was first written in and its
// place in the stream. Positions of one volume are ordered by era, then seq.
type Position struct {
	Era Epoch `json:"era"`
	Seq Seq   `json:"seq"`
}

// Less reports whether p comes before o.
func (p Position) Less(o Position) bool {
	return p.Era < o.Era || p.Era == o.Era && p.Seq < o.Seq
}

func (p Position) String() string { return fmt.Sprintf("(%d,%d)", p.Era, p.Seq) }

// LayerID names a layer in the cluster by the snapshot that it holds. It is
// never reused. 0 is a head, which holds none yet.
type LayerID uint64

// Session names one life of a coordinator. Drawn at random, never 0 when set.
type Session uint64

// Incarnation names one life of a replica: drawn at random at every start of
// its process and every re-opening of its disk, never 0 when set.
type Incarnation uint64

// ID is a 128-bit random identity. The distinct types below keep identities of
// different things from being mistaken for each other.
type ID [16]byte

// VolumeID names a volume; never reused.
type VolumeID ID

// NodeID names a node; kept in its data directory.
type NodeID ID

// ReplicaID names one copy of a volume on one disk; never reused: a replaced
// disk holds a new replica.
type ReplicaID ID

// DiskID names a disk; written in its superblock.
type DiskID ID

// BootID names one boot of a host: what was accepted before a process died is
// still there while the boot id is the same.
type BootID ID

func (id VolumeID) String() string  { return hex.EncodeToString(id[:]) }
func (id NodeID) String() string    { return hex.EncodeToString(id[:]) }
func (id ReplicaID) String() string { return hex.EncodeToString(id[:]) }
func (id DiskID) String() string    { return hex.EncodeToString(id[:]) }
func (id BootID) String() string    { return hex.EncodeToString(id[:]) }

// MarshalText writes the identity as 32 hexadecimal digits.
func (id VolumeID) MarshalText() ([]byte, error) { return marshalID(ID(id)) }

// MarshalText writes the identity as 32 hexadecimal digits.
func (id NodeID) MarshalText() ([]byte, error) { return marshalID(ID(id)) }

// MarshalText writes the identity as 32 hexadecimal digits.
func (id ReplicaID) MarshalText() ([]byte, error) { return marshalID(ID(id)) }

// MarshalText writes the identity as 32 hexadecimal digits.
func (id DiskID) MarshalText() ([]byte, error) { return marshalID(ID(id)) }

// MarshalText writes the identity as 32 hexadecimal digits.
func (id BootID) MarshalText() ([]byte, error) { return marshalID(ID(id)) }

// UnmarshalText reads what MarshalText wrote.
func (id *VolumeID) UnmarshalText(text []byte) error { return unmarshalID((*ID)(id), text) }

// UnmarshalText reads what MarshalText wrote.
func (id *NodeID) UnmarshalText(text []byte) error { return unmarshalID((*ID)(id), text) }

// UnmarshalText reads what MarshalText wrote.
func (id *ReplicaID) UnmarshalText(text []byte) error { return unmarshalID((*ID)(id), text) }

// UnmarshalText reads what MarshalText wrote.
func (id *DiskID) UnmarshalText(text []byte) error { return unmarshalID((*ID)(id), text) }

// UnmarshalText reads what MarshalText wrote.
func (id *BootID) UnmarshalText(text []byte) error { return unmarshalID((*ID)(id), text) }

func marshalID(id ID) ([]byte, error) {
	return hex.AppendEncode(make([]byte, 0, 2*len(id)), id[:]), nil
}

func unmarshalID(id *ID, text []byte) error {
	if len(text) != 2*len(id) {
		return fmt.Errorf("identity %q: %d characters, want %d hexadecimal digits", text, len(text), 2*len(id))
	}
	_, err := hex.Decode(id[:], text)
	return err
}
