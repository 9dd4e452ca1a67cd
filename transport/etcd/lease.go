package etcd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lagan-storage/lagan/core/metadata"
)

// beatsPerTTL is how many keep-alives fit into a lease: two may be lost.
const beatsPerTTL = 3

// errLeaseUnknown: the store answered that it has no such lease.
var errLeaseUnknown = errors.New("lease is not known any more")

// lease is the node's lease and the keys that hang on it. It is granted with
// the first leased op. A lease that the store let run out, because the node was
// cut off, is replaced by a new one and the keys are written again.
type lease struct {
	store    *Store
	granting chan struct{} // holds one token: one grant at a time
	done     chan struct{} // run has returned

	mu    sync.Mutex
	id    clientv3.LeaseID  // 0: none
	keys  map[string][]byte // what was applied with a lease and not replaced since
	stale map[string]bool   // those of keys whose lease ran out
}

func newLease(s *Store) *lease {
	l := &lease{
		store: s, granting: make(chan struct{}, 1), done: make(chan struct{}),
		keys: map[string][]byte{}, stale: map[string]bool{},
	}
	l.granting <- struct{}{}
	return l
}

func (l *lease) current() clientv3.LeaseID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id
}

// acquire returns the lease, granted now if there is none, or 0 when ctx ended.
func (l *lease) acquire(ctx context.Context) clientv3.LeaseID {
	select {
	case <-l.granting:
	case <-ctx.Done():
		return 0
	}
	defer func() { l.granting <- struct{}{} }()
	if id := l.current(); id != 0 {
		return id
	}
	var id clientv3.LeaseID
	// A grant whose answer is lost leaves a lease without keys, which runs out.
	err := l.store.read(ctx, func(ctx context.Context, e *endpoint) error {
		response, err := e.client.Grant(ctx, int64((l.store.params.LeaseTTL+time.Second-1)/time.Second))
		if err == nil {
			id = response.ID
		}
		return err
	})
	if err != nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.id = id
	return id
}

// lost forgets a lease that the store does not know any more.
func (l *lease) lost(id clientv3.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id != id {
		return
	}
	l.id = 0
	for key := range l.keys {
		l.stale[key] = true
	}
}

// note follows which keys hang on the lease.
func (l *lease) note(ops []metadata.Op, id clientv3.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range ops {
		delete(l.stale, o.Key)
		if o.Leased && !o.Delete {
			l.keys[o.Key] = slices.Clone(o.Value)
		} else {
			delete(l.keys, o.Key)
		}
	}
}

// forget gives up a key that somebody else has written.
func (l *lease) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, key)
	delete(l.stale, key)
}

// lapsed returns the keys whose lease ran out, in order, and all values.
func (l *lease) lapsed() ([]string, map[string][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.stale)), maps.Clone(l.keys)
}

// run keeps the lease alive until ctx ends.
func (l *lease) run(ctx context.Context) {
	defer close(l.done)
	beat := l.store.params.LeaseTTL / beatsPerTTL
	for pause(ctx, beat); ctx.Err() == nil; pause(ctx, beat) {
		id := l.current()
		if id != 0 && !l.alive(ctx, id) {
			l.store.params.Logger.Warn("node lease ran out", slog.Int64("lease", int64(id)))
			l.lost(id)
		}
		l.restore(ctx)
	}
}

// alive renews the lease. It reports false only if the store does not know it.
func (l *lease) alive(ctx context.Context, id clientv3.LeaseID) bool {
	bounded, cancel := context.WithTimeout(ctx, l.store.params.LeaseTTL)
	defer cancel()
	err := l.store.read(bounded, func(ctx context.Context, e *endpoint) error {
		// A stream of one message: it holds nothing open between two beats.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := pb.NewLeaseClient(e.client.ActiveConnection()).LeaseKeepAlive(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
			return err
		}
		response, err := stream.Recv()
		if err == nil && response.TTL <= 0 {
			return errLeaseUnknown
		}
		return err
	})
	return !errors.Is(err, errLeaseUnknown)
}

// restore writes the leased keys again whose lease ran out. One that is there
// with our value is from a try whose answer was lost, and is bound to the new
// lease; one with another value was written by somebody else since, and stays.
func (l *lease) restore(ctx context.Context) {
	keys, values := l.lapsed()
	for _, key := range keys {
		bounded, cancel := context.WithTimeout(ctx, l.store.params.LeaseTTL)
		if !l.restoreKey(bounded, key, values[key]) {
			l.store.params.Logger.Warn("leased key not restored yet", slog.String("key", key))
		}
		cancel()
	}
}

// restoreKey reports whether the matter of key is settled.
func (l *lease) restoreKey(ctx context.Context, key string, value []byte) bool {
	found, _ := l.store.transact(ctx, metadata.Txn{Read: []string{key}})
	if found.Outcome == metadata.Unknown {
		return false
	}
	item, exists := found.Find(key)
	if exists && !bytes.Equal(item.Value, value) {
		l.forget(key)
		return true
	}
	// write notes the key when it is applied.
	result, err := l.store.write(ctx, metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: item.Revision}},
		Ops:    []metadata.Op{{Key: key, Value: value, Leased: true}},
	})
	return err == nil && result.Outcome == metadata.Applied
}

// revoke lets the leased keys go, once, if there is time.
func (l *lease) revoke(ctx context.Context) {
	id := l.current()
	if id == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, l.store.params.WriteTry)
	defer cancel()
	e, _ := l.store.endpoints.pick()
	if _, err := e.client.Revoke(bounded, id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		l.store.params.Logger.Warn("node lease not revoked, it runs out by itself", slog.Any("error", err))
	}
}
