package host

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// talker is a machine that records what reaches it and answers a SYNC with an
// ACK at once, or sends what it is told to.
type talker struct {
	heard []step.EventKind
	seqs  []block.Seq
	conn  step.Conn
	onAck func(out *step.Effects)
}

func (m *talker) Step(_ step.Time, ev *step.Event, out *step.Effects) {
	m.heard = append(m.heard, ev.Kind)
	switch ev.Kind {
	case step.EventStart:
		out.Dials = append(out.Dials, step.Dial{Conn: 1, Hello: message.Hello{Disk: block.DiskID{7}}})
	case step.EventConnected, step.EventAccepted:
		m.conn = ev.Conn
	case step.EventMessage:
		m.seqs = append(m.seqs, ev.Message.Seq)
		if ev.Message.Kind == message.Sync {
			out.Send(ev.Conn, message.Message{Kind: message.Ack, Seq: ev.Message.Seq})
		}
		if ev.Message.Kind == message.Ack && m.onAck != nil {
			m.onAck(out)
		}
	case step.EventControl:
		out.Send(m.conn, message.Message{Kind: message.Sync, Seq: 1})
	default: // nothing else comes
	}
}

func talkingHost(t *testing.T) (*Host, *shard, *talker, *talker) {
	h := &Host{
		params: Params{Clock: Boottime}, log: slog.New(slog.DiscardHandler), timers: newTimers(Boottime), events: newEvents(time.Now), stopwatch: newStopwatch(),
		disks: map[block.DiskID]*shard{}, life: t.Context(), end: context.CancelFunc(func() {}),
	}
	h.effects.New = func() any { return &effects{} }
	h.controls.handOn = h.handOn
	far := &talker{}
	h.disks[block.DiskID{7}] = newShard(h, slog.String("shard", "far"), far)
	near := &talker{}
	return h, newShard(h, slog.String("shard", "near"), near), near, far
}

func TestLocalConnectionOpensBothEnds(t *testing.T) {
	h, s, near, far := talkingHost(t)
	h.start(s)
	if !slices.Equal(near.heard, []step.EventKind{step.EventStart, step.EventConnected}) {
		t.Fatalf("the dialler heard %v", near.heard)
	}
	if !slices.Equal(far.heard, []step.EventKind{step.EventAccepted}) {
		t.Fatalf("the disk heard %v", far.heard)
	}
}

func TestLocalConnectionIsDeniedWithoutTheDisk(t *testing.T) {
	h, s, near, _ := talkingHost(t)
	delete(h.disks, block.DiskID{7})
	h.start(s)
	if !slices.Equal(near.heard, []step.EventKind{step.EventStart, step.EventClosed}) {
		t.Fatalf("the dialler heard %v, want that it was closed", near.heard)
	}
}

// A reply that causes the next request must not grow the stack: a device with a
// full queue never comes to rest.
func TestLocalConversationDoesNotRecurse(t *testing.T) {
	h, s, near, far := talkingHost(t)
	h.start(s)
	const rounds = 100_000
	near.onAck = func(out *step.Effects) {
		if n := len(near.seqs); n < rounds {
			out.Send(1, message.Message{Kind: message.Sync, Seq: block.Seq(n + 1)})
		}
	}
	s.deliver(&step.Event{Kind: step.EventControl}, nil)
	if len(far.seqs) != rounds {
		t.Fatalf("%d requests arrived, want %d", len(far.seqs), rounds)
	}
	if !slices.IsSorted(far.seqs) {
		t.Fatal("requests arrived out of order")
	}
}

func TestClosingALocalConnectionTellsTheOtherEnd(t *testing.T) {
	h, s, near, _ := talkingHost(t)
	h.start(s)
	h.disks[block.DiskID{7}].remove()
	if got := near.heard[len(near.heard)-1]; got != step.EventClosed {
		t.Fatalf("the dialler heard %v last, want that the connection was closed", got)
	}
}

func TestPoolHandsOutAlignedMemoryAgain(t *testing.T) {
	p := NewPool()
	for _, length := range []int{1, 4096, 4097, 65536, 5 << 20} {
		b := p.Get(length)
		if b.Len() != length {
			t.Fatalf("asked for %d bytes, got %d", length, b.Len())
		}
		if !isAligned(b.Bytes()) {
			t.Fatalf("buffer of %d bytes is not aligned", length)
		}
		b.Release()
	}
}

// silentStore answers nobody.
type silentStore struct{}

func (silentStore) Do(context.Context, metadata.Txn) metadata.Result { return metadata.Result{} }

func (silentStore) Watch(context.Context, string, func(metadata.Update)) error { return nil }

func TestNodeThatWasRemovedIsNotLetIn(t *testing.T) {
	h, _, _, _ := talkingHost(t)
	h.params.Metadata = silentStore{}
	t.Cleanup(h.running.Wait)
	machine := orchestrator.New(orchestrator.Params{Node: volume.Node{ID: block.NodeID{1}}})
	h.orchestrator = newShard(h, slog.String("shard", "orchestrator"), machine)
	gone := volume.Removed{Format: volume.Format, Node: block.NodeID{2}, Name: "b"}
	h.orchestrator.deliver(&step.Event{Kind: step.EventWatch, Update: &metadata.Update{Snapshot: true, Revision: 1, Changes: []metadata.Change{
		{Item: metadata.Item{Key: volume.RemovedKey(gone.Node), Value: volume.Encode(gone), Revision: 1}},
	}}}, nil)
	for node, want := range map[block.NodeID]string{{2}: "was removed", {3}: "has no disk"} {
		if _, err := h.Accept(nil, message.Hello{Node: node, Disk: block.DiskID{9}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("node %v: %v, want %q", node, err, want)
		}
	}
}
