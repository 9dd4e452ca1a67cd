package swarm

import (
	"errors"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/sim"
)

// params are those of a swarm on a clock of its own, one second a look.
func params() Params {
	clock := time.Unix(0, 0)
	return Params{
		Workers: 2, First: 1, Profile: sim.Quiet, Every: time.Second, Simulate: sim.Run,
		Now: func() time.Time { clock = clock.Add(time.Second); return clock },
	}
}

func TestSwarmTellsATimeSeries(t *testing.T) {
	p := params()
	p.Most = 4
	var lines []Line
	failed, err := New(p).Run(t.Context(), func(l *Line) error {
		lines = append(lines, *l)
		return nil
	})
	if failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	if len(lines) != 5 {
		t.Fatalf("%d lines: there should be one a run, and one at the end", len(lines))
	}
	last := lines[4]
	if last.Seeds != 4 || last.SeedsPerMinute <= 0 || last.EventsPerSecond <= 0 || last.Acknowledged < 0.99 || last.VirtualSeconds <= 0 {
		t.Errorf("the last line: %+v", last)
	}
	if rarest := last.Rarest(); last.Marks[rarest] == 0 {
		t.Errorf("the rarest mark is said to be %q", rarest)
	}
}

func TestCanaryIsCaught(t *testing.T) {
	if v, err := New(params()).Canary(); v == nil || err != nil {
		t.Error(v, err)
	}
}

// breaks has seeds fail: by number, after so many steps.
func breaks(seeds map[uint64]uint64) func(*sim.Plan, sim.Options) *sim.Report {
	return func(p *sim.Plan, o sim.Options) *sim.Report {
		r := sim.Run(p, o)
		if steps, fails := seeds[p.Seed]; fails {
			r.Steps, r.Violation = steps, &sim.Violation{Invariant: "I9", Text: "is said to be broken", Step: steps}
		}
		return r
	}
}

func TestSwarmStopsAtTheFirstFailure(t *testing.T) {
	p := params()
	p.Simulate = breaks(map[uint64]uint64{3: 10})
	seeds := 0
	failed, err := New(p).Run(t.Context(), func(l *Line) error {
		seeds = l.Seeds
		return nil
	})
	if err != nil || failed == nil || failed.Plan.Seed != 3 {
		t.Fatalf("it returned %v, %v", failed, err)
	}
	if seeds > 6 {
		t.Errorf("it went on for %d seeds", seeds)
	}
}

func TestSwarmKeepsTheShortestFailure(t *testing.T) {
	s := New(params())
	run := breaks(map[uint64]uint64{1: 30, 2: 10, 3: 20})
	for seed := range uint64(3) {
		s.add(run(sim.NewPlan(seed+1, sim.Quiet), sim.Options{}))
	}
	if s.failed == nil || s.failed.Plan.Seed != 2 {
		t.Errorf("kept is %+v", s.failed)
	}
}

func TestSwarmEndsWhenNobodyListens(t *testing.T) {
	gone := errors.New("gone")
	if _, err := New(params()).Run(t.Context(), func(*Line) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("it ended with %v", err)
	}
}
