// Package metadata is the metadata store as values: what a node asks of etcd
// and what it hears back. Nothing here does I/O: a machine emits a Txn, the
// body of the node performs it, and the Result comes back as an event.
package metadata

import (
	"slices"
	"strings"
)

// Revision orders all changes of the store. 0 is before the first.
type Revision int64

// Item is one key with its value and the revision that last changed it.
type Item struct {
	Key      string
	Value    []byte
	Revision Revision
}

// Guard is a condition of a transaction: Key's last change was at exactly
// Revision. Revision 0: the key does not exist.
type Guard struct {
	Key      string
	Revision Revision
}

// Op writes Value to Key, or deletes Key when Delete is set. Lease, if not 0,
// binds the key's life to the node's lease (see Txn).
type Op struct {
	Key    string
	Value  []byte
	Delete bool
	Leased bool // the key goes away when the node that wrote it is not heard from
}

// Txn is one transaction: if every guard holds, all ops are applied at one new
// revision. Read names keys whose items are returned, linearizably, after the
// ops when they were applied and as they are when a guard failed. A key that
// ends in "/" reads all keys below it. A Txn without ops and guards is a
// linearizable read.
type Txn struct {
	Guards []Guard
	Ops    []Op
	Read   []string
}

// Outcome is how a transaction ended.
type Outcome uint8

// The outcomes.
const (
	// Unknown: no answer in time. It may have been applied, may be applied
	// later or never. Re-issuing with the same guards is the way to learn.
	Unknown Outcome = iota
	// Applied: all guards held, the ops are in the store at Result.Revision.
	Applied
	// Refused: a guard did not hold; nothing was changed.
	Refused
)

// Result is the answer to a Txn.
type Result struct {
	Outcome  Outcome
	Revision Revision // of the store when the transaction was decided
	Items    []Item   // what Read asked for, in key order; absent keys are left out
}

// Find returns the item of key in r.
func (r *Result) Find(key string) (Item, bool) {
	i, found := slices.BinarySearchFunc(r.Items, key, func(it Item, key string) int { return strings.Compare(it.Key, key) })
	if !found {
		return Item{}, false
	}
	return r.Items[i], true
}

// Change is one event of a watch.
type Change struct {
	Item
	Deleted bool
}

// Update is what a node's watch delivers: changes in revision order, each key's
// every state or its newest one. With Snapshot set the changes are the whole
// content of the store at Revision (at the start, and after the store has
// forgotten the revisions in between): keys not in it do not exist.
type Update struct {
	Snapshot bool
	Changes  []Change
	Revision Revision
}
