package sim

import (
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/sim/fsck"
)

// checkDisks looks, at rest, at the disks themselves and at what their stores
// say of the copies on them.
func (w *World) checkDisks() {
	for _, b := range w.bodies {
		for i, s := range b.disks {
			shard, ours := s.machine.(*node.Disk)
			if !ours || !s.ready {
				continue
			}
			if d := b.drives[i]; !d.damaged {
				if err := fsck.Check(d.device); err != nil {
					w.fail("I12", "%s: %v", s, err)
				}
			}
			for _, info := range shard.Store().Replicas(nil) {
				if info.Meta.Promised < info.LastAccepted.Era {
					w.fail("I7", "%s: replica %v is promised to epoch %d and has accepted %v", s, info.Replica, info.Meta.Promised, info.LastAccepted)
				}
			}
		}
	}
}
