// Package cluster starts real nodes as processes on this machine, on loopback
// and with mutual TLS, kills them and cleans up after them. The demonstration
// and the end-to-end tests call it. It promises that no process, mount or loop
// device of its nodes is left after Close, whatever happened before.
//
// With Machines every node has a machine of its own, with a container engine; see
// package machine.
package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/machine"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/plugin/device/fuse"
	"github.com/lagan-storage/lagan/plugin/device/holder"
	"github.com/lagan-storage/lagan/plugin/device/mounts"
)

const (
	// upWithin bounds the start of all nodes together on a busy machine.
	upWithin = 3 * time.Minute
	// downWithin bounds an orderly stop; a node takes less than that itself.
	downWithin = 60 * time.Second
	// lookEvery is how often something is looked at that says nothing by itself.
	lookEvery = 50 * time.Millisecond
	// portsPerNode: data, metadata store's peers and clients, API.
	portsPerNode = 4
	// portMin and portMax bound the ports: from 32768 on the kernel takes them for
	// connections.
	portMin, portMax = 10240, 32768
	// portTriesMax bounds the search: a few ports are taken, never most.
	portTriesMax = 1000
	// votersMax is how many nodes vote in a cluster that has them.
	votersMax = 3
	// networkPrefix is that of the addresses of nodes that are apart.
	networkPrefix = "10.77.0"
	// Image is the image that the engine of every machine has: busybox.
	Image = "busybox"
)

// Params says what cluster to make.
type Params struct {
	Binary string   // the program lagan
	Dir    string   // made when missing; removed by Close
	Nodes  []string // names
	Disk   string   // size of every node's disk, as in 2GiB
	Env    []string // more of the program's environment
	// Machines gives every node a machine and a container engine.
	Machines bool
	// Apart gives every node a host of its own on a network whose links can be cut.
	Apart bool
	// Pause waits for d or the end of ctx.
	Pause func(ctx context.Context, d time.Duration) error
}

// Cluster is a set of nodes.
type Cluster struct {
	p       Params
	nodes   map[string]*Node
	network *machine.Network // nil unless its nodes are apart
}

// New plans a cluster: its directories and addresses. No node runs yet.
func New(ctx context.Context, p Params) (*Cluster, error) {
	c := &Cluster{p: p, nodes: map[string]*Node{}}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the cluster's directory: %w", err)
	}
	addresses, err := c.addresses(ctx)
	if err != nil {
		return nil, err
	}
	for i, name := range p.Nodes {
		dir := filepath.Join(p.Dir, name)
		own := addresses[portsPerNode*i:]
		n := &Node{
			Name: name, cluster: c, dir: dir, Socket: filepath.Join(dir, "run", "lagan.sock"),
			data: own[0], peer: own[1], client: own[2], api: own[3], disks: []string{filepath.Join(p.Dir, name+".disk") + ":" + p.Disk},
		}
		if p.Machines {
			n.machine = machine.New(machine.Params{Name: name, Dir: filepath.Join(p.Dir, name+".machine"), Pause: p.Pause})
		}
		c.nodes[name] = n
	}
	if p.Apart {
		if err := c.separate(ctx); err != nil {
			return nil, errors.Join(err, c.Close(ctx))
		}
	}
	return c, nil
}

// addresses returns those of all nodes, one node after the other.
func (c *Cluster) addresses(ctx context.Context) (list []string, err error) {
	if !c.p.Apart {
		return freePorts(ctx, c.p.Dir, portsPerNode*len(c.p.Nodes))
	}
	for i := range c.p.Nodes {
		for port := range portsPerNode {
			list = append(list, net.JoinHostPort(fmt.Sprintf("%s.%d", networkPrefix, i+1), strconv.Itoa(portMin+port)))
		}
	}
	return list, nil
}

// separate gives every node a host of its own.
func (c *Cluster) separate(ctx context.Context) (err error) {
	if c.network, err = machine.NewNetwork(ctx, networkPrefix); err != nil {
		return err
	}
	for i, name := range c.p.Nodes {
		if c.nodes[name].host, err = c.network.NewHost(ctx, i+1); err != nil {
			return err
		}
	}
	return nil
}

// freePorts returns addresses on loopback that nobody listens on right now, and
// that the kernel gives to no connection while a node is down. Each cluster has a
// host of its own out of the 2²⁴ there are: one must not take what is another's
// while it restarts.
func freePorts(ctx context.Context, dir string, n int) (addresses []string, err error) {
	sum := sha256.Sum256([]byte(dir))
	host := netip.AddrFrom4([4]byte{127, sum[4], sum[5], sum[6]}).String()
	first := int(binary.LittleEndian.Uint32(sum[:]))
	config := net.ListenConfig{}
	for tries := 0; len(addresses) < n; tries++ {
		address := net.JoinHostPort(host, strconv.Itoa(portMin+(first+tries)%(portMax-portMin)))
		l, listenErr := config.Listen(ctx, "tcp", address)
		switch {
		case listenErr == nil:
		case tries < portTriesMax && ctx.Err() == nil:
			continue // it is taken
		default:
			return nil, errors.Join(fmt.Errorf("look for a free port: %w", listenErr), err)
		}
		defer func() { err = errors.Join(err, l.Close()) }() // all at the end, or one could come twice
		addresses = append(addresses, address)
	}
	return addresses, nil
}

// Node returns the node of that name.
func (c *Cluster) Node(name string) *Node { return c.nodes[name] }

// Up starts the first node, has the others join, and returns when each can do
// its part, as many vote as will, and the engines answer.
func (c *Cluster) Up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upWithin)
	defer cancel()
	for i, name := range c.p.Nodes {
		if err := c.nodes[name].Start(ctx); err != nil {
			return err
		}
		if i > 0 {
			continue // the first admits them
		}
		if err := c.nodes[name].AwaitReady(ctx); err != nil {
			return err
		}
	}
	return c.AwaitWhole(ctx)
}

// AwaitWhole returns when each node can do its part and knows all others, and as
// many vote as will.
func (c *Cluster) AwaitWhole(ctx context.Context) error {
	for _, name := range c.p.Nodes {
		if err := c.nodes[name].AwaitReady(ctx); err != nil {
			return err
		}
	}
	voters := 1
	if len(c.p.Nodes) >= votersMax {
		voters = votersMax
	}
	for _, name := range c.p.Nodes {
		if err := c.awaitAll(ctx, c.nodes[name]); err != nil {
			return err
		}
		if err := c.AwaitVoters(ctx, c.nodes[name], voters); err != nil {
			return err
		}
	}
	return c.startEngines(ctx)
}

// startEngines starts the engines of all machines and gives each its image.
func (c *Cluster) startEngines(ctx context.Context) error {
	errs := make([]error, len(c.p.Nodes))
	var starting sync.WaitGroup
	for i, name := range c.p.Nodes {
		m := c.nodes[name].machine
		if m == nil {
			continue
		}
		starting.Go(func() {
			errs[i] = m.StartEngine(ctx)
			if errs[i] == nil {
				errs[i] = m.Import(ctx, Image)
			}
		})
	}
	starting.Wait()
	return errors.Join(errs...)
}

// AwaitVoters returns when n has heard that so many nodes vote.
func (c *Cluster) AwaitVoters(ctx context.Context, n *Node, count int) error {
	return c.Until(ctx, fmt.Sprintf("node %s knows %d voters", n.Name, count), func() (bool, error) {
		_, known, err := datadir.Lookup(n.dir)
		return known != nil && len(known.Endpoints) == count, err
	})
}

// awaitAll returns when n has heard of all nodes and their disks.
func (c *Cluster) awaitAll(ctx context.Context, n *Node) error {
	return c.Until(ctx, "node "+n.Name+" knows all nodes and disks", func() (bool, error) {
		status, err := n.Client().Status(ctx)
		disks := 0
		for _, other := range c.nodes { // any order: a sum
			disks += len(other.disks)
		}
		return len(status.Nodes) == len(c.p.Nodes) && len(status.Disks) == disks, err
	})
}

// Until looks until holds says yes, and no longer than ctx.
func (c *Cluster) Until(ctx context.Context, what string, holds func() (bool, error)) error {
	var last error
	for {
		done, err := holds()
		if done && err == nil {
			return nil
		}
		if err != nil {
			last = err
		}
		if err := c.p.Pause(ctx, lookEvery); err != nil {
			return errors.Join(fmt.Errorf("waited in vain until %s: %w", what, err), last)
		}
	}
}

// Close ends all nodes and removes all that they made. It returns an error if
// one that ran did not stop in order, or if something was left.
func (c *Cluster) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downWithin)
	defer cancel()
	var errs []error
	for _, name := range c.p.Nodes {
		errs = append(errs, c.nodes[name].signal(ctx, unix.SIGCONT), c.nodes[name].signal(ctx, unix.SIGTERM))
	}
	for _, name := range c.p.Nodes {
		errs = append(errs, c.nodes[name].awaitEnd(ctx))
	}
	errs = append(errs, c.leftovers())
	for _, name := range c.p.Nodes {
		if m := c.nodes[name].machine; m != nil {
			errs = append(errs, m.Close(ctx))
		}
		if h := c.nodes[name].host; h != nil {
			h.Close()
		}
		if _, err := fuse.Cleanup(ctx, c.nodes[name].devices()); err != nil {
			errs = append(errs, err)
		}
		errs = append(errs, holder.Release(ctx, c.nodes[name].holder()))
	}
	if c.network != nil {
		c.network.Close()
	}
	return errors.Join(append(errs, os.RemoveAll(c.p.Dir))...)
}

// leftovers names what is still mounted below the cluster's directory from
// nodes that stopped in order. What a killed node left is fine: the next start,
// or Close, removes it.
func (c *Cluster) leftovers() error {
	var errs []error
	for _, name := range c.p.Nodes {
		n := c.nodes[name]
		if n.killed {
			continue
		}
		list := mounts.List
		if n.machine != nil && n.machine.Up() {
			list = n.machine.Mounts
		}
		table, err := list()
		if err != nil {
			return err
		}
		for _, m := range table {
			if m.Below(n.dir) {
				errs = append(errs, fmt.Errorf("node %s stopped in order and left %s mounted", name, m.Point))
			}
		}
	}
	return errors.Join(errs...)
}
