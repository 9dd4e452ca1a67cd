package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.uber.org/fx"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
	"github.com/lagan-storage/lagan/transport/tcp"
)

// recentBytes is how much of a disk's journal stays in memory, grown on demand:
// what is written and soon goes home need not be read back in between.
const recentBytes = 64 << 20

// bodyParams is what the host and its transport are made from.
type bodyParams struct {
	fx.In

	Context  context.Context
	Config   Config
	Identity *identity.Identity
	Node     volume.Node
	Disks    disks
	Devices  *devices
	Markers  *datadir.Markers
	Dir      *datadir.Dir
	Failed   breakdown
	Store    *etcd.Store
	Log      *slog.Logger
	Life     fx.Lifecycle
	Down     fx.Shutdowner
}

// body is the node's machines at work and the memory that they share.
type body struct {
	host  *host.Host
	pool  *host.Pool
	peers *tcp.Transport
}

// openBody opens the data port and the host. Each needs the other: the transport
// learns the addresses of nodes from the host.
func openBody(p bodyParams) (body, error) {
	seed, err := newSeed()
	if err != nil {
		return body{}, err
	}
	pool := host.NewPool()
	var opened atomic.Pointer[host.Host]
	peers, err := tcp.New(p.Context, tcp.Params{
		Node: p.Node.ID, Listen: p.Config.Listen, Identity: p.Identity,
		Address: func(id block.NodeID) (string, bool) { return addressOf(opened.Load(), id) },
		Pool:    pool, BlockSize: block.Size, Log: p.Log.With(slog.String("part", "transport")),
	})
	if err != nil {
		return body{}, err
	}
	h := host.Open(p.Context, host.Params{
		Node: p.Node, Disks: p.Disks.opened, Unusable: p.Disks.unusable, Transport: peers, Metadata: p.Store,
		Clock: host.Boottime, Now: time.Now, Seed: seed, BlockSize: block.Size, Pool: pool, Markers: p.Markers, Log: p.Log,
		Limits: store.Limits{RecentBytes: recentBytes}, BlockingDisks: p.Config.NoURing,
		Scrub: host.ScrubParams{Every: p.Config.ScrubEvery, Rate: p.Config.ScrubRate, Notes: p.Dir.Scrubs()}, HealAfter: p.Config.HealAfter, Held: p.Devices.held,
		Removed: func() { p.Failed.tell(removed(&p.Config)) },
	})
	opened.Store(h)
	life, end := context.WithCancel(context.WithoutCancel(p.Context))
	ended := make(chan struct{})
	go func() {
		err := peers.Run(life, h)
		if err != nil {
			p.Log.Error("data port failed", slog.Any("error", err))
			_ = p.Down.Shutdown(fx.ExitCode(1)) // an error says that it is stopping already
		}
		close(ended)
	}()
	p.Life.Append(fx.StopHook(func() error {
		err := h.Close()
		end()
		<-ended
		return err
	}))
	return body{h, pool, peers}, nil
}

// removed is what a node ends with that the cluster removed.
func removed(c *Config) error {
	return &volume.Error{
		Kind: volume.ErrNodeRemoved,
		What: fmt.Sprintf("node %s was removed from the cluster", c.Name),
		Fix:  fmt.Sprintf("to make this machine a node again, remove %s and what is on its disks, and let it join anew:  lagan join", c.Data),
	}
}

// addressOf returns where the cluster says that a node listens.
func addressOf(h *host.Host, id block.NodeID) (address string, known bool) {
	if h == nil {
		return "", false
	}
	h.View(func(o *orchestrator.Orchestrator) {
		var node volume.Node
		node, known = o.Node(id)
		address = node.Address
	})
	return address, known
}
