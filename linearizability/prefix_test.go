package linearizability

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

// stream records operations one after another, placing writes as it goes.
type stream struct {
	h    *History
	now  int64
	next block.Seq
}

func (s *stream) run(kind Kind, b block.Block, value uint64, acknowledged bool) {
	s.now += 10
	at := block.Range{First: b, Count: 1}
	switch kind {
	case Read:
		s.h.Return(s.now+5, s.h.Call(s.now, 1, Read, at), value)
		return
	case Flush:
		s.h.Return(s.now+5, s.h.Call(s.now, 1, Flush, at))
		return
	case PowerLoss:
		s.h.PowerLoss(s.now)
		return
	case Write, WriteFUA, Zero, Attach:
	}
	s.next++
	op := s.h.Call(s.now, 1, kind, at, value)
	s.h.Place(op, block.Position{Era: 1, Seq: s.next})
	if acknowledged {
		s.h.Return(s.now+5, op)
	}
}

func TestImageAfterPowerLossIsAPrefix(t *testing.T) {
	type op struct {
		kind  Kind
		block block.Block
		value uint64
	}
	const ambiguous = Attach // in these tables: a write of unknown outcome
	cases := []struct {
		name   string
		ops    []op
		prefix bool
	}{
		{"all there", []op{{Write, 1, 1}, {Write, 2, 2}, {kind: PowerLoss}, {Read, 1, 1}, {Read, 2, 2}}, true},
		{"nothing there", []op{{Write, 1, 1}, {Write, 2, 2}, {kind: PowerLoss}, {Read, 1, 0}, {Read, 2, 0}}, true},
		{"older there, newer lost", []op{{Write, 1, 1}, {Write, 2, 2}, {kind: PowerLoss}, {Read, 1, 1}, {Read, 2, 0}}, true},
		{"newer there, older lost", []op{{Write, 1, 1}, {Write, 2, 2}, {kind: PowerLoss}, {Read, 1, 0}, {Read, 2, 2}}, false},
		{"newer there, older half lost", []op{{Write, 1, 1}, {Write, 1, 3}, {Write, 2, 2}, {kind: PowerLoss}, {Read, 1, 1}, {Read, 2, 2}}, false},
		{"flushed by proxy", []op{{Write, 1, 1}, {Write, 2, 2}, {Flush, 0, 0}, {kind: PowerLoss}, {Read, 1, 0}}, false},
		{"FUA carries what is before it", []op{{Write, 1, 1}, {WriteFUA, 2, 2}, {kind: PowerLoss}, {Read, 1, 0}}, false},
		{"FUA does not carry what is after it", []op{{WriteFUA, 2, 2}, {Write, 1, 1}, {kind: PowerLoss}, {Read, 1, 0}}, true},
		{"ambiguous one in the middle dropped", []op{{ambiguous, 1, 1}, {Write, 2, 2}, {kind: PowerLoss}, {Read, 1, 0}, {Read, 2, 2}}, true},
		{"ambiguous one kept, older lost", []op{{Write, 2, 2}, {ambiguous, 1, 1}, {kind: PowerLoss}, {Read, 1, 1}, {Read, 2, 0}}, false},
		{"younger than the loss", []op{{Write, 1, 1}, {kind: PowerLoss}, {Write, 2, 2}, {Read, 2, 2}, {Read, 1, 0}}, true},
		{
			"lost in the first loss, not missed in the second",
			[]op{{Write, 1, 1}, {kind: PowerLoss}, {Read, 1, 0}, {Write, 2, 2}, {kind: PowerLoss}, {Read, 1, 0}, {Read, 2, 2}},
			true,
		},
		{
			"the second loss uncovers what the first left",
			[]op{{Write, 1, 1}, {Write, 2, 2}, {kind: PowerLoss}, {Write, 1, 3}, {kind: PowerLoss}, {Read, 1, 0}, {Read, 2, 2}},
			false,
		},
		{
			"second loss cuts the rest",
			[]op{{Write, 1, 1}, {kind: PowerLoss}, {Write, 1, 3}, {Write, 2, 2}, {kind: PowerLoss}, {Read, 2, 2}, {Read, 1, 1}},
			false,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := stream{h: NewHistory(block.VolumeID{1})}
			for _, o := range c.ops {
				if o.kind == ambiguous {
					s.run(Write, o.block, o.value, false)
				} else {
					s.run(o.kind, o.block, o.value, true)
				}
			}
			v := CheckPrefix(s.h)
			if (v == nil) != c.prefix {
				t.Fatalf("got %v, want a prefix: %v", v, c.prefix)
			}
			if v != nil {
				t.Log(v)
				if v.Rule != NotPrefix || !strings.Contains(v.String(), "place (1,") {
					t.Fatalf("%v does not name the places", v)
				}
			}
		})
	}
}

// TestPrefixIsWhatTryingEveryCutFinds compares with the definition, on streams
// of acknowledged writes and any image.
func TestPrefixIsWhatTryingEveryCutFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	tally := map[bool]int{}
	for range 20_000 {
		s := stream{h: NewHistory(block.VolumeID{1})}
		written := []block.Block{0} // by place
		safe := 0
		for range 1 + rng.IntN(8) {
			switch rng.IntN(6) {
			case 0:
				s.run(Flush, 0, 0, true)
				safe = len(written) - 1
			case 1:
				written = append(written, block.Block(rng.IntN(3)))
				s.run(WriteFUA, written[len(written)-1], uint64(len(written)-1), true)
				safe = len(written) - 1
			default:
				written = append(written, block.Block(rng.IntN(3)))
				s.run(Write, written[len(written)-1], uint64(len(written)-1), true)
			}
		}
		image := imageAt(written, rng.IntN(len(written)))
		if b := rng.IntN(3); rng.IntN(2) == 0 {
			image[b] = imageAt(written, rng.IntN(len(written)))[b]
		}
		s.run(PowerLoss, 0, 0, true)
		for b, value := range image {
			s.run(Read, block.Block(b), value, true)
		}
		want := false
		for cut := safe; cut < len(written); cut++ {
			want = want || imageAt(written, cut) == image
		}
		if v := CheckPrefix(s.h); (v == nil) != want {
			t.Fatalf("writes to %v, safe up to %d, image %v: got %v, want a prefix: %v", written, safe, image, v, want)
		}
		tally[want]++
	}
	if tally[true] < 4_000 || tally[false] < 4_000 {
		t.Fatalf("the images are too much alike: %v", tally)
	}
}

// imageAt returns what three blocks hold if the stream ends at cut; a write's
// value is its place.
func imageAt(written []block.Block, cut int) (image [3]uint64) {
	for place := 1; place <= cut; place++ {
		image[written[place]] = uint64(place)
	}
	return image
}
