package slab

import (
	"github.com/lagan-storage/lagan/core/block"
)

// Arena cuts buffers from slabs in the order of arrival, so that small payloads
// do not hold memory of the largest size. One goroutine owns it.
type Arena struct {
	stock *Stock
	slab  block.Buffer // the arena's own reference on the current slab
	used  int
}

// NewArena returns an arena that takes its slabs from stock.
func NewArena(stock *Stock) Arena { return Arena{stock: stock} }

// Room returns the bytes of the next buffer, length of them. They are nobody's
// until cut, of which there may be fewer: some drivers must offer room before
// they are told a length.
func (a *Arena) Room(length int) ([]byte, error) {
	if a.slab.Len()-a.used < length {
		next, err := a.stock.take(length)
		if err != nil {
			return nil, err
		}
		a.slab.Release()
		a.slab, a.used = next, 0
	}
	return a.slab.Bytes()[a.used : a.used+length], nil
}

// Cut hands out the first length bytes of what Room returned, with a reference
// of their own.
func (a *Arena) Cut(length int) block.Buffer {
	b := a.slab.Slice(a.used, a.used+length).Retain()
	a.used += (length + block.Size - 1) &^ (block.Size - 1)
	if a.used >= a.slab.Len() {
		a.Close() // an idle connection need not hold what is full
	}
	return b
}

// Close gives up the current slab, which stays while buffers of it are held.
func (a *Arena) Close() {
	a.slab.Release()
	a.slab, a.used = block.Buffer{}, 0
}
