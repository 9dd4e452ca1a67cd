package fuse

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
)

const (
	// slabBytes is the memory that a reader cuts its buffers from: a few of
	// the largest transfers, or 256 of the smallest.
	slabBytes = 1 << 20
	// slabsKeptMax is how many unused slabs are kept for the next burst: one
	// device's 128 requests of the largest transfer. More go back at once.
	slabsKeptMax = 128 * transferBytesMax / slabBytes
)

// slabs is a stock of page-aligned memory outside the garbage-collected heap,
// shared by the devices of an Attacher. Slabs come back from any goroutine.
type slabs struct {
	mu   sync.Mutex
	free []*block.Slab
}

func (s *slabs) take() (block.Buffer, error) {
	s.mu.Lock()
	if last := len(s.free) - 1; last >= 0 {
		slab := s.free[last]
		s.free = s.free[:last]
		s.mu.Unlock()
		return slab.Buffer(slabBytes), nil
	}
	s.mu.Unlock()
	memory, err := unix.Mmap(-1, 0, slabBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return block.Buffer{}, fmt.Errorf("map %d bytes for I/O: %w", slabBytes, err)
	}
	return block.NewSlab(memory, s.put).Buffer(slabBytes), nil
}

func (s *slabs) put(slab *block.Slab) {
	s.mu.Lock()
	if len(s.free) < slabsKeptMax {
		s.free = append(s.free, slab)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	if err := unix.Munmap(slab.Data()); err != nil {
		panic(fmt.Sprintf("fuse: unmap a slab: %v", err)) // only a bug of ours: not a mapping
	}
}

// arena cuts buffers from slabs in the order of arrival, so that small writes do
// not hold memory of the largest size: the kernel wants room for the largest
// before it tells the length. One goroutine owns it.
type arena struct {
	stock *slabs
	slab  block.Buffer // the arena's own reference on the current slab
	used  int
}

// room returns the bytes of the next buffer, transferBytesMax of them. They are
// nobody's until cut.
func (a *arena) room() ([]byte, error) {
	if a.slab.Len()-a.used < transferBytesMax {
		next, err := a.stock.take()
		if err != nil {
			return nil, err
		}
		a.slab.Release()
		a.slab, a.used = next, 0
	}
	return a.slab.Bytes()[a.used : a.used+transferBytesMax], nil
}

// cut hands out the first length bytes of what room returned, with a reference
// of their own.
func (a *arena) cut(length int) block.Buffer {
	b := a.slab.Slice(a.used, a.used+length).Retain()
	a.used += (length + block.Size - 1) &^ (block.Size - 1)
	return b
}

func (a *arena) close() {
	a.slab.Release()
	*a = arena{}
}
