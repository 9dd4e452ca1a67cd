package kv

import (
	"testing"

	"github.com/lagan-storage/lagan/core/metadata"
)

func put(key, value string) metadata.Txn {
	return metadata.Txn{Ops: []metadata.Op{{Key: key, Value: []byte(value)}}}
}

func leasedPut(key, value string) metadata.Txn {
	return metadata.Txn{Ops: []metadata.Op{{Key: key, Value: []byte(value), Leased: true}}}
}

// value returns what key holds, and whether it exists.
func value(s *Store, key string) (string, bool) {
	r, _ := s.Do(metadata.Txn{Read: []string{key}}, 0)
	item, ok := r.Find(key)
	return string(item.Value), ok
}

func TestFateDecidesWhatTheNodeLearnsAndWhatHappens(t *testing.T) {
	for _, c := range []struct {
		fate    Fate
		outcome metadata.Outcome
		applied bool
	}{
		{Answered, metadata.Applied, true},
		{AnswerLost, metadata.Unknown, true},
		{RequestLost, metadata.Unknown, false},
	} {
		s, n := New(1, 1), NewNode()
		r := n.Do(s, put("/a", "1"), c.fate)
		if _, exists := value(s, "/a"); r.Outcome != c.outcome || exists != c.applied {
			t.Errorf("fate %d: outcome %d, applied %v", c.fate, r.Outcome, exists)
		}
	}
}

func TestReissuedGuardSettlesAnUnknownOutcome(t *testing.T) {
	s, n := New(1, 1), NewNode()
	txn := put("/a", "1")
	txn.Guards, txn.Read = []metadata.Guard{{Key: "/a"}}, []string{"/a"}
	n.Do(s, txn, AnswerLost)
	r := n.Do(s, txn, Answered)
	if item, _ := r.Find("/a"); r.Outcome != metadata.Refused || string(item.Value) != "1" {
		t.Errorf("the second try: %+v", r)
	}
}

func TestRevokedLeaseTakesItsKeysAtOneRevisionAndTheNodeBringsThemBack(t *testing.T) {
	s, n := New(1, 1), NewNode()
	for _, key := range []string{"/b", "/a", "/c"} {
		n.Do(s, leasedPut(key, "1"), Answered)
	}
	n.Do(s, put("/c", "unleased"), Answered)
	w := WatchAfter("/", 1, s.Revision())
	s.Revoke(n.Lease())
	u, _ := w.Next(s, 1)
	if len(u.Changes) != 2 || u.Changes[0].Key != "/a" || u.Changes[1].Key != "/b" || u.Changes[0].Revision != u.Changes[1].Revision {
		t.Errorf("keys that go with the lease: %+v", u.Changes)
	}
	s.Do(put("/b", "by other"), 0)
	n.KeepAlive(s)
	a, _ := value(s, "/a")
	b, _ := value(s, "/b")
	if !s.Known(n.Lease()) || a != "1" || b != "by other" {
		t.Errorf("after the next beat: lease known %v, /a %q, /b %q", s.Known(n.Lease()), a, b)
	}
	// The old lease is gone for good, the new one holds what it brought back.
	s.Revoke(n.Lease())
	if _, exists := value(s, "/a"); exists {
		t.Error("/a does not hang on the new lease")
	}
	if r := n.Do(s, leasedPut("/d", "1"), Answered); r.Outcome != metadata.Applied {
		t.Errorf("a leased write after the lease ended: %+v", r)
	}
}

func TestLeasedOpOfUnknownLeaseChangesNothing(t *testing.T) {
	s := New(1, 1)
	if _, known := s.Do(leasedPut("/a", "1"), 7); known || s.Revision() != 1 {
		t.Errorf("known %v, revision %d", known, s.Revision())
	}
	// A guard that does not hold is found first, as in etcd.
	refused := leasedPut("/a", "1")
	refused.Guards = []metadata.Guard{{Key: "/a", Revision: 5}}
	if r, known := s.Do(refused, 7); !known || r.Outcome != metadata.Refused {
		t.Errorf("known %v, %+v", known, r)
	}
}

func TestWatchLagsAsFarAsTheWorldLetsIt(t *testing.T) {
	s, w := New(1, 1), Watch("/a/")
	if u, ok := w.Next(s, 1); !ok || !u.Snapshot || u.Revision != 1 {
		t.Fatalf("first update: %+v", u)
	}
	for _, key := range []string{"/a/1", "/b", "/a/2"} {
		s.Do(put(key, "x"), 0)
	}
	var got []int
	for u, ok := w.Next(s, 1); ok; u, ok = w.Next(s, 1) {
		got = append(got, len(u.Changes))
	}
	if len(got) != 3 || got[0] != 1 || got[1] != 0 || got[2] != 1 {
		t.Errorf("changes per revision: %v", got)
	}
	if _, ok := w.Next(s, 0); ok {
		t.Error("a watch that is let nothing delivers something")
	}
}

func TestWatchBeginsAnewAfterCompactionAndRestore(t *testing.T) {
	s, w := New(1, 1), Watch("/")
	w.Next(s, 1)
	backup := s.Clone()
	s.Do(put("/a", "1"), 0)
	s.Do(put("/a", "2"), 0)
	s.Compact(3)
	u, _ := w.Next(s, 1)
	if !u.Snapshot || u.Revision != 3 || len(u.Changes) != 1 || string(u.Changes[0].Value) != "2" {
		t.Errorf("after compaction: %+v", u)
	}
	if u, _ := w.Next(backup, 1); !u.Snapshot || u.Revision != 1 || len(u.Changes) != 0 {
		t.Errorf("after the backup took over: %+v", u)
	}
	if _, exists := value(backup, "/a"); exists {
		t.Error("the backup has changed with the store")
	}
}
