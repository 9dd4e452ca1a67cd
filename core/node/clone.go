package node

import (
	"maps"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
)

// cloneAfter is when a clone whose snapshot was not there is tried again. A disk
// that does not get it in time is left behind by the clone's first session, and
// its copy is filled from another.
const cloneAfter = 200 * time.Millisecond

// imageOf finds the snapshot that a clone begins with: a whole copy of its volume
// on this disk has it. Which of several does not matter.
func (d *Disk) imageOf(origin *volume.Origin) (image store.Image, whole bool) {
	for _, id := range slices.SortedFunc(maps.Keys(d.replicas), compareReplicas) {
		if r := d.replicas[id]; r.Volume() == origin.Volume && r.Whole() && d.store.HasLayer(r.Handle(), origin.Layer) {
			return store.Image{From: r.Handle(), Layer: origin.Layer}, true
		}
	}
	return store.Image{}, false
}

// makeAgain has a replica made a while later.
func (d *Disk) makeAgain(now step.Time, c *step.Control, out *step.Effects) {
	if len(d.waiting) == 0 {
		out.After(now, cloneAfter, step.Tag{Owner: diskOwner, Slot: cloneSlot, Generation: d.epoch})
	}
	d.waiting[c.Replica] = *c
}

func (d *Disk) makeWaiting(now step.Time, out *step.Effects) {
	waiting := d.waiting
	d.waiting = map[block.ReplicaID]step.Control{}
	for _, id := range slices.SortedFunc(maps.Keys(waiting), compareReplicas) {
		c := waiting[id]
		d.makeReplica(now, &c, out)
	}
}
