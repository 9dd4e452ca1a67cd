package sim

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/linearizability"
)

// A volume goes back to a snapshot while nobody uses it: its clients stand still,
// and once all that they asked for has ended the snapshot is asked for that keeps
// what is left behind. What follows is judged as another volume's history, which
// begins with what was gone back to: whoever reads anything else that was written
// before reads what nobody wrote.

// restore is a volume's way back to a snapshot.
type restore struct {
	stands bool          // its clients ask for nothing
	to     block.LayerID // the snapshot that it goes back to
	until  int64         // when that is given up, if requests do not end
	layer  block.LayerID // the snapshot that keeps what was; 0: not asked for yet
}

const (
	restoreTurn     = 10 * time.Millisecond
	restorePatience = 5 * time.Second
)

// restoreSnapshot has the volume go back to one of its snapshots.
func (c *client) restoreSnapshot(_ *operation, o Operation) {
	w, v := c.world, c.volume
	ready := v.ready()
	if len(ready) == 0 || v.restore.stands || v.deleting || w.healed || v.beyond {
		return
	}
	c.note(&o)
	v.restore = restore{stands: true, to: ready[len(v.images.taken)%len(ready)].Layer, until: w.now + int64(restorePatience)}
	w.awaitQuiet(v)
}

// awaitQuiet asks for the restore once no request is under way.
func (w *World) awaitQuiet(v *volumeState) {
	asked := false
	for _, st := range v.servings {
		asked = asked || len(st.requests) > 0
	}
	for _, b := range w.bodies {
		asked = asked || slices.ContainsFunc(b.survivors, func(s *survivor) bool { return s.volume == v && len(s.requests) > 0 })
	}
	switch {
	case w.healed || w.now > v.restore.until:
		v.restore = restore{}
	case asked:
		w.after(restoreTurn, callClient, func() { w.awaitQuiet(v) })
	default:
		v.restore.layer = w.snapshot(v, v.restore.to)
	}
}

// restored begins a new history: all that was asked for before has ended.
func (w *World) restored(v *volumeState) {
	w.counts.Restores++
	w.tracef(nil, "%s went back to snapshot %x", v.name, v.restore.to)
	v.restore = restore{}
	v.past = append(v.past, v.history)
	v.history = linearizability.NewHistory(v.id)
	v.history.Attach(w.now, v.era)
	v.base = append([]block.Checksum(nil), v.images.head...)
}
