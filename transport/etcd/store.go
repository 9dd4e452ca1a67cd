package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/lagan-storage/lagan/core/metadata"
)

const (
	// readTryDefault is how long one try of a read may take: a stopped leader
	// is replaced in about a second, and another member answers at once.
	readTryDefault = 300 * time.Millisecond
	// readTryMax bounds the growth of that for answers that are large or
	// machines that are slow.
	readTryMax = 5 * time.Second
	// writeTryDefault is how long a write may take before its outcome counts
	// as unknown. Longer than a read's: an unknown outcome is work for core.
	writeTryDefault = time.Second
	// progressDefault is how often a quiet watch asks whether it is still
	// complete; after watchSilenceMax times that it moves to another endpoint.
	progressDefault = time.Second
	// leaseTTLDefault is how long a node that says nothing counts as alive.
	leaseTTLDefault = 10 * time.Second
	// pauseMin and pauseMax bound the wait after a whole round of endpoints
	// that all failed at once.
	pauseMin = 20 * time.Millisecond
	pauseMax = 500 * time.Millisecond
)

// Params describes a Store. Only Endpoints is required.
type Params struct {
	Endpoints []string // client URLs of members; the nearest first
	TLS       *TLS     // nil: plain
	Logger    *slog.Logger

	// Namespace stands before every key in the store and is never seen outside:
	// many clusters of tests share one etcd.
	Namespace string

	// LeaseTTL is how long the leased keys of a silent node stay, in whole
	// seconds; etcd may lengthen it to 1.5 × its election timeout.
	LeaseTTL time.Duration

	ReadTry  time.Duration // deadline of one try of a read
	WriteTry time.Duration // deadline of a write
	Progress time.Duration // how often a quiet watch asks for its progress

	// Known is the highest position that this node has persisted; see Position.
	Known Position
}

// Store is a node's client of the metadata store.
type Store struct {
	params    Params
	endpoints *endpoints
	lease     *lease
	positions positions
	reached   atomic.Bool     // see Reachable
	life      context.Context // ends with Close
	end       context.CancelFunc
}

// Open returns a client of the store. It connects when it is used: the store
// may be unreachable for now. The values of ctx are kept, its end is not heeded.
func Open(ctx context.Context, p Params) (*Store, error) {
	if len(p.Endpoints) == 0 {
		return nil, errors.New("open the metadata store: no endpoint given: name the client URL of at least one etcd member")
	}
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	p.ReadTry = cmp.Or(p.ReadTry, readTryDefault)
	p.WriteTry = cmp.Or(p.WriteTry, writeTryDefault)
	p.Progress = cmp.Or(p.Progress, progressDefault)
	p.LeaseTTL = max(cmp.Or(p.LeaseTTL, leaseTTLDefault), time.Second)
	connected, err := connect(ctx, p)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &Store{params: p, endpoints: connected, life: life, end: end}
	s.positions.highest = p.Known
	s.lease = newLease(s)
	go s.lease.run(life)
	return s, nil
}

// Reachable reports whether the store answered the last request, which was at
// most a third of the lease's time ago once the node has its lease.
func (s *Store) Reachable() bool { return s.reached.Load() }

// noteTry remembers whether the store answers. One endpoint that does not says
// nothing yet, nor does a caller that has hung up.
func (s *Store) noteTry(ctx context.Context, tries int, answered bool) {
	lastOfRound := (tries+1)%s.endpoints.count() == 0
	if answered || lastOfRound && !errors.Is(ctx.Err(), context.Canceled) {
		s.reached.Store(answered)
	}
}

// Close ends the store's work, lets the leased keys go at once if the store can
// be reached before ctx ends, and closes the connections. Calls and watches
// under way end; their callers wait for them.
func (s *Store) Close(ctx context.Context) error {
	s.end()
	<-s.lease.done
	s.lease.revoke(ctx)
	return s.endpoints.close()
}

// scope returns ctx, ended by Close too.
func (s *Store) scope(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// Do performs a transaction. The outcome is Unknown when a write may or may not
// have been applied, and when ctx ended before a read was answered. A write that
// the store rejects for good (too large, no space left, not permitted) changed
// nothing: it is logged and reported as Refused.
func (s *Store) Do(ctx context.Context, txn metadata.Txn) metadata.Result {
	ctx, cancel := s.scope(ctx)
	defer cancel()
	result, err := s.transact(ctx, txn)
	if err != nil {
		s.params.Logger.Error("metadata transaction rejected",
			slog.String("key", firstKey(txn)), slog.Any("error", err))
		// The items must be true even so: who is refused acts on them.
		if result, _ = s.transact(ctx, metadata.Txn{Read: txn.Read}); result.Outcome == metadata.Applied {
			result.Outcome = metadata.Refused
		}
	}
	return result
}

// Compact lets the store forget what was before revision. A member of ours does
// so by itself; an external one may not.
func (s *Store) Compact(ctx context.Context, revision metadata.Revision) error {
	ctx, cancel := s.scope(ctx)
	defer cancel()
	err := s.read(ctx, func(ctx context.Context, e *endpoint) error {
		_, err := e.client.Compact(ctx, int64(revision))
		return err
	})
	if err == nil || errors.Is(err, rpctypes.ErrCompacted) { // compacted by now
		return nil
	}
	return fmt.Errorf("compact the metadata store at revision %d: %w", revision, err)
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-bounded.Done()
}
