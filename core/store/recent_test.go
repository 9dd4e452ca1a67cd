package store

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

func TestRecentHoldsWhatWasWrittenLast(t *testing.T) {
	const blockSize, ringBlocks = 64, 1000
	for _, most := range []int{1, 7, recentSlab, recentSlab + 1, ringBlocks, 2 * ringBlocks} {
		r := newRecent(most*blockSize, ringBlocks*blockSize, blockSize)
		random := rand.New(rand.NewPCG(uint64(most), 1))
		written := map[int64]byte{}
		newest, at := 0, 0
		for n := range 5000 {
			count := 1 + random.IntN(5)
			if at+count > ringBlocks {
				at = 0
			}
			address := int64(format.JournalOffset + at*blockSize)
			r.put(address, bytes.Repeat([]byte{byte(n)}, count*blockSize))
			for b := range int64(count) {
				written[address+b*blockSize] = byte(n)
			}
			newest, at = n, at+count
		}
		found := 0
		for address, want := range written {
			memory := make([]byte, blockSize)
			if !r.copyTo(memory, address) {
				continue
			}
			if found++; !bytes.Equal(memory, bytes.Repeat([]byte{want}, blockSize)) {
				t.Fatalf("of %d: block at %d is not what was written there last", most, address)
			}
		}
		if want := min(most, len(written)); found != want {
			t.Errorf("of %d: %d blocks are found, want %d", most, found, want)
		}
		last := int64(format.JournalOffset + (at-1)*blockSize)
		if memory := make([]byte, blockSize); !r.copyTo(memory, last) || memory[0] != byte(newest) {
			t.Errorf("of %d: the newest block is not found", most)
		}
	}
}

func TestRecentKnowsNothingOutsideTheRing(t *testing.T) {
	r := newRecent(64*64, 1000*64, 64)
	r.put(format.JournalOffset, make([]byte, 64))
	for _, address := range []int64{0, format.JournalOffset - 64, format.JournalOffset + 1000*64, 1 << 40} {
		if r.has(address) {
			t.Errorf("a block at %d is found", address)
		}
	}
	var none recent
	none.put(format.JournalOffset, make([]byte, 64))
	if none.has(format.JournalOffset) {
		t.Error("a block is found in no memory")
	}
}

func TestDataInMemoryGoesHomeWithoutBeingReadBack(t *testing.T) {
	r := newRig(t, 1, small())
	r.limits.RecentBytes = 64 << 10
	r.reopen()
	h := r.create(1, 64)
	r.durable(h, 1, 1, 20)
	r.stable(h, 20)
	r.disk.log = nil
	r.wait(2 * time.Minute)
	home := 0
	for _, op := range r.disk.log {
		switch {
		case op.Kind == step.DiskRead && op.Offset >= format.JournalOffset && op.Offset < r.store.slotBase:
			t.Errorf("the ring is read at %d", op.Offset)
		case op.Kind == step.DiskWrite && op.Offset >= r.store.slotBase:
			home++
		}
	}
	if home == 0 {
		t.Error("nothing went home")
	}
	if got := r.stamp(h, 3); got == 0 {
		t.Error("block 3 is empty")
	}
}
