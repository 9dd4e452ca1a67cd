package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

func TestQueueGivesItemsByTimeThenInOrder(t *testing.T) {
	s := newStream(1, "test", 0)
	var q queue
	type key struct{ at, n int64 }
	var want, got []key
	take := func() {
		at, _, slot, it := q.pop()
		got = append(got, key{at, int64(it.life)})
		q.done(slot)
	}
	last := int64(0)
	for n := range int64(5000) {
		at := last + int64(s.below(50))
		q.push(at).life = uint32(n)
		want = append(want, key{at, n})
		if s.oneIn(3) {
			last = q.heap[0].at
			take()
		}
	}
	for len(q.heap) > 0 {
		take()
	}
	slices.SortStableFunc(want, func(a, b key) int { return int(a.at - b.at) })
	if !slices.Equal(got, want) {
		t.Fatal("the order is not that of time, then of insertion")
	}
}

func TestStreamsOfDifferentLabelsAreIndependent(t *testing.T) {
	a, b, c := newStream(1, "net", 0), newStream(1, "net", 1), newStream(1, "disk", 0)
	if x, y, z := a.next(), b.next(), c.next(); x == y || x == z || y == z {
		t.Fatalf("%x %x %x", x, y, z)
	}
	d := newStream(1, "net", 0)
	a = newStream(1, "net", 0)
	for range 100 {
		if a.next() != d.next() {
			t.Fatal("the same label gives another stream")
		}
	}
}

func TestLogBetweenStaysInBoundsAndReachesEveryOctave(t *testing.T) {
	s := newStream(3, "test", 0)
	small, large := 0, 0
	for range 10_000 {
		n := s.logBetween(8, 64_000)
		if n < 8 || n > 64_000 {
			t.Fatalf("%d is out of bounds", n)
		}
		if n < 64 {
			small++
		}
		if n > 8_000 {
			large++
		}
	}
	if small < 1000 || large < 1000 {
		t.Fatalf("%d small and %d large of 10000", small, large)
	}
}

func TestClockNeverGoesBackAndTimersAreNeverEarly(t *testing.T) {
	for _, ppm := range []int64{-100_000, -1, 0, 3, 45_000, 400_000} {
		c := clock{booted: 12_345, start: 777, ppm: ppm}
		s := newStream(uint64(ppm), "test", 0)
		last := c.at(12_345)
		for now := int64(12_345); now < 1e9; now += int64(s.below(1_000_000)) {
			shows := c.at(now)
			if shows < last {
				t.Fatalf("rate %d: the clock goes back", ppm)
			}
			last = shows
			due := shows + step.Time(s.below(1_000_000_000))
			if at := c.world(due); c.at(at) < due || at > now+int64(3*time.Second) {
				t.Fatalf("rate %d: a timer for %d fires when the clock shows %d", ppm, due, c.at(at))
			}
		}
	}
}

func TestPoolSpoilsWhatIsGivenBack(t *testing.T) {
	p := &pool{}
	b := p.Get(100)
	data := b.Bytes()
	clear(data)
	b.Release()
	if data[0] != poison || data[99] != poison {
		t.Fatalf("%x … %x", data[0], data[99])
	}
	if again := p.Get(80); &again.Bytes()[0] != &data[0] {
		t.Fatal("memory is not used again")
	}
}

func TestPlansOfOneSeedAreEqualAndOfTwoAreNot(t *testing.T) {
	a, b, c := NewPlan(7, Swarm), NewPlan(7, Swarm), NewPlan(8, Swarm)
	if len(a.Faults) != len(b.Faults) || !slices.Equal(a.Faults, b.Faults) {
		t.Fatal("the same seed gives two plans")
	}
	if slices.Equal(a.Faults, c.Faults) && a.Safety == c.Safety {
		t.Fatal("two seeds give one plan")
	}
}
