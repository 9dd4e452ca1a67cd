package storetest

import (
	"encoding/binary"

	"github.com/lagan-storage/lagan/core/block"
)

// fill writes the pattern of s at block b of replica id: a block in the wrong
// place, or of another replica, is recognised as well as an old one.
func (s stamp) fill(id block.ReplicaID, b block.Block, data []byte) {
	if s == 0 {
		clear(data)
		return
	}
	x := binary.LittleEndian.Uint64(id[:8]) ^ uint64(b)*0x9e3779b97f4a7c15
	binary.LittleEndian.PutUint64(data, uint64(s))
	for i := 8; i < len(data); i += 8 {
		x = (x ^ uint64(s)) * 0xbf58476d1ce4e5b9
		x ^= x >> 31
		binary.LittleEndian.PutUint64(data[i:], x)
	}
}

// stampOf returns the stamp that data at block b holds; false if it holds none.
func stampOf(id block.ReplicaID, b block.Block, data []byte) (stamp, bool) {
	s := stamp(binary.LittleEndian.Uint64(data))
	want := make([]byte, len(data))
	s.fill(id, b, want)
	return s, string(want) == string(data)
}

// pool hands out memory that is spoilt as soon as its last reference is gone,
// so that a use after that shows.
type pool struct{}

func (pool) Get(length int) block.Buffer {
	return block.NewSlab(make([]byte, length), func(s *block.Slab) {
		for i := range s.Data() {
			s.Data()[i] = 0xdb
		}
	}).Buffer(length)
}
