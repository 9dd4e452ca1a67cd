package metrics

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/tcp"
)

// diskBytes is the size of each node's disk.
const diskBytes = 128 << 20

// node is a real one: its disk is a file, its peers are reached over TCP, the
// metadata store is an etcd of this process.
type node struct {
	record  volume.Node
	pool    *host.Pool
	peers   *tcp.Transport
	store   *etcd.Store
	host    *host.Host
	disk    *diskio.File
	metrics *Metrics
}

// openNodes starts nodes "a", "b" … and returns once each of them sees all disks.
func openNodes(t *testing.T, count int) []*node {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	member, err := etcd.StartMember(t.Context(), etcd.MemberParams{
		Name: "m", Dir: filepath.Join(t.TempDir(), "etcd"), Token: t.Name(), ListenClient: freeAddress(t),
		Cluster: map[string][]string{"m": {"http://" + freeAddress(t)}}, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = member.Close(context.Background()) }) // it is gone with its directory
	nodes := make([]*node, count)
	address := func(id block.NodeID) (string, bool) { return nodes[id[0]-1].record.Address, true }
	for i := range nodes {
		n := &node{pool: host.NewPool(), record: volume.Node{
			Format: volume.Format, ID: block.NodeID{byte(i + 1)}, Name: string(rune('a' + i)), BootID: block.BootID{1}, Version: "test",
		}}
		nodes[i] = n
		if n.peers, err = tcp.New(t.Context(), tcp.Params{
			Node: n.record.ID, Listen: "127.0.0.1:0", Address: address, Plain: true, Pool: n.pool, BlockSize: block.Size, Log: log,
		}); err != nil {
			t.Fatal(err)
		}
		n.record.Address = n.peers.Addr().String()
	}
	for i, n := range nodes {
		n.open(t, i, member.Endpoint(), log)
	}
	for _, n := range nodes {
		n.await(t, func(o *orchestrator.Orchestrator) bool { return len(o.Disks()) == count })
	}
	return nodes
}

func (n *node) open(t *testing.T, index int, endpoint string, log *slog.Logger) {
	t.Helper()
	var err error
	if n.disk, err = diskio.Open(filepath.Join(t.TempDir(), "disk"), diskBytes); err != nil {
		t.Fatal(err)
	}
	geometry := store.Geometry{Disk: block.DiskID{byte(index + 1), 0xd}, Capacity: diskBytes, BlockSize: block.Size}
	if err := n.disk.Format(geometry, n.pool, uint64(index), host.Boottime); err != nil {
		t.Fatal(err)
	}
	n.disk.ID = geometry.Disk
	if n.store, err = etcd.Open(t.Context(), etcd.Params{Endpoints: []string{endpoint}, Logger: log}); err != nil {
		t.Fatal(err)
	}
	n.host = host.Open(t.Context(), host.Params{
		Node: n.record, Disks: []*diskio.File{n.disk}, Transport: n.peers, Metadata: n.store, Clock: host.Boottime, Now: time.Now,
		Seed: uint64(index + 1), BlockSize: block.Size, Pool: n.pool, Scrub: host.ScrubParams{Rate: 1 << 30}, Markers: noMarkers{}, Log: log,
		Unusable: []host.UnusableDisk{{Path: "/broken\xff", Reason: "it is broken"}},
	})
	life, end := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- n.peers.Run(life, n.host) }()
	t.Cleanup(func() {
		if err := n.host.Close(); err != nil {
			t.Error(err)
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = n.store.Close(life) // the store may be gone already
	})
	n.metrics = New(Params{Node: n.record, Host: n.host, Transport: n.peers.Figures, Reachable: n.store.Reachable, Log: log})
}

// noMarkers is for disks that are formatted anew at every start.
type noMarkers struct{}

// Taint implements host.Markers.
func (noMarkers) Taint(string) uint32 { return 0 }

// SetTaint implements host.Markers.
func (noMarkers) SetTaint(string, uint32) error { return nil }

// await waits until what the node sees is as wanted; each event may be what
// brings that about.
func (n *node) await(t *testing.T, wanted func(o *orchestrator.Orchestrator) bool) {
	t.Helper()
	for is := false; !is; {
		n.host.View(func(o *orchestrator.Orchestrator) { is = wanted(o) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		<-ctx.Done()
		cancel()
	}
}

// do runs one operation of a volume.
func (n *node) do(t *testing.T, v *host.Volume, kind step.RequestKind, length int64) {
	t.Helper()
	op := host.Operation{Kind: kind, Length: length}
	if kind == step.ReadRequest || kind == step.WriteRequest {
		op.Buffer = n.pool.Get(int(length))
		op.Buffer.Bytes()[0] = 1 // zeroes would not be sent
		defer op.Buffer.Release()
	}
	if err := v.Do(&op); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nobody has connected
	return l.Addr().String()
}
