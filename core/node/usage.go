package node

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	countPause = time.Millisecond      // between two turns of counting what is used,
	countYield = 50 * time.Millisecond // and on a busy disk
)

// Usage returns the space that a copy of a volume takes, and that of those of its
// snapshots which are counted.
func (d *Disk) Usage(id block.ReplicaID) (whole volume.Usage, snapshots map[block.LayerID]volume.Usage, known bool) {
	r := d.replicas[id]
	if !d.open || r == nil {
		return whole, nil, false
	}
	return d.store.Usage(r.Handle())
}

// count has the store count on what is used.
func (d *Disk) count(now step.Time, out *step.Effects) {
	if !d.counting {
		d.counting = true
		d.store.Measure(now, 0, out)
	}
}

func (d *Disk) onCounted(now step.Time, res *store.Result, out *step.Effects) {
	if d.counting = res.Status == message.OK && res.Cursor != 0; !d.counting {
		return
	}
	pause := countPause
	if d.store.Busy() {
		pause = countYield
	}
	out.After(now, pause, step.Tag{Owner: diskOwner, Slot: countSlot, Generation: d.epoch})
}
