package sim

import (
	"math/bits"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

// pool hands out buffers. What is given back is overwritten at once, so that
// whoever still reads it, or sends it, is found out.
type pool struct {
	free [24][]*block.Slab // by the power of two above the length
}

const poison = 0xdb

// Get returns a buffer with undefined content.
func (p *pool) Get(length int) block.Buffer {
	class := bits.Len(uint(max(length, 64) - 1))
	if n := len(p.free[class]); n > 0 {
		slab := p.free[class][n-1]
		p.free[class] = p.free[class][:n-1]
		return slab.Buffer(length)
	}
	data := make([]byte, 1<<class)
	spoil(data)
	return block.NewSlab(data, func(s *block.Slab) {
		spoil(s.Data())
		p.free[class] = append(p.free[class], s)
	}).Buffer(length)
}

// spoil overwrites data; of large memory only samples, for speed.
func spoil(data []byte) {
	const sample = 64
	if len(data) <= len(poisoned) {
		copy(data, poisoned)
		return
	}
	for at := 0; at < len(data); at += len(poisoned) {
		copy(data[at:at+sample], poisoned)
	}
}

var poisoned = strings.Repeat(string([]byte{poison}), 4096) // constant table
