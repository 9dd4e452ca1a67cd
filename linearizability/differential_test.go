package linearizability

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// TestJudgesAgreeWithTheDefinition holds Zones, porcupine on settled histories
// and the trial of every order against each other.
func TestJudgesAgreeWithTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var tally struct{ legal, illegal, searchless, undecided, losses, zeroed, maybe, afterLoss int }
	checker := &Checker{}
	for range 40_000 {
		plain := rng.IntN(3) == 0
		events := runHonest(rng, 2+rng.IntN(3), 4+rng.IntN(6), plain)
		clean := true
		if rng.IntN(2) == 0 {
			events, clean = spoil(rng, events), false
		}
		if rng.IntN(3) == 0 {
			events, clean = fenced(rng, events), false
		}
		notation := strings.Join(events, " ")
		h := record(t, notation)
		want := referenceLegal(h)
		if clean && !want {
			t.Fatalf("the definition refuses an honest history: %s", notation)
		}
		got, zones, searched := judge(checker, h)
		switch {
		case searched && (zones == legal && !want || zones == illegal && want):
			t.Fatalf("zones says legal = %v, the definition %v: %s", !want, want, notation)
		case got != want:
			t.Fatalf("porcupine says legal = %v, the definition %v: %s", got, want, notation)
		}
		if v := checker.Check(h); (v == nil) != want || v != nil && v.Rule == JudgesDisagree {
			t.Fatalf("Check says %v, the definition legal = %v: %s", v, want, notation)
		}
		if want {
			tally.legal++
		} else {
			tally.illegal++
		}
		if !searched {
			tally.searchless++
		} else if zones == undecided {
			tally.undecided++
		}
		if strings.Contains(notation, "#") {
			tally.losses++
			if searched && zones != undecided {
				tally.afterLoss++
			}
		}
		if strings.Contains(notation, ":z") {
			tally.zeroed++
		}
		if searched && slices.ContainsFunc(checker.register.accesses, func(a access) bool { return a.maybe }) {
			tally.maybe++
		}
	}
	t.Logf("%+v", tally)
	if tally.legal < 10_000 || tally.illegal < 8_000 || tally.afterLoss < 5_000 || tally.maybe < 200 {
		t.Fatalf("the histories are too much alike: %+v", tally)
	}
}

// judge asks porcupine and Zones; searched is false where neither was needed.
func judge(c *Checker, h *History) (ok bool, zones judgement, searched bool) {
	keys := []uint64{}
	for i, e := range h.all() {
		if e.kind <= Zero {
			keys = append(keys, uint64(e.block)<<32|uint64(i))
		}
	}
	if len(keys) == 0 {
		return true, legal, false
	}
	c.register.losses = lossesOf(h, c.register.losses[:0])
	if v := c.register.load(h, keys, &c.table); v != nil {
		return false, illegal, false
	}
	zones, _ = c.zones(&c.register)
	result, _ := c.search(&c.register)
	return result == porcupine.Ok, zones, true
}

// TestJudgesAgreeOnLongHistories has porcupine cut its work into parts.
func TestJudgesAgreeOnLongHistories(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	checker := &Checker{Thorough: true}
	tally := map[bool]int{}
	for i := range 60 {
		events := runHonest(rng, 1+rng.IntN(4), 3000, i%3 != 0)
		if i%2 == 0 {
			events = spoil(rng, events)
		}
		v := checker.Check(record(t, strings.Join(events, " ")))
		switch {
		case v != nil && (v.Rule == JudgesDisagree || i%2 == 1):
			t.Fatalf("history %d: %v", i, v)
		case len(checker.cut) < 2 && i%3 != 0 && v == nil:
			t.Fatalf("history %d: porcupine got it in one piece", i)
		}
		tally[v == nil]++
	}
	if tally[true] < 20 || tally[false] < 20 {
		t.Fatalf("the histories are too much alike: %v", tally)
	}
}
