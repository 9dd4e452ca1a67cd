// Package kv is the simulator's etcd: the same transactions, revisions, watches
// and leases as the real one, as a plain value that does nothing by itself.
//
//	simulated node ─▶ Node.Do ─▶ Store.Do            one transaction, decided at once
//	simulated node ◀─ Watcher.Next ◀─ Store           what the watch has not delivered yet
//	world          ─▶ Revoke, Compact, Clone, Fate    what goes wrong with it
//
// It knows no time and no chance: the simulated world decides when a call
// arrives, whether its answer does, when a lease ends and how far a watch lags.
// So every fault of the real store is a matter of when, and in which order, the
// world calls:
//
//   - an outage: nothing is called;
//   - an unknown outcome: Fate tells whether the transaction was applied; one
//     that is applied later is kept by the world and done later as AnswerLost;
//   - a lease that ends late, never, or early while keep-alives succeed: Revoke
//     comes late, never, or early;
//   - a watch that lags: Next comes late; one that missed a compaction begins
//     anew with the whole content;
//   - a restored backup: the world goes on with an older Clone: GoBack.
//
// A test runs the same random scripts against it and against a real etcd and
// compares every answer (conformance_test.go). The simulated world (package sim)
// is its only caller.
package kv

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/metadata"
)

// Lease names a lease. 0 is none.
type Lease uint64

// entry is the present state of one key.
type entry struct {
	value    []byte
	revision metadata.Revision
	lease    Lease
}

// Store is the content of the metadata store and what changed it.
type Store struct {
	cluster   uint64
	revision  metadata.Revision
	compacted metadata.Revision // 0, or the oldest revision whose changes are kept
	entries   map[string]entry
	history   []metadata.Change // in revision order, from compacted on
	leases    map[Lease]bool
	lastLease Lease
}

// New returns an empty store. Its first change has the revision after start;
// etcd begins at 1.
func New(cluster uint64, start metadata.Revision) *Store {
	return &Store{cluster: cluster, revision: start, entries: map[string]entry{}, leases: map[Lease]bool{}}
}

// Cluster returns the id that a restored store shares with the lost one, or not.
func (s *Store) Cluster() uint64 { return s.cluster }

// Revision returns the revision of the last change.
func (s *Store) Revision() metadata.Revision { return s.revision }

// Clone returns a copy that goes its own way: a backup. Values are never
// changed in place, so they are shared.
func (s *Store) Clone() *Store {
	c := *s
	c.entries, c.leases, c.history = maps.Clone(s.entries), maps.Clone(s.leases), slices.Clone(s.history)
	return &c
}

// Do decides txn. Leased ops hang on lease; if the store does not know it,
// nothing happens and known is false. The store keeps the values of txn: they
// must not be changed any more.
func (s *Store) Do(txn metadata.Txn, lease Lease) (result metadata.Result, known bool) {
	checkOps(txn.Ops)
	applied := !slices.ContainsFunc(txn.Guards, func(g metadata.Guard) bool {
		return s.entries[g.Key].revision != g.Revision // absent: revision 0
	})
	result.Outcome = metadata.Refused
	if applied {
		if !s.leases[lease] && slices.ContainsFunc(txn.Ops, leased) {
			return metadata.Result{}, false
		}
		result.Outcome = metadata.Applied
		s.apply(txn.Ops, lease)
	}
	result.Revision = s.revision
	result.Items = s.read(txn.Read)
	return result, true
}

func leased(o metadata.Op) bool { return o.Leased && !o.Delete }

// checkOps asserts what etcd demands: no key is changed twice.
func checkOps(ops []metadata.Op) {
	seen := make(map[string]bool, len(ops))
	for _, o := range ops {
		invariant.Thatf(o.Key != "" && !strings.HasSuffix(o.Key, "/"), "key %q of a transaction's op names one item", o.Key)
		invariant.Thatf(!seen[o.Key], "key %s is changed once in a transaction", o.Key)
		seen[o.Key] = true
	}
}

// apply performs ops at one new revision, if they change anything.
func (s *Store) apply(ops []metadata.Op, lease Lease) {
	next := s.revision + 1
	for _, o := range ops {
		change := metadata.Change{Item: metadata.Item{Key: o.Key, Revision: next}, Deleted: o.Delete}
		if o.Delete {
			if _, exists := s.entries[o.Key]; !exists {
				continue
			}
			delete(s.entries, o.Key)
		} else {
			e := entry{value: o.Value, revision: next}
			if o.Leased {
				e.lease = lease
			}
			s.entries[o.Key], change.Value = e, o.Value
		}
		s.history = append(s.history, change)
		s.revision = next
	}
}

// read returns the items of keys in key order, each once.
func (s *Store) read(keys []string) (items []metadata.Item) {
	for _, key := range keys {
		if strings.HasSuffix(key, "/") {
			items = append(items, s.below(key)...)
		} else if e, exists := s.entries[key]; exists {
			items = append(items, metadata.Item{Key: key, Value: e.value, Revision: e.revision})
		}
	}
	slices.SortFunc(items, func(a, b metadata.Item) int { return cmp.Compare(a.Key, b.Key) })
	return slices.CompactFunc(items, func(a, b metadata.Item) bool { return a.Key == b.Key })
}

// below returns all items whose keys begin with prefix, in key order.
func (s *Store) below(prefix string) (items []metadata.Item) {
	for key, e := range s.entries { // any order: sorted below
		if strings.HasPrefix(key, prefix) {
			items = append(items, metadata.Item{Key: key, Value: e.value, Revision: e.revision})
		}
	}
	slices.SortFunc(items, func(a, b metadata.Item) int { return cmp.Compare(a.Key, b.Key) })
	return items
}

// Grant makes a lease.
func (s *Store) Grant() Lease {
	s.lastLease++
	s.leases[s.lastLease] = true
	return s.lastLease
}

// Known reports whether a keep-alive of lease would succeed.
func (s *Store) Known(lease Lease) bool { return s.leases[lease] }

// Revoke ends a lease: its keys go, at one revision. It does nothing to a lease
// that ended before.
func (s *Store) Revoke(lease Lease) {
	if !s.leases[lease] {
		return
	}
	delete(s.leases, lease)
	var ops []metadata.Op
	for key, e := range s.entries { // any order: sorted below
		if e.lease == lease {
			ops = append(ops, metadata.Op{Key: key, Delete: true})
		}
	}
	slices.SortFunc(ops, func(a, b metadata.Op) int { return cmp.Compare(a.Key, b.Key) })
	s.apply(ops, 0)
}

// Compact forgets the changes before revision, which lies in the past.
func (s *Store) Compact(revision metadata.Revision) {
	invariant.That(revision <= s.revision, "a store is compacted at a revision it has reached")
	if revision <= s.compacted {
		return
	}
	s.compacted = revision
	first, _ := slices.BinarySearchFunc(s.history, revision, func(c metadata.Change, r metadata.Revision) int {
		return cmp.Compare(c.Revision, r)
	})
	s.history = slices.Clone(s.history[first:])
}

// GoBack makes the store what a backup was, as another cluster: no watch goes on
// where it was, and no lease is known any more. bump is how far revisions leap,
// which a careful administrator has them do; without, they come again.
func (s *Store) GoBack(backup *Store, bump metadata.Revision) {
	cluster, lastLease := s.cluster+1, s.lastLease
	*s = *backup.Clone()
	for lease := range s.leases { // any order: all are ended
		s.Revoke(lease)
	}
	s.cluster, s.lastLease, s.revision = cluster, lastLease, s.revision+bump
	s.compacted, s.history = s.revision, nil
}
