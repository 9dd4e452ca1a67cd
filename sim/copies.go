package sim

import "github.com/lagan-storage/lagan/core/volume"

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
		if m.State == volume.InSync && (state.gone || state.unsound && (state.old || state.refused) && !serves) {
			return true
		}
	}
	return false
}
