package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
)

// recentSlab is how much memory recent takes at a time, in blocks.
const recentSlab = 256

// recent keeps a copy of what was last written to the ring, so that it goes
// home, and is read, without being read back from the disk: that is one of the
// two operations that a block costs after it is acknowledged.
//
// Invariant: the place of a block of the ring holds the bytes that were last
// written there. Whoever takes them compares checksums all the same.
type recent struct {
	most      int // blocks that are kept; 0: none
	blockSize int
	where     []int32  // by block of the ring: its place plus one, or 0
	holds     []uint32 // by place: the block of the ring that it holds
	slabs     [][]byte
	next      int // place to be used next
}

// newRecent returns memory for up to bytes of a ring of length bytes.
func newRecent(bytes int, length int64, blockSize int) recent {
	if bytes < blockSize {
		return recent{}
	}
	return recent{most: bytes / blockSize, blockSize: blockSize, where: make([]int32, int(length)/blockSize)}
}

func (r *recent) memory(place int) []byte {
	at := place % recentSlab * r.blockSize
	return r.slabs[place/recentSlab][at : at+r.blockSize]
}

// put copies what is written to the ring at address. The oldest content makes room.
func (r *recent) put(address int64, data []byte) {
	if r.most == 0 {
		return
	}
	for at := uint32(int(address-format.JournalOffset) / r.blockSize); len(data) > 0; at++ {
		place := int(r.where[at]) - 1
		if place < 0 {
			place = r.take()
			r.where[at], r.holds[place] = int32(place+1), at
		}
		copy(r.memory(place), data)
		data = data[r.blockSize:]
	}
}

// take returns the place that is used next, empty.
func (r *recent) take() int {
	place := r.next
	r.next = (place + 1) % r.most
	switch {
	case place < len(r.holds):
		r.where[r.holds[place]] = 0
	default:
		if place%recentSlab == 0 {
			r.slabs = append(r.slabs, make([]byte, min(recentSlab, r.most-place)*r.blockSize))
		}
		r.holds = append(r.holds, 0)
	}
	return place
}

// has reports whether the block at address, anywhere on the disk, is here.
func (r *recent) has(address int64) bool {
	at := (address - format.JournalOffset) / int64(max(1, r.blockSize))
	return address >= format.JournalOffset && at < int64(len(r.where)) && r.where[at] != 0
}

// copyTo fills memory with the block at address if it is here.
func (r *recent) copyTo(memory []byte, address int64) bool {
	if !r.has(address) {
		return false
	}
	copy(memory, r.memory(int(r.where[(address-format.JournalOffset)/int64(r.blockSize)])-1))
	return true
}

// remember notes the data of a batch that is written at address: all pieces
// but its header.
func (r *recent) remember(address int64, pieces []block.Buffer) {
	for _, p := range pieces {
		r.put(address, p.Bytes())
		address += int64(p.Len())
	}
}
