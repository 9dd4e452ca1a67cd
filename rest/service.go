package rest

import (
	"context"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// maintenanceMax is how long nodes are in maintenance at most: what is away for longer
// is lost.
const maintenanceMax = 7 * 24 * time.Hour

// ChangeNode implements api.StrictServerInterface.
func (s *server) ChangeNode(ctx context.Context, r api.ChangeNodeRequestObject) (api.ChangeNodeResponseObject, error) {
	b, asked := r.Body, requestOf(ctx).Context()
	other := b.Cordoned != nil || b.Drained != nil
	var n volume.NodeReport
	var err error
	switch seconds := b.MaintenanceSeconds; {
	case b.Leaving != nil && (other || seconds != nil):
		return nil, invalidRequest("leaving: change nothing else with it")
	case b.Leaving != nil && !*b.Leaving:
		return nil, invalidRequest("leaving is false: to have the node stay, set drained to false")
	case b.Leaving != nil:
		n, err = s.Service.Decommission(asked, r.ID)
	case seconds != nil && other:
		return nil, invalidRequest("maintenance_seconds: change nothing else with it")
	case seconds != nil && (*seconds < 0 || *seconds > int64(maintenanceMax/time.Second)):
		return nil, invalidRequest("maintenance_seconds is %d: want 0 to end it, or at most %d, which is a week", *seconds, maintenanceMax/time.Second)
	case seconds != nil:
		n, err = s.Service.Maintain(asked, r.ID, time.Duration(*seconds)*time.Second, b.Force)
	case b.Force:
		return nil, invalidRequest("force: it is for maintenance_seconds alone")
	case !other:
		return nil, invalidRequest("nothing is to change: say what is to be asked of the node")
	default:
		n, err = s.Service.ChangeNode(asked, r.ID, volume.NodeChange{Cordoned: b.Cordoned, Drained: b.Drained})
	}
	return api.ChangeNode200JSONResponse(nodeOf(&n)), err
}

// GetAbsence implements api.StrictServerInterface.
func (s *server) GetAbsence(ctx context.Context, r api.GetAbsenceRequestObject) (api.GetAbsenceResponseObject, error) {
	a, err := s.Service.Absence(requestOf(ctx).Context(), r.ID)
	return api.GetAbsence200JSONResponse(absenceOf(&a)), err
}

// GetAccount implements api.StrictServerInterface.
func (s *server) GetAccount(ctx context.Context, r api.GetAccountRequestObject) (api.GetAccountResponseObject, error) {
	a, err := s.Service.Explain(requestOf(ctx).Context(), r.Name)
	return api.GetAccount200JSONResponse(accountOf(&a)), err
}

// Rebalance implements api.StrictServerInterface.
func (s *server) Rebalance(ctx context.Context, r api.RebalanceRequestObject) (api.RebalanceResponseObject, error) {
	b, err := s.Service.Rebalance(requestOf(ctx).Context(), r.Body.Spread, r.Params.DryRun)
	if err != nil {
		return nil, err
	}
	if b.Started != "" {
		return api.Rebalance202JSONResponse(balanceOf(&b)), nil
	}
	return api.Rebalance200JSONResponse(balanceOf(&b)), nil
}

func balanceOf(b *volume.Balance) api.Balance {
	return api.Balance{
		Spread: b.Spread, Fullest: b.Fullest, Emptiest: b.Emptiest, Bytes: b.Bytes, Stuck: textsOf(b.Stuck), Operation: b.Started,
		Moves: itemsOf(b.Moves, func(m *volume.CopyMove) api.CopyMove {
			return api.CopyMove{
				Volume: m.Name, FromNode: m.FromNode, FromDisk: m.From.ID.String(), ToNode: m.ToNode, ToDisk: m.To.ID.String(),
				Bytes: m.Bytes, Why: m.Why(),
			}
		}),
	}
}

func absenceOf(a *volume.Absence) api.Absence {
	answer := api.Absence{
		Node: a.Node, Safe: a.Safe, Reasons: textsOf(a.Reasons),
		Volumes: itemsOf(a.Losses, func(l *volume.Loss) api.Loss {
			return api.Loss{Volume: l.Volume, Fate: api.Fate(l.Fate), Left: l.Left, Asked: l.Asked, Text: l.Text}
		}),
		Attachments: itemsOf(a.Stays, func(s *volume.Stay) api.Stay {
			return api.Stay{Volume: s.Volume, Lingering: s.Lingers, Users: usersOf(s.Users)}
		}),
	}
	if v := &a.Voters; v.Known {
		answer.Voters = &api.Voters{Votes: v.Votes, Voters: v.All, Left: v.Left, Needed: v.Needed}
	}
	return answer
}

func accountOf(a *volume.Account) api.Account {
	return api.Account{
		Volume: a.Volume, Health: string(a.Health), Reason: a.Reason, Replicas: a.Asked, MinWritable: a.MinWritable, Rules: textsOf(a.Rules),
		Copies: itemsOf(a.Copies, func(c *volume.CopyAccount) api.CopyAccount {
			return api.CopyAccount{Replica: replicaOf(&c.Copy), Why: textsOf(c.Why)}
		}),
		Nodes: itemsOf(a.Nodes, func(n *volume.NodeAccount) api.NodeAccount {
			return api.NodeAccount{Node: n.Node, Placement: n.Place, Fate: api.Fate(n.Fate), Text: n.Text}
		}),
	}
}

// textsOf returns a list of lines; one of none is a list, too.
func textsOf(lines []string) []string {
	return append([]string{}, lines...)
}
