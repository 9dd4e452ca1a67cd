package view_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

var (
	self = block.NodeID{1}
	id   = block.VolumeID{2}
)

func put(key string, value []byte, at metadata.Revision) metadata.Change {
	return metadata.Change{Item: metadata.Item{Key: key, Value: value, Revision: at}}
}

func gone(key string, at metadata.Revision) metadata.Change {
	return metadata.Change{Item: metadata.Item{Key: key, Revision: at}, Deleted: true}
}

func update(snapshot bool, at metadata.Revision, changes ...metadata.Change) *metadata.Update {
	return &metadata.Update{Snapshot: snapshot, Changes: changes, Revision: at}
}

func name(text string, at metadata.Revision) metadata.Change {
	return put(volume.NameKey(text), []byte(id.String()), at)
}

func TestSnapshotForgetsWhatItDoesNotHold(t *testing.T) {
	v := view.New(self)
	if v.Known() {
		t.Error("nothing has arrived yet")
	}
	config := volume.Config{Volume: id, Members: []volume.Member{{Replica: block.ReplicaID{3}, Node: self, Disk: block.DiskID{4}}}}
	v.Watched(1, update(true, 9, name("db", 5), put(volume.ConfigKey(id), config.Encode(), 6),
		put(volume.NodeKey(self), volume.Encode(volume.Node{ID: self}), 7), put(volume.AliveKey(self), []byte("x"), 7),
		put(volume.DiskKey(block.DiskID{4}), volume.Encode(volume.Disk{ID: block.DiskID{4}}), 8)))
	if got := v.OnDisk(block.DiskID{4}); !v.Known() || len(got) != 1 || len(v.Nodes()) != 1 || len(v.Disks()) != 1 || len(v.TakeChanged()) != 1 {
		t.Fatalf("known %v, volumes on the disk %v", v.Known(), got)
	}
	v.Watched(2, update(true, 20, name("other", 15)))
	if _, found := v.Resolve("db"); found || v.Volume(id) != (view.Volume{}) || len(v.OnDisk(block.DiskID{4})) != 0 || len(v.Nodes()) != 0 || len(v.Disks()) != 0 {
		t.Error("what the snapshot does not hold is still there")
	}
	if _, found := v.Resolve("other"); !found {
		t.Error("what the snapshot holds is missing")
	}
	if changed := v.TakeChanged(); len(changed) != 1 || changed[0] != id {
		t.Errorf("changed: %v", changed)
	}
}

func TestAnswersAreAheadOfTheWatch(t *testing.T) {
	key := volume.NameKey("db")
	read := &metadata.Txn{Read: []string{key}}
	for _, late := range []*metadata.Update{update(false, 7, name("db", 7)), update(true, 7, name("db", 7))} {
		v := view.New(self)
		v.Watched(1, update(true, 5, name("db", 5)))
		v.Answered(1, read, &metadata.Result{Outcome: metadata.Refused, Revision: 8})
		if v.Name("db").Revision != 0 {
			t.Error("a key that was read as absent is still there")
		}
		v.Watched(1, late)
		if v.Name("db").Revision != 0 {
			t.Error("the watch brought back what was read as absent at a later revision")
		}
		v.Watched(1, update(false, 9, name("db", 9)))
		if v.Name("db").Revision != 9 {
			t.Error("the newer state is missing")
		}
	}
}

func TestLateSnapshotDoesNotUndoAnOwnWrite(t *testing.T) {
	v := view.New(self)
	v.Watched(1, update(true, 5))
	op := metadata.Op{Key: volume.NameKey("db"), Value: []byte(id.String())}
	v.Answered(1, &metadata.Txn{Ops: []metadata.Op{op}}, &metadata.Result{Outcome: metadata.Applied, Revision: 8})
	v.Watched(1, update(true, 7))
	if v.Name("db").Revision != 8 || v.Newest() != 8 {
		t.Errorf("name %+v, newest %d", v.Name("db"), v.Newest())
	}
	v.Watched(1, update(false, 9, gone(op.Key, 9)))
	v.Watched(1, update(false, 9, name("db", 6)))
	if v.Name("db").Revision != 6 {
		t.Error("what the watch has passed is not held back for ever")
	}
}

func TestUnknownOutcomeTeachesNothing(t *testing.T) {
	v := view.New(self)
	v.Watched(1, update(true, 5, name("db", 5)))
	v.Answered(1, &metadata.Txn{Read: []string{volume.NameKey("db")}}, &metadata.Result{Outcome: metadata.Unknown})
	if v.Name("db").Revision != 5 {
		t.Error("no answer was taken for an absence")
	}
}

func TestReadOfAFolderForgetsWhatIsGone(t *testing.T) {
	v := view.New(self)
	other := block.NodeID{9}
	v.Watched(1, update(true, 5, put(volume.NodeKey(other), volume.Encode(volume.Node{ID: other}), 5), put(volume.AliveKey(other), nil, 5)))
	v.Answered(30, &metadata.Txn{Read: []string{volume.AlivePrefix}}, &metadata.Result{Outcome: metadata.Applied, Revision: 6})
	if n := v.Node(other); n.Alive.Revision != 0 || n.SilentSince != 30 || n.Record.Value == nil {
		t.Errorf("%+v", n)
	}
}

// An answer may reach the view after the watch, or another answer, has told what
// came after it.
func TestLateAnswerDoesNotBringBackWhatIsGone(t *testing.T) {
	key := volume.NameKey("db")
	read := &metadata.Txn{Read: []string{key}}
	old := &metadata.Result{Outcome: metadata.Refused, Revision: 6, Items: []metadata.Item{name("db", 5).Item}}
	for what, hear := range map[string]func(v *view.View){
		"watch": func(v *view.View) { v.Watched(1, update(false, 8, gone(key, 8))) },
		"answer": func(v *view.View) {
			v.Answered(1, read, &metadata.Result{Outcome: metadata.Refused, Revision: 8})
		},
		"own write": func(v *view.View) {
			op := metadata.Op{Key: key, Delete: true}
			v.Answered(1, &metadata.Txn{Ops: []metadata.Op{op}}, &metadata.Result{Outcome: metadata.Applied, Revision: 8})
		},
	} {
		v := view.New(self)
		v.Watched(1, update(true, 5, name("db", 5)))
		hear(v)
		v.Answered(1, read, old)
		if v.Name("db").Revision != 0 {
			t.Errorf("%s: an answer of before brought back what is gone", what)
		}
	}
}

func TestUnreadableRecordKeepsItsRevision(t *testing.T) {
	v := view.New(self)
	v.Watched(1, update(true, 9, put(volume.SpecKey(id), []byte(`{"format":2}`), 5), put(volume.ConfigKey(id), []byte(`{"format":`), 6),
		put(volume.NameKey("db"), []byte("x"), 7), put(volume.DiskKey(block.DiskID{1}), []byte(`[]`), 8), put("/lagan/v1/future/x", nil, 9)))
	held := v.Volume(id)
	if held.Spec.Value != nil || held.Spec.Revision != 5 || !errors.Is(held.Spec.Problem, volume.ErrNewerFormat) {
		t.Errorf("%+v", held.Spec)
	}
	if held.Config.Value != nil || held.Config.Problem == nil || v.Name("db").Problem == nil || v.Disk(block.DiskID{1}).Problem == nil {
		t.Error("a record that cannot be read has no problem")
	}
}

// A change of one volume costs the same however many there are.
func BenchmarkChange(b *testing.B) {
	for _, volumes := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("volumes=%d", volumes), func(b *testing.B) {
			v := view.New(self)
			config := volume.Config{Members: []volume.Member{{Node: self, Disk: block.DiskID{4}}}}
			first := update(true, 1)
			for i := range volumes {
				first.Changes = append(first.Changes, put(volume.ConfigKey(block.VolumeID{byte(i), byte(i >> 8), byte(i >> 16)}), config.Encode(), 1))
			}
			v.Watched(1, first)
			v.TakeChanged()
			at := metadata.Revision(1)
			for b.Loop() {
				at++
				v.Watched(1, update(false, at, put(volume.ConfigKey(id), config.Encode(), at)))
				v.TakeChanged()
			}
		})
	}
}
