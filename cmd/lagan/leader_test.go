package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
)

// order is one command, and the nodes through which it is given: the next one
// when the one before is gone.
type order struct {
	what   string
	volume string
	nodes  []*cluster.Node
	do     func(context.Context, *client.Client) error
	// ends are the errors that end it: the wished state is there, or it is
	// another's.
	ends []error

	outcome error
	by      *cluster.Node // that answered last
}

// again is how long whoever was told to try again waits before that.
const again = 50 * time.Millisecond

// obey gives the command until it is done.
func (o *order) obey(ctx context.Context, t *testing.T, leader *cluster.Node) {
	for at := 0; ctx.Err() == nil; {
		o.by = o.nodes[at%len(o.nodes)]
		api := o.by.Client()
		o.outcome = o.do(ctx, api)
		api.Close()
		switch {
		case o.outcome == nil, isOneOf(o.outcome, o.ends):
			return
		case volume.CodeOf(o.outcome) == "" && o.by == leader:
			at++ // its connection broke with its node
		case !saysWhatToDo(o.outcome):
			t.Errorf("%s by node %s: %v, which is none of the errors of a cluster whose leader changes", o.what, o.by.Name, o.outcome)
			return
		default:
			_ = pause(ctx, again) // its end is seen above
		}
	}
	t.Errorf("%s by node %s has not come to an end: %v", o.what, o.by.Name, o.outcome)
}

func isOneOf(err error, these []error) bool {
	for _, e := range these {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// saysWhatToDo reports whether err is one that clients may meet when a leader
// changes: to give the same command again is right after each.
func saysWhatToDo(err error) bool {
	var told *volume.Error
	return errors.As(err, &told) && told.Fix != "" &&
		isOneOf(err, []error{volume.ErrOutcomeUnknown, volume.ErrBusy, volume.ErrNotReady, volume.ErrNotServed, volume.ErrDetachPending})
}

// obeyWhileLeaderDies gives all commands at once, as many at a time as there are
// clients, and kills the node of the metadata store's leader when some are done.
// With back it is started again while the others go on.
func obeyWhileLeaderDies(t *testing.T, leader *cluster.Node, back bool, orders []*order) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const clients = 12
	var done, next atomic.Int64
	var kill sync.Once
	var working sync.WaitGroup
	for range clients {
		working.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(orders)); i = next.Add(1) - 1 {
				orders[i].obey(ctx, t, leader)
				if done.Add(1) >= int64(len(orders))/4 {
					kill.Do(func() {
						err := leader.Kill(ctx)
						if err == nil && back {
							err = leader.Start(ctx)
						}
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
		})
	}
	working.Wait()
	if err := leader.Start(ctx); err != nil && !back {
		t.Error(err)
	}
	if err := leader.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// leaderOf returns the node that leads, first, and the others.
func leaderOf(t *testing.T, c *cluster.Cluster, names ...string) []*cluster.Node {
	t.Helper()
	s := openStore(t, c, c.Node(names[0]))
	leader, err := c.Leader(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	all := []*cluster.Node{leader}
	for _, name := range names {
		if n := c.Node(name); n != leader {
			all = append(all, n)
		}
	}
	return all
}

// leaderDies is a cluster whose leader dies again and again.
type leaderDies struct {
	*testing.T
	c     *cluster.Cluster
	names []string
}

// whileIt gives one command for each volume by way of two nodes at once, while the
// leader dies.
func (l *leaderDies) whileIt(back bool, what string, volumes []string, do func(ctx context.Context, api *client.Client, name string) error, ends ...error) (leader *cluster.Node, orders []*order) {
	l.Helper()
	nodes := leaderOf(l.T, l.c, l.names...)
	for i, name := range volumes {
		for twice := range 2 {
			orders = append(orders, &order{
				what: what + " " + name, volume: name, nodes: rotated(nodes, i+twice), ends: ends,
				do: func(ctx context.Context, api *client.Client) error { return do(ctx, api, name) },
			})
		}
	}
	obeyWhileLeaderDies(l.T, nodes[0], back, orders)
	return nodes[0], orders
}

// rotated returns nodes from the one at index i on.
func rotated(nodes []*cluster.Node, i int) []*cluster.Node {
	i %= len(nodes)
	return slices.Concat(nodes[i:], nodes[:i])
}

// TestE2ELeaderDiesUnderEveryCommand kills the node of the metadata store's leader
// while volumes are created, attached and deleted through all nodes: each command
// has one result, none leaves anything behind, and given again each ends in what
// was wished.
func TestE2ELeaderDiesUnderEveryCommand(t *testing.T) {
	t.Parallel()
	l := &leaderDies{t, nil, []string{"a", "b", "c"}}
	l.c = newCluster(t, "256MiB", l.names...)
	up(t, l.c)
	s := openStore(t, l.c, l.c.Node("a"))
	var volumes []string
	for i := range 30 {
		volumes = append(volumes, fmt.Sprintf("v%02d", i))
	}
	l.whileIt(false, "create", volumes, func(ctx context.Context, api *client.Client, name string) error {
		_, err := api.Create(ctx, name, map[string]string{"size": "64KiB", "fs": "none", "replicas": "2"}, false)
		return err
	})
	if r := awaitOrder(t, l.c, s); len(r.names) != len(volumes) {
		t.Errorf("%d volumes were created, want %d", len(r.names), len(volumes))
	}

	// The leader comes back: a copy that it alone had would be waited for.
	leader, orders := l.whileIt(true, "attach", volumes[:12], func(ctx context.Context, client *client.Client, name string) error {
		_, err := client.Attach(ctx, name, api.Attach{})
		return err
	}, volume.ErrAttachedElsewhere)
	l.wantHolders(leader, orders)

	const kept = 6
	l.whileIt(false, "delete", volumes[kept:], func(ctx context.Context, api *client.Client, name string) error {
		return api.Delete(ctx, name)
	}, volume.ErrVolumeNotFound, volume.ErrVolumeDeleted)
	r := awaitOrder(t, l.c, s)
	if len(r.names) != kept {
		t.Errorf("%d volumes are left, want %d", len(r.names), kept)
	}
	for _, name := range l.names {
		if err := l.c.Node(name).Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range l.names {
		wantReplicas(t, l.c, l.c.Node(name), r)
	}
}

// wantHolders waits until all nodes agree who has each volume, and that it is who
// was told so, and detaches them. What the leader had before it died is gone.
func (l *leaderDies) wantHolders(leader *cluster.Node, orders []*order) {
	l.Helper()
	told := map[string]string{}
	for _, o := range orders {
		if o.outcome != nil || o.by == leader {
			continue
		}
		if other := told[o.volume]; other != "" && other != o.by.Name {
			l.Errorf("%s succeeded on node %s and on node %s", o.what, other, o.by.Name)
		}
		told[o.volume] = o.by.Name
	}
	holders := map[string]string{}
	until(l.T, l.c, "all nodes agree who has the volumes", func() (bool, error) {
		clear(holders)
		for _, node := range l.names {
			all, err := l.c.Node(node).Client().Volumes(l.Context())
			if err != nil {
				return false, err
			}
			for _, v := range all {
				holder := ""
				if v.Status.Attachment != nil {
					holder = v.Status.Attachment.Node
				}
				if want := told[v.Name]; holder != want && (want != "" || holder != leader.Name) {
					return false, fmt.Errorf("volume %s is attached to %q, says node %s, want %q", v.Name, holder, node, want)
				}
				if other, seen := holders[v.Name]; seen && other != holder {
					return false, fmt.Errorf("volume %s is attached to %q and to %q", v.Name, other, holder)
				}
				holders[v.Name] = holder
			}
		}
		return true, nil
	})
	for name, holder := range holders {
		if holder == "" {
			continue
		}
		if err := l.c.Node(holder).Client().Detach(l.Context(), name, false); err != nil {
			l.Error(err)
		}
	}
}
