package slots

import (
	"math/rand/v2"
	"testing"
)

func TestNoSlotIsHandedOutTwice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	s := New(300, 64)
	held := make(map[uint32]bool)
	var list []uint32
	for range 20_000 {
		switch n := r.IntN(10); {
		case n < 5:
			slot, ok := s.Alloc(uint32(r.IntN(400)))
			if ok != (s.Free() > 0 || ok) || ok && (slot == 0 || slot > 300 || held[slot]) {
				t.Fatalf("slot %d, %v: held already or outside", slot, ok)
			}
			if ok {
				held[slot] = true
				list = append(list, slot)
				if n < 3 {
					s.Root(slot)
				}
			}
		case n < 9 && len(list) > 0:
			i := r.IntN(len(list))
			s.Drop(list[i])
			list[i] = list[len(list)-1]
			list = list[:len(list)-1]
		default:
			s.Cut()
			released := s.pending[:s.cut]
			for _, slot := range released {
				delete(held, slot)
			}
			s.Release()
		}
		if s.Free() != 300-len(held) {
			t.Fatalf("%d are free, %d are held", s.Free(), len(held))
		}
	}
}

func TestRootedBitsComeBack(t *testing.T) {
	s := New(130, 64)
	for range 100 {
		slot, _ := s.Alloc(0)
		if slot%3 == 0 {
			s.Root(slot)
		}
	}
	back := New(130, 64)
	for g := range s.Groups() {
		copy(back.Words(g), s.Words(g))
	}
	if !back.Loaded() || back.Free() != 130-33 || !back.Rooted(99) || back.Busy(98) {
		t.Fatalf("%d are free after loading", back.Free())
	}
	back.Words(2)[0] |= 1 << 10
	if back.Loaded() {
		t.Fatal("a slot beyond the end was taken")
	}
}
