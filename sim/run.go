package sim

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/linearizability"
)

// Options are what a run may be given besides its plan; they change nothing
// that happens in it.
type Options struct {
	Trace   io.Writer                // one line an event
	Film    *Film                    // what is seen from outside; it changes nothing that happens
	Hashes  func(step, hash uint64)  // is told the hash after every step
	Checker *linearizability.Checker // whose memory is used; nil makes a new one
	Memory  *Memory                  // likewise
}

// Report is what a run showed.
type Report struct {
	Plan      *Plan
	Hash      uint64 // of every event, effect and payload, and of the disks at the end
	Steps     uint64
	Virtual   time.Duration
	Counts    Counts
	Marks     map[step.Mark]int
	Histories []*linearizability.History
	Struck    []Incident    // the faults that struck, in order
	Asked     [][]Operation // what clients asked for, by client
	Violation *Violation    // nil: nothing was wrong
}

// Run builds the plan's cluster, breaks it, heals it and judges it.
func Run(p *Plan, o Options) (r *Report) {
	mine := *p // a run changes its plan: healing ends tails
	w := newWorld(&mine, o, coreMachines())
	defer func() {
		if v := recover(); v != nil {
			w.tracef(nil, "stopped: %v", v)
			r = w.report()
			r.Violation = w.violationOf(v)
		}
		r.Plan = p
		w.retire(r.Violation)
		if w.film != nil {
			w.finish(r.Violation)
		}
	}()
	w.boot()
	w.run(int64(p.Safety), nil)
	w.heal()
	w.freeSpace()
	w.recoverAll()
	w.useSpace()
	w.scrubAll()
	w.readBack()
	w.readSnapshots()
	w.compareMembers()
	w.compareCopies()
	w.dropSnapshots()
	w.settlePlacements()
	w.checkDisks()
	w.checkDebris()
	w.checkJoined()
	w.judge(o.Checker)
	return w.report()
}

func (w *World) report() *Report {
	w.counts.Runs, w.counts.Steps = 1, w.steps
	for _, b := range w.bodies {
		for _, d := range b.drives {
			w.hash.add(d.device.Hash())
		}
	}
	var histories []*linearizability.History
	for _, v := range w.volumes {
		if v.beyond {
			w.counts.Beyond++
		}
		histories = append(histories, v.history)
	}
	for _, v := range w.volumes {
		histories = append(histories, v.past...)
	}
	return &Report{
		Histories: histories, Plan: w.plan, Hash: uint64(w.hash), Steps: w.steps, Virtual: time.Duration(w.now),
		Counts: w.counts, Marks: w.marks.Counts, Struck: w.struck, Asked: w.asked(),
	}
}

// violationOf turns what stopped the run into what is reported: a broken
// invariant of core or sim, a failed oracle, or any other panic of a machine.
func (w *World) violationOf(v any) *Violation {
	if violation, ours := v.(*Violation); ours {
		return violation
	}
	name, text := "panic", fmt.Sprint(v)
	var broken invariant.Broken
	if err, ok := v.(error); ok && errors.As(err, &broken) {
		name, text = "invariant", broken.Claim
	}
	return &Violation{Invariant: name, Text: text, Step: w.steps, At: time.Duration(w.now), Stack: string(debug.Stack())}
}

// makers is where a world's machines come from: core, but in tests of the
// world itself.
type makers struct {
	orchestrator func(*body) node.Machine
	disk         func(b *body, d *drive, index int) node.Machine
	coordinator  func(*body, *step.Control) node.Machine
	format       func(*World, *drive)
}

func coreMachines() makers {
	return makers{
		orchestrator: func(b *body) node.Machine { return node.NewOrchestrator(b.params) },
		disk: func(b *body, d *drive, index int) node.Machine {
			return node.NewDisk(b.params, node.DiskParams{Index: index, Capacity: d.device.Size(), Taint: d.taint})
		},
		coordinator: func(b *body, c *step.Control) node.Machine {
			return node.NewCoordinator(b.params, c, b.started)
		},
		format: (*World).format,
	}
}

// newWorld builds hosts, disks and records; nothing runs yet.
func newWorld(p *Plan, o Options, m makers) *World {
	if o.Memory == nil {
		o.Memory = &Memory{}
	}
	w := &World{
		plan: p, trace: o.Trace, film: o.Film, hashes: o.Hashes, memory: o.Memory, makers: m, marks: step.Marks{Counts: make(map[step.Mark]int)},
		records: make(map[recordKey]digest), requests: make(map[uint64]*request),
		crash: newStream(p.Seed, "crash", 0), late: newStream(p.Seed, "late", 0), replies: newStream(p.Seed, "replies", 0),
		probes: newStream(p.Seed, "probe", 0),
	}
	w.hash.add(p.Seed)
	w.zeroSum = block.ChecksumOf(make([]byte, p.BlockSize))
	w.metadata = newMetadata(w, p.Nodes)
	clocks := newStream(p.Seed, "clock", 0)
	for i := range p.Nodes {
		b := &body{world: w, index: i, name: fmt.Sprintf("n%d", i), id: block.NodeID(id('n', i, 0)), rand: newStream(p.Seed, "process", i)}
		b.clock.ppm = int64(p.ClockPPM[i])
		b.clock.start = step.Time(clocks.below(int(time.Hour)))
		b.drives = []*drive{{}}
		w.bodies = append(w.bodies, b)
		w.insertDisk(b, 0)
	}
	w.network = newNetwork(w, p.Nodes)
	for i := range p.Volumes {
		w.addVolume(&p.Volumes[i])
	}
	w.awaitJoins()
	w.createVolumes()
	w.operator = newOperator(w)
	for i := range p.Clients {
		w.clients = append(w.clients, newClient(w, i, &p.Clients[i]))
	}
	return w
}

// boot schedules the start of every host, the users and the faults.
func (w *World) boot() {
	for _, b := range w.bodies {
		w.after(b.rand.span(0, 20*time.Millisecond), callStart, b.up)
	}
	w.operator.again = w.operator.turn
	w.after(30*time.Millisecond, callOperator, w.operator.again)
	for _, c := range w.clients {
		c.begin()
	}
	w.planFaults()
}

// heal ends every fault, and the workload.
func (w *World) heal() {
	w.healed = true
	if w.film != nil {
		w.shoot(Shot{Kind: shotHeal, Node: -1, Volume: -1, Text: "the safety phase is over: everything heals"})
	}
	w.tracef(nil, "everything heals")
	w.metadata.heal()
	w.network.heal()
	for _, b := range w.bodies {
		b.armed = nil
		for _, d := range b.drives {
			d.device.SetFaults(w.plan.DiskFaults)
		}
		b.up()
	}
	for i := range w.operator.wants {
		want := &w.operator.wants[i]
		want.detaching, want.patience = false, time.Second
	}
}
