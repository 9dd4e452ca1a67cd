package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/linearizability"
	"github.com/lagan-storage/lagan/sim"
)

const (
	simulationContest = "simulation"
	// seedOperations is what a seed of the benches asks for.
	seedOperations = 2000
	// simulationSearch ends a search for an order: none comes near it.
	simulationSearch = 2 * time.Minute
	// shrinkMax is how long make shrink takes at most.
	shrinkMax = time.Minute
)

// simulated is what a number of runs came to.
type simulated struct {
	counts sim.Counts
	events uint64
	shares map[string]int // runs in which something happened
	useful int            // runs that acknowledged half of their operations
	cpu    time.Duration
	wall   time.Duration
}

// measureSimulation measures the simulator: how fast it is, what its runs are made
// of, and what its judges and its shrinker take.
func (s *suite) measureSimulation(ctx context.Context) error {
	if s.unwanted(simulationContest) {
		return nil
	}
	cores := runtime.NumCPU()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	defer debug.SetGCPercent(debug.SetGCPercent(sim.GCPercent))
	s.printf("\n%s (%d workers; seeds are fixed, faults as in any swarm; every run judged and all its disks compared; load %s)\n", simulationContest, cores, loadAverage())
	for _, part := range []func(context.Context, int) error{s.measureSeeds, s.measureComposition, s.measureWrite, s.measureJudges, s.measureShrink} {
		if err := part(ctx, cores); err != nil {
			return fmt.Errorf("%s: %w", simulationContest, err)
		}
	}
	return nil
}

// measureSeeds runs the same seeds with small blocks and with whole ones, in turn,
// and as they are drawn.
func (s *suite) measureSeeds(ctx context.Context, cores int) error {
	kinds := []struct {
		name string
		size int
		runs []load.Figures
		last simulated
	}{{name: "stamps", size: 64}, {name: "payloads", size: block.Size}, {name: "checked"}}
	if _, err := s.simulate(longPlans(s.scale.seeds, 0), cores); err != nil { // warms up
		return err
	}
	profile, err := s.startProfile()
	if err != nil {
		return err
	}
	for range s.scale.rounds {
		for i := range kinds {
			k := &kinds[i]
			if k.last, err = s.simulate(longPlans(s.scale.seeds, k.size), cores); err != nil {
				return errors.Join(err, profile.stop())
			}
			k.runs = append(k.runs, k.last.figures(cores))
			if ctx.Err() != nil {
				return errors.Join(ctx.Err(), profile.stop())
			}
		}
	}
	for i := range kinds {
		k := &kinds[i]
		f := load.Medians(k.runs)
		against := ""
		if i > 0 {
			against = simulationContest + "/" + kinds[0].name
		}
		s.results.add(simulationContest+"/"+k.name, against, f)
		s.printf("%10s: %.2f million events a second of one core; %.0f seeds of %d operations a minute on %d cores by CPU time, %.0f by the clock\n",
			k.name, f[load.Events]/1e6, f[load.Seeds], seedOperations, cores, f[load.SeedsByClock])
		s.printf("%10s  the last round: %d runs, %d events, %d operations asked, %v of CPU, %v by the clock\n",
			"", k.last.counts.Runs, k.last.events, k.last.counts.Asked, k.last.cpu.Round(time.Millisecond), k.last.wall.Round(time.Millisecond))
	}
	return s.printProfile(ctx, profile)
}

// figures puts runs into numbers: a seed is seedOperations operations that clients
// really asked for.
func (r *simulated) figures(cores int) load.Figures {
	seeds := float64(r.counts.Asked) / seedOperations
	return load.Figures{ // seeds a minute: operations / seedOperations / (CPU time / cores)
		load.Events:       float64(r.events) / r.cpu.Seconds(),
		load.Seeds:        seeds / (r.cpu.Minutes() / float64(cores)),
		load.SeedsByClock: seeds / r.wall.Minutes(),
	}
}

// longPlans draws plans of seedOperations; size replaces the blocks' size that the
// seed drew, 0 leaves it. A plan whose disks fill up stays as small as it is.
func longPlans(count, size int) (plans []*sim.Plan) {
	for seed := uint64(1); len(plans) < count; seed++ {
		p := sim.NewPlan(seed, sim.Swarm)
		if size != 0 && p.Full {
			continue
		}
		p.Ask(seedOperations)
		if size != 0 {
			p.SetBlockSize(size)
		}
		plans = append(plans, p)
	}
	return plans
}

// simulate runs plans on all cores. One that fails is a bug, and no figure.
func (s *suite) simulate(plans []*sim.Plan, workers int) (simulated, error) {
	reports := make([]*sim.Report, len(plans))
	var next atomic.Int64
	var group sync.WaitGroup
	cpu, begin := load.ProcessCPU(), s.Clock()
	for range workers {
		group.Go(func() {
			o := sim.Options{Checker: &linearizability.Checker{Timeout: simulationSearch}, Memory: &sim.Memory{}}
			for i := next.Add(1) - 1; int(i) < len(plans); i = next.Add(1) - 1 {
				reports[i] = sim.Run(plans[i], o)
			}
		})
	}
	group.Wait()
	r := simulated{cpu: load.ProcessCPU() - cpu, wall: s.Clock().Sub(begin), shares: map[string]int{}}
	for _, one := range reports {
		if one.Violation != nil {
			return r, fmt.Errorf("seed %#x fails: %v", one.Plan.Seed, one.Violation)
		}
		r.counts.Add(&one.Counts)
		r.events += one.Steps
		if 2*one.Counts.Acknowledged >= one.Counts.Asked {
			r.useful++
		}
		for name, n := range one.Counts.Shown() {
			r.shares[name] += min(n, 1)
		}
	}
	return r, nil
}

// measureComposition says in how many runs of a swarm what its floors are about
// happened.
func (s *suite) measureComposition(_ context.Context, cores int) error {
	var plans []*sim.Plan
	for seed := range uint64(s.scale.swarm) {
		plans = append(plans, sim.NewPlan(seed+1, sim.Swarm))
	}
	r, err := s.simulate(plans, cores)
	if err != nil {
		return err
	}
	r.shares["half acknowledged"] = r.useful
	s.printf("composition of %d runs as they are drawn, %d operations each on average:", len(plans), r.counts.Asked/len(plans))
	for _, name := range []string{"takeover", "power loss", "eviction", "resync under writes", "unknown transaction", "half acknowledged"} {
		share := 100 * float64(r.shares[name]) / float64(len(plans))
		s.results.add(simulationContest+"/"+name, "", load.Figures{load.Share: share})
		s.printf(" %.0f %% %s,", share, name)
	}
	s.printf(" %.0f %% of all operations acknowledged\n", 100*float64(r.counts.Acknowledged)/float64(r.counts.Asked))
	return nil
}

// measureWrite counts what a write on two copies allocates, from the client's call
// to its reply: coordinator, both replicas, both stores, the network and disks
// between them, the recorder and the judges. Two runs that differ by writes alone
// share everything else.
func (s *suite) measureWrite(context.Context, int) error {
	const few, many = 4000, 12_000
	o := sim.Options{Checker: &linearizability.Checker{}, Memory: &sim.Memory{}}
	mallocs := func(writes int) (float64, error) {
		var before, after runtime.MemStats
		p := writesPlan(writes)
		runtime.ReadMemStats(&before)
		r := sim.Run(p, o)
		runtime.ReadMemStats(&after)
		if r.Violation != nil || r.Counts.Acknowledged < writes {
			return 0, fmt.Errorf("%d of %d writes acknowledged: %v", r.Counts.Acknowledged, writes, r.Violation)
		}
		return float64(after.Mallocs - before.Mallocs), nil
	}
	if _, err := mallocs(many); err != nil { // its memory serves the others
		return err
	}
	less, err := mallocs(few)
	if err != nil {
		return err
	}
	more, err := mallocs(many)
	if err != nil {
		return err
	}
	each := (more - less) / (many - few)
	s.results.add(simulationContest+"/write-2-copies", "", load.Figures{load.Allocs: each})
	s.printf("a write on 2 copies, call to reply, all machines and the simulation itself: %.3f allocations (%.0f for %d writes, %.0f for %d in the same time)\n",
		each, less, few, more, many)
	return nil
}

// writesPlan is nothing but one client's writes on two copies, one after the other.
func writesPlan(writes int) *sim.Plan {
	const begin, lasts = 5 * time.Second, 60 * time.Second
	p := sim.NewPlan(1, sim.Quiet)
	p.Nodes, p.Scripted, p.Wire, p.ProbeOneIn = 3, true, false, 1<<30
	p.ClockPPM = make([]int, p.Nodes)
	p.LatencyMin, p.LatencyMax, p.TailOneIn = 10*time.Microsecond, 50*time.Microsecond, 0
	p.JournalBytes, p.Limits = 4<<20, store.Limits{} // checkpoints are few, as in production
	p.Safety = begin + lasts
	p.Volumes = []sim.VolumePlan{{Blocks: 64, Hot: 64, Members: []int{0, 1}}}
	script := make([]sim.Operation, writes)
	for i := range script {
		script[i] = sim.Operation{
			At: begin + lasts*time.Duration(i)/time.Duration(writes+1), Kind: sim.OpWrite, Range: block.Range{First: block.Block(i % 64), Count: 1},
		}
	}
	p.Clients = []sim.ClientPlan{{Script: script, Patience: time.Minute}}
	return p
}

// measureShrink makes the canary of a swarm's seed small.
func (s *suite) measureShrink(ctx context.Context, _ int) error {
	o := sim.Options{Checker: &linearizability.Checker{Timeout: simulationSearch}, Memory: &sim.Memory{}}
	for seed := uint64(1); ; seed++ {
		p := sim.NewPlan(seed, sim.Swarm)
		p.Canary = true
		r := sim.Run(p, o)
		if r.Violation == nil {
			continue
		}
		limited, end := context.WithTimeout(ctx, shrinkMax)
		defer end()
		began := s.Clock()
		small, err := sim.Shrink(limited, p, simulationSearch)
		if err != nil {
			return err
		}
		took := s.Clock().Sub(began)
		operations := 0
		for i := range small.Plan.Clients {
			operations += len(small.Plan.Clients[i].Script)
		}
		s.results.add(simulationContest+"/shrink", "", load.Figures{
			load.Time: took.Seconds(), load.Faults: float64(len(small.Plan.Faults)), load.Operations: float64(operations),
		})
		s.printf("seed %#x, whose judges are not told of losses, fails by %s; %d runs and %.1f s make its %d faults and %d operations %d and %d\n",
			seed, r.Violation.Invariant, small.Runs, took.Seconds(), len(p.Faults), r.Counts.Asked, len(small.Plan.Faults), operations)
		return nil
	}
}
