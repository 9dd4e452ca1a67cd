package linearizability

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// The differential test by hand: go test ./linearizability -run
// TestJudgesAgreeWithTheDefinition -histories=200000 -first=7
var (
	historiesFlag = flag.Int("histories", 40_000, "how many random histories the judges are compared on")
	firstFlag     = flag.Uint64("first", 1, "the seed that those histories are drawn from")
)

// diversity counts what the histories of a differential test had in them.
type diversity struct{ legal, illegal, searchless, undecided, losses, zeroed, guessed, maybe, afterLoss int }

// TestJudgesAgreeWithTheDefinition holds Zones, porcupine on settled histories
// and the trial of every order against each other.
func TestJudgesAgreeWithTheDefinition(t *testing.T) {
	count := *historiesFlag
	if testing.Short() {
		count = min(count, 10_000)
	}
	rng := rand.New(rand.NewPCG(*firstFlag, 2))
	var tally diversity
	checker := &Checker{}
	for range count {
		plain := rng.IntN(3) == 0
		events := runHonest(rng, 2+rng.IntN(3), 4+rng.IntN(6), plain)
		clean := true
		if rng.IntN(2) == 0 {
			events, clean = spoil(rng, events), false
		}
		if rng.IntN(3) == 0 {
			events, clean = fenced(rng, events), false
		}
		if legal := compare(t, checker, strings.Join(events, " "), &tally); clean && !legal {
			t.Fatalf("the definition refuses an honest history: %s", strings.Join(events, " "))
		}
	}
	t.Logf("%d histories: %+v", count, tally)
	if tally.legal < count/4 || tally.illegal < count/6 || tally.afterLoss < count/8 || tally.maybe < count/250 || tally.guessed < count/100 {
		t.Fatalf("the histories are too much alike: %+v", tally)
	}
}

// compare has everybody judge a history and returns what the definition says.
func compare(t *testing.T, checker *Checker, notation string, tally *diversity) (want bool) {
	t.Helper()
	h := record(t, notation)
	want = referenceLegal(h)
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
		if searched && zones == legal && checker.register.zeroed {
			tally.guessed++
		}
	}
	if searched && slices.ContainsFunc(checker.register.accesses, func(a access) bool { return a.maybe }) {
		tally.maybe++
	}
	return want
}

// FuzzJudges lets bytes write the history: two bits name a client, the others
// what it asks or is told.
func FuzzJudges(f *testing.F) {
	for _, c := range []string{"a:w1 a. a:w2 b:r b=1 a.", "a:w1 a. # b:r b=0 b:r b=1", "a:w1 a/1 @2 b:r b=0 b:r b=1"} {
		f.Add([]byte(c))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		compare(t, &Checker{}, notationOf(data), &diversity{})
	})
}

// notationOf writes a history of few operations, which the definition can judge.
func notationOf(data []byte) string {
	const opsMax, eventsMax = 9, 24
	var words []string
	var kinds [4]byte // what each client is at
	values, ops, zeroes := 0, 0, 0
	for _, b := range data[:min(len(data), eventsMax)] {
		who, what := b&3, int(b>>2)
		name := string(rune('a' + who))
		switch kind := kinds[who]; {
		case what == 63:
			words = append(words, "#")
		case what == 62:
			words = append(words, "@2")
		case kind == 'r':
			words, kinds[who] = append(words, fmt.Sprintf("%s=%d", name, what%(values+1))), 0
		case kind != 0:
			words, kinds[who] = append(words, name+string(".!?."[what%4])), 0
		case ops < opsMax:
			ops++
			if kind = "wwWrrrzf"[what%8]; kind == 'z' {
				if zeroes++; zeroes > openZeroesMax {
					kind = 'r' // more of them are forgiven more than the definition does
				}
			}
			word := fmt.Sprintf("%s:%c", name, kind)
			if kind == 'w' || kind == 'W' {
				values++
				word += fmt.Sprint(values)
			}
			words, kinds[who] = append(words, word), kind
			if what >= 32 {
				words = append(words, name+"/1")
			}
		}
	}
	return strings.Join(words, " ")
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
