package sim

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// A volume is deleted while there are clones of it: what they stand on stays, and
// belongs to nobody else.

// deleteVolume has the client's volume deleted for good, once each of its clones
// has copies of its own.
func (c *client) deleteVolume(_ *operation, o Operation) {
	w, v := c.world, c.volume
	virgin := slices.ContainsFunc(w.volumes, func(n *volumeState) bool { return n.origin == v && n.config.Virgin() })
	if !w.isCloned(v) || virgin || v.restore.stands || v.deleting || w.healed {
		return
	}
	c.note(&o)
	v.deleting = true
	w.operator.bury(v, &w.operator.wants[w.volumeIndex(v.id)])
}

// buryEvery is how often the operator asks for a deletion that is not recorded yet.
const buryEvery = time.Second

// bury asks a node to detach a volume, whoever uses it, and to delete it with its
// snapshots.
func (o *operator) bury(v *volumeState, want *want) {
	w := o.world
	if b := w.bodies[o.another(v, want.node)]; !v.deleted && w.now-want.since >= int64(buryEvery) && b.life != 0 {
		want.since, want.asked = w.now, 0
		o.send(b, volume.Command{Kind: volume.DetachVolume, Name: v.name, Force: true})
		o.send(b, volume.Command{Kind: volume.DeleteVolume, Name: v.name, Snapshots: true})
	}
}

// buried notes that the deletion of a volume is recorded: it has no copies that
// anybody counts on any more.
func (w *World) buried(v *volumeState) {
	if !v.deleting {
		w.fail("records", "%s is deleted, and nobody asked for it", v.name)
	}
	w.counts.Deletes++
	w.tracef(nil, "%s is deleted", v.name)
	v.deleted, v.snapshots, v.placement, v.attachment, v.restore = true, nil, nil, volume.Attachment{}, restore{}
	v.config = &volume.Config{Format: volume.Format, Volume: v.id, Blocks: v.config.Blocks, Epoch: v.config.Epoch + 1, CleanAt: &block.Position{Seq: 1}}
}

// isGone reports whether no record of a deleted volume is left, but where a copy is
// on a disk that does not exist any more.
func (w *World) isGone(v *volumeState) bool {
	item, found := w.metadata.record(volume.ConfigKey(v.id))
	return v.deleted && (!found || w.waitsForLostDisks(w.parseConfig(item.Value)))
}
