package sim

import (
	"slices"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// compareCopies has the coordinators of a healed world compare the copies of their
// volumes: they must find what compareMembers finds, which is nothing.
func (w *World) compareCopies() {
	for range 4 { // until the operator leaves the volumes where they are
		open := w.comparable()
		for _, st := range open {
			w.compare(st, false)
		}
		w.run(w.now+int64(w.plan.Liveness), func() bool {
			return !slices.ContainsFunc(open, func(st *serving) bool { return !st.shard.gone && !st.comparison.Ended })
		})
		if !slices.ContainsFunc(open, func(st *serving) bool { return !st.comparison.Ended }) {
			return
		}
		w.run(w.now+int64(w.plan.Liveness), w.recovered)
	}
	w.fail("liveness", "copies cannot be compared in a healed world: %s", w.missing())
}

// comparable returns the coordinators of the volumes that have several copies.
func (w *World) comparable() (list []*serving) {
	for _, v := range w.volumes {
		if st := v.newest(); st != nil && !v.lost() && !v.deleted && !v.deleting && v.config.Count(volume.InSync) > 1 {
			list = append(list, st)
		}
	}
	return list
}

// compare asks a coordinator to compare the copies of its volume, or to end that.
func (w *World) compare(st *serving, end bool) {
	st.comparison = volume.Comparison{}
	it := w.queue.push(w.now)
	it.kind, it.body, it.life, it.shard = itemEvent, st.shard.body, st.shard.body.life, st.shard
	it.event.Kind = step.EventControl
	it.event.Control = step.Control{Kind: step.CompareVolume, Volume: st.volume.id, Force: end}
}

// compared takes how far a coordinator is.
func (w *World) compared(st *serving, c *step.Control) {
	st.comparison = *c.Comparison
	if w.tamper != nil {
		return // a scenario made them differ
	}
	for _, d := range st.comparison.Places {
		w.fail("comparison", "%s finds that the copies of %s differ: chunk %d of layer %x, blocks %x: %v", st.shard, st.volume.name, d.Chunk, d.Layer, d.Blocks, d.Copies)
	}
}
