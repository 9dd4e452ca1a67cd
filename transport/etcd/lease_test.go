package etcd

import (
	"context"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/metadata"
)

func leased(key, value string) metadata.Txn {
	return metadata.Txn{Ops: []metadata.Op{{Key: key, Value: []byte(value), Leased: true}}}
}

// silence makes a store stop without letting its lease go.
func silence(t *testing.T, s *Store) {
	t.Helper()
	s.end()
	<-s.lease.done
}

func TestLeasedKeysStayWhileTheNodeLivesAndGoWhenItIsSilent(t *testing.T) {
	c := newCluster(t, 1, nil)
	watcher, silent := c.open(), c.open()
	alive := c.open(func(p *Params) { p.LeaseTTL = 10 * time.Second })
	insist(t, alive, leased("/w/alive", "1"))
	f := follow(t, watchAll(watcher))
	f.next(snapshot)
	insist(t, silent, leased("/w/silent", "1"))
	f.next(changed)
	silence(t, silent)
	u := f.next(changed)
	if len(u.Changes) != 1 || u.Changes[0].Key != "/w/silent" || !u.Changes[0].Deleted {
		t.Errorf("after the silent node's lease ran out: %+v", u)
	}
	if r := insist(t, watcher, metadata.Txn{Read: []string{"/w/alive"}}); len(r.Items) != 1 {
		t.Error("the key of the node that is alive is gone")
	}
}

func TestLeasedKeysGoAtOnceWhenTheStoreIsClosed(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.open()
	other, err := Open(t.Context(), Params{Endpoints: c.endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	insist(t, other, leased("/w/a", "1"))
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := insist(t, s, metadata.Txn{Read: []string{"/w/a"}}); len(r.Items) != 0 {
		t.Errorf("after Close: %+v", r.Items)
	}
}

func TestLostLeaseIsReplacedAndItsKeysComeBack(t *testing.T) {
	c := newCluster(t, 1, nil)
	s, other := c.open(func(p *Params) { p.LeaseTTL = 3 * time.Second }), c.open()
	f := follow(t, watchAll(other))
	f.next(snapshot)
	insist(t, s, metadata.Txn{Ops: []metadata.Op{
		{Key: "/w/kept", Value: []byte("1"), Leased: true},
		{Key: "/w/replaced", Value: []byte("1"), Leased: true},
		{Key: "/w/unleased", Value: []byte("1"), Leased: true},
	}})
	f.next(changed)
	insist(t, s, metadata.Txn{Ops: []metadata.Op{{Key: "/w/unleased", Value: []byte("2")}}})
	f.next(changed)
	// The store drops the lease early, as etcd is known to do.
	if _, err := other.endpoints.list[0].client.Revoke(t.Context(), s.lease.current()); err != nil {
		t.Fatal(err)
	}
	if u := f.next(changed); len(u.Changes) != 2 || !u.Changes[0].Deleted {
		t.Fatalf("after the lease was dropped: %+v", u)
	}
	insist(t, other, put("/w/replaced", "by other"))
	var kept bool
	for !kept {
		for _, change := range f.next(changed).Changes {
			kept = kept || change.Key == "/w/kept" && !change.Deleted
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if r := s.Do(ctx, leased("/w/new", "1")); r.Outcome != metadata.Applied {
		t.Fatalf("a leased write under the new lease: %+v", r)
	}
	r := insist(t, other, metadata.Txn{Read: []string{"/w/"}})
	values := map[string]string{}
	for _, item := range r.Items {
		values[item.Key] = string(item.Value)
	}
	if values["/w/kept"] != "1" || values["/w/unleased"] != "2" || values["/w/new"] != "1" {
		t.Errorf("content after the lease was replaced: %v", values)
	}
}

func TestLeasedWriteFindsItsLeaseGoneAndTakesANewOne(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.open()
	insist(t, s, leased("/w/a", "1"))
	id := s.lease.current()
	if _, err := s.endpoints.list[0].client.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if r := s.Do(t.Context(), leased("/w/a", "2")); r.Outcome != metadata.Applied {
		t.Fatalf("a leased write after its lease was dropped: %+v", r)
	}
	if s.lease.current() == id {
		t.Error("the store still holds the lease that was dropped")
	}
}
