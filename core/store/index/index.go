// Package index finds, in memory, what of a layer is not at home yet: for
// every chunk the versions that lie in the journal, newest first. It promises
// no order but that of Add within a chunk. core/store is its only caller.
//
//	Key{layer, chunk} ──▶ Chunk ──▶ newest version ──▶ … ──▶ oldest version
//
// A version covers some blocks of its chunk (Mask) and says where their data
// is. Memory is three growing tables with free lists: nothing is allocated in
// steady state.
package index

import (
	"math/bits"

	"github.com/lagan-storage/lagan/core/block"
)

// None is no chunk and no version.
const None int32 = -1

// Key names a chunk of a layer by the layer's number.
type Key struct {
	Layer uint32
	Chunk block.Chunk
}

// Kind says what a version does to its blocks.
type Kind uint8

// The kinds of version.
const (
	Data    Kind = iota // their data is At
	Mapped              // as Data; the slot that holds it belongs to the version
	Zeroed              // they read as zeroes
	Cleared             // as if never written
	Lost                // they cannot be read until they are written
)

// Version is what one record says about a chunk.
type Version struct {
	Kind     Kind
	Mask     uint16 // the blocks it covers
	Bad      uint16 // those whose data was lost
	Slot     uint32 // of a Mapped one
	Position block.Position
	LastSeq  block.Seq // of the change
	Batch    uint64    // the journal batch that holds it; 0: parked
	At       int64     // device address of the first covered block's data

	older, newer int32
	sums         int32 // index into many, if more than one block is covered
	single       block.Checksum
}

// Chunk is what the index knows about one chunk.
type Chunk struct {
	Key      Key
	Newest   int32
	oldest   int32
	Reserved bool // one slot is kept free for it
	Busy     bool // its versions are on their way home
	Queued   bool // it waits for that
	next     int32
	prev     int32
}

type leafKey struct {
	layer uint32
	leaf  uint64
}

// Index is the versions of all layers of a disk.
type Index struct {
	leafChunks   uint64
	find         map[Key]int32
	leaves       map[leafKey]int32 // how many chunks share a leaf
	heads        map[uint32]int32  // first chunk of each layer
	chunks       []Chunk
	versions     []Version
	many         []block.Checksums
	freeChunks   []int32
	freeVersions []int32
	freeMany     []int32
}

// New returns an empty index; leafChunks is how many chunks share a metadata page.
func New(leafChunks int) *Index {
	return &Index{
		leafChunks: uint64(leafChunks),
		find:       make(map[Key]int32), leaves: make(map[leafKey]int32), heads: make(map[uint32]int32),
	}
}

// Len returns how many versions there are.
func (x *Index) Len() int { return len(x.versions) - len(x.freeVersions) }

// Chunks returns how many chunks have versions.
func (x *Index) Chunks() int { return len(x.find) }

// Leaves returns how many metadata pages the chunks belong to.
func (x *Index) Leaves() int { return len(x.leaves) }

// Find returns the chunk of key, or None.
func (x *Index) Find(key Key) int32 {
	if i, ok := x.find[key]; ok {
		return i
	}
	return None
}

// Chunk returns a chunk, valid until the next Ensure.
func (x *Index) Chunk(i int32) *Chunk { return &x.chunks[i] }

// Version returns a version, valid until the next Add.
func (x *Index) Version(i int32) *Version { return &x.versions[i] }

// Older returns the version that i covers, or None.
func (x *Index) Older(i int32) int32 { return x.versions[i].older }

// First returns the first chunk of a layer in no particular order, or None.
func (x *Index) First(layer uint32) int32 {
	if i, ok := x.heads[layer]; ok {
		return i
	}
	return None
}

// Next returns the chunk after i of the same layer, or None.
func (x *Index) Next(i int32) int32 { return x.chunks[i].next }

func take[T any](table *[]T, free *[]int32) int32 {
	if n := len(*free); n > 0 {
		i := (*free)[n-1]
		*free = (*free)[:n-1]
		return i
	}
	var zero T
	*table = append(*table, zero)
	return int32(len(*table) - 1)
}

// Ensure returns the chunk of key and makes it if there is none.
func (x *Index) Ensure(key Key) int32 {
	if i, ok := x.find[key]; ok {
		return i
	}
	i := take(&x.chunks, &x.freeChunks)
	head := x.First(key.Layer)
	x.chunks[i] = Chunk{Key: key, Newest: None, oldest: None, next: head, prev: None}
	if head != None {
		x.chunks[head].prev = i
	}
	x.heads[key.Layer] = i
	x.find[key] = i
	x.leaves[leafKey{key.Layer, uint64(key.Chunk) / x.leafChunks}]++
	return i
}

// Forget removes a chunk that has no versions.
func (x *Index) Forget(i int32) {
	c := &x.chunks[i]
	if c.Newest != None {
		panic("index: a chunk with versions is forgotten")
	}
	if c.next != None {
		x.chunks[c.next].prev = c.prev
	}
	switch {
	case c.prev != None:
		x.chunks[c.prev].next = c.next
	case c.next != None:
		x.heads[c.Key.Layer] = c.next
	default:
		delete(x.heads, c.Key.Layer)
	}
	leaf := leafKey{c.Key.Layer, uint64(c.Key.Chunk) / x.leafChunks}
	if x.leaves[leaf]--; x.leaves[leaf] == 0 {
		delete(x.leaves, leaf)
	}
	delete(x.find, c.Key)
	x.freeChunks = append(x.freeChunks, i)
}

// Add makes v the newest version of chunk c. sums holds a checksum for each
// covered block in order; it is read only for data.
func (x *Index) Add(c int32, v Version, sums *block.Checksums) int32 {
	i := take(&x.versions, &x.freeVersions)
	v.sums = None
	if v.Kind <= Mapped {
		v.single = sums[0]
		if bits.OnesCount16(v.Mask) > 1 {
			v.sums = take(&x.many, &x.freeMany)
			x.many[v.sums] = *sums
		}
	}
	chunk := &x.chunks[c]
	v.older, v.newer = chunk.Newest, None
	if chunk.Newest != None {
		x.versions[chunk.Newest].newer = i
	} else {
		chunk.oldest = i
	}
	chunk.Newest = i
	x.versions[i] = v
	return i
}

// Remove takes version i out of chunk c.
func (x *Index) Remove(c, i int32) {
	v, chunk := &x.versions[i], &x.chunks[c]
	if v.older != None {
		x.versions[v.older].newer = v.newer
	} else {
		chunk.oldest = v.newer
	}
	if v.newer != None {
		x.versions[v.newer].older = v.older
	} else {
		chunk.Newest = v.older
	}
	if v.sums != None {
		x.freeMany = append(x.freeMany, v.sums)
	}
	x.freeVersions = append(x.freeVersions, i)
}

// rank returns which of the version's blocks block b of the chunk is.
func (v *Version) rank(b int) int { return bits.OnesCount16(v.Mask & (1<<b - 1)) }

// Place returns the device address of the data of block b of the chunk.
func (v *Version) Place(b, blockSize int) int64 { return v.At + int64(v.rank(b)*blockSize) }

// Sum returns the checksum of block b of the chunk.
func (x *Index) Sum(v *Version, b int) block.Checksum {
	if v.sums == None {
		return v.single
	}
	return x.many[v.sums][v.rank(b)]
}
