package kv

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/metadata"
)

// Watcher is one watch: a place in the store's history. It survives the loss of
// a connection, as the real client does.
//
// Invariant: everything up to and including at was delivered, nothing after it.
type Watcher struct {
	prefix  string
	cluster uint64
	at      metadata.Revision // 0: the content comes next
}

// Watch returns a watch of all keys that begin with prefix. It begins with the
// whole content.
func Watch(prefix string) *Watcher { return &Watcher{prefix: prefix} }

// WatchAfter returns a watch that begins with the changes after a revision of a
// cluster's store.
func WatchAfter(prefix string, cluster uint64, after metadata.Revision) *Watcher {
	return &Watcher{prefix: prefix, cluster: cluster, at: after}
}

// Next returns what the watch delivers next of s: at first, and when s has
// forgotten what comes next or is not the store that was watched, the whole
// content; else the changes of at most revisionsMax further revisions. An update
// without changes tells only that there were none. ok is false when the watch is
// up to date.
//
// The world calls it when it lets an update through; the later, the more the
// watch lags.
func (w *Watcher) Next(s *Store, revisionsMax int) (update metadata.Update, ok bool) {
	switch {
	case w.at == 0, w.cluster != s.cluster, w.at > s.revision, w.at < s.compacted:
		w.cluster, w.at = s.cluster, s.revision
		update = metadata.Update{Snapshot: true, Revision: s.revision}
		for _, item := range s.below(w.prefix) {
			update.Changes = append(update.Changes, metadata.Change{Item: item})
		}
		return update, true
	case w.at == s.revision || revisionsMax <= 0:
		return metadata.Update{}, false
	}
	until := min(s.revision, w.at+metadata.Revision(revisionsMax))
	first, _ := slices.BinarySearchFunc(s.history, w.at+1, func(c metadata.Change, r metadata.Revision) int {
		return cmp.Compare(c.Revision, r)
	})
	for _, c := range s.history[first:] {
		if c.Revision > until {
			break
		}
		if strings.HasPrefix(c.Key, w.prefix) {
			update.Changes = append(update.Changes, c)
		}
	}
	w.at = until
	update.Revision = until
	return update, true
}
