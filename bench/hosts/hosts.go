// Package hosts runs the nodes of a cluster in one process, on real disks,
// sockets and an embedded etcd, so that what a client sees can be measured
// without the processes around it. It owns what it makes below its directory and
// promises to remove it. The suite (package bench) and its benchmarks call it.
//
//	host.Open(n1) … host.Open(nK)    one disk file each
//	     │  └── transport/tcp, loopback, TLS or plain
//	     └── transport/etcd ── one embedded member
package hosts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
	"github.com/lagan-storage/lagan/transport/tcp"
)

const (
	startMax = 30 * time.Second       // until the cluster serves, on a busy machine
	stopMax  = 10 * time.Second       // until etcd has stopped
	pollWait = 100 * time.Millisecond // between two looks at what the nodes know
)

// Params is what a cluster is opened with.
type Params struct {
	Dir   string // must exist; what is made below it is removed by Close
	Nodes int
	Plain bool  // without TLS
	Disk  int64 // bytes of each node's disk
	// Journal is how much of that the journal gets, 0 for the default.
	Journal int64
	Limits  store.Limits
	Clock   func() step.Time
	Now     time.Time // of the certificates
	Log     *slog.Logger
}

// Cluster is nodes at work.
type Cluster struct {
	p       Params
	dir     string
	member  *etcd.Member
	nodes   []*node
	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup
}

// node is one of a cluster's nodes.
type node struct {
	record    volume.Node
	pool      *host.Pool
	transport *tcp.Transport
	metadata  *etcd.Store
	host      *host.Host
	disk      *diskio.File
}

// Open starts a cluster and returns once its nodes know each other and their
// disks.
func Open(ctx context.Context, p Params) (*Cluster, error) {
	dir, err := os.MkdirTemp(p.Dir, "cluster-")
	if err != nil {
		return nil, fmt.Errorf("open a cluster: %w", err)
	}
	c := &Cluster{p: p, dir: dir}
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open a cluster in %s: %w", dir, err), c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	var authority *identity.Authority
	if !c.p.Plain {
		var err error
		if authority, err = identity.NewAuthority(c.p.Now); err != nil {
			return err
		}
	}
	for i := range c.p.Nodes {
		n := &node{pool: host.NewPool(), record: volume.Node{
			Format: volume.Format, ID: block.NodeID{byte(i + 1)}, Name: Name(i), BootID: block.BootID{1},
		}}
		c.nodes = append(c.nodes, n)
		if err := c.listen(ctx, n, authority); err != nil {
			return err
		}
	}
	for i, n := range c.nodes {
		if err := c.open(ctx, i, n); err != nil {
			return fmt.Errorf("node %s: %w", n.record.Name, err)
		}
	}
	return c.awaitDisks(ctx)
}

// Name returns the name of the node at index i.
func Name(i int) string { return fmt.Sprintf("n%d", i+1) }

func (c *Cluster) startEtcd(ctx context.Context) error {
	peer, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	client, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	c.member, err = etcd.StartMember(ctx, etcd.MemberParams{
		Name: "bench", Dir: filepath.Join(c.dir, "etcd"), Token: filepath.Base(c.dir),
		Cluster:      map[string][]string{"bench": {"http://" + peer}},
		ListenClient: client, Logger: c.p.Log,
	})
	return err
}

// listen opens the port of n and, unless the cluster is plain, issues its
// certificate.
func (c *Cluster) listen(ctx context.Context, n *node, authority *identity.Authority) (err error) {
	p := tcp.Params{
		Node: n.record.ID, Listen: "127.0.0.1:0", Address: c.address, Plain: authority == nil,
		Pool: n.pool, BlockSize: block.Size, Log: c.p.Log,
	}
	if authority != nil {
		if p.Identity, err = Issue(authority, n.record.ID, c.p.Now); err != nil {
			return err
		}
	}
	if n.transport, err = tcp.New(ctx, p); err != nil {
		return err
	}
	n.record.Address = n.transport.Addr().String()
	return nil
}

// Issue makes the identity of a node: its key and its certificate.
func Issue(authority *identity.Authority, id block.NodeID, now time.Time) (*identity.Identity, error) {
	key, request, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	certificate, err := authority.Issue(request, id, []string{"127.0.0.1"}, now)
	if err != nil {
		return nil, err
	}
	return identity.Parse(authority.Certificate(), certificate, key)
}

// address finds a node of this cluster; c.nodes does not change once it is asked.
func (c *Cluster) address(id block.NodeID) (string, bool) {
	for _, n := range c.nodes {
		if n.record.ID == id {
			return n.record.Address, true
		}
	}
	return "", false
}

// open formats the disk of n and starts it.
func (c *Cluster) open(ctx context.Context, index int, n *node) (err error) {
	seed := uint64(c.p.Clock()) + uint64(index)
	n.disk, err = diskio.Open(filepath.Join(c.dir, n.record.Name+".disk"), c.p.Disk)
	if err != nil {
		return err
	}
	geometry := store.Geometry{
		Disk: block.DiskID{byte(index + 1), 0xd}, Capacity: n.disk.Size / (64 << 10) * (64 << 10), BlockSize: block.Size,
		JournalBytes: c.p.Journal,
	}
	if err := n.disk.Format(geometry, n.pool, seed, c.p.Clock); err != nil {
		return errors.Join(err, n.disk.Close())
	}
	n.metadata, err = etcd.Open(ctx, etcd.Params{Endpoints: []string{c.member.Endpoint()}, Logger: c.p.Log})
	if err != nil {
		return errors.Join(err, n.disk.Close())
	}
	n.host = host.Open(c.life, host.Params{
		Node: n.record, Disks: []*diskio.File{n.disk}, Transport: n.transport, Metadata: n.metadata,
		Clock: c.p.Clock, Now: func() time.Time { return c.p.Now }, Seed: seed, BlockSize: block.Size, Pool: n.pool, Limits: c.p.Limits,
		Markers: noMarkers{}, Log: c.p.Log.With(slog.String("node", n.record.Name)),
	})
	c.running.Go(func() {
		if err := n.transport.Run(c.life, n.host); err != nil {
			c.p.Log.Error("transport ended", slog.Any("error", err))
		}
	})
	return nil
}

// noMarkers is for disks that are formatted anew at every start.
type noMarkers struct{}

// Taint implements host.Markers.
func (noMarkers) Taint(string) uint32 { return 0 }

// SetTaint implements host.Markers.
func (noMarkers) SetTaint(string, uint32) error { return nil }

// awaitDisks returns once the first node sees a disk of every node.
func (c *Cluster) awaitDisks(ctx context.Context) error {
	for {
		disks := 0
		c.nodes[0].host.View(func(o *orchestrator.Orchestrator) { disks = len(o.Disks()) })
		if disks == len(c.nodes) {
			return nil
		}
		if err := pause(ctx, pollWait); err != nil {
			return fmt.Errorf("%d of %d disks are ready: %w", disks, len(c.nodes), err)
		}
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-waiting.Done()
	return ctx.Err()
}

// Close stops the nodes and removes their disks.
func (c *Cluster) Close() error {
	var errs []error
	for _, n := range c.nodes {
		if n.host != nil {
			errs = append(errs, n.host.Close())
		}
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(c.life), stopMax)
	defer cancel()
	c.end()
	c.running.Wait()
	for _, n := range c.nodes {
		if n.metadata != nil {
			errs = append(errs, n.metadata.Close(stopping))
		}
	}
	if c.member != nil {
		errs = append(errs, c.member.Close(stopping))
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
