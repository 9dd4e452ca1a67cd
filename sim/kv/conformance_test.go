package kv_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/sim/kv"
	"github.com/lagan-storage/lagan/transport/etcd"
)

var (
	seedsFlag      = flag.Int("seeds", 20, "how many scripts TestModelAnswersAsEtcdDoes compares")
	operationsFlag = flag.Int("operations", 300, "how many operations each of them has")
)

const (
	scriptNodes   = 3
	scriptWatches = 5 // at a time
	members       = 2 // that scripts run against side by side
	everything    = "/k/"
	patience      = 5 * time.Minute // no assertion depends on it
)

// counts is what the scripts of all seeds did: a suite that never refuses or
// never forgets compares nothing.
type counts struct{ applied, refused, emptied, forgotten, resumed, compacted int }

func (c *counts) add(o *counts) {
	c.applied += o.applied
	c.refused += o.refused
	c.emptied += o.emptied
	c.forgotten += o.forgotten
	c.resumed += o.resumed
	c.compacted += o.compacted
}

// TestModelAnswersAsEtcdDoes runs the same scripts in both worlds. Those of one
// member share its revisions, so they run one after the other.
func TestModelAnswersAsEtcdDoes(t *testing.T) {
	var did [members]counts
	t.Run("members", func(t *testing.T) {
		for n := range members {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				endpoint := startEtcd(t)
				for seed := n; seed < *seedsFlag; seed += members {
					same := t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
						newScript(t, endpoint, uint64(seed), &did[n]).run()
					})
					if !same {
						return
					}
				}
			})
		}
	})
	for n := range did[1:] {
		did[0].add(&did[n+1])
	}
	all := did[0]
	t.Logf("%+v", all)
	if floor := *seedsFlag / 2; min(all.applied, all.refused, all.emptied, all.forgotten, all.resumed, all.compacted) < floor {
		t.Errorf("the scripts did too little of something: %+v, want at least %d of each", all, floor)
	}
}

// startEtcd starts a member of one and returns its endpoint.
func startEtcd(t *testing.T) string {
	t.Helper()
	for tries := 0; ; tries++ {
		peer, client := freeAddress(t), freeAddress(t)
		m, err := etcd.StartMember(t.Context(), etcd.MemberParams{
			Name: "n1", Dir: t.TempDir(), Token: "conformance",
			Cluster: map[string][]string{"n1": {"http://" + peer}}, ListenClient: client,
			Tick: 20 * time.Millisecond, Election: 200 * time.Millisecond, NoSync: true, KeepRevisions: 1 << 30,
		})
		if err != nil && tries < 5 {
			continue // somebody took the port meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return m.Endpoint()
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// pair is one watch in both worlds.
type pair struct {
	model *kv.Watcher
	saw   []string // by the model
	stop  func()   // ends the real one, once

	mu   sync.Mutex
	real []string      // by etcd
	news chan struct{} // something was added to real
}

// script runs one seed in both worlds, which share nothing but its draws.
type script struct {
	t        *testing.T
	endpoint string
	random   *rand.Rand
	name     string
	did      *counts
	cluster  uint64
	start    metadata.Revision

	model  *kv.Store
	nodes  []*kv.Node
	reader *etcd.Store
	stores []*etcd.Store
	pairs  []*pair
	floor  metadata.Revision // compacted so far
}

func newScript(t *testing.T, endpoint string, seed uint64, did *counts) *script {
	t.Helper()
	s := &script{
		t: t, endpoint: endpoint, random: rand.New(rand.NewPCG(seed, 1)), did: did,
		name: fmt.Sprintf("seed %d:", seed),
	}
	s.reader = s.open()
	at, err := s.reader.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.cluster, s.start, s.floor = at.Cluster, at.Revision, at.Revision
	s.model = kv.New(at.Cluster, at.Revision)
	for range scriptNodes {
		s.nodes, s.stores = append(s.nodes, kv.NewNode()), append(s.stores, s.open())
	}
	t.Cleanup(func() {
		for _, store := range append(s.stores, s.reader) {
			s.close(store)
		}
	})
	return s
}

func (s *script) open() *etcd.Store {
	s.t.Helper()
	store, err := etcd.Open(s.t.Context(), etcd.Params{
		Endpoints: []string{s.endpoint}, Namespace: s.name,
		// Nothing may time out or run out: the script says what goes wrong.
		LeaseTTL: time.Hour, ReadTry: patience, WriteTry: patience, Progress: patience,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

func (s *script) close(store *etcd.Store) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := store.Close(ctx); err != nil {
		s.t.Error(err)
	}
}

func (s *script) run() {
	s.watch()
	for range *operationsFlag {
		switch draw := s.random.IntN(100); {
		case draw < 2:
			s.silence(s.random.IntN(scriptNodes))
		case draw < 4:
			s.compact()
		case draw < 6:
			if len(s.pairs) == scriptWatches {
				s.pull(true)
				s.end(s.pairs[0])
				s.pairs = s.pairs[1:]
			}
			s.watch()
		default:
			s.transact(s.random.IntN(scriptNodes), s.txn())
		}
		s.pull(false)
	}
	s.transact(0, everywhere())
	s.pull(true)
	for _, p := range s.pairs {
		s.end(p)
	}
}

// end compares what a watch delivered in both worlds, and ends it.
func (s *script) end(p *pair) {
	s.t.Helper()
	p.await(s.t, len(p.saw))
	p.stop()
	if diff := cmp.Diff(p.saw, p.real); diff != "" {
		s.t.Errorf("a watch: model (-) and etcd (+):\n%s", diff)
	}
}

// txn draws a transaction.
func (s *script) txn() (txn metadata.Txn) {
	keys := []string{"/k/a/1", "/k/a/2", "/k/b/1", "/k/b/2", "/k/c", "/k/d"}
	s.random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, key := range keys[:s.random.IntN(3)] {
		txn.Guards = append(txn.Guards, metadata.Guard{Key: key, Revision: s.guess(key)})
	}
	s.random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, key := range keys[:s.random.IntN(4)] {
		op := metadata.Op{Key: key, Value: fmt.Append(nil, s.random.IntN(1000)), Leased: s.random.IntN(3) == 0}
		if s.random.IntN(3) == 0 {
			op = metadata.Op{Key: key, Delete: true}
		}
		txn.Ops = append(txn.Ops, op)
	}
	reads := append(keys, "/k/", "/k/a/", "/k/b/", "/k/nothing", "/k/nothing/")
	for range s.random.IntN(4) {
		txn.Read = append(txn.Read, reads[s.random.IntN(len(reads))])
	}
	return txn
}

// guess returns the revision of key, mostly.
func (s *script) guess(key string) metadata.Revision {
	if s.random.IntN(4) == 0 {
		return s.start + metadata.Revision(s.random.IntN(int(s.model.Revision()-s.start)+1))
	}
	found, _ := s.model.Do(metadata.Txn{Read: []string{key}}, 0)
	item, _ := found.Find(key)
	return item.Revision
}

// transact performs txn in both worlds and compares the answers.
func (s *script) transact(node int, txn metadata.Txn) {
	s.t.Helper()
	want := s.nodes[node].Do(s.model, txn, kv.Answered)
	got := s.stores[node].Do(s.t.Context(), txn)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		s.t.Fatalf("%+v: model (-) and etcd (+):\n%s", txn, diff)
	}
	switch {
	case want.Outcome == metadata.Refused:
		s.did.refused++
	case len(txn.Ops) > 0:
		s.did.applied++
	}
}

// silence ends a node: its leased keys go, and another takes its place.
func (s *script) silence(node int) {
	before := s.model.Revision()
	s.model.Revoke(s.nodes[node].Lease())
	s.nodes[node] = kv.NewNode()
	s.close(s.stores[node])
	s.stores[node] = s.open()
	if s.model.Revision() > before {
		s.did.emptied++
	}
}

// compact forgets a part of the past that all watches have behind them.
func (s *script) compact() {
	if s.model.Revision() == s.floor {
		return
	}
	s.pull(true)
	s.floor += 1 + metadata.Revision(s.random.IntN(int(s.model.Revision()-s.floor)))
	s.model.Compact(s.floor)
	s.did.compacted++
	if err := s.reader.Compact(s.t.Context(), s.floor); err != nil {
		s.t.Fatal(err)
	}
}

// watch begins a watch in both worlds, from the start or from some point in the
// past, which may be forgotten.
func (s *script) watch() {
	p := &pair{news: make(chan struct{}, 1)}
	prefix, after := everything, metadata.Revision(0)
	switch now := s.model.Revision(); {
	case s.random.IntN(3) == 0 || now == s.start:
		prefix = []string{everything, "/k/a/", "/k/c"}[s.random.IntN(3)]
		p.model = kv.Watch(prefix)
	default:
		after = s.start + metadata.Revision(s.random.IntN(int(now-s.start)))
		p.model = kv.WatchAfter(prefix, s.cluster, after)
		if after < s.floor && s.floor > s.start {
			s.did.forgotten++
		} else {
			s.did.resumed++
		}
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		err := s.reader.WatchAfter(ctx, prefix, etcd.Position{Cluster: s.cluster, Revision: after}, p.deliver)
		if !errors.Is(err, context.Canceled) {
			s.t.Errorf("the watch ended with %v", err)
		}
	})
	p.stop = func() { cancel(); done.Wait() }
	s.t.Cleanup(p.stop)
	s.pairs = append(s.pairs, p)
	p.pull(s.model, 1<<30)
	p.await(s.t, len(p.saw))
	// A watch that has its content may still be on its way to the changes, and a
	// compaction could overtake it. It is there once it delivers one.
	s.transact(0, everywhere())
	p.pull(s.model, 1<<30)
	p.await(s.t, len(p.saw))
}

// everywhere returns a change that every watch sees.
func everywhere() metadata.Txn {
	return metadata.Txn{Ops: []metadata.Op{{Key: "/k/a/seen"}, {Key: "/k/c/seen"}}}
}

// pull lets the model's watches deliver: all of what they have, or some.
func (s *script) pull(all bool) {
	for _, p := range s.pairs {
		switch {
		case all:
			for p.pull(s.model, 1+s.random.IntN(3)) {
			}
		case s.random.IntN(2) == 0:
			p.pull(s.model, s.random.IntN(3))
		}
	}
}

func (p *pair) pull(s *kv.Store, revisionsMax int) bool {
	update, ok := p.model.Next(s, revisionsMax)
	p.saw = append(p.saw, lines(update)...)
	return ok
}

func (p *pair) deliver(u metadata.Update) {
	p.mu.Lock()
	p.real = append(p.real, lines(u)...)
	p.mu.Unlock()
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// await waits until etcd has delivered count lines.
func (p *pair) await(t *testing.T, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		p.mu.Lock()
		have := len(p.real)
		p.mu.Unlock()
		if have >= count {
			return
		}
		select {
		case <-p.news:
		case <-ctx.Done():
			t.Fatalf("etcd delivered %d of %d changes", have, count)
		}
	}
}

// lines writes an update so that it does not matter how changes are bundled.
func lines(u metadata.Update) (list []string) {
	if u.Snapshot {
		list = append(list, fmt.Sprintf("the content at %d:", u.Revision))
	}
	for _, c := range u.Changes {
		list = append(list, fmt.Sprintf("%s = %q at %d, deleted %v", c.Key, c.Value, c.Revision, c.Deleted))
	}
	return list
}
