package client

import (
	"context"

	"github.com/lagan-storage/lagan/rest/api"
)

// ChangeNode changes what is asked of a node, by name or identity.
func (c *Client) ChangeNode(ctx context.Context, name string, change api.NodeChange) (api.Node, error) {
	if err := refuseName(name); err != nil {
		return api.Node{}, err
	}
	r, err := c.api.ChangeNodeWithResponse(ctx, name, change)
	return answer(r, err, func(r *api.ChangeNodeResponse) *api.Node { return r.JSON200 })
}

// Absence returns what the rest of the cluster would notice if a node were away.
func (c *Client) Absence(ctx context.Context, name string) (api.Absence, error) {
	if err := refuseName(name); err != nil {
		return api.Absence{}, err
	}
	r, err := c.api.GetAbsenceWithResponse(ctx, name)
	return answer(r, err, func(r *api.GetAbsenceResponse) *api.Absence { return r.JSON200 })
}

// Explain returns why the copies of a volume are where they are, and what becomes of
// it if a node dies.
func (c *Client) Explain(ctx context.Context, name string) (api.Account, error) {
	if err := refuseName(name); err != nil {
		return api.Account{}, err
	}
	r, err := c.api.GetAccountWithResponse(ctx, name)
	return answer(r, err, func(r *api.GetAccountResponse) *api.Account { return r.JSON200 })
}

// Rebalance has copies moved until disks differ by at most spread points, or only says
// which.
func (c *Client) Rebalance(ctx context.Context, spread int, dryRun bool) (api.Balance, error) {
	r, err := c.api.RebalanceWithResponse(ctx, &api.RebalanceParams{DryRun: dryRun}, api.Rebalance{Spread: spread})
	return answer(r, err, func(r *api.RebalanceResponse) *api.Balance {
		if r.JSON202 != nil {
			return r.JSON202
		}
		return r.JSON200
	})
}
