package coordinator_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

const chunkBytes = block.PerChunk * block.Size

// answerPulls has a source answer the first so many of what it was asked for.
func (w *world) answerPulls(m *fakeMember, count int) {
	w.t.Helper()
	for range count {
		if len(m.pulls) == 0 {
			w.t.Fatal("nothing was asked for")
		}
		s := m.pulls[0]
		m.pulls = m.pulls[1:]
		w.step(step.Event{Kind: step.EventMessage, Conn: s.Conn, Message: message.Message{
			Kind: message.Pulled, Request: s.Message.Request, Chunk: s.Message.Chunk,
		}})
	}
}

func (w *world) expectFill(done, total int64) volume.Fill {
	w.t.Helper()
	fill, filling := w.c.Fill()
	if want := w.members[1].id; !filling || fill.Replica != want || fill.Done != done*chunkBytes || fill.Total != total*chunkBytes {
		w.t.Fatalf("it is filled: %v, %+v, want %d of %d chunks", filling, fill, done, total)
	}
	return fill
}

// resyncOf begins to fill a member with these chunks of 64.
func resyncOf(t *testing.T, page int, chunks ...block.Chunk) *world {
	w := newWorld(t, 2)
	w.start()
	if _, filling := w.c.Fill(); filling {
		t.Fatal("a copy in sync is filled")
	}
	source, target := w.members[0], w.members[1]
	target.mute = true
	w.write(1, 5)
	w.pass(2 * time.Second)
	w.expectState(1, volume.Out)
	target.mute = false
	source.changed, source.page = chunks, page
	w.restart(target, target.last)
	for range 400 { // it rests before it is filled
		if w.pass(100 * time.Millisecond); len(source.pulls) > 0 {
			return w
		}
	}
	t.Fatal("nothing is copied")
	return nil
}

func TestFillOfWhatChangedHasExactlyThat(t *testing.T) {
	w := resyncOf(t, 100, 1, 2, 3, 40, 63)
	source := w.members[0]
	w.expectFill(0, 5)
	w.pass(2 * time.Second)
	w.answerPulls(source, 2)
	fill := w.expectFill(2, 5)
	if seconds := fill.Left.Seconds(); fill.Rate < chunkBytes/2 || fill.Rate > chunkBytes || seconds < 2 || seconds > 5 {
		t.Errorf("two of five chunks in two seconds: %+v", fill)
	}
	w.answerPulls(source, 3)
	w.pass(5 * time.Second)
	w.expectState(1, volume.InSync)
	if fill, filling := w.c.Fill(); filling {
		t.Errorf("a copy in sync is filled: %+v", fill)
	}
}

func TestFillEstimatesWhatIsNotListedYet(t *testing.T) {
	w := resyncOf(t, 4, 0, 5, 10, 15, 30, 31, 32, 33, 63)
	source := w.members[0]
	w.expectFill(0, 4+12) // 4 among the first 16 of 64
	w.answerPulls(source, 2)
	w.expectFill(2, 8+7) // 8 among the first 34: the second page is listed while the first is copied
	w.answerPulls(source, 4)
	w.expectFill(6, 9)
	w.pass(5 * time.Second)
	w.answerPulls(source, 3)
	w.pass(5 * time.Second)
	w.expectState(1, volume.InSync)
}

func TestPaceOfAFillIsThatOfLate(t *testing.T) {
	chunks := make([]block.Chunk, 60)
	for i := range chunks {
		chunks[i] = block.Chunk(i)
	}
	w := resyncOf(t, 100, chunks...)
	source := w.members[0]
	w.answerPulls(source, 30)
	for range 25 {
		w.pass(2 * time.Second)
		w.answerPulls(source, 1)
	}
	if fill := w.expectFill(55, 60); fill.Rate < chunkBytes*2/5 || fill.Rate > chunkBytes*3/5 {
		t.Errorf("a chunk every two seconds, and many before: %d bytes a second", fill.Rate)
	}
}
