package slab

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

const keptMax = 8

func TestSmallBuffersShareASlabAndHoldItToTheLast(t *testing.T) {
	stock := NewStock(keptMax)
	a := NewArena(stock)
	var buffers []block.Buffer
	for range 5 {
		room, err := a.Room(Bytes / 4)
		if err != nil || len(room) != Bytes/4 {
			t.Fatalf("%d bytes of room: %v", len(room), err)
		}
		buffers = append(buffers, a.Cut(block.Size))
	}
	for i, b := range buffers {
		for j := range b.Bytes() {
			b.Bytes()[j] = byte(i + 1)
		}
	}
	for i, b := range buffers {
		if b.Len() != block.Size || b.Bytes()[0] != byte(i+1) || b.Bytes()[block.Size-1] != byte(i+1) {
			t.Errorf("buffer %d overlaps another", i)
		}
	}
	a.Close()
	for _, b := range buffers {
		if stock.Kept() > 0 {
			t.Fatal("the slab went back while a buffer of it was held")
		}
		b.Release()
	}
	if stock.Kept() != 1 {
		t.Errorf("%d slabs came back, want 1", stock.Kept())
	}
}

func TestStockOfSlabsIsBounded(t *testing.T) {
	stock := NewStock(keptMax)
	var all []block.Buffer
	for range keptMax + 3 {
		b, err := stock.take(Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	for _, b := range all {
		b.Release()
	}
	if stock.Kept() != keptMax {
		t.Errorf("%d slabs kept, want %d", stock.Kept(), keptMax)
	}
}

func TestLargeBufferHasASlabOfItsOwnThatIsNotKept(t *testing.T) {
	stock := NewStock(keptMax)
	a := NewArena(stock)
	room, err := a.Room(5 * Bytes)
	if err != nil || len(room) != 5*Bytes {
		t.Fatalf("%d bytes of room: %v", len(room), err)
	}
	large := a.Cut(5 * Bytes)
	if _, err := a.Room(block.Size); err != nil {
		t.Fatal(err)
	}
	small := a.Cut(block.Size)
	a.Close()
	large.Release()
	small.Release()
	if stock.Kept() != 1 {
		t.Errorf("%d slabs kept, want that of the small buffer alone", stock.Kept())
	}
}
