package orchestrator

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// accuseRestored tells of a copy on this node that a restored configuration does not
// list. Unless it had left when the backup was taken it came later, and may have what
// none of the listed copies heard of: nobody is to serve the volume from those until a
// person decides.
func (o *Orchestrator) accuseRestored(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	c := v.Config.Value
	if c == nil || c.Restored == nil || c.Regressed() || c.Tombstone {
		return
	}
	for _, r := range l.sortedReplicas() {
		if !l.replicas[r].held || c.Member(r) != nil || v.Placement.Value.Drops(r) {
			continue
		}
		out.Marks.Hit("orchestrator: copy that came after a backup")
		next := c.Clone()
		next.Accuse(c.Restored.Epoch+1, o.p.Node.ID)
		next.Epoch, next.Change = c.Epoch+1, o.random.next()
		key := volume.ConfigKey(id)
		o.write(key, id, metadata.Txn{
			Guards: []metadata.Guard{{Key: key, Revision: v.Config.Revision}},
			Ops:    []metadata.Op{{Key: key, Value: next.Encode()}},
		}, out)
		return
	}
}
