package host

import (
	"math/bits"
	"sync"
	"unsafe"

	"github.com/lagan-storage/lagan/core/block"
)

// slabMin is the smallest slab: a page, the alignment of direct I/O.
const slabMin = 4096

// slabClasses is how many sizes of slabs are kept: 4 KiB to 4 MiB by powers of
// two. Larger ones are made and dropped.
const slabClasses = 11

// Pool hands out buffers whose memory is aligned to 4096 bytes, as direct I/O
// asks for. What is released is used again.
type Pool struct {
	classes [slabClasses]sync.Pool
}

// NewPool returns an empty pool.
func NewPool() *Pool { return &Pool{} }

// Get implements block.Pool.
func (p *Pool) Get(length int) block.Buffer {
	class := bits.Len(uint(max(length, 1)-1) / slabMin)
	if class >= slabClasses {
		return block.NewSlab(aligned(length), nil).Buffer(length)
	}
	if s, ok := p.classes[class].Get().(*block.Slab); ok {
		return s.Buffer(length)
	}
	kept := &p.classes[class]
	return block.NewSlab(aligned(slabMin<<class), func(s *block.Slab) { kept.Put(s) }).Buffer(length)
}

// aligned returns length bytes that begin at a multiple of slabMin.
func aligned(length int) []byte {
	raw := make([]byte, length+slabMin)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (slabMin - 1)
	return raw[skip : skip+length : skip+length]
}
