package sim

import (
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/metadata"
)

// keyvalue is the content of the metadata store: every key's newest item, and
// every change since the oldest one not compacted.
type keyvalue struct {
	revision  metadata.Revision
	items     map[string]metadata.Item
	owners    map[string]int // of leased keys: the node
	log       []metadata.Change
	compacted metadata.Revision // changes up to here are forgotten
}

func newKeyvalue() keyvalue {
	return keyvalue{items: make(map[string]metadata.Item), owners: make(map[string]int)}
}

// apply decides a transaction at this instant.
func (kv *keyvalue) apply(t *metadata.Txn, owner int) metadata.Result {
	r := metadata.Result{Outcome: metadata.Applied}
	for _, g := range t.Guards {
		if kv.items[g.Key].Revision != g.Revision {
			r.Outcome = metadata.Refused
		}
	}
	if r.Outcome == metadata.Applied && len(t.Ops) > 0 {
		kv.change(t.Ops, owner)
	}
	r.Revision = kv.revision
	for _, key := range t.Read {
		r.Items = append(r.Items, kv.read(key)...)
	}
	return r
}

func (kv *keyvalue) change(ops []metadata.Op, owner int) {
	kv.revision++
	for _, op := range ops {
		if op.Delete {
			if _, exists := kv.items[op.Key]; !exists {
				continue
			}
			delete(kv.items, op.Key)
			delete(kv.owners, op.Key)
			kv.log = append(kv.log, metadata.Change{Item: metadata.Item{Key: op.Key, Revision: kv.revision}, Deleted: true})
			continue
		}
		it := metadata.Item{Key: op.Key, Value: slices.Clone(op.Value), Revision: kv.revision}
		kv.items[op.Key] = it
		delete(kv.owners, op.Key)
		if op.Leased {
			kv.owners[op.Key] = owner
		}
		kv.log = append(kv.log, metadata.Change{Item: it})
	}
}

// read returns the items under a key, or below it if it ends in "/".
func (kv *keyvalue) read(key string) []metadata.Item {
	if !strings.HasSuffix(key, "/") {
		if it, ok := kv.items[key]; ok {
			return []metadata.Item{it}
		}
		return nil
	}
	var list []metadata.Item
	for k, it := range kv.items { // any order: sorted below
		if strings.HasPrefix(k, key) {
			list = append(list, it)
		}
	}
	slices.SortFunc(list, func(a, b metadata.Item) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// since returns what a watcher that knows everything up to rev has to hear:
// the changes, or the whole content if they are forgotten.
func (kv *keyvalue) since(rev metadata.Revision, prefix string) *metadata.Update {
	u := &metadata.Update{Revision: kv.revision}
	if rev < kv.compacted || rev == 0 {
		u.Snapshot = true
		for _, it := range kv.read(prefix) {
			u.Changes = append(u.Changes, metadata.Change{Item: it})
		}
		return u
	}
	for _, c := range kv.log {
		if c.Revision > rev {
			u.Changes = append(u.Changes, c)
		}
	}
	return u
}

// compact forgets the changes up to now.
func (kv *keyvalue) compact() {
	kv.compacted = kv.revision
	kv.log = kv.log[:0]
}
