// Package slab is the memory that drivers read payloads into: aligned to pages,
// so that it goes to a disk by direct I/O, and outside the garbage-collected heap.
//
//	Stock ──slabs──▶ Arena ──buffers──▶ requests
//	  ▲                                    │ the last reference
//	  └────────────────────────────────────┘
//
// It promises that a driver allocates nothing for a request once it has seen as
// many at once before, and that what a burst took goes back to the kernel but for
// a stated number of slabs. The drivers below plugin/device call it.
package slab

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
)

// Bytes is the memory that an arena cuts its buffers from: a few large
// transfers, or 256 of the smallest. A larger buffer has a slab of its own.
const Bytes = 1 << 20

// Stock is a stock of slabs that several arenas share. Slabs come back from any
// goroutine.
type Stock struct {
	keptMax int

	mu   sync.Mutex // guards what follows
	free []*block.Slab
}

// NewStock returns an empty stock. It keeps at most that many unused slabs for
// the next burst; more go back at once.
func NewStock(keptMax int) *Stock { return &Stock{keptMax: keptMax} }

// Kept returns how many unused slabs there are.
func (s *Stock) Kept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.free)
}

// take returns a slab of at least length bytes.
func (s *Stock) take(length int) (block.Buffer, error) {
	if length > Bytes {
		return mapped(length, unmap)
	}
	s.mu.Lock()
	if last := len(s.free) - 1; last >= 0 {
		slab := s.free[last]
		s.free = s.free[:last]
		s.mu.Unlock()
		return slab.Buffer(Bytes), nil
	}
	s.mu.Unlock()
	return mapped(Bytes, s.put)
}

func (s *Stock) put(slab *block.Slab) {
	s.mu.Lock()
	if len(s.free) < s.keptMax {
		s.free = append(s.free, slab)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	unmap(slab)
}

func mapped(length int, free func(*block.Slab)) (block.Buffer, error) {
	memory, err := unix.Mmap(-1, 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return block.Buffer{}, fmt.Errorf("map %d bytes for I/O: %w", length, err)
	}
	return block.NewSlab(memory, free).Buffer(length), nil
}

func unmap(slab *block.Slab) {
	if err := unix.Munmap(slab.Data()); err != nil {
		panic(fmt.Sprintf("slab: unmap: %v", err)) // only a bug of ours: not a mapping
	}
}
