package rest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (n *node) ChangeNode(_ context.Context, name string, c volume.NodeChange) (volume.NodeReport, error) {
	n.name = name
	asked := volume.NodeSpec{}
	return volume.NodeReport{Spec: asked.With(&c, "now", 0)}, n.err
}

func (n *node) Maintain(_ context.Context, name string, most time.Duration, force bool) (volume.NodeReport, error) {
	n.name = name
	return volume.NodeReport{Spec: volume.NodeSpec{Maintained: fmt.Sprint(most, force)}}, n.err
}

func (n *node) Decommission(_ context.Context, name string) (volume.NodeReport, error) {
	n.name = name
	return volume.NodeReport{Spec: volume.NodeSpec{Leaves: true, Drained: "now"}}, n.err
}

func (n *node) Absence(_ context.Context, name string) (volume.Absence, error) {
	n.name = name
	return volume.Absence{
		Node: "a", Reasons: []string{"volume db stops"},
		Losses: []volume.Loss{{Volume: "db", Fate: volume.Unavailable, Asked: 2, Text: "volume db stops"}},
		Stays:  []volume.Stay{{Volume: "web", Users: []volume.User{{Mount: "m", Container: "shop", Since: "now"}}}},
		Voters: volume.Voters{Known: true, Votes: true, All: 3, Left: 2, Needed: 2},
	}, n.err
}

func (n *node) Explain(_ context.Context, name string) (volume.Account, error) {
	n.name = name
	return volume.Account{
		Volume: "db", Health: volume.Degraded, Reason: "one is out", Asked: 2, MinWritable: 1, Rules: []string{"in zones east"},
		Copies: []volume.CopyAccount{{Copy: volume.Copy{Node: "a", State: volume.InSync}, Why: []string{"it may be here"}}},
		Nodes:  []volume.NodeAccount{{Node: "a", Place: "it has a copy", Fate: volume.Unavailable, Text: "it stops"}},
	}, n.err
}

func (n *node) Rebalance(_ context.Context, spread int, dryRun bool) (volume.Balance, error) {
	n.dryRun = dryRun
	b := volume.Balance{
		Spread: spread, Fullest: 80, Emptiest: 20, Bytes: 5, Stuck: []string{"disk d stays at 70 %"},
		Moves: []volume.CopyMove{{Name: "db", FromNode: "a", ToNode: "b", Bytes: 5, FromShare: 80, ToShare: 20}},
	}
	if !dryRun {
		b.Started = "rebalance"
	}
	return b, n.err
}

func TestRebalanceAsClientsSeeIt(t *testing.T) {
	n := &node{}
	c := serve(t, n)
	for _, dryRun := range []bool{true, false} {
		got, err := c.Rebalance(t.Context(), 7, dryRun)
		if err != nil || n.dryRun != dryRun || (got.Operation == "rebalance") == dryRun || got.Spread != 7 || got.Fullest != 80 ||
			got.Emptiest != 20 || got.Bytes != 5 || len(got.Stuck) != 1 || len(got.Moves) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if m := got.Moves[0]; m.Volume != "db" || m.FromNode != "a" || m.ToNode != "b" || m.Why != "its disk promises 80 % of what it has, the other one 20 %" {
			t.Errorf("%+v", m)
		}
	}
	n.err = &volume.Error{Kind: volume.ErrInvalidOption, What: "a spread of 0"}
	if _, err := c.Rebalance(t.Context(), 0, false); !errors.Is(err, volume.ErrInvalidOption) {
		t.Error(err)
	}
}

func TestServiceOfNodesAsClientsSeeIt(t *testing.T) {
	n := &node{}
	c := serve(t, n)
	ctx := t.Context()
	yes := true
	if got, err := c.ChangeNode(ctx, "b", api.NodeChange{Cordoned: &yes}); err != nil || n.name != "b" || !got.Cordoned {
		t.Errorf("changed: %+v, %v; asked for %q", got, err, n.name)
	}
	if got, err := c.ChangeNode(ctx, "b", api.NodeChange{Leaving: &yes}); err != nil || !got.Leaving || got.Drained != "now" {
		t.Errorf("decommissioned: %+v, %v", got, err)
	}
	seconds := int64(60)
	if got, err := c.ChangeNode(ctx, "b", api.NodeChange{MaintenanceSeconds: &seconds, Force: true}); err != nil || got.MaintenanceUntil != "1m0s true" {
		t.Errorf("in maintenance: %+v, %v", got, err)
	}
	a, err := c.Absence(ctx, "a")
	want := api.Absence{
		Node: "a", Reasons: []string{"volume db stops"}, Voters: &api.Voters{Votes: true, Voters: 3, Left: 2, Needed: 2},
		Volumes:     []api.Loss{{Volume: "db", Fate: "unavailable", Asked: 2, Text: "volume db stops"}},
		Attachments: []api.Stay{{Volume: "web", Users: []api.User{{Mount: "m", Container: "shop", Since: "now"}}}},
	}
	if diff := cmp.Diff(want, a); err != nil || diff != "" {
		t.Errorf("absence: %v\n%s", err, diff)
	}
	e, err := c.Explain(ctx, "db")
	if err != nil || n.name != "db" || e.Health != "degraded" || len(e.Copies) != 1 || e.Copies[0].Replica.Node != "a" ||
		!slices.Equal(e.Copies[0].Why, []string{"it may be here"}) || len(e.Nodes) != 1 || e.Nodes[0].Fate != "unavailable" {
		t.Errorf("account: %+v, %v", e, err)
	}
	n.err = &volume.Error{Kind: volume.ErrNodeNotFound, What: "there is no node"}
	if _, err := c.Absence(ctx, "z"); !errors.Is(err, volume.ErrNodeNotFound) {
		t.Errorf("absence of no node: %v", err)
	}
}
