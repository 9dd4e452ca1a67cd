// Package slots decides which slots of a disk are used. A slot holds one chunk
// of data, metadata pages or parked data; slots count from 1, so that 0 means
// none. core/store is its only caller.
//
//	free ──Alloc──▶ busy ──Root──▶ rooted ──Drop──▶ pending ──Release──▶ free
//
// Invariant: a rooted slot is busy, a pending one is busy and not rooted. Only
// the rooted bits go to disk: what no durable root owns is free after a crash.
// A freed slot is handed out again only after Release, which its caller does
// once the checkpoint that no longer names the slot is durable.
package slots

import (
	"math/bits"

	"github.com/lagan-storage/lagan/core/invariant"
)

// Slots is the allocation state of one disk.
type Slots struct {
	total   int
	free    int
	busy    []uint64
	rooted  []uint64
	dirty   []bool // by group of perGroup slots: rooted changed since ClearDirty
	group   int
	cursor  int      // where the next search starts
	pending []uint32 // freed since the last cut
	cut     int      // pending[:cut] is released by the running checkpoint
}

// New returns total free slots. perGroup, a multiple of 64, is how many slots
// share one page on disk.
func New(total, perGroup int) *Slots {
	words := (total + 63) / 64
	s := &Slots{
		total: total, free: total, group: perGroup,
		busy: make([]uint64, words), rooted: make([]uint64, words),
		dirty: make([]bool, (total+perGroup-1)/perGroup),
	}
	return s
}

// Total returns how many slots there are.
func (s *Slots) Total() int { return s.total }

// Free returns how many slots Alloc can hand out.
func (s *Slots) Free() int { return s.free }

// Pending returns how many slots wait for a checkpoint to become free.
func (s *Slots) Pending() int { return len(s.pending) }

func at(slot uint32) (word int, bit uint64) { return int(slot-1) / 64, 1 << ((slot - 1) % 64) }

// Busy reports whether the slot is used.
func (s *Slots) Busy(slot uint32) bool {
	w, b := at(slot)
	return s.busy[w]&b != 0
}

// Rooted reports whether the slot belongs to the tree.
func (s *Slots) Rooted(slot uint32) bool {
	w, b := at(slot)
	return s.rooted[w]&b != 0
}

// Alloc takes a free slot: hint if that is free, else the next after the last
// one taken.
func (s *Slots) Alloc(hint uint32) (slot uint32, ok bool) {
	if s.free == 0 {
		return 0, false
	}
	if hint != 0 && int(hint) <= s.total && !s.Busy(hint) {
		s.take(hint)
		return hint, true
	}
	words := len(s.busy)
	first := s.cursor / 64
	for i := 0; i <= words; i++ {
		w := (first + i) % words
		open := ^s.busy[w]
		if i == 0 {
			open &= ^uint64(0) << (s.cursor % 64)
		}
		if open == 0 {
			continue
		}
		n := w*64 + bits.TrailingZeros64(open)
		if n >= s.total {
			continue
		}
		s.take(uint32(n + 1))
		s.cursor = (n + 1) % s.total
		return uint32(n + 1), true
	}
	invariant.That(false, "a free slot is found when the count says there is one")
	return 0, false
}

func (s *Slots) take(slot uint32) {
	w, b := at(slot)
	invariant.That(s.busy[w]&b == 0, "a slot is taken only while it is free")
	s.busy[w] |= b
	s.free--
}

// Claim marks a slot as busy that recovery found in use. It reports false if
// the slot does not exist or has an owner already.
func (s *Slots) Claim(slot uint32) bool {
	if slot == 0 || int(slot) > s.total || s.Busy(slot) {
		return false
	}
	s.take(slot)
	return true
}

// Root makes the tree the owner of a busy slot.
func (s *Slots) Root(slot uint32) {
	w, b := at(slot)
	invariant.That(s.busy[w]&b != 0 && s.rooted[w]&b == 0, "a slot has one owner")
	s.rooted[w] |= b
	s.dirty[int(slot-1)/s.group] = true
}

// Drop ends the use of a slot; Release hands it out again.
func (s *Slots) Drop(slot uint32) {
	w, b := at(slot)
	invariant.That(s.busy[w]&b != 0, "only a busy slot is freed")
	if s.rooted[w]&b != 0 {
		s.rooted[w] &^= b
		s.dirty[int(slot-1)/s.group] = true
	}
	s.pending = append(s.pending, slot)
}

// Return gives back a slot that no durable structure can name.
func (s *Slots) Return(slot uint32) {
	w, b := at(slot)
	invariant.That(s.busy[w]&b != 0 && s.rooted[w]&b == 0, "only a busy slot without owner is returned")
	s.busy[w] &^= b
	s.free++
}

// Cut fixes what the checkpoint that starts now may release.
func (s *Slots) Cut() { s.cut = len(s.pending) }

// Release frees what was pending at the last Cut.
func (s *Slots) Release() {
	for _, slot := range s.pending[:s.cut] {
		s.Return(slot)
	}
	s.pending = append(s.pending[:0], s.pending[s.cut:]...)
	s.cut = 0
}

// Groups returns how many pages the rooted bits take on disk.
func (s *Slots) Groups() int { return len(s.dirty) }

// Words returns the rooted bits of a group, to be written or filled.
func (s *Slots) Words(group int) []uint64 {
	from := group * s.group / 64
	return s.rooted[from:min(from+s.group/64, len(s.rooted))]
}

// Dirty reports whether a group changed, and forgets it.
func (s *Slots) Dirty(group int) bool {
	d := s.dirty[group]
	s.dirty[group] = false
	return d
}

// Touch makes a group one that changed.
func (s *Slots) Touch(group int) { s.dirty[group] = true }

// Loaded takes over the rooted bits that recovery filled in. It reports false
// if one is beyond the end.
func (s *Slots) Loaded() bool {
	used := 0
	for i, w := range s.rooted {
		s.busy[i] |= w
		used += bits.OnesCount64(w)
	}
	s.free = s.total
	for _, w := range s.busy {
		s.free -= bits.OnesCount64(w)
	}
	last := s.total % 64
	return last == 0 || s.rooted[len(s.rooted)-1]&(^uint64(0)<<last) == 0
}

// PendingSlots returns the slots that wait for a checkpoint.
func (s *Slots) PendingSlots() []uint32 { return s.pending }
