package etcd

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/metadata"
)

// relay stands between a client and a member, and can fall silent without
// breaking a connection, as a cut cable does.
type relay struct {
	listener net.Listener
	target   string
	silent   atomic.Bool
	carried  atomic.Int64 // bytes to the client
	all      sync.WaitGroup
}

func newRelay(t *testing.T, endpoint string) *relay {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, target: target.Host}
	r.all.Go(r.accept)
	t.Cleanup(func() { _ = l.Close(); r.all.Wait() })
	return r
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		r.all.Go(func() { r.carry(server, client, nil) })
		r.all.Go(func() { r.carry(client, server, &r.carried) })
	}
}

// carry copies until either side ends; what comes while it is silent is lost.
func (r *relay) carry(to, from net.Conn, count *atomic.Int64) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err == nil && !r.silent.Load() {
			_, err = to.Write(buffer[:n])
			if count != nil {
				count.Add(int64(n))
			}
		}
		if err != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

func (r *relay) endpoint() string { return "http://" + r.listener.Addr().String() }

func TestSilentEndpointIsLeftForAnother(t *testing.T) {
	c := newCluster(t, 1, nil)
	through := newRelay(t, c.endpoints()[0])
	s := c.open(func(p *Params) { p.Endpoints = []string{through.endpoint(), c.endpoints()[0]} })
	direct := c.open()
	f := follow(t, watchAll(s))
	f.next(snapshot)
	insist(t, direct, put("/w/a", "1"))
	if u := f.next(changed); u.Snapshot || through.carried.Load() == 0 {
		t.Fatalf("the watch does not go through the relay: %+v", u)
	}
	through.silent.Store(true)
	during := insist(t, direct, put("/w/a", "2"))
	if u := f.next(changed); u.Snapshot || u.Revision != during.Revision {
		t.Errorf("the watch of a silent endpoint: %+v", u)
	}
	if r := insist(t, s, metadata.Txn{Read: []string{"/w/a"}}); r.Outcome != metadata.Applied {
		t.Errorf("a read after its endpoint fell silent: %+v", r)
	}
}

func TestReachableSaysWhetherTheStoreAnswers(t *testing.T) {
	c := newCluster(t, 1, nil)
	through := newRelay(t, c.endpoints()[0])
	s := c.open(func(p *Params) { p.Endpoints, p.ReadTry = []string{through.endpoint()}, 50*time.Millisecond })
	if s.Reachable() {
		t.Error("the store is reachable before it was asked")
	}
	read := metadata.Txn{Read: []string{"/r"}}
	insist(t, s, read)
	if !s.Reachable() {
		t.Error("the store answered and is not reachable")
	}
	through.silent.Store(true)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if r := s.Do(short, read); r.Outcome != metadata.Unknown || s.Reachable() {
		t.Errorf("the store is silent: %+v, reachable: %v", r, s.Reachable())
	}
	through.silent.Store(false)
	insist(t, s, read)
	if !s.Reachable() {
		t.Error("the store answers again and is not reachable")
	}
}
