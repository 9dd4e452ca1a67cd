package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
)

// What a run does to its cluster is a schedule: faults, which a plan draws before
// it starts, and operations, which clients draw as it goes. Both are recorded,
// and both can be given instead of drawn, whole or in part: a seed's other draws
// (delays, losses) stay what they are.

// Operation is one thing that a client asks of its volume.
type Operation struct {
	At    time.Duration
	Kind  OperationKind
	FUA   bool
	Range block.Range
	Moves bool // the client first goes to the newest coordinator
}

func (o *Operation) String() string {
	return fmt.Sprintf("%v: %s %v fua %v moves %v", o.At, o.Kind, o.Range, o.FUA, o.Moves)
}

// Incident is a fault that struck.
type Incident struct {
	Fault    Fault
	Whom     int  // the node concerned: the holder's, where the fault asks for the holder
	Withheld bool // the protocol does not promise to survive it, so it did not happen
}

func (i *Incident) String() string {
	text := fmt.Sprintf("%v: %s", i.Fault.At, i.what())
	if i.Fault.For > 0 {
		text += fmt.Sprintf(" for %v", i.Fault.For)
	}
	if i.Withheld {
		text += ", withheld: no other whole copy was left"
	}
	return text
}

// what says what struck whom.
func (i *Incident) what() string {
	text := fmt.Sprintf("%v of n%d", i.Fault.Kind, i.Whom)
	switch i.Fault.Kind {
	case CutOneWay, ClogLink, FlapLink, CreateTwice, DeleteAttached:
		text += fmt.Sprintf(" and n%d", i.Fault.Peer)
	default: // one node, or all
	}
	return text
}

// incur makes a fault strike and notes it.
func (w *World) incur(f *Fault) {
	i := Incident{Fault: *f, Whom: f.Node}
	if f.Kind == IsolateHolder || f.Kind == PauseHolder {
		i.Whom = w.holder(f).index
	}
	before := w.counts.Faults[f.Kind]
	shot := w.shootFault(&i)
	w.strike(f)
	i.Withheld = w.counts.Faults[f.Kind] == before
	w.struck = append(w.struck, i)
	if !i.Withheld {
		w.note(&i)
	} else if w.film != nil {
		w.film.Shots[shot].Text = i.String()
	}
}

// asked returns what clients asked for, by client.
func (w *World) asked() [][]Operation {
	all := make([][]Operation, len(w.clients))
	for i, c := range w.clients {
		all[i] = c.asked
	}
	return all
}

// Script returns the plan of a run that asks for what r's clients asked for. It
// shares nothing with r's plan.
func (r *Report) Script() *Plan {
	p := r.Plan.clone()
	p.Scripted = true
	for i := range p.Clients {
		c := &p.Clients[i]
		c.Script = slices.Clone(r.Asked[i])
		c.Operations, c.Think, c.ReadShare, c.Depth = 0, 0, 0, 0
	}
	return p
}

// clone copies a plan with all that it refers to.
func (p *Plan) clone() *Plan {
	mine := *p
	mine.Faults, mine.ClockPPM = slices.Clone(p.Faults), slices.Clone(p.ClockPPM)
	mine.Volumes, mine.Clients = slices.Clone(p.Volumes), slices.Clone(p.Clients)
	for i := range mine.Volumes {
		mine.Volumes[i].Members = slices.Clone(p.Volumes[i].Members)
	}
	for i := range mine.Clients {
		mine.Clients[i].Script = slices.Clone(p.Clients[i].Script)
	}
	return &mine
}

// begin schedules a client's first turn.
func (c *client) begin() {
	if !c.world.plan.Scripted {
		c.world.after(c.rand.span(0, c.think), callClient, c.turn)
		return
	}
	c.await()
}

// await schedules the next operation of a script.
func (c *client) await() {
	if len(c.script) > 0 {
		c.world.after(c.script[0].At-time.Duration(c.world.now), callClient, c.turn)
	}
}

// follow asks for the next operation of a script, of whom the script says or, if
// that one is gone, of the newest coordinator.
func (c *client) follow() {
	if c.world.healed {
		return
	}
	if c.volume.restore.stands {
		c.world.after(restoreTurn, callClient, c.turn)
		return
	}
	o := c.script[0]
	c.script = c.script[1:]
	if o.Moves || c.mount == nil || c.mount.shard.gone || !c.mount.ready {
		c.leave()
		c.mount = c.volume.newest()
	}
	if c.mount != nil && int(o.Range.End()) <= c.volume.plan.Blocks {
		c.perform(o)
	}
	c.await()
}

// note records an operation as a script has it.
func (c *client) note(o *Operation) {
	noted := *o
	noted.At, noted.Moves = time.Duration(c.world.now), c.mount != c.asker && c.mount == c.volume.newest()
	c.asker = c.mount
	c.asked = append(c.asked, noted)
}
