package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/lagan-storage/lagan/core/metadata"
)

// follower collects what a watch delivers.
type follower struct {
	t       *testing.T
	updates chan metadata.Update
	last    metadata.Revision
}

// follow watches prefix until the test ends.
func follow(t *testing.T, watch func(context.Context, func(metadata.Update)) error) *follower {
	t.Helper()
	f := &follower{t: t, updates: make(chan metadata.Update, 10_000)}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := watch(ctx, func(u metadata.Update) { f.updates <- u }); !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v", err)
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
	return f
}

func watchAll(s *Store) func(context.Context, func(metadata.Update)) error {
	return func(ctx context.Context, deliver func(metadata.Update)) error { return s.Watch(ctx, "/w/", deliver) }
}

func watchAfter(s *Store, after Position) func(context.Context, func(metadata.Update)) error {
	return func(ctx context.Context, deliver func(metadata.Update)) error {
		return s.WatchAfter(ctx, "/w/", after, deliver)
	}
}

// next returns the next update that fits, and checks the order of all.
func (f *follower) next(fits func(metadata.Update) bool) metadata.Update {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	for {
		select {
		case u := <-f.updates:
			if !u.Snapshot && u.Revision <= f.last {
				f.t.Fatalf("update of revision %d after %d", u.Revision, f.last)
			}
			f.last = u.Revision
			if fits(u) {
				return u
			}
		case <-ctx.Done():
			f.t.Fatalf("no such update; the last was of revision %d", f.last)
		}
	}
}

func anyUpdate(metadata.Update) bool    { return true }
func changed(u metadata.Update) bool    { return len(u.Changes) > 0 }
func snapshot(u metadata.Update) bool   { return u.Snapshot }
func progressed(u metadata.Update) bool { return !u.Snapshot && len(u.Changes) == 0 }

func TestWatchBeginsWithTheContentAndMissesNoChange(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.open()
	start := insist(t, s, put("/w/a", "0"))
	f := follow(t, watchAll(s))
	if u := f.next(anyUpdate); !u.Snapshot || u.Revision != start.Revision || len(u.Changes) != 1 || u.Changes[0].Key != "/w/a" {
		t.Fatalf("first update: %+v", u)
	}
	both := insist(t, s, metadata.Txn{Ops: []metadata.Op{{Key: "/w/b", Value: []byte("1")}, {Key: "/w/a", Delete: true}}})
	u := f.next(changed)
	if u.Revision != both.Revision || len(u.Changes) != 2 {
		t.Fatalf("one transaction: %+v", u)
	}
	if b, a := u.Changes[0], u.Changes[1]; string(b.Value) != "1" || b.Deleted || a.Key != "/w/a" || !a.Deleted {
		t.Errorf("changes of one transaction: %+v", u.Changes)
	}
	// What happens elsewhere moves the revision.
	elsewhere := insist(t, s, put("/other", "1"))
	if u := f.next(progressed); u.Revision != elsewhere.Revision {
		t.Errorf("progress at revision %d, the store is at %d", u.Revision, elsewhere.Revision)
	}
	if got := s.Highest().Revision; got != elsewhere.Revision {
		t.Errorf("highest revision %d, want %d", got, elsewhere.Revision)
	}
}

func TestWatchListsManyKeysInPages(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.open()
	const keys, perTxn = 2*pageItems + 7, 500
	for first := 0; first < keys; first += perTxn {
		var txn metadata.Txn
		for i := first; i < min(first+perTxn, keys); i++ {
			txn.Ops = append(txn.Ops, metadata.Op{Key: fmt.Sprintf("/w/%05d", i)})
		}
		insist(t, s, txn)
	}
	u := follow(t, watchAll(s)).next(anyUpdate)
	if len(u.Changes) != keys {
		t.Fatalf("%d keys listed of %d", len(u.Changes), keys)
	}
	for i, change := range u.Changes {
		if want := fmt.Sprintf("/w/%05d", i); change.Key != want {
			t.Fatalf("key %d is %s, want %s", i, change.Key, want)
		}
	}
}

func TestWatchOfForgottenRevisionsListsAnew(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.open()
	insist(t, s, put("/w/a", "1"))
	early, err := s.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	insist(t, s, put("/w/a", "2"))
	late := insist(t, s, put("/w/a", "3"))
	if u := follow(t, watchAfter(s, early)).next(anyUpdate); u.Snapshot || string(u.Changes[0].Value) != "2" {
		t.Errorf("before compaction: %+v", u)
	}
	for range 2 { // the second time it is done already
		if err := s.Compact(t.Context(), late.Revision); err != nil {
			t.Fatal(err)
		}
	}
	u := follow(t, watchAfter(s, early)).next(anyUpdate)
	if !u.Snapshot || u.Revision != late.Revision || len(u.Changes) != 1 || string(u.Changes[0].Value) != "3" {
		t.Errorf("after compaction: %+v", u)
	}
	foreign := Position{Cluster: early.Cluster + 1, Revision: late.Revision}
	if u := follow(t, watchAfter(s, foreign)).next(anyUpdate); !u.Snapshot {
		t.Errorf("after a position of another cluster: %+v", u)
	}
	future := Position{Cluster: early.Cluster, Revision: late.Revision + 1000}
	if u := follow(t, watchAfter(s, future)).next(anyUpdate); !u.Snapshot || u.Revision != late.Revision {
		t.Errorf("after a position that the store has not reached: %+v", u)
	}
}

func TestTransactionsAndWatchGoOnWithoutTheLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	// The store begins with the leader, so that it loses what it talks to.
	s := c.open(func(p *Params) {
		p.Endpoints[0], p.Endpoints[leader] = p.Endpoints[leader], p.Endpoints[0]
	})
	const writes = 60
	f := follow(t, watchAll(s))
	f.next(snapshot)
	for i := range writes {
		if i == writes/3 {
			c.stopOne(leader)
		}
		value := fmt.Sprint(i)
		txn := put("/w/"+fmt.Sprintf("%03d", i), value)
		txn.Guards = []metadata.Guard{{Key: txn.Ops[0].Key}}
		txn.Read = []string{txn.Ops[0].Key}
		// Refused after an unknown outcome: the first one was applied.
		if r := insist(t, s, txn); len(r.Items) != 1 || string(r.Items[0].Value) != value {
			t.Fatalf("write %d: %+v", i, r)
		}
	}
	for i := 0; i < writes; {
		for _, change := range f.next(changed).Changes {
			if want := fmt.Sprintf("/w/%03d", i); change.Key != want {
				t.Fatalf("change of %s, want %s", change.Key, want)
			}
			i++
		}
	}
	// All three stop and come back from their data; the watch goes on.
	for i, m := range c.members {
		if m != nil {
			c.stopOne(i)
		}
	}
	c.startAll()
	if r := insist(t, s, metadata.Txn{Read: []string{"/w/"}}); len(r.Items) != writes {
		t.Fatalf("%d keys of %d are left after the restart of all members", len(r.Items), writes)
	}
	last := insist(t, s, put("/w/last", "1"))
	if u := f.next(changed); u.Snapshot || u.Revision != last.Revision || u.Changes[0].Key != "/w/last" {
		t.Errorf("after the restart of all members: %+v", u)
	}
}
