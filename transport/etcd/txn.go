package etcd

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lagan-storage/lagan/core/metadata"
)

// transact performs txn until it is decided or cannot be. It returns an error
// only for a write that the store will never take.
func (s *Store) transact(ctx context.Context, txn metadata.Txn) (metadata.Result, error) {
	if len(txn.Ops) == 0 {
		var result metadata.Result
		err := s.read(ctx, func(ctx context.Context, e *endpoint) error {
			response, err := s.commit(ctx, e, txn, 0)
			if err == nil {
				result = s.result(response, txn)
			}
			return err
		})
		if err != nil {
			return metadata.Result{}, nil // Unknown: nobody answered in time
		}
		return result, nil
	}
	return s.write(ctx, txn)
}

// write sends txn until it is answered, or may have been applied, or ctx ends.
func (s *Store) write(ctx context.Context, txn metadata.Txn) (metadata.Result, error) {
	leased := slices.ContainsFunc(txn.Ops, func(o metadata.Op) bool { return o.Leased && !o.Delete })
	for tries := 0; ctx.Err() == nil; tries++ {
		var id clientv3.LeaseID
		if leased {
			if id = s.lease.acquire(ctx); id == 0 {
				break // nothing was sent
			}
		}
		e, turn := s.endpoints.pick()
		try, departed := withDeparture(clientv3.WithRequireLeader(ctx))
		try, cancel := context.WithTimeout(try, s.params.WriteTry)
		response, err := s.commit(try, e, txn, id)
		cancel()
		s.noteTry(ctx, tries, err == nil)
		if err == nil {
			result := s.result(response, txn)
			if result.Outcome == metadata.Applied {
				s.lease.note(txn.Ops, id)
			}
			return result, nil
		}
		switch judge(err, departed.Load()) {
		case leaseGone:
			s.noteTry(ctx, tries, true)
			s.lease.lost(id)
		case rejected:
			s.noteTry(ctx, tries, true)
			return metadata.Result{}, err
		case untouched:
			s.endpoints.failed(turn)
			s.rest(ctx, tries)
		case unknown:
			s.endpoints.failed(turn)
			s.params.Logger.Warn("outcome of metadata transaction unknown",
				slog.String("key", firstKey(txn)), slog.String("endpoint", e.url), slog.Any("error", err))
			return metadata.Result{}, nil
		}
	}
	return metadata.Result{}, nil
}

// read tries ask on one endpoint after the other until it succeeds or ctx ends.
// The deadline of a try doubles with every round: the answer may be large.
func (s *Store) read(ctx context.Context, ask func(context.Context, *endpoint) error) error {
	count := s.endpoints.count()
	deadline := s.params.ReadTry
	for tries := 0; ; tries++ {
		e, turn := s.endpoints.pick()
		try, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), deadline)
		err := ask(try, e)
		late := try.Err() != nil
		cancel()
		answered := err == nil || isAny(err, rpctypes.ErrCompacted, rpctypes.ErrFutureRev, errLeaseUnknown)
		s.noteTry(ctx, tries, answered)
		if answered {
			return err // another try would meet the same
		}
		s.endpoints.failed(turn)
		if (tries+1)%count == 0 {
			deadline = min(2*deadline, readTryMax)
		}
		if !late {
			s.rest(ctx, tries)
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// rest waits after every full round of endpoints that failed at once, longer
// each time. A server that answers fast but not well is not to be hammered.
func (s *Store) rest(ctx context.Context, tries int) {
	count := s.endpoints.count()
	round, last := tries/count, (tries+1)%count == 0
	if last {
		pause(ctx, min(pauseMin<<min(round, 10), pauseMax))
	}
}

// commit sends txn once.
func (s *Store) commit(ctx context.Context, e *endpoint, txn metadata.Txn, lease clientv3.LeaseID) (*clientv3.TxnResponse, error) {
	var guards []clientv3.Cmp
	for _, g := range txn.Guards {
		// A key that does not exist compares as revision 0.
		guards = append(guards, clientv3.Compare(clientv3.ModRevision(s.key(g.Key)), "=", int64(g.Revision)))
	}
	var ops []clientv3.Op
	for _, o := range txn.Ops {
		switch {
		case o.Delete:
			ops = append(ops, clientv3.OpDelete(s.key(o.Key)))
		case o.Leased:
			ops = append(ops, clientv3.OpPut(s.key(o.Key), string(o.Value), clientv3.WithLease(lease)))
		default:
			ops = append(ops, clientv3.OpPut(s.key(o.Key), string(o.Value)))
		}
	}
	var reads []clientv3.Op
	for _, key := range txn.Read {
		if strings.HasSuffix(key, "/") {
			reads = append(reads, clientv3.OpGet(s.key(key), clientv3.WithPrefix()))
			continue
		}
		reads = append(reads, clientv3.OpGet(s.key(key)))
	}
	if len(ops) == 0 && len(reads) == 0 {
		// etcd answers a transaction that reads nothing from its own, maybe
		// old, state. The key cannot exist.
		reads = append(reads, clientv3.OpGet("\x00", clientv3.WithCountOnly()))
	}
	before := s.positions.read()
	response, err := e.client.Txn(ctx).If(guards...).Then(append(ops, reads...)...).Else(reads...).Commit()
	if err != nil {
		return nil, err
	}
	s.witness(before, Position{Cluster: response.Header.ClusterId, Revision: metadata.Revision(response.Header.Revision)})
	return response, nil
}

// result translates the answer to txn.
func (s *Store) result(response *clientv3.TxnResponse, txn metadata.Txn) metadata.Result {
	result := metadata.Result{Outcome: metadata.Refused, Revision: metadata.Revision(response.Header.Revision)}
	if response.Succeeded {
		result.Outcome = metadata.Applied
	}
	for _, r := range response.Responses {
		// What ops answer has no range.
		for _, kv := range r.GetResponseRange().GetKvs() {
			result.Items = append(result.Items, s.item(kv))
		}
	}
	slices.SortStableFunc(result.Items, func(a, b metadata.Item) int { return cmp.Compare(a.Key, b.Key) })
	result.Items = slices.CompactFunc(result.Items, func(a, b metadata.Item) bool { return a.Key == b.Key })
	return result
}

func (s *Store) key(key string) string { return s.params.Namespace + key }

func (s *Store) item(kv *mvccpb.KeyValue) metadata.Item {
	return metadata.Item{
		Key:      strings.TrimPrefix(string(kv.Key), s.params.Namespace),
		Value:    kv.Value,
		Revision: metadata.Revision(kv.ModRevision),
	}
}

// firstKey names a transaction in the log.
func firstKey(txn metadata.Txn) string {
	switch {
	case len(txn.Ops) > 0:
		return txn.Ops[0].Key
	case len(txn.Guards) > 0:
		return txn.Guards[0].Key
	case len(txn.Read) > 0:
		return txn.Read[0]
	}
	return ""
}

// linearize returns the store's position, agreed with a majority.
func (s *Store) linearize(ctx context.Context) (Position, error) {
	var at Position
	err := s.read(ctx, func(ctx context.Context, e *endpoint) error {
		response, err := s.commit(ctx, e, metadata.Txn{}, 0)
		if err == nil {
			at = Position{Cluster: response.Header.ClusterId, Revision: metadata.Revision(response.Header.Revision)}
		}
		return err
	})
	return at, err
}
