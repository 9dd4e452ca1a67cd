package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
)

// patience bounds what a test waits for; no assertion depends on it.
const patience = 90 * time.Second

// town is a cluster of keepers with real members of a real store, in this process.
type town struct {
	t     *testing.T
	nodes map[string]*resident
}

// resident is one node of it: what is on its disk, and while it runs the rest.
type resident struct {
	town   *town
	name   string
	path   string
	addr   Addresses
	keeper *Keeper
	store  *etcd.Store
	gate   *Admissions
	end    context.CancelFunc
	ended  chan struct{}
	failed chan error
	dir    *datadir.Dir
}

func newTown(t *testing.T, names ...string) *town {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a metadata store of several members")
	}
	t.Parallel()
	w := &town{t: t, nodes: map[string]*resident{}}
	var sockets []net.Listener
	address := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, l)
		return l.Addr().String()
	}
	for _, name := range names {
		w.nodes[name] = &resident{
			town: w, name: name, path: filepath.Join(t.TempDir(), name), addr: Addresses{API: address(), EtcdPeer: address(), EtcdClient: address()},
		}
	}
	for _, l := range sockets {
		_ = l.Close()
	}
	t.Cleanup(func() {
		for _, n := range w.nodes { // any order: all of them
			n.stop()
		}
	})
	return w
}

// found starts the first node, join one that is new, by way of another.
func (w *town) found(name string) {
	w.t.Helper()
	n := w.nodes[name]
	if err := Found(n.path, datadir.Settings{Cluster: "lagan", Name: name}, nil, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	n.start()
}

func (w *town) join(name, by string) {
	w.t.Helper()
	w.admit(name, by)
	w.nodes[name].start()
}

func (w *town) admit(name, by string) {
	w.t.Helper()
	n := w.nodes[name]
	var token identity.Token
	w.until("a token is made", func() bool {
		report, err := w.nodes[by].gate.CreateToken(w.t.Context(), 0)
		if err == nil {
			token, err = identity.ParseToken(report.Text)
		}
		return err == nil
	})
	if err := Join(w.t.Context(), n.path, datadir.Settings{Name: name}, n.addr, token, w.nodes[by].gate.Join); err != nil {
		w.t.Fatal(err)
	}
}

// start runs the node, which says that it is alive.
func (n *resident) start() {
	t := n.town.t
	t.Helper()
	dir, err := datadir.Open(n.path, block.NodeID{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.dir, n.end, n.ended, n.failed = dir, cancel, make(chan struct{}), make(chan error, 1)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})).With(slog.String("node", n.name))
	tlsDir := filepath.Join(n.path, datadir.TLSDir)
	tls := &etcd.TLS{
		CertFile: filepath.Join(tlsDir, identity.CertificateFile), KeyFile: filepath.Join(tlsDir, identity.KeyFile),
		CAFile: filepath.Join(tlsDir, identity.AuthorityFile), ServerName: identity.AnyNode,
	}
	own := Scheme + "://" + n.addr.EtcdClient
	quiet := slog.New(slog.DiscardHandler)
	n.store, err = etcd.Open(ctx, etcd.Params{Endpoints: append([]string{own}, dir.Cluster().Endpoints...), TLS: tls, Logger: quiet, LeaseTTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var k *Keeper
	n.gate = NewAdmissions(Params{Store: n.store, API: n.addr.API, Scheme: Scheme, Now: time.Now, Endpoints: func() []string { return k.Endpoints() }})
	k = NewKeeper(KeeperParams{
		Store: n.store, Dir: dir, TLSDir: tlsDir, Client: own, Tokens: n.gate, Log: log,
		Self: Member{Name: n.name, API: n.addr.API, Client: own, Peer: Scheme + "://" + n.addr.EtcdPeer},
		Member: etcd.MemberParams{
			Name: n.name, Dir: dir.Path("etcd"), ListenPeer: n.addr.EtcdPeer, ListenClient: n.addr.EtcdClient, TLS: tls, Logger: quiet,
			Cluster: map[string][]string{n.name: {Scheme + "://" + n.addr.EtcdPeer}}, Token: dir.Cluster().Authority,
			Tick: 50 * time.Millisecond, Election: 500 * time.Millisecond, NoSync: true,
		},
		Founded: func(volume.TokenReport) {},
		Failed:  func(err error) { n.failed <- err },
	})
	n.keeper = k
	ended := n.ended
	go func() {
		defer close(ended)
		var both sync.WaitGroup
		both.Go(func() { k.Run(ctx) })
		both.Go(func() { n.live(ctx) })
		both.Wait()
	}()
}

// live writes what a node's orchestrator would.
func (n *resident) live(ctx context.Context) {
	store, id := n.store, n.dir.Node()
	for ctx.Err() == nil {
		txn := metadata.Txn{
			Guards: []metadata.Guard{{Key: volume.RemovedKey(id)}},
			Ops:    []metadata.Op{{Key: volume.AliveKey(id), Value: []byte(n.name), Leased: true}, {Key: volume.NodeKey(id), Value: []byte("{}")}},
		}
		if store.Do(ctx, txn).Outcome == metadata.Applied {
			return
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// stop ends the node without regard for the others.
func (n *resident) stop() {
	if n.end == nil {
		return
	}
	n.end()
	<-n.ended
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := errors.Join(n.store.Close(now), n.keeper.Close(now), n.dir.Close()); err != nil && !errors.Is(err, context.Canceled) {
		n.town.t.Error(err)
	}
	n.end = nil
}

func (w *town) until(what string, holds func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for !holds() {
		for _, n := range w.nodes { // any order: any failure ends the test
			select {
			case err := <-n.failed:
				w.t.Fatalf("node %s failed: %v", n.name, err)
			default:
			}
		}
		if ctx.Err() != nil {
			w.t.Fatalf("waited in vain until %s", what)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// awaitVoters waits until these and no others have a seat, and vote.
func (w *town) awaitVoters(by string, want ...string) {
	w.t.Helper()
	last := ""
	defer func() {
		if w.t.Failed() {
			w.t.Logf("the seats were %s", last)
		}
	}()
	w.until(fmt.Sprintf("%v vote", want), func() bool {
		seats, err := w.nodes[by].store.Seats(w.t.Context())
		var names []string
		for _, s := range seats {
			if !s.Learner {
				names = append(names, s.Name)
			}
		}
		slices.Sort(names)
		last = fmt.Sprintf("%+v, %v", seats, err)
		return err == nil && len(seats) == len(want) && slices.Equal(names, want)
	})
}

// remove records what the orchestrator would, and withdraws the node.
func (w *town) remove(name, by string, withdraw bool) {
	w.t.Helper()
	id := w.nodes[name].dir.Node()
	w.until("the removal is recorded", func() bool {
		r := w.nodes[by].store.Do(w.t.Context(), metadata.Txn{
			Guards: []metadata.Guard{{Key: volume.AliveKey(id)}},
			Ops:    []metadata.Op{{Key: volume.RemovedKey(id), Value: []byte("{}")}, {Key: volume.NodeKey(id), Delete: true}},
		})
		return r.Outcome == metadata.Applied
	})
	if !withdraw {
		return
	}
	for range 2 { // the answer may be lost
		w.until("the node is withdrawn", func() bool { return w.nodes[by].keeper.Withdraw(w.t.Context(), id) == nil })
	}
}

func (w *town) grown(names ...string) {
	w.t.Helper()
	w.found(names[0])
	w.until("the first is alive", func() bool { return len(w.nodes[names[0]].keeper.Voting()) == 1 })
	for _, name := range names[1:] {
		w.join(name, names[0])
	}
	w.awaitVoters(names[0], names[:3]...)
}

func TestVoterThatWasRemovedIsReplaced(t *testing.T) {
	w := newTown(t, "a", "b", "c", "d")
	w.grown("a", "b", "c", "d")
	w.nodes["b"].stop()
	w.remove("b", "d", true)
	w.awaitVoters("d", "a", "c", "d")
	if _, _, found, err := w.nodes["d"].keeper.Admitted(t.Context(), "b"); found || err != nil {
		t.Errorf("its name is not free: %v", err)
	}
	w.until("the voters are known", func() bool { return len(w.nodes["d"].keeper.Voting()) == 3 })
	// When it returns it has no member, and harms nobody.
	b := w.nodes["b"]
	b.start()
	w.until("its member's data is gone", func() bool {
		has, err := etcd.HasMember(b.dir.Path("etcd"))
		return !has && err == nil
	})
	w.awaitVoters("a", "a", "c", "d")
	// A machine that is set up anew may take the name.
	b.stop()
	if err := os.RemoveAll(b.path); err != nil {
		t.Fatal(err)
	}
	w.join("b", "c")
	w.nodes["a"].stop()
	w.remove("a", "b", false) // whoever removed it died: the voter that leads goes on
	w.awaitVoters("b", "b", "c", "d")
	w.until("the name is free", func() bool {
		_, _, found, err := w.nodes["b"].keeper.Admitted(t.Context(), "a")
		return !found && err == nil
	})
}

func TestOfTwoVotersThatAreLeftOneGoesOnAsAClient(t *testing.T) {
	w := newTown(t, "a", "b", "c", "d")
	w.grown("a", "b", "c")
	w.nodes["c"].stop()
	w.remove("c", "a", true)
	var left string
	w.until("one votes", func() bool {
		seats, err := w.nodes["a"].store.Seats(t.Context())
		if err != nil || len(seats) != 1 {
			return false
		}
		left = seats[0].Name
		return true
	})
	other := w.nodes[map[string]string{"a": "b", "b": "a"}[left]]
	w.until("the other has no member any more", func() bool {
		has, err := etcd.HasMember(other.dir.Path("etcd"))
		return !has && err == nil && slices.Equal(other.keeper.Endpoints(), []string{w.nodes[left].keeper.p.Client})
	})
	w.join("d", other.name)
	w.awaitVoters("d", "a", "b", "d")
}

func TestVoterThatLostItsDataIsReplaced(t *testing.T) {
	w := newTown(t, "a", "b", "c")
	w.grown("a", "b", "c")
	c := w.nodes["c"]
	before, err := w.nodes["a"].store.Seats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.stop()
	if err := os.RemoveAll(filepath.Join(c.path, "etcd")); err != nil {
		t.Fatal(err)
	}
	c.start()
	w.until("it has another seat", func() bool {
		seats, err := w.nodes["a"].store.Seats(t.Context())
		return err == nil && len(seats) == 3 && !slices.ContainsFunc(seats, func(s etcd.Seat) bool {
			return s.Learner || s.Name == "c" && slices.ContainsFunc(before, func(old etcd.Seat) bool { return old.ID == s.ID })
		})
	})
}

func TestThirdNodeThatDiesBeforeItVotesIsReplaced(t *testing.T) {
	w := newTown(t, "a", "b", "c", "d")
	w.found("a")
	w.until("the first is alive", func() bool { return len(w.nodes["a"].keeper.Voting()) == 1 })
	w.join("b", "a")
	w.admit("c", "a")
	id, _, _, err := w.nodes["a"].keeper.Admitted(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	alive := metadata.Op{Key: volume.AliveKey(id), Value: []byte("c")}
	a, c := w.nodes["a"].store, w.nodes["c"]
	w.until("it is alive", func() bool {
		return a.Do(t.Context(), metadata.Txn{Ops: []metadata.Op{alive}}).Outcome == metadata.Applied
	})
	w.until("it has a seat", func() bool {
		seats, err := a.Seats(t.Context())
		return err == nil && slices.ContainsFunc(seats, func(s etcd.Seat) bool { return strings.HasSuffix(s.Peers[0], c.addr.EtcdPeer) })
	})
	alive.Delete = true
	w.until("it is dead", func() bool {
		return a.Do(t.Context(), metadata.Txn{Ops: []metadata.Op{alive}}).Outcome == metadata.Applied
	})
	w.join("d", "a")
	w.awaitVoters("d", "a", "b", "d")
}
