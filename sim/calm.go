package sim

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/sim/disk"
)

// fieldsOfPlan returns all settings of a plan.
func fieldsOfPlan(p *Plan) []field { return fieldsOf(reflect.ValueOf(p).Elem(), "") }

// settings makes the world calm, one setting after the other: a delay that does
// not vary and a clock that is right cannot be what a reader has to think about.
func (s *shrinker) settings() {
	for _, calm := range []func(*Plan){
		func(p *Plan) { p.TailOneIn = 0 },
		func(p *Plan) { p.UnknownPPM = 0 },
		func(p *Plan) { p.TimerLateMax = 0 },
		func(p *Plan) { p.ClockPPM, p.ClocksOutside = make([]int, p.Nodes), false },
		func(p *Plan) { p.Wire = false },
		func(p *Plan) { p.BlockSize, p.DiskSize = 64, 16<<20 },
		func(p *Plan) { p.Limits = store.Limits{} },
		func(p *Plan) { p.DiskFaults = disk.Faults{} },
		func(p *Plan) {
			if !p.Full { // there is no room for it
				p.JournalBytes = 2 << 20
			}
		},
		func(p *Plan) { p.LatencyMin, p.LatencyMax = 100*time.Microsecond, 100*time.Microsecond },
		func(p *Plan) { p.MetadataMin, p.MetadataMax = time.Millisecond, time.Millisecond },
		func(p *Plan) { p.WatchLag = time.Millisecond },
		func(p *Plan) { p.Keepalive = 5 * time.Second },
		func(p *Plan) { p.ReviveAfter = 10 * time.Second },
		func(p *Plan) { p.ProbeOneIn = 1 },
		func(p *Plan) { p.Safety = p.Safety.Round(time.Second) + time.Second },
		func(p *Plan) {
			for i := range p.Clients {
				p.Clients[i].Patience = 0 // a script has no use for it
			}
		},
		func(p *Plan) {
			for i := range p.Volumes {
				p.Volumes[i].Hot = 0 // nor for this
			}
		},
	} {
		before := s.best.Plan.clone()
		after := s.best.Plan.clone()
		calm(after)
		if !reflect.DeepEqual(before, after) {
			s.take(1, func(int) *Plan { return after })
		}
	}
}

// words makes what is left easy to read: no peer, choice or duration that does
// not matter, one block where one is enough, round times.
func (s *shrinker) words() {
	for i := range s.best.Plan.Faults {
		for _, change := range []func(*Fault){
			func(f *Fault) { f.Peer = 0 },
			func(f *Fault) { f.Pick = 0 },
			func(f *Fault) { f.Pick &= 0xff },
			func(f *Fault) { f.For = 0 },
			func(f *Fault) { f.For = roundUp(f.For) },
			func(f *Fault) { f.At = f.At.Round(100 * time.Millisecond) },
			func(f *Fault) { f.At = f.At.Round(time.Millisecond) },
		} {
			f := s.best.Plan.Faults[i]
			if change(&f); f != s.best.Plan.Faults[i] {
				s.try(func(p *Plan) { p.Faults[i] = f })
			}
		}
	}
	for i := range s.best.Plan.Clients {
		for j := range s.best.Plan.Clients[i].Script {
			s.wordsOf(i, j)
		}
	}
	s.try(func(p *Plan) { p.order() })
}

func (s *shrinker) wordsOf(client, index int) {
	for _, change := range []func(*Operation){
		func(o *Operation) { o.Moves = false },
		func(o *Operation) { o.FUA = false },
		func(o *Operation) { o.Range.Count = min(o.Range.Count, 1) },
		func(o *Operation) { o.At = o.At.Round(100 * time.Millisecond) },
		func(o *Operation) { o.At = o.At.Round(time.Millisecond) },
	} {
		o := s.best.Plan.Clients[client].Script[index]
		if change(&o); o != s.best.Plan.Clients[client].Script[index] {
			s.try(func(p *Plan) {
				p.Clients[client].Script[index] = o
				p.order()
			})
		}
	}
}

// gapsMax is of how many faults and operations the gaps are worth a look.
const gapsMax = 80

// gaps moves what is left closer together: what comes after a pause, and the end,
// comes earlier.
func (s *shrinker) gaps() {
	for _, least := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
		times := s.best.Plan.times()
		if len(times) > gapsMax {
			return
		}
		for i := range times {
			times = s.best.Plan.times() // as many as before
			since := time.Duration(0)
			if i > 0 {
				since = times[i-1]
			}
			if over := times[i] - since - least; over > 0 {
				s.try(func(p *Plan) { p.earlier(times[i], over) })
			}
		}
	}
}

// times returns when something happens, and when the safety phase ends.
func (p *Plan) times() (all []time.Duration) {
	for i := range p.Faults {
		all = append(all, p.Faults[i].At)
	}
	for i := range p.Clients {
		for j := range p.Clients[i].Script {
			all = append(all, p.Clients[i].Script[j].At)
		}
	}
	all = append(all, p.Safety)
	slices.Sort(all)
	return all
}

// earlier moves all that happens from a time on.
func (p *Plan) earlier(from, by time.Duration) {
	move := func(at *time.Duration) {
		if *at >= from {
			*at -= by
		}
	}
	for i := range p.Faults {
		move(&p.Faults[i].At)
	}
	for i := range p.Clients {
		for j := range p.Clients[i].Script {
			move(&p.Clients[i].Script[j].At)
		}
	}
	move(&p.Safety)
}

// roundUp returns the next longer duration of one digit.
func roundUp(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d > 10*unit {
		unit *= 10
	}
	return (d + unit - 1) / unit * unit
}

// order sorts what has a time.
func (p *Plan) order() {
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	for i := range p.Clients {
		slices.SortStableFunc(p.Clients[i].Script, func(a, b Operation) int { return cmp.Compare(a.At, b.At) })
	}
}
