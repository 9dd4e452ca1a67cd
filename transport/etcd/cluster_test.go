package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/metadata"
)

// patience bounds what a test waits for; no assertion depends on it.
const patience = 50 * time.Second

// testCluster is a cluster of members in this process.
type testCluster struct {
	t       *testing.T
	params  []MemberParams
	members []*Member
}

// newCluster starts count members together.
func newCluster(t *testing.T, count int, tls *TLS) *testCluster {
	t.Helper()
	t.Parallel()
	c := &testCluster{t: t}
	peers, clients := freePorts(t, count), freePorts(t, count)
	membership := map[string][]string{}
	for i := range count {
		membership[memberName(i)] = []string{fmt.Sprintf("%s://127.0.0.1:%d", tls.Scheme(), peers[i])}
	}
	for i := range count {
		c.params = append(c.params, MemberParams{
			Name: memberName(i), Dir: t.TempDir(), Cluster: membership, Token: t.Name(),
			ListenClient: fmt.Sprintf("127.0.0.1:%d", clients[i]),
			TLS:          tls, Logger: testLogger(t),
			Tick: 20 * time.Millisecond, Election: 200 * time.Millisecond, NoSync: true,
		})
	}
	c.members = make([]*Member, count)
	c.startAll()
	return c
}

func memberName(i int) string { return fmt.Sprintf("n%d", i+1) }

// startAll starts every member that does not run, at the same time.
func (c *testCluster) startAll() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var all sync.WaitGroup
	for i, m := range c.members {
		if m != nil {
			continue
		}
		all.Go(func() {
			m, err := StartMember(ctx, c.params[i])
			if err != nil {
				c.t.Error(err)
				return
			}
			c.members[i] = m
			c.t.Cleanup(func() { stop(c.t, m) })
		})
	}
	all.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// stop stops a member without regard for the others.
func stop(t *testing.T, m *Member) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Close(ended); err != nil {
		t.Error(err)
	}
}

// stopOne stops member i abruptly.
func (c *testCluster) stopOne(i int) {
	stop(c.t, c.members[i])
	c.members[i] = nil
}

// leader returns the index of the member that leads.
func (c *testCluster) leader() int {
	for i, m := range c.members {
		if m != nil && m.Leading() {
			return i
		}
	}
	c.t.Fatal("no member leads")
	return 0
}

func (c *testCluster) endpoints() (list []string) {
	for _, p := range c.params {
		list = append(list, p.TLS.Scheme()+"://"+p.ListenClient)
	}
	return list
}

// open returns a store on all members of the cluster.
func (c *testCluster) open(change ...func(*Params)) *Store {
	c.t.Helper()
	p := Params{
		Endpoints: c.endpoints(), TLS: c.params[0].TLS, Logger: testLogger(c.t),
		LeaseTTL: time.Second, Progress: 100 * time.Millisecond,
	}
	for _, f := range change {
		f(&p)
	}
	s, err := Open(c.t.Context(), p)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			c.t.Error(err)
		}
	})
	return s
}

// portsTaken are those of other tests.
var portsTaken sync.Map

// freePorts returns ports below the range that outgoing connections take, so
// that a member which restarts finds its own again.
func freePorts(t *testing.T, count int) (ports []int) {
	t.Helper()
	for tries := 0; len(ports) < count; tries++ {
		if tries == 1000 {
			t.Fatal("no free port on 127.0.0.1")
		}
		port := 12000 + rand.IntN(20000)
		if _, taken := portsTaken.LoadOrStore(port, true); taken {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		ports = append(ports, port)
	}
	return ports
}

// testLogger shows what deserves a warning when the test fails.
func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// insist repeats a transaction while its outcome is unknown, as core does.
func insist(t *testing.T, s *Store, txn metadata.Txn) metadata.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		if r := s.Do(ctx, txn); r.Outcome != metadata.Unknown {
			return r
		}
	}
	t.Fatal("no answer from the store")
	return metadata.Result{}
}

func put(key, value string) metadata.Txn {
	return metadata.Txn{Ops: []metadata.Op{{Key: key, Value: []byte(value)}}}
}
