package usecase

import (
	"context"
	"time"

	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// Rebalance has copies moved from the fullest disks to the emptiest ones until what
// they promise differs by at most spread points, and returns what is planned now. With
// dryRun, or when there is nothing to move, nothing is begun.
func (n *Node) Rebalance(ctx context.Context, spread int, dryRun bool) (plan volume.Balance, err error) {
	if err := volume.CheckSpread(spread); err != nil {
		return plan, err
	}
	ctx, cancel := change(ctx)
	defer cancel()
	known := false
	n.p.Host.View(func(o *orchestrator.Orchestrator) {
		if known = o.Known(); known {
			plan = o.Balance(spread)
		}
	})
	if !known {
		return plan, n.notReady()
	}
	if dryRun || len(plan.Moves) == 0 {
		return plan, nil
	}
	c := volume.Command{Kind: volume.BalanceDisks, Spread: spread, Time: n.p.Now().UTC().Format(time.RFC3339)}
	if _, err := n.p.Host.Command(ctx, c); err != nil {
		return plan, err
	}
	plan.Started = orchestrator.RebalanceID
	return plan, nil
}
