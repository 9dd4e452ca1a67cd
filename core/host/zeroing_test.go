package host

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// zeroer is a coordinator that keeps requests until it is told to answer.
type zeroer struct {
	asked   []step.Request
	outcome step.RequestError
}

func (z *zeroer) Step(_ step.Time, ev *step.Event, out *step.Effects) {
	switch ev.Kind {
	case step.EventRequest:
		z.asked = append(z.asked, ev.Request)
	case step.EventControl: // answers the oldest
		out.Complete(z.asked[0].ID, z.outcome, block.Buffer{})
		z.asked = z.asked[1:]
	default: // nothing else comes
	}
}

func zeroingVolume(t *testing.T, size int64) (*Volume, *zeroer) {
	h, _, _, _ := talkingHost(t)
	h.params.BlockSize = block.Size
	z := &zeroer{}
	s := newShard(h, slog.String("shard", "volume"), z)
	v := &Volume{host: h, shard: s, free: -1, changed: make(chan struct{})}
	v.blocks.Store(uint64(size / block.Size))
	s.volume = v
	return v, z
}

func (z *zeroer) answer(v *Volume, outcome step.RequestError) {
	z.outcome = outcome
	v.shard.deliver(&step.Event{Kind: step.EventControl}, nil)
}

func TestTrimOfAWholeVolumeIsCutAndBounded(t *testing.T) {
	const tebi = 1 << 40
	v, z := zeroingVolume(t, tebi)
	ended := 0
	trim := func() *Operation {
		return &Operation{Kind: step.ZeroRequest, Length: tebi, Done: func(_ *Operation, err error) {
			if err != nil {
				t.Error(err)
			}
			ended++
		}}
	}
	v.Submit(trim())
	v.Submit(trim())
	next, parts := block.Block(0), 0
	for len(z.asked) > 0 {
		if len(z.asked) > zeroesMax {
			t.Fatalf("%d parts are under way", len(z.asked))
		}
		r := z.asked[0].Range
		if r.Count > zeroMax || r.First != next%block.Block(v.blocks.Load()) {
			t.Fatalf("part %v, the one before ended at %d", r, next)
		}
		next += block.Block(r.Count)
		parts++
		if want := int(next / block.Block(v.blocks.Load())); parts%(tebi/block.Size/zeroMax) != 0 && ended != want {
			t.Fatalf("%d operations ended after %d parts", ended, parts)
		}
		z.answer(v, step.RequestOK)
	}
	if ended != 2 || uint64(next) != 2*v.blocks.Load() {
		t.Errorf("%d of 2 operations ended, %d blocks of %d were asked for", ended, next, 2*v.blocks.Load())
	}
}

func TestTrimThatFailsAsksForNoMoreAndTheNextGoesOn(t *testing.T) {
	v, z := zeroingVolume(t, 1<<40)
	var first, second error
	v.Submit(&Operation{Kind: step.ZeroRequest, Length: 1 << 40, Done: func(_ *Operation, err error) { first = err }})
	v.Submit(&Operation{Kind: step.ZeroRequest, Offset: 4096, Length: 4096, Done: func(_ *Operation, err error) { second = err }})
	z.answer(v, step.RequestOK)
	z.answer(v, step.RequestNoSpace)
	for range zeroesMax - 1 {
		if first != nil {
			t.Fatal("it ended with parts under way")
		}
		z.answer(v, step.RequestOK)
	}
	if !errors.Is(first, ErrNoSpace) {
		t.Errorf("it ended with %v", first)
	}
	if len(z.asked) != 1 || z.asked[0].Range != (block.Range{First: 1, Count: 1}) {
		t.Errorf("asked for is %v, want the second operation", z.asked)
	}
	second = errors.New("not ended")
	z.answer(v, step.RequestOK)
	if second != nil {
		t.Error(second)
	}
}
