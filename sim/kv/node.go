package kv

import (
	"bytes"
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/metadata"
)

// Fate is what the world lets happen to a transaction and its answer.
type Fate uint8

// The fates.
const (
	Answered    Fate = iota // decided, and the node hears how
	AnswerLost              // decided, and the node hears nothing: Unknown
	RequestLost             // never decided: Unknown
)

// Node is one node's client of the store. It does with the lease what the real
// one does: takes one with the first leased op, takes another when that one has
// ended, and writes the keys again that went with it.
type Node struct {
	lease Lease
	keys  map[string][]byte // what is known to have been applied with a lease
	stale map[string]bool   // those of keys whose lease ended
}

// NewNode returns the client of a node that was just started.
func NewNode() *Node { return &Node{keys: map[string][]byte{}, stale: map[string]bool{}} }

// Lease returns the node's lease, 0 before its first leased op. Revoking it in
// the store is how the world lets a silent node's keys go.
func (n *Node) Lease() Lease { return n.lease }

// Do performs txn as fate has it.
func (n *Node) Do(s *Store, txn metadata.Txn, fate Fate) metadata.Result {
	if fate == RequestLost {
		return metadata.Result{}
	}
	if slices.ContainsFunc(txn.Ops, leased) && n.lease == 0 {
		n.lease = s.Grant()
	}
	result, known := s.Do(txn, n.lease)
	if !known {
		n.lost()
		n.lease = s.Grant()
		result, _ = s.Do(txn, n.lease)
	}
	if fate == AnswerLost {
		return metadata.Result{}
	}
	if result.Outcome == metadata.Applied {
		n.note(txn.Ops)
	}
	return result
}

// KeepAlive is one beat of the node's lease that reached the store. The world
// calls it while it lets the node live, a few times as often as it revokes the
// lease of a silent one.
func (n *Node) KeepAlive(s *Store) {
	if n.lease != 0 && !s.Known(n.lease) {
		n.lost()
	}
	for _, key := range slices.Sorted(maps.Keys(n.stale)) {
		var revision metadata.Revision
		if found := s.read([]string{key}); len(found) > 0 {
			if !bytes.Equal(found[0].Value, n.keys[key]) { // somebody else has written it since
				delete(n.keys, key)
				delete(n.stale, key)
				continue
			}
			revision = found[0].Revision
		}
		n.Do(s, metadata.Txn{
			Guards: []metadata.Guard{{Key: key, Revision: revision}},
			Ops:    []metadata.Op{{Key: key, Value: n.keys[key], Leased: true}},
		}, Answered)
	}
}

// lost notes that the lease has ended.
func (n *Node) lost() {
	n.lease = 0
	for key := range n.keys { // any order: into a set
		n.stale[key] = true
	}
}

// note follows which keys hang on the lease.
func (n *Node) note(ops []metadata.Op) {
	for _, o := range ops {
		delete(n.stale, o.Key)
		if leased(o) {
			n.keys[o.Key] = o.Value
		} else {
			delete(n.keys, o.Key)
		}
	}
}
