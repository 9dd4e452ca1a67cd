package usecase

import (
	"context"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// Alerts returns what someone must act on, as far as this node knows it.
func (n *Node) Alerts(context.Context) ([]volume.Alert, error) {
	known := false
	var recorded orchestrator.Recorded
	n.p.Host.View(func(o *orchestrator.Orchestrator) {
		if known = o.Known(); known {
			recorded = o.Recorded()
		}
	})
	if !known {
		return nil, n.notReady()
	}
	for _, r := range n.p.Host.Comparisons() {
		if r.Blocks > 0 {
			if recorded.Differing == nil {
				recorded.Differing = map[block.VolumeID]uint64{}
			}
			recorded.Differing[r.Volume] = r.Blocks
		}
	}
	if n.p.Membership != nil {
		recorded.Voters = n.p.Membership.Voting()
	}
	return orchestrator.Alerts(&recorded), nil
}
