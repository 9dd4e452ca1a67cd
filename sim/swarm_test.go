package sim

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/linearizability"
)

var (
	seedFlag       = flag.Uint64("seed", 0, "the seed that TestSeed runs")
	profileFlag    = flag.String("profile", string(Swarm), "the profile of TestSeed and TestSwarm")
	seedsFlag      = flag.Int("seeds", 0, "how many seeds TestSwarm runs")
	firstFlag      = flag.Uint64("first", 0, "the first seed that TestSwarm runs; 0: one never seen before")
	mostFlag       = flag.Int("most", 5, "after how many failures TestSwarm stops")
	withoutFlag    = flag.String("without", "", "kinds of fault, by name and separated by commas, that are taken out of the plans of TestSeed and TestSwarm")
	historiesFlag  = flag.String("histories", "", "a folder in which TestSeed leaves the histories of its volumes")
	operationsFlag = flag.Int("operations", 0, "how many operations the clients of TestSeed and TestSwarm ask for in all; 0: what the seed draws")
	hashesFlag     = flag.String("hashes", "", "a file in which TestHashes leaves what runs came to")
	traceFlag      = flag.Bool("log", false, "TestSeed prints one line an event")
)

// planOf draws a plan and takes out what -without names.
func planOf(seed uint64, profile Profile) *Plan {
	p := NewPlan(seed, profile)
	if *operationsFlag > 0 {
		p.Ask(*operationsFlag)
	}
	for name := range strings.SplitSeq(*withoutFlag, ",") {
		p.Faults = slices.DeleteFunc(p.Faults, func(f Fault) bool { return f.Kind.String() == name })
	}
	return p
}

// batch is what a number of runs showed together.
type batch struct {
	Counts
	share  map[string]int // runs in which something happened at all
	useful int            // runs in which half of the operations or more were acknowledged
	marks  map[step.Mark]int
	runs   map[step.Mark]int // in which a mark was hit
	failed []*Report
	events uint64
	took   time.Duration
}

// runBatch runs one plan per seed on all processors; what it returns does not
// depend on how many those are. It stops after failures of most seeds.
func runBatch(first uint64, seeds int, profile Profile, most int) *batch {
	began := time.Now()
	defer debug.SetGCPercent(debug.SetGCPercent(GCPercent))
	reports := make([]*Report, seeds)
	var next, failures atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			o := Options{Checker: &linearizability.Checker{Timeout: searchMax}, Memory: &Memory{}}
			for {
				i := int(next.Add(1)) - 1
				if i >= seeds || int(failures.Load()) >= most {
					return
				}
				reports[i] = Run(planOf(first+uint64(i), profile), o)
				if reports[i].Violation != nil {
					failures.Add(1)
				}
			}
		})
	}
	group.Wait()
	b := &batch{share: map[string]int{}, marks: map[step.Mark]int{}, runs: map[step.Mark]int{}, took: time.Since(began)}
	for _, r := range reports {
		if r != nil {
			b.add(r)
		}
	}
	return b
}

func (b *batch) add(r *Report) {
	b.Add(&r.Counts)
	b.events += r.Steps
	if 2*r.Counts.Acknowledged >= r.Counts.Asked {
		b.useful++
	}
	for m, n := range r.Marks {
		b.marks[m] += n
		b.runs[m]++
	}
	if r.Violation != nil {
		b.failed = append(b.failed, r)
	}
	for name, n := range r.Counts.Shown() {
		if n > 0 {
			b.share[name]++
		}
	}
}

// floors are the least shares, in percent of runs, that a swarm must have to
// mean anything.
var floors = map[string]int{
	"takeover": 60, "power loss": 40, "crash in a step": 20, "eviction": 30, "resync": 20, "resync under writes": 20, "unknown transaction": 30,
	"loss of every copy": 5, "partition or cut": 40, "fenced coordinator": 4,
	"damaged disk": 15, "read gone wrong": 25, "short-lived volume": 25, "full disk": 1,
	"node that joins": 10, "restore": 6, "drain": 10, "copy moved by a drain": 6,
}

// usefulFloor is in how many runs, in percent, at least half of the operations
// must be acknowledged: else the faults are too harsh to show anything.
const usefulFloor = 90

func (b *batch) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d runs, %d events in %v (%.2f million a second), %d of %d operations acknowledged (%d %%)\n",
		b.Runs, b.events, b.took.Round(time.Millisecond), float64(b.events)/b.took.Seconds()/1e6, b.Acknowledged, b.Asked, percent(b.Acknowledged, b.Asked))
	for _, name := range sortedKeys(b.share) {
		fmt.Fprintf(&s, "  %3d %% of runs with a %s\n", percent(b.share[name], b.Runs), name)
	}
	fmt.Fprintf(&s, "  %3d %% of runs with half of their operations acknowledged\n", percent(b.useful, b.Runs))
	fmt.Fprintf(&s, "  in all: %d kills, %d power losses, %d takeovers (%d came to serve), %d evictions, %d resyncs, %d fenced, %d detaches, %d of %d handed over, %d ambiguous, %d refused, %d reattached, %d stuck\n",
		b.Kills, b.PowerLosses, b.Takeovers, b.Served, b.Evictions, b.Resyncs, b.Fenced, b.Detaches, b.HandedOver, b.Lingered, b.Ambiguous, b.Refused, b.Reattached, b.Stuck)
	return s.String()
}

// markTable lists how often every mark was hit, rarest first.
func (b *batch) markTable() string {
	marks := sortedKeys(b.marks)
	slices.SortStableFunc(marks, func(x, y step.Mark) int { return b.runs[x] - b.runs[y] })
	var s strings.Builder
	for _, m := range marks {
		fmt.Fprintf(&s, "  %8d times in %5d runs: %s\n", b.marks[m], b.runs[m], m)
	}
	return s.String()
}

func percent(n, of int) int {
	if of == 0 {
		return 0
	}
	return 100 * n / of
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (b *batch) fail(t *testing.T) {
	t.Helper()
	for _, r := range b.failed {
		t.Errorf("%s\n    %s\n    %s", r.Line(commit(), r.Plan.ReplayCommand()), r.Violation.Text, r.Plan.ShrinkCommand())
	}
}

func TestPureProfiles(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 4
	}
	for _, profile := range []Profile{Quiet, NetworkOnly, DiskOnly, MetadataOnly} {
		t.Run(string(profile), func(t *testing.T) {
			b := runBatch(1, seeds, profile, 3)
			t.Logf("%s", b)
			b.fail(t)
			if profile == Quiet && percent(b.Acknowledged, b.Asked) < 99 {
				t.Errorf("without any fault only %d of %d operations were acknowledged", b.Acknowledged, b.Asked)
			}
		})
	}
}

// searchMax ends a search for an order that would never end by itself; those of
// plans take milliseconds, so no busy machine comes near it.
const searchMax = 2 * time.Minute

// fixedSeeds is how many seeds TestSwarm runs if nothing else is asked for: what
// fits into half a minute beside other tests.
const fixedSeeds = 400

// TestSwarm runs a fixed list of seeds, so that an unrelated change does not
// roll the dice anew; -seeds and -first choose others.
func TestSwarm(t *testing.T) {
	first, seeds := *firstFlag, *seedsFlag
	switch {
	case seeds == 0 && testing.Short():
		first, seeds = 1, 16
	case seeds == 0:
		first, seeds = 1, fixedSeeds
	case first == 0:
		first = uint64(time.Now().UnixNano()) &^ 0xffff
	}
	b := runBatch(first, seeds, Profile(*profileFlag), *mostFlag)
	t.Logf("%s%s", b, b.markTable())
	b.fail(t)
	if t.Failed() || seeds < fixedSeeds || Profile(*profileFlag) != Swarm {
		return
	}
	for _, name := range sortedKeys(floors) {
		if share := percent(b.share[name], b.Runs); share < floors[name] {
			t.Errorf("only %d %% of runs had a %s, at least %d %% should", share, name, floors[name])
		}
	}
	for k := FaultNone + 1; k < FaultCount; k++ {
		if b.Faults[k] == 0 {
			t.Errorf("the fault %q never struck", k)
		}
	}
	for _, m := range missedMarks(b.marks, seeds) {
		t.Errorf("the mark %q was never hit", m)
	}
	if share := percent(b.useful, b.Runs); share < usefulFloor {
		t.Errorf("only %d %% of runs acknowledged half of their operations, at least %d %% should: the faults are too harsh", share, usefulFloor)
	}
}

func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("no -seed given")
	}
	p := planOf(*seedFlag, Profile(*profileFlag))
	show(t, p, p.ReplayCommand(), p.ShrinkCommand())
}

// show runs one plan and says what it showed; commands do so again.
func show(t *testing.T, p *Plan, commands ...string) {
	t.Helper()
	o := Options{Checker: &linearizability.Checker{Timeout: searchMax}}
	if *traceFlag {
		o.Trace = os.Stdout
	}
	r := Run(p, o)
	if *historiesFlag != "" {
		saveHistories(t, r)
	}
	if *listFlag {
		for i := range r.Struck {
			t.Logf("%v", &r.Struck[i])
		}
	}
	t.Logf("hash %016x, %d events, %v of virtual time", r.Hash, r.Steps, r.Virtual)
	if r.Violation != nil {
		t.Errorf("%s\n    %s\n    %s\n    %s\n%s", r.Line(commit(), commands[0]), r.Violation.Text, strings.Join(commands[1:], "\n    "),
			explain(t, r, commands...), r.Violation.Stack)
	}
}

func saveHistories(t *testing.T, r *Report) {
	t.Helper()
	for i, h := range r.Histories {
		f, err := os.Create(filepath.Join(*historiesFlag, fmt.Sprintf("%x-v%d.history", r.Plan.Seed, i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(h.Save(f), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHashes leaves the hashes of some seeds for make hashes, which compares those
// of different builds.
func TestHashes(t *testing.T) {
	if *hashesFlag == "" {
		t.Skip("no -hashes given")
	}
	var lines strings.Builder
	for seed := range uint64(12) {
		for _, p := range []Profile{Swarm, Quiet} {
			r := Run(planOf(seed+1, p), Options{})
			fmt.Fprintf(&lines, "seed %d %s: hash %016x, %d events\n", seed+1, p, r.Hash, r.Steps)
		}
	}
	if err := os.WriteFile(*hashesFlag, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSameSeedGivesTheSameHashAndAnotherSeedAnother(t *testing.T) {
	seen := map[uint64]uint64{}
	for seed := uint64(1); seed <= 6; seed++ {
		a := Run(NewPlan(seed, Swarm), Options{})
		for _, with := range []struct{ procs, gc int }{{1, 20}, {4, 400}} {
			procs, gc := runtime.GOMAXPROCS(with.procs), debug.SetGCPercent(with.gc)
			b := Run(NewPlan(seed, Swarm), Options{Trace: io.Discard})
			runtime.GOMAXPROCS(procs)
			debug.SetGCPercent(gc)
			if a.Hash != b.Hash || a.Steps != b.Steps {
				t.Errorf("seed %d: hashes %x and %x, %d and %d steps", seed, a.Hash, b.Hash, a.Steps, b.Steps)
			}
		}
		if other, known := seen[a.Hash]; known {
			t.Errorf("seeds %d and %d have the same hash", seed, other)
		}
		seen[a.Hash] = seed
	}
}
