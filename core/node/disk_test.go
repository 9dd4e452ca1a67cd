package node_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/replica"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// served returns a rig whose replica is promised to session 7 over connection 1.
func served(t *testing.T) *rig {
	r := newRig(t)
	r.makeReplica(volume.InSync)
	r.connect(1, 7, 1)
	r.prepare(1, 5)
	return r
}

func TestAppendIsAcknowledgedWhenWrittenAndDurableWhenSynced(t *testing.T) {
	r := served(t)
	r.held = true
	before := len(r.sent[1])
	r.appendTo(1, 5, 1, 3, 'x')
	if len(r.sent[1]) != before {
		t.Fatal("acknowledged before its journal write completed")
	}
	r.held = false
	r.step(step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.ConfigChanged, Config: r.config(volume.InSync)}})
	if ack := r.answer(1, message.Ack); ack.Accepted != 1 || ack.Durable != 0 {
		t.Fatalf("accepted %d durable %d, want 1 and 0", ack.Accepted, ack.Durable)
	}
	r.send(1, message.Message{Kind: message.Sync, Era: 5, Seq: 1})
	if ack := r.answer(1, message.Ack); ack.Durable != 1 {
		t.Fatalf("durable %d after a sync, want 1", ack.Durable)
	}
	if got := r.read(1, 5, 3); got != 'x' {
		t.Fatalf("block 3 reads %q, want x", got)
	}
}

func TestReplicaRefusesFramesOfAnOldEra(t *testing.T) {
	r := served(t)
	r.connect(2, 8, 1)
	r.prepare(2, 6)
	r.appendTo(1, 5, 1, 3, 'x')
	if m := r.answer(1, message.Fenced); m.Era != 6 {
		t.Fatalf("fenced by era %d, want 6", m.Era)
	}
	if p := r.prepare(2, 6); p.LastAccepted != (block.Position{}) {
		t.Fatalf("last accepted %v: the old coordinator's append was taken", p.LastAccepted)
	}
}

func TestReplicaIsPromisedToOneSessionOfAnEra(t *testing.T) {
	r := served(t)
	r.connect(2, 8, 1)
	r.send(2, message.Message{Kind: message.Prepare, Era: 5})
	r.answer(2, message.Fenced)
}

func TestFrameBeforePrepareIsToldSo(t *testing.T) {
	r := served(t)
	r.connect(2, 7, 2)
	r.send(2, message.Message{Kind: message.Grant, Era: 5, Duration: time.Second})
	r.answer(2, message.Unprepared)
}

func TestNewerConnectionOfASessionClosesTheOlder(t *testing.T) {
	r := served(t)
	r.connect(2, 7, 2)
	if !r.closed[1] {
		t.Fatal("the older connection is open: its late frames would be taken")
	}
	r.connect(3, 7, 1)
	if !r.closed[3] {
		t.Fatal("a connection with a lower number was accepted")
	}
}

func TestResentAppendIsAppliedOnce(t *testing.T) {
	r := served(t)
	r.appendTo(1, 5, 1, 3, 'x')
	r.appendTo(1, 5, 2, 3, 'y')
	r.appendTo(1, 5, 1, 3, 'x')
	if ack := r.answer(1, message.Ack); ack.Accepted != 2 {
		t.Fatalf("accepted %d, want 2", ack.Accepted)
	}
	if got := r.read(1, 5, 3); got != 'y' {
		t.Fatalf("block 3 reads %q, want y: an old write came over a newer one", got)
	}
}

func TestAppendBeyondTheNextIsNotTaken(t *testing.T) {
	r := served(t)
	r.appendTo(1, 5, 2, 3, 'x')
	if p := r.prepare(1, 5); p.LastAccepted.Seq != 0 {
		t.Fatalf("last accepted %v, want nothing", p.LastAccepted)
	}
}

func TestPromiseTellsHowLongAGrantLasts(t *testing.T) {
	r := served(t)
	r.pass(replica.GrantMax)
	r.send(1, message.Message{Kind: message.Grant, Era: 5, Duration: replica.GrantMax})
	r.pass(time.Second)
	r.connect(2, 8, 1)
	if p := r.prepare(2, 6); p.GrantRemaining != replica.GrantMax-time.Second {
		t.Fatalf("%v remain, want %v", p.GrantRemaining, replica.GrantMax-time.Second)
	}
}

func TestRestartedReplicaCountsAFullGrantAndANewLife(t *testing.T) {
	r := served(t)
	old := r.prepare(1, 5).Incarnation
	r.appendTo(1, 5, 1, 3, 'x')
	r.start()
	r.connect(1, 7, 1)
	p := r.prepare(1, 6)
	if p.Incarnation == old || p.LastAccepted.Seq != 1 || p.GrantRemaining != replica.GrantMax {
		t.Fatalf("incarnation %x (was %x), last %v, grant %v", p.Incarnation, old, p.LastAccepted, p.GrantRemaining)
	}
}

func TestPromiseOutlivesTheProcess(t *testing.T) {
	r := served(t)
	r.start()
	r.connect(1, 8, 1)
	r.send(1, message.Message{Kind: message.Prepare, Era: 4})
	if m := r.answer(1, message.Fenced); m.Era != 5 {
		t.Fatalf("fenced by era %d, want 5", m.Era)
	}
}

func TestFailedWriteStartsATaintedLife(t *testing.T) {
	r := served(t)
	r.appendTo(1, 5, 1, 3, 'x')
	r.failing = true
	r.appendTo(1, 5, 2, 4, 'y')
	if !r.closed[1] {
		t.Fatal("the coordinator's connection outlived what it relied on")
	}
	r.failing = false
	r.pass(time.Minute)
	r.connect(2, 7, 2)
	p := r.prepare(2, 5)
	if !p.Tainted || p.LastAccepted.Seq != 1 {
		t.Fatalf("tainted %v, last %v; want true and seq 1", p.Tainted, p.LastAccepted)
	}
	recorded := r.config(volume.InSync)
	recorded.Members[0].Incarnation = p.Incarnation
	r.step(step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.ConfigChanged, Config: recorded}})
	r.start()
	r.connect(3, 7, 3)
	if r.prepare(3, 5).Tainted {
		t.Fatal("tainted again by a failure that a coordinator had looked into")
	}
}

// What a failed store had under way may still reach the disk: a new life that
// had begun to write would find its own journal overwritten.
func TestNewLifeWaitsForTheOperationsOfTheFormer(t *testing.T) {
	r := served(t)
	r.held = true
	for seq := block.Seq(1); len(r.waiting) < 2; seq++ {
		r.appendTo(1, 5, seq, 3, 'x') // until a second batch is under way beside the first
	}
	stalled, failed := r.waiting[0], r.waiting[1]
	r.waiting, r.held, r.controls = nil, false, nil
	r.taint++
	r.step(step.Event{Kind: step.EventDiskDone, Tag: failed.Tag, DiskError: step.DiskEIO, Taint: r.taint})
	r.pass(time.Minute)
	if r.heard(step.DiskReady) {
		t.Fatal("opened while a write of the former life was under way")
	}
	r.step(step.Event{Kind: step.EventDiskDone, Tag: stalled.Tag})
	if !r.heard(step.DiskReady) {
		t.Fatal("not opened although nothing is under way any more")
	}
}

func TestReplicaMadeLateIsIncomplete(t *testing.T) {
	r := newRig(t)
	r.makeReplica(volume.Out)
	r.connect(1, 7, 1)
	if r.prepare(1, 5).Complete {
		t.Fatal("a replica without the volume's content says that it is whole")
	}
	r.send(1, message.Message{Kind: message.Read, Era: 5, Request: 1, Range: block.Range{Count: 1}})
	if m := r.answer(1, message.Data); m.Status != message.WrongState {
		t.Fatalf("read answered with status %d, want WrongState", m.Status)
	}
}

func TestReplicaIsFreedOnlyByAConfigurationNewerThanItsLast(t *testing.T) {
	r := newRig(t)
	r.makeReplica(volume.InSync)
	free := func(epoch block.Epoch) step.ControlKind {
		c := r.config(volume.InSync)
		c.Epoch, c.Members = epoch, nil
		r.controls = nil
		r.step(step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.FreeReplica, Disk: diskID, Replica: replicaID, Volume: volumeID, Config: c}})
		if len(r.controls) == 0 {
			return step.ControlInvalid
		}
		return r.controls[len(r.controls)-1].Kind
	}
	if free(1) == step.ReplicaFreed {
		t.Fatal("freed by a configuration that is not newer than the one that listed it")
	}
	if free(2) != step.ReplicaFreed {
		t.Fatal("not freed although no configuration lists it any more")
	}
}

// The live stream is newer than any push: what it wrote stays.
func TestPushLeavesBlocksOfTheLiveStreamAlone(t *testing.T) {
	r := newRig(t)
	r.makeReplica(volume.Out)
	r.connect(1, 7, 1)
	r.prepare(1, 5)
	const resync = 0xabc00
	r.send(1, message.Message{Kind: message.ResyncBegin, Era: 5, Request: 1, Resync: resync})
	r.send(1, message.Message{Kind: message.ResyncLive, Era: 5, Request: 2, Resync: resync, Position: block.Position{Era: 5, Seq: 40}})
	r.appendTo(1, 5, 41, 2, 'n')
	old := filled(block.PerChunk, 'o')
	push := message.Message{
		Kind: message.Push, Era: 5, Request: 3, Resync: resync, Chunk: 0, LastSeq: 40, Present: 0x000e,
		Checksums: block.ChecksumsOf(old.Bytes(), blockSize), Payload: old,
	}
	r.send(1, push)
	if m := r.answer(1, message.Done); m.Status != message.OK {
		t.Fatalf("push ended with status %d", m.Status)
	}
	r.send(1, message.Message{Kind: message.ResyncEnd, Era: 5, Request: 4, Resync: resync})
	if m := r.answer(1, message.Done); m.Status != message.BehindSeq {
		t.Fatalf("while what hid blocks from the push may still be taken back its end has status %d", m.Status)
	}
	r.send(1, message.Message{Kind: message.ResyncEnd, Era: 5, Request: 4, Resync: resync, Stable: 41})
	for b, want := range map[block.Block]byte{0: 0, 1: 'o', 2: 'n', 3: 'o'} {
		if got := r.read(1, 5, b); got != want {
			t.Errorf("block %d reads %q, want %q", b, got, want)
		}
	}
	push.Payload = filled(block.PerChunk, 'o')
	r.send(1, push)
	if m := r.answer(1, message.Done); m.Status != message.WrongState {
		t.Fatalf("a push after the end of its resync ended with status %d", m.Status)
	}
}
