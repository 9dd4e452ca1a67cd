package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/linearizability"
	"github.com/lagan-storage/lagan/sim"
)

// searchMax ends a search for an order that would never end by itself.
const searchMax = 2 * time.Minute

// swarm runs seeds until one fails.
type swarm struct {
	out     io.Writer
	now     func() time.Time
	workers int
	first   uint64
	most    uint64 // seeds; 0: no bound
	profile sim.Profile
	every   time.Duration
	pages   string
	// simulate is sim.Run, but in tests.
	simulate func(*sim.Plan, sim.Options) *sim.Report

	counts  sim.Counts
	virtual time.Duration
	shares  map[string]int
	marks   map[step.Mark]int
	failed  *sim.Report // the one with the fewest steps
}

// line is one line of the time series. Everything is since the beginning, but
// for what is said to be recent: since the line before.
type line struct {
	Seconds          float64            `json:"seconds"`
	Seeds            int                `json:"seeds"`
	SeedsPerMinute   float64            `json:"seeds_per_minute"`
	RecentPerMinute  float64            `json:"recent_seeds_per_minute"`
	EventsPerSecond  float64            `json:"events_per_second"`
	CheckedPerSecond float64            `json:"checked_operations_per_second"`
	Acknowledged     float64            `json:"acknowledged_ratio"`
	VirtualSeconds   float64            `json:"virtual_seconds"`
	Shares           map[string]float64 `json:"shares_of_runs"`
	Marks            int                `json:"marks_hit"`
	Rarest           string             `json:"rarest_mark,omitempty"`
	Canary           string             `json:"canary,omitempty"`
	Failed           string             `json:"failed,omitempty"`
	Replay           string             `json:"replay,omitempty"`
	Shrink           string             `json:"shrink,omitempty"`
	Page             string             `json:"page,omitempty"`
}

// run is everything: the canary, the seeds, the failure if there is one.
func (s *swarm) run(ctx context.Context) error {
	s.shares, s.marks = map[string]int{}, map[step.Mark]int{}
	checker := &linearizability.Checker{Timeout: searchMax}
	canary := sim.Canary(checker)
	if canary.Violation == nil {
		return errors.New("the canary lives: a run that must fail did not, so nothing that follows would mean anything")
	}
	began := s.now()
	if err := s.print(&line{Canary: canary.Violation.String()}); err != nil {
		return err
	}
	reports := s.seeds(ctx)
	last, lastSeeds := began, 0
	for r := range reports {
		s.add(r)
		if now := s.now(); now.Sub(last) >= s.every {
			l := s.line(now.Sub(began))
			l.RecentPerMinute = float64(s.counts.Runs-lastSeeds) / now.Sub(last).Minutes()
			last, lastSeeds = now, s.counts.Runs
			if err := s.print(l); err != nil {
				return err
			}
		}
	}
	l := s.line(s.now().Sub(began))
	if s.failed == nil {
		return s.print(l)
	}
	return errors.Join(s.explain(l, checker), s.print(l), fmt.Errorf("%v", s.failed.Violation))
}

// seeds runs seeds and returns what they showed, until ctx ends, one has failed
// or there were enough.
func (s *swarm) seeds(ctx context.Context) <-chan *sim.Report {
	ctx, stop := context.WithCancel(ctx)
	reports, numbers := make(chan *sim.Report), make(chan uint64)
	var group sync.WaitGroup
	group.Go(func() {
		defer close(numbers)
		for n := uint64(0); s.most == 0 || n < s.most; n++ {
			select {
			case numbers <- s.first + n:
			case <-ctx.Done():
				return
			}
		}
	})
	for range s.workers {
		group.Go(func() {
			checker := &linearizability.Checker{Timeout: searchMax}
			for seed := range numbers {
				r := s.simulate(sim.NewPlan(seed, s.profile), sim.Options{Checker: checker})
				if r.Violation != nil {
					stop() // those under way end first: the shortest of their failures is kept
				}
				reports <- r
			}
		})
	}
	go func() {
		group.Wait()
		stop()
		close(reports)
	}()
	return reports
}

func (s *swarm) add(r *sim.Report) {
	s.counts.Add(&r.Counts)
	s.virtual += r.Virtual
	for m := range r.Marks {
		s.marks[m]++
	}
	for name, n := range r.Counts.Shown() {
		if n > 0 {
			s.shares[name]++
		}
	}
	if r.Violation != nil && (s.failed == nil || r.Steps < s.failed.Steps) {
		s.failed = r
	}
}

func (s *swarm) line(took time.Duration) *line {
	c := &s.counts
	l := &line{
		Seconds: took.Seconds(), Seeds: c.Runs, SeedsPerMinute: float64(c.Runs) / took.Minutes(), EventsPerSecond: float64(c.Steps) / took.Seconds(),
		CheckedPerSecond: float64(c.Asked) / took.Seconds(), VirtualSeconds: s.virtual.Seconds(), Marks: len(s.marks), Shares: map[string]float64{},
	}
	if c.Asked > 0 {
		l.Acknowledged = float64(c.Acknowledged) / float64(c.Asked)
	}
	for name, n := range s.shares {
		l.Shares[name] = float64(n) / float64(c.Runs)
	}
	rare := 0
	for m, n := range s.marks { // any order: the least, and of equal ones the first by name
		if rare == 0 || n < rare || n == rare && string(m) < l.Rarest {
			rare, l.Rarest = n, string(m)
		}
	}
	return l
}

func (s *swarm) print(l *line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = s.out.Write(append(text, '\n'))
	return err
}

// explain says how to see the failure again, and leaves the page that shows it.
func (s *swarm) explain(l *line, checker *linearizability.Checker) error {
	p := s.failed.Plan
	l.Failed, l.Replay, l.Shrink = s.failed.Violation.String(), p.ReplayCommand(), p.ShrinkCommand()
	film := &sim.Film{}
	r := s.simulate(p, sim.Options{Film: film, Checker: checker})
	if r.Violation == nil || r.Hash != s.failed.Hash {
		return fmt.Errorf("seed %#x is not the same run each time: %s compares two runs of it", p.Seed, l.Replay)
	}
	var text bytes.Buffer
	page := &sim.Page{Film: film, Report: r, Commands: []string{l.Replay, l.Shrink}}
	if err := page.Write(&text); err != nil {
		return err
	}
	l.Page = filepath.Join(s.pages, fmt.Sprintf("failure-%x.html", p.Seed))
	return errors.Join(os.MkdirAll(s.pages, 0o755), os.WriteFile(l.Page, text.Bytes(), 0o644))
}
