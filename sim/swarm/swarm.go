// Package swarm runs the simulation for a long time, one seed after the other, and
// stops at the first that fails.
//
//	canary (must fail) ─▶ seeds, several at once ─▶ the time is over, there were enough, or one failed
//	                           │ every so often
//	                           ▼
//	                         Line: how fast, how many were acknowledged, what happened, which marks were hit
//
// It promises that of the runs under way when one failed the shortest failure is
// the one returned. Time is handed in; lagan sim calls it.
package swarm

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/linearizability"
	"github.com/lagan-storage/lagan/sim"
)

// SearchMax ends a search for an order that would never end by itself; those of
// drawn plans take milliseconds.
const SearchMax = 2 * time.Minute

// ErrCanaryLives says that a run which must fail did not.
var ErrCanaryLives = errors.New("the canary lives: a run that must fail did not, so nothing that follows would mean anything")

// Params are what a swarm is made from.
type Params struct {
	Workers int           // runs at once
	First   uint64        // the first seed
	Most    uint64        // seeds; 0: no bound
	Profile sim.Profile   // of all of them
	Every   time.Duration // between two lines
	Now     func() time.Time
	// Simulate is sim.Run, but in tests.
	Simulate func(*sim.Plan, sim.Options) *sim.Report
}

// Swarm runs seeds until one fails.
type Swarm struct {
	Params
	counts  sim.Counts
	virtual time.Duration
	happens map[string]int // in how many runs
	marks   map[step.Mark]int
	failed  *sim.Report // the one with the fewest steps
}

// New returns a swarm that has run nothing yet.
func New(p Params) *Swarm {
	return &Swarm{Params: p, happens: map[string]int{}, marks: map[step.Mark]int{}}
}

// Line is one line of the time series. Everything is since the beginning, but
// for what is said to be recent: since the line before.
type Line struct {
	Seconds          float64           `json:"seconds"`
	Seeds            int               `json:"seeds"`
	SeedsPerMinute   float64           `json:"seeds_per_minute"`
	RecentPerMinute  float64           `json:"recent_seeds_per_minute"`
	EventsPerSecond  float64           `json:"events_per_second"`
	CheckedPerSecond float64           `json:"checked_operations_per_second"`
	Acknowledged     float64           `json:"acknowledged_ratio"`
	VirtualSeconds   float64           `json:"virtual_seconds"`
	Happened         map[string]int    `json:"runs_with"`      // something, by name
	Marks            map[step.Mark]int `json:"runs_with_mark"` // hit, by name
}

// Rarest returns the mark that was hit in the fewest runs, of equal ones the first by name.
func (l *Line) Rarest() (rarest step.Mark) {
	for m, n := range l.Marks { // any order: the least is looked for
		if least := l.Marks[rarest]; rarest == "" || n < least || n == least && m < rarest {
			rarest = m
		}
	}
	return rarest
}

// Canary runs what must fail, and returns how it did.
func (s *Swarm) Canary() (*sim.Violation, error) {
	if r := sim.Canary(newChecker()); r.Violation != nil {
		return r.Violation, nil
	}
	return nil, ErrCanaryLives
}

// Run runs seeds until ctx ends, there were enough, or one has failed, which it
// returns. It tells a line every so often, and at the end.
func (s *Swarm) Run(ctx context.Context, tell func(*Line) error) (failed *sim.Report, err error) {
	defer debug.SetGCPercent(debug.SetGCPercent(sim.GCPercent))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	began := s.Now()
	last, lastSeeds := began, 0
	for r := range s.seeds(ctx, stop) {
		s.add(r)
		if now := s.Now(); err == nil && now.Sub(last) >= s.Every {
			if err = tell(s.line(now.Sub(began), now.Sub(last), lastSeeds)); err != nil {
				stop() // nobody listens
			}
			last, lastSeeds = now, s.counts.Runs
		}
	}
	if err == nil {
		now := s.Now()
		err = tell(s.line(now.Sub(began), now.Sub(last), lastSeeds))
	}
	return s.failed, err
}

// seeds runs seeds and returns what they showed, until ctx ends, one has failed
// or there were enough.
func (s *Swarm) seeds(ctx context.Context, stop func()) <-chan *sim.Report {
	reports, numbers := make(chan *sim.Report), make(chan uint64)
	var group sync.WaitGroup
	group.Go(func() {
		defer close(numbers)
		for n := uint64(0); s.Most == 0 || n < s.Most; n++ {
			select {
			case numbers <- s.First + n:
			case <-ctx.Done():
				return
			}
		}
	})
	for range s.Workers {
		group.Go(func() {
			o := sim.Options{Checker: newChecker(), Memory: &sim.Memory{}}
			for seed := range numbers {
				r := s.Simulate(sim.NewPlan(seed, s.Profile), o)
				if r.Violation != nil {
					stop() // those under way end first: the shortest of their failures is kept
				}
				reports <- r
			}
		})
	}
	go func() { // it ends before its reader does
		group.Wait()
		close(reports)
	}()
	return reports
}

func newChecker() *linearizability.Checker { return &linearizability.Checker{Timeout: SearchMax} }

func (s *Swarm) add(r *sim.Report) {
	s.counts.Add(&r.Counts)
	s.virtual += r.Virtual
	for m := range r.Marks {
		s.marks[m]++
	}
	for name, n := range r.Counts.Shown() {
		if n > 0 {
			s.happens[name]++
		}
	}
	if r.Violation != nil && (s.failed == nil || r.Steps < s.failed.Steps) {
		s.failed = r
	}
}

// line sums up after a time; the line before was told at so many seeds, some time ago.
func (s *Swarm) line(took, recent time.Duration, seedsBefore int) *Line {
	c := &s.counts
	l := &Line{
		Seconds: took.Seconds(), Seeds: c.Runs, VirtualSeconds: s.virtual.Seconds(), Happened: s.happens, Marks: s.marks,
		SeedsPerMinute: rate(c.Runs, took) * 60, RecentPerMinute: rate(c.Runs-seedsBefore, recent) * 60,
		EventsPerSecond: rate(int(c.Steps), took), CheckedPerSecond: rate(c.Asked, took), //nolint:gosec // a run has millions of steps
	}
	if c.Asked > 0 {
		l.Acknowledged = float64(c.Acknowledged) / float64(c.Asked)
	}
	return l
}

// rate returns how many a second.
func rate(n int, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}
