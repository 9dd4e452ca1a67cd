package coordinator_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// give has a source answer one pull with the room that its disk has.
func (w *world) give(m *fakeMember, room uint32) {
	w.t.Helper()
	s := m.pulls[0]
	m.pulls = m.pulls[1:]
	w.step(step.Event{Kind: step.EventMessage, Conn: s.Conn, Message: message.Message{
		Kind: message.Pulled, Request: s.Message.Request, Chunk: s.Message.Chunk, Credit: room,
	}})
}

// TestResyncYieldsToForeground: it has many chunks under way only while nobody uses the
// volume, and neither of the disks is in use.
func TestResyncYieldsToForeground(t *testing.T) {
	chunks := make([]block.Chunk, 64)
	for i := range chunks {
		chunks[i] = block.Chunk(i)
	}
	w := resyncOf(t, 100, chunks...)
	source, target := w.members[0], w.members[1]
	expect := func(when string, want int) {
		t.Helper()
		if got := len(source.pulls); got != want {
			t.Fatalf("%s: %d chunks are asked for, want %d", when, got, want)
		}
	}
	expect("before the disks said anything", 2)
	target.room = 32
	w.give(source, 2)
	expect("the source's disk has company", 2)
	target.room = 2
	w.give(source, 32)
	expect("the target's disk has company", 2)
	target.room = 32
	w.give(source, 32)
	expect("both disks have nothing else to do", 32)
	w.write(1, 5)
	for range 31 {
		w.give(source, 32)
	}
	expect("the device has written", 2)
	w.pass(1500 * time.Millisecond)
	w.give(source, 32)
	expect("the device rests: all that is left", 29)
}
