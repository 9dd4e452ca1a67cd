package store

import (
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// check compares what the store believes of its slots with who owns them: every
// slot has one owner or is free (I12). It needs the store at rest.
func (r *rig) check() {
	r.t.Helper()
	s := r.store
	if s.phase != phaseOpen {
		return
	}
	owner := make(map[uint32]string)
	own := func(slot uint32, who string) {
		if was, ok := owner[slot]; ok && was != who {
			r.t.Fatalf("slot %d belongs to %s and to %s", slot, was, who)
		}
		if slot == 0 || int(slot) > s.slots.Total() || !s.slots.Busy(slot) {
			r.t.Fatalf("slot %d of %s is free or does not exist", slot, who)
		}
		owner[slot] = who
	}
	for slot := range s.pages.used { // any order: a set is filled
		own(slot, "metadata")
	}
	for _, l := range s.layers {
		r.checkTree(l.tree, own)
		if l.under != nil {
			r.checkTree(l.under, own)
		}
		for i := s.index.First(l.number); i != index.None; i = s.index.Next(i) {
			for v := s.index.Chunk(i).Newest; v != index.None; v = s.index.Older(v) {
				version := s.index.Version(v)
				if version.Kind == index.Mapped {
					own(version.Slot, "a version")
				}
				if version.Kind == index.Data && version.Batch == 0 {
					own(s.slotAt(version.At), "parked data")
				}
			}
		}
	}
	for _, t := range s.dead {
		r.checkTree(t, own)
	}
	for _, slot := range s.slots.PendingSlots() {
		own(slot, "pending")
	}
	if used := s.slots.Total() - s.slots.Free(); used != len(owner) && len(s.queue.active) == 0 && s.slots.Pending() == 0 {
		r.t.Fatalf("%d slots are in use, %d have an owner", used, len(owner))
	}
}

func (r *rig) checkTree(t *tree, own func(uint32, string)) {
	s := r.store
	for i, ok := t.next(0, 0); ok; i, ok = t.next(i+1, 0) {
		child := t.child(i)
		if child.Page == 0 {
			continue
		}
		if at, cached := s.leaves.find[leafID{t.id, i}]; cached && s.leaves.leaves[at].dirty {
			continue
		}
		page := r.disk.data[s.pageAddress(child.Page):][:format.PageSize]
		body, _, err := format.OpenPage(page, format.PageLeaf, s.super.Pool, s.pageAddress(child.Page), child.CRC, i)
		if err != nil {
			r.t.Fatalf("leaf %d: %v", i, err)
		}
		var l format.Leaf
		if err := format.DecodeLeaf(body, uint32(s.slots.Total()), &l); err != nil {
			r.t.Fatalf("leaf %d: %v", i, err)
		}
		r.ownLeaf(&l, own)
	}
	for _, l := range s.leaves.leaves {
		if l.busy && l.dirty && l.tree == t {
			r.ownLeaf(&l.content, own)
		}
	}
}

func (r *rig) ownLeaf(l *format.Leaf, own func(uint32, string)) {
	for n := range l {
		if l[n].Slot != 0 {
			own(l[n].Slot, "a chunk")
		}
	}
}
