package sim

import (
	"slices"

	"github.com/lagan-storage/lagan/core/volume"
)

// What is left of a volume, by what happened to its copies.

// whole reports whether a copy exists that has every acknowledged write, if
// the one on a node's disk (-1: on any of its disks) is not counted.
func (v *volumeState) whole(without *body, drive int) bool {
	for i := range v.config.Members {
		m := &v.config.Members[i]
		if state := v.member(m.Replica); m.State != volume.InSync || state.wounded || state.gone || state.refused {
			continue
		}
		if without != nil && m.Node == without.id && (drive < 0 || without.drives[drive].id == m.Disk) {
			continue
		}
		return true
	}
	return false
}

// undamaged reports whether a copy exists that has every acknowledged flush: its
// disk is the one that it was written to.
func (v *volumeState) undamaged() bool {
	for i := range v.config.Members {
		m := &v.config.Members[i]
		if state := v.member(m.Replica); m.State == volume.InSync && !state.old && !state.gone && !state.refused {
			return true
		}
	}
	return false
}

// lost reports whether a copy that the volume would need is gone for ever and
// no other has every acknowledged write: it rightly waits for a human.
func (v *volumeState) lost() bool {
	if v.whole(nil, 0) {
		return false
	}
	serves := v.newest() != nil && v.newest().text == ""
	for i := range v.config.Members {
		m := &v.config.Members[i]
		state := v.member(m.Replica)
		if m.State == volume.InSync && (state.gone || (state.unsound && state.old || state.refused) && !serves) {
			return true
		}
	}
	return false
}

// outlasts reports whether a copy that stays has on its disk whatever is on the
// disks of those that a change puts out: it went back to an older image, but not
// to one older than they are.
func (w *World) outlasts(v *volumeState, before, next *volume.Config) bool {
	for i := range next.Members {
		m := &next.Members[i]
		last, complete := w.durableOf(m)
		if m.State != volume.InSync || !complete {
			continue
		}
		behind := slices.ContainsFunc(before.Members, func(o volume.Member) bool {
			now := next.Member(o.Replica)
			theirs, _ := w.durableOf(&o)
			return o.State == volume.InSync && (now == nil || now.State != volume.InSync) && last.Less(theirs)
		})
		if !behind {
			v.member(m.Replica).old = false
			return true
		}
	}
	return false
}
