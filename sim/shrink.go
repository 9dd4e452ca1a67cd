package sim

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/linearizability"
)

// Shrunk is a failing run made small.
type Shrunk struct {
	Plan   *Plan
	Report *Report // of Plan
	Runs   int
}

// Shrink makes a plan that fails small: of its faults, operations, clients,
// volumes, nodes and settings it takes away what the failure does not need. It
// stops when nothing more can go, or when ctx ends, with the smallest plan so
// far. A plan that does not fail is an error.
//
//	record ─▶ shorten ─▶ volumes, clients, nodes ─▶ faults ─▶ operations ─▶ nodes ─▶ settings ─▶ pauses, words
//	             ▲                                                                                   │
//	             └───────────────────────────── until nothing goes any more ◀────────────────────────┘
//
// A smaller plan counts if it breaks the same invariant.
func Shrink(ctx context.Context, p *Plan, checkTimeout time.Duration) (*Shrunk, error) {
	s := newShrinker(ctx, runtime.GOMAXPROCS(0), checkTimeout)
	s.best = Run(p, s.workers[0])
	want := s.best.Violation
	if want == nil {
		return nil, fmt.Errorf("shrink seed %#x: it does not fail, so there is nothing to shrink", p.Seed)
	}
	s.fails = func(r *Report) bool { return want.like(r.Violation) }
	s.shrink()
	return &Shrunk{Plan: s.best.Plan, Report: s.best, Runs: s.runs}, nil
}

// like reports whether two violations are of the same kind.
func (v *Violation) like(o *Violation) bool {
	if o == nil || o.Invariant != v.Invariant {
		return false
	}
	return v.Invariant != "invariant" && v.Invariant != "panic" || v.Text == o.Text
}

type shrinker struct {
	stopped func() bool // nobody waits any longer
	workers []Options   // of those that run plans, each its own
	fails   func(*Report) bool
	best    *Report // of the smallest plan that fails so
	runs    int
}

func newShrinker(ctx context.Context, procs int, checkTimeout time.Duration) *shrinker {
	s := &shrinker{stopped: func() bool { return ctx.Err() != nil }}
	for range procs {
		s.workers = append(s.workers, Options{Checker: &linearizability.Checker{Timeout: checkTimeout}, Memory: &Memory{}})
	}
	return s
}

// shrink makes the best plan smaller until nothing goes any more.
func (s *shrinker) shrink() {
	for before := -1; before != s.size() && !s.stopped(); {
		before = s.size()
		s.script()
		s.shorten()
		s.volumes() // what runs are large by goes first: all that follows takes less
		s.clients()
		s.nodes()
		s.faults()
		s.operations()
		s.nodes()
		s.settings()
		s.gaps()
		s.words()
	}
}

// size is what shrinking makes less.
func (s *shrinker) size() int {
	p := s.best.Plan
	n := 1000*len(p.Faults) + 100*(p.Nodes+len(p.Volumes)+len(p.Clients)) + s.operationCount()*1000
	for _, f := range fieldsOfPlan(p) {
		if !f.value.IsZero() {
			n++
		}
	}
	return n
}

func (s *shrinker) operationCount() int { return s.best.Plan.operationCount() }

// operationCount returns how many operations a scripted plan has.
func (p *Plan) operationCount() (n int) {
	for i := range p.Clients {
		n += len(p.Clients[i].Script)
	}
	return n
}

// take tries plans in order, several at once, and makes the first that fails the
// best. It returns that one's index, or -1. What it returns does not depend on
// the number of processors.
func (s *shrinker) take(count int, plan func(i int) *Plan) int {
	for first := 0; first < count && !s.stopped(); first += len(s.workers) {
		reports := make([]*Report, min(len(s.workers), count-first))
		var group sync.WaitGroup
		for i := range reports {
			if p := plan(first + i); p != nil {
				s.runs++
				group.Go(func() { reports[i] = Run(p, s.workers[i]) })
			}
		}
		group.Wait()
		for i, r := range reports {
			if r != nil && s.fails(r) {
				s.best = r
				return first + i
			}
		}
	}
	return -1
}

// try makes one change to a copy of the best plan and keeps it if that fails too.
func (s *shrinker) try(change func(*Plan)) bool {
	return s.take(1, func(int) *Plan {
		p := s.best.Plan.clone()
		change(p)
		return p
	}) == 0
}

// script has clients ask for what they asked for in the best run.
func (s *shrinker) script() {
	if s.best.Plan.Scripted {
		return
	}
	r := s.best
	s.take(1, func(int) *Plan { return r.Script() })
}

// shorten ends the safety phase early, by halves.
func (s *shrinker) shorten() {
	least, most := time.Duration(0), s.best.Plan.Safety
	for most-least > most/32+time.Millisecond && !s.stopped() {
		middle := (least + most) / 2
		if s.try(func(p *Plan) { p.end(middle) }) {
			most = middle
		} else {
			least = middle
		}
	}
}

// end takes away what would come after a time.
func (p *Plan) end(at time.Duration) {
	p.Safety = at
	p.Faults = slices.DeleteFunc(p.Faults, func(f Fault) bool { return f.At > at })
	for i := range p.Clients {
		c := &p.Clients[i]
		c.Script = slices.DeleteFunc(c.Script, func(o Operation) bool { return o.At > at })
	}
}

// remove takes away as many of n things as it can: in halves first, then in ever
// smaller parts. plan returns a plan without those of [from, to).
func (s *shrinker) remove(n int, plan func(from, to int) *Plan) {
	for part := max(1, n/2); n > 0; part = max(1, part/2) {
		for from := 0; from < n && !s.stopped(); {
			// From the end: what is late is often not needed, and what is early is cheap to keep.
			rest := n - from
			i := s.take((rest+part-1)/part, func(i int) *Plan {
				to := rest - i*part
				return plan(max(0, to-part), to)
			})
			if i < 0 {
				break
			}
			gone := min(part, rest-i*part)
			from += i * part
			n -= gone
		}
		if part == 1 || s.stopped() {
			return
		}
	}
}

func (s *shrinker) faults() {
	s.remove(len(s.best.Plan.Faults), func(from, to int) *Plan {
		p := s.best.Plan.clone()
		p.Faults = slices.Delete(p.Faults, from, to)
		return p
	})
}

func (s *shrinker) clients() {
	s.remove(len(s.best.Plan.Clients), func(from, to int) *Plan {
		p := s.best.Plan.clone()
		p.Clients = slices.Delete(p.Clients, from, to)
		return p
	})
}

// operations removes operations of scripts, whosever they are, latest first.
func (s *shrinker) operations() {
	s.remove(s.operationCount(), func(from, to int) *Plan {
		p := s.best.Plan.clone()
		type place struct{ client, index int }
		var all []place
		for i := range p.Clients {
			for j := range p.Clients[i].Script {
				all = append(all, place{i, j})
			}
		}
		at := func(l place) time.Duration { return s.best.Plan.Clients[l.client].Script[l.index].At }
		slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(at(a), at(b)) })
		for i := range p.Clients {
			p.Clients[i].Script = p.Clients[i].Script[:0]
		}
		for i, l := range all {
			if i < from || i >= to {
				c := &p.Clients[l.client]
				c.Script = append(c.Script, s.best.Plan.Clients[l.client].Script[l.index])
			}
		}
		return p
	})
}

func (s *shrinker) volumes() {
	for v := len(s.best.Plan.Volumes) - 1; v >= 0 && len(s.best.Plan.Volumes) > 1; v-- {
		s.try(func(p *Plan) {
			p.Volumes = slices.Delete(p.Volumes, v, v+1)
			p.Clients = slices.DeleteFunc(p.Clients, func(c ClientPlan) bool { return c.Volume == v })
			for i := range p.Clients {
				if c := &p.Clients[i]; c.Volume > v {
					c.Volume--
				}
			}
		})
	}
}

func (s *shrinker) nodes() {
	for n := s.best.Plan.Nodes - 1; n >= 0 && s.best.Plan.Nodes > 2; n-- {
		if slices.ContainsFunc(s.best.Plan.Volumes, func(v VolumePlan) bool { return slices.Contains(v.Members, n) }) {
			s.members(n)
			continue
		}
		s.try(func(p *Plan) { p.removeNode(n) })
	}
}

// members takes the copies on a node away, where they are not the only ones.
func (s *shrinker) members(n int) {
	s.try(func(p *Plan) {
		for i := range p.Volumes {
			if v := &p.Volumes[i]; len(v.Members) > 1 {
				v.Members = slices.DeleteFunc(v.Members, func(m int) bool { return m == n })
			}
		}
	})
}

// removeNode takes a node away that holds nothing; those above it move down.
func (p *Plan) removeNode(n int) {
	down := func(i *int) {
		if *i > n {
			*i--
		}
	}
	p.Nodes--
	p.ClockPPM = slices.Delete(p.ClockPPM, n, n+1)
	p.Faults = slices.DeleteFunc(p.Faults, func(f Fault) bool { return f.Node == n })
	for i := range p.Faults {
		f := &p.Faults[i]
		if f.Peer == n {
			f.Peer = (n + 1) % (p.Nodes + 1)
		}
		down(&f.Node)
		down(&f.Peer)
	}
	for i := range p.Volumes {
		for j := range p.Volumes[i].Members {
			down(&p.Volumes[i].Members[j])
		}
	}
}
