package sim

import (
	"math/bits"

	"github.com/lagan-storage/lagan/core/block"
)

// pool hands out the buffers of one process. What is given back is overwritten
// at once, so that whoever still reads it, or sends it, is found out.
type pool struct {
	free   [24][]*block.Slab // by the power of two above the length
	inUse  int
	handed int
}

const poison = 0xdb

// Get returns a buffer with undefined content.
func (p *pool) Get(length int) block.Buffer {
	class := bits.Len(uint(max(length, 64) - 1))
	p.inUse++
	p.handed++
	if n := len(p.free[class]); n > 0 {
		slab := p.free[class][n-1]
		p.free[class] = p.free[class][:n-1]
		return slab.Buffer(length)
	}
	data := make([]byte, 1<<class)
	spoil(data)
	return block.NewSlab(data, func(s *block.Slab) {
		p.inUse--
		spoil(s.Data())
		p.free[class] = append(p.free[class], s)
	}).Buffer(length)
}

// spoil overwrites data; of large memory only samples, for speed.
func spoil(data []byte) {
	const all, sample, stride = 4096, 64, 4096
	if len(data) <= all {
		for n := copy(data, poisoned); n < len(data); n *= 2 {
			copy(data[n:], data[:n])
		}
		return
	}
	for at := 0; at < len(data); at += stride {
		copy(data[at:at+sample], poisoned)
	}
}

const poisoned = "\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb" +
	"\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb\xdb"
