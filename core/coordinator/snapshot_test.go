package coordinator_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// wants changes the list of snapshots as a user's command does, and lets the
// watch bring it.
func (w *world) wants(change func(*volume.Snapshots)) {
	list := volume.Snapshots{Format: volume.Format, Volume: w.config.Volume}
	if w.snapshots != nil {
		list = *w.snapshots.Clone()
	}
	change(&list)
	w.revision++
	w.snapshots, w.snapshotsAt = &list, w.revision
	w.step(step.Event{Kind: step.EventControl, Control: step.Control{
		Kind: step.SnapshotsChanged, Snapshots: w.snapshots, Revision: int64(w.snapshotsAt),
	}})
}

func (w *world) wantsSnapshot(layer block.LayerID) {
	w.wants(func(s *volume.Snapshots) {
		s.List = append(s.List, volume.Snapshot{Layer: layer, Name: "s", State: volume.SnapshotCreating})
	})
}

// transactSnapshots decides a transaction about the list.
func (w *world) transactSnapshots(t *step.Transaction) metadata.Result {
	res := metadata.Result{Outcome: metadata.Refused, Revision: w.revision}
	if t.Txn.Guards[0].Revision == w.configAt && t.Txn.Guards[1].Revision == w.snapshotsAt {
		list, err := volume.Parse[volume.Snapshots](t.Txn.Ops[0].Value)
		if err != nil {
			w.t.Fatal(err)
		}
		w.revision++
		w.snapshots, w.snapshotsAt = &list, w.revision
		res.Outcome, res.Revision = metadata.Applied, w.revision
	}
	return res
}

func (w *world) expectSnapshot(layer block.LayerID, want volume.SnapshotState) *volume.Snapshot {
	w.t.Helper()
	s := w.snapshots.Find(layer)
	if s == nil || s.State != want {
		w.t.Fatalf("snapshot %d is %+v, want %s", layer, s, want)
	}
	return s
}

func (m *fakeMember) shapes() (list []message.Record) {
	for _, r := range m.log {
		if r.Op == message.OpSnap || r.Op == message.OpDelSnap {
			list = append(list, r)
		}
	}
	return list
}

func TestSnapshotIsReadyWhenItsRecordIsDurableOnEveryMember(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.write(1, 5)
	w.members[1].noAck = true
	w.wantsSnapshot(77)
	w.expectSnapshot(77, volume.SnapshotCreating)
	w.members[1].noAck = false
	w.write(2, 6)
	w.pass(2 * time.Second)
	s := w.expectSnapshot(77, volume.SnapshotReady)
	for _, m := range w.members {
		list := m.shapes()
		if len(list) != 1 || list[0].Layer != 77 || list[0].Position != s.At {
			t.Fatalf("member was sent %+v, recorded is %+v", list, s)
		}
	}
}

func TestDeletedSnapshotLeavesTheListOnceItsRecordIsDurable(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.wantsSnapshot(77)
	w.wantsSnapshot(78)
	w.wants(func(s *volume.Snapshots) { s.Find(77).State = volume.SnapshotDeleting })
	w.pass(time.Second)
	if w.snapshots.Find(77) != nil {
		t.Fatalf("it is listed: %+v", w.snapshots.List)
	}
	w.expectSnapshot(78, volume.SnapshotReady)
	if list := w.members[0].shapes(); len(list) != 3 || list[2].Op != message.OpDelSnap || list[2].Layer != 77 {
		t.Fatalf("member was sent %+v", list)
	}
}

func TestSnapshotWithoutRoomFails(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	for _, m := range w.members {
		m.noRoomFor = message.OpSnap
	}
	w.wantsSnapshot(77)
	w.pass(time.Second)
	if s := w.expectSnapshot(77, volume.SnapshotFailed); s.Error == "" {
		t.Fatal("it does not say why")
	}
	for _, m := range w.members {
		m.noRoomFor = message.OpInvalid
	}
	w.write(1, 5)
	w.expectAnswer(1, step.RequestOK)
}

func TestOutcomeOfASnapshotIsRecordedThoughAnAnswerWasLost(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.unknown = 1
	w.wantsSnapshot(77)
	w.pass(time.Second)
	w.expectSnapshot(77, volume.SnapshotReady)
	if list := w.members[0].shapes(); len(list) != 1 {
		t.Fatalf("member was sent %+v", list)
	}
}

func TestSnapshotIsTakenByTheSessionThatFollows(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	for _, m := range w.members {
		m.noAck = true
	}
	w.wantsSnapshot(77)
	for _, m := range w.members {
		m.noAck = false
	}
	old := w.c
	w.c = w.newCoordinator(2)
	w.start()
	w.pass(time.Second)
	at := w.expectSnapshot(77, volume.SnapshotReady).At
	if list := w.members[0].shapes(); len(list) != 2 || list[1].Position != at {
		t.Fatalf("member was sent %+v, recorded is %v", list, at)
	}
	before := w.snapshotsAt
	w.c = old // it does not know yet
	w.pass(5 * time.Second)
	if w.snapshotsAt != before {
		t.Fatal("a session that was replaced changed the list")
	}
}

func TestSnapshotToGoBackToStaysUntilThatIsDone(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	w.wantsSnapshot(77)
	w.wants(func(s *volume.Snapshots) {
		s.Find(77).State = volume.SnapshotDeleting
		s.List = append(s.List,
			volume.Snapshot{Layer: 78, Name: "b", State: volume.SnapshotCreating, Restores: 77},
			volume.Snapshot{Layer: 79, Name: "c", State: volume.SnapshotCreating, Restores: 1234})
	})
	w.pass(time.Second)
	list := w.members[0].shapes()
	if len(list) != 3 || list[1].Layer != 78 || list[1].Parent != 77 || list[2].Op != message.OpDelSnap {
		t.Fatalf("member was sent %+v", list)
	}
	w.expectSnapshot(78, volume.SnapshotReady)
	w.expectSnapshot(79, volume.SnapshotFailed)
}

func TestReadOfASnapshotPassesAWriteUnderWay(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.wantsSnapshot(77)
	w.members[1].noAck = true
	w.write(1, 5)
	r := step.Request{ID: 2, Kind: step.ReadRequest, Layer: 77, Range: block.Range{First: 5, Count: 1}}
	w.step(step.Event{Kind: step.EventRequest, Request: r})
	w.expectAnswer(2, step.RequestOK)
	r.ID, r.Layer = 3, 78
	w.step(step.Event{Kind: step.EventRequest, Request: r})
	w.expectAnswer(3, step.RequestRefused)
	w.expectNoAnswer(1)
}
