package block

import (
	"bytes"
	"sync/atomic"
)

// Buffer is a view of a slab of memory that several machines share: a write's
// payload is on its way to a socket and to a disk at the same time. The slab
// goes back to its pool with the last reference. The zero Buffer is empty.
//
// A function that keeps a buffer beyond its return retains it; whoever retained
// or got it from a pool releases it once.
type Buffer struct {
	slab *Slab
	data []byte
}

// Slab is the memory under one or more buffers and its count of references.
type Slab struct {
	refs atomic.Int32 // the one lock-free word of core: slabs cross shards
	data []byte
	free func(*Slab) // called with the last reference gone; may be nil
}

// Pool hands out buffers. A buffer's memory suits the disks of its node (it is
// aligned where direct I/O asks for that); its content is undefined.
type Pool interface {
	Get(length int) Buffer
}

// NewSlab wraps memory owned by a pool. free runs when a buffer's last
// reference is released.
func NewSlab(data []byte, free func(*Slab)) *Slab { return &Slab{data: data, free: free} }

// Buffer hands the slab out again with one reference, as a view of its first
// length bytes. The slab must have no reference left.
func (s *Slab) Buffer(length int) Buffer {
	if !s.refs.CompareAndSwap(0, 1) {
		panic("block: slab handed out while still referenced")
	}
	return Buffer{slab: s, data: s.data[:length:length]}
}

// Data returns the slab's whole memory.
func (s *Slab) Data() []byte { return s.data }

// Heap is a Pool without reuse: memory comes from the garbage-collected heap.
type Heap struct{}

// Get returns a zeroed buffer of length bytes.
func (Heap) Get(length int) Buffer { return NewSlab(make([]byte, length), nil).Buffer(length) }

// Bytes returns the memory of the view, valid until the reference is released.
func (b Buffer) Bytes() []byte { return b.data }

// Len returns the length of the view in bytes.
func (b Buffer) Len() int { return len(b.data) }

// Empty reports whether the view has no bytes.
func (b Buffer) Empty() bool { return len(b.data) == 0 }

// Zero reports whether all bytes are zero. Nearly all that is not shows it in its
// first or last byte; the rest is compared with itself, one byte further on.
func (b Buffer) Zero() bool {
	last := len(b.data) - 1
	return last < 0 || b.data[0] == 0 && b.data[last] == 0 && bytes.Equal(b.data[:last], b.data[1:])
}

// Slice returns a view of bytes from..to of b on the same reference.
func (b Buffer) Slice(from, to int) Buffer {
	return Buffer{slab: b.slab, data: b.data[from:to:to]}
}

// Retain adds a reference and returns b.
func (b Buffer) Retain() Buffer {
	if b.slab != nil && b.slab.refs.Add(1) < 2 {
		panic("block: buffer retained after its last release")
	}
	return b
}

// Release gives one reference back; b must not be used with it any more.
func (b Buffer) Release() {
	if b.slab == nil {
		return
	}
	switch n := b.slab.refs.Add(-1); {
	case n < 0:
		panic("block: buffer released twice")
	case n == 0 && b.slab.free != nil:
		b.slab.free(b.slab)
	}
}
