package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lagan-storage/lagan/core/metadata"
)

func TestTransactionIsGuardedAndReadsWhatItWrote(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.open()
	absent := []metadata.Guard{{Key: "/v/a"}}
	create := metadata.Txn{
		Guards: absent,
		Ops:    []metadata.Op{{Key: "/v/a", Value: []byte("1")}, {Key: "/v/b", Value: []byte("2")}},
		Read:   []string{"/v/b", "/v/"},
	}
	created := s.Do(t.Context(), create)
	if created.Outcome != metadata.Applied || len(created.Items) != 2 {
		t.Fatalf("create: %+v", created)
	}
	a, _ := created.Find("/v/a")
	if string(a.Value) != "1" || a.Revision != created.Revision {
		t.Errorf("the transaction at revision %d reads %+v", created.Revision, a)
	}
	again := s.Do(t.Context(), create)
	if again.Outcome != metadata.Refused || again.Revision != created.Revision || len(again.Items) != 2 {
		t.Errorf("creating what exists: %+v", again)
	}
	moved := s.Do(t.Context(), metadata.Txn{
		Guards: []metadata.Guard{{Key: "/v/a", Revision: a.Revision}},
		Ops:    []metadata.Op{{Key: "/v/a", Value: []byte("3")}, {Key: "/v/b", Delete: true}},
		Read:   []string{"/v/"},
	})
	if moved.Outcome != metadata.Applied || len(moved.Items) != 1 || string(moved.Items[0].Value) != "3" {
		t.Errorf("update: %+v", moved)
	}
	empty := s.Do(t.Context(), metadata.Txn{})
	if empty.Outcome != metadata.Applied || empty.Revision != moved.Revision {
		t.Errorf("reading only the revision: %+v", empty)
	}
	stale := s.Do(t.Context(), metadata.Txn{Guards: []metadata.Guard{{Key: "/v/a", Revision: a.Revision}}, Read: []string{"/v/a"}})
	if stale.Outcome != metadata.Refused || len(stale.Items) != 1 {
		t.Errorf("reading under a guard that does not hold: %+v", stale)
	}
}

func TestRejectedWriteIsRefusedWithTrueItems(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.open()
	insist(t, s, put("/a", "1"))
	big := s.Do(t.Context(), metadata.Txn{
		Ops:  []metadata.Op{{Key: "/a", Value: make([]byte, 3<<20)}},
		Read: []string{"/a"},
	})
	if a, ok := big.Find("/a"); big.Outcome != metadata.Refused || !ok || string(a.Value) != "1" {
		t.Errorf("a value beyond the limit: %v, item %q", big.Outcome, a.Value)
	}
}

func TestNamespacesDoNotSeeEachOther(t *testing.T) {
	c := newCluster(t, 1, nil)
	one := c.open(func(p *Params) { p.Namespace = "one:" })
	two := c.open(func(p *Params) { p.Namespace = "two:" })
	insist(t, one, put("/a", "1"))
	if r := insist(t, two, metadata.Txn{Read: []string{"/a", "/"}}); len(r.Items) != 0 {
		t.Errorf("two reads %v of one", r.Items)
	}
	if r := insist(t, one, metadata.Txn{Read: []string{"/"}}); len(r.Items) != 1 || r.Items[0].Key != "/a" {
		t.Errorf("one reads %v", r.Items)
	}
}

func TestWriteWithoutMajorityIsUnknownAndReadGoesUnanswered(t *testing.T) {
	c := newCluster(t, 3, nil)
	s := c.open()
	insist(t, s, put("/a", "1"))
	leader := c.leader()
	for i := range c.members {
		if i != leader {
			c.stopOne(i)
		}
	}
	// The leader takes the write before it notices that it is alone.
	only := c.open(func(p *Params) { p.Endpoints = []string{c.endpoints()[leader]} })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if r := only.Do(ctx, put("/a", "2")); r.Outcome != metadata.Unknown {
		t.Errorf("a write without a majority: %+v", r)
	}
	if r := only.Do(ctx, metadata.Txn{Read: []string{"/a"}}); r.Outcome != metadata.Unknown {
		t.Errorf("a read without a majority: %+v", r)
	}
	// Whatever became of the write, the same guard settles it.
	c.startAll()
	r := insist(t, s, metadata.Txn{Read: []string{"/a"}})
	if a, _ := r.Find("/a"); string(a.Value) != "1" && string(a.Value) != "2" {
		t.Errorf("after the majority is back: %+v", r)
	}
}

func TestWriteThatNeverLeftIsSentAgain(t *testing.T) {
	c := newCluster(t, 1, nil)
	nobody := fmt.Sprintf("http://127.0.0.1:%d", freePorts(t, 1)[0])
	s := c.open(func(p *Params) { p.Endpoints = []string{nobody, c.endpoints()[0]} })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	txn := put("/a", "1")
	txn.Guards = []metadata.Guard{{Key: "/a"}}
	if r := s.Do(ctx, txn); r.Outcome != metadata.Applied {
		t.Errorf("a write whose first endpoint does not exist: %+v", r)
	}
}

func TestJudgeTakesForUntouchedOnlyWhatIsProven(t *testing.T) {
	for _, c := range []struct {
		name     string
		err      error
		departed bool
		want     verdict
	}{
		{"never given to a connection", status.Error(codes.Unavailable, "connection refused"), false, untouched},
		{"deadline", context.DeadlineExceeded, true, unknown},
		{"connection broke", status.Error(codes.Unavailable, "transport is closing"), true, unknown},
		{"server's deadline", rpctypes.ErrTimeout, true, unknown},
		{"leader failed", rpctypes.ErrTimeoutDueToLeaderFail, true, unknown},
		{"leader changed", rpctypes.ErrLeaderChanged, true, unknown},
		{"server stops", rpctypes.ErrStopped, true, unknown},
		{"no space: the first such write is applied", rpctypes.ErrNoSpace, true, unknown},
		{"no leader", rpctypes.ErrNoLeader, true, untouched},
		{"overloaded", rpctypes.ErrTooManyRequests, true, untouched},
		{"learner", rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner), true, untouched},
		{"handing over", status.Error(codes.Unknown, proposalDropped), true, untouched},
		{"lease ran out", rpctypes.ErrLeaseNotFound, true, leaseGone},
		{"too large", rpctypes.ErrRequestTooLarge, true, rejected},
		{"same key twice", rpctypes.ErrDuplicateKey, true, rejected},
	} {
		if got := judge(c.err, c.departed); got != c.want {
			t.Errorf("%s: verdict %d, want %d", c.name, got, c.want)
		}
	}
}

func TestRestoredStoreIsNoticed(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.open()
	insist(t, s, put("/a", "1"))
	at, err := s.Position(t.Context())
	if err != nil || at.Cluster == 0 || at != s.Highest() {
		t.Fatalf("position %v, highest %v, error %v", at, s.Highest(), err)
	}
	if _, _, restored := s.Restored(); restored {
		t.Error("a store that only went forward counts as restored")
	}
	for name, known := range map[string]Position{
		"older revision": {Cluster: at.Cluster, Revision: at.Revision + 1000},
		"other cluster":  {Cluster: at.Cluster + 1, Revision: 1},
	} {
		s := c.open(func(p *Params) { p.Known = known })
		insist(t, s, metadata.Txn{Read: []string{"/a"}})
		from, to, restored := s.Restored()
		if !restored || from != known || to != at || s.Highest() != known {
			t.Errorf("%s: restored %v from %v to %v, highest %v", name, restored, from, to, s.Highest())
		}
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	if _, err := Open(t.Context(), Params{}); err == nil || !strings.Contains(err.Error(), "no endpoint") {
		t.Errorf("open without endpoints: %v", err)
	}
	_, err := Open(t.Context(), Params{Endpoints: []string{"https://127.0.0.1:1"}, TLS: &TLS{CertFile: "/nowhere"}})
	if err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("open without a certificate: %v", err)
	}
}

func TestClosedStoreAnswersUnknown(t *testing.T) {
	c := newCluster(t, 1, nil)
	s, err := Open(t.Context(), Params{Endpoints: c.endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := s.Do(t.Context(), put("/a", "1")); r.Outcome != metadata.Unknown {
		t.Errorf("a write on a closed store: %+v", r)
	}
	if err := s.Watch(t.Context(), "/", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a watch on a closed store: %v", err)
	}
}
