package sim

import (
	"fmt"
	"io"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/linearizability"
	"github.com/lagan-storage/lagan/sim/disk"
)

// World is one simulated cluster: everything that happens to it comes out of
// one queue, and everything that is random out of one seed.
type World struct {
	plan      *Plan
	makers    makers
	memory    *Memory
	now       int64 // virtual nanoseconds since the start
	steps     uint64
	queue     queue
	scratch   step.Event // what is delivered right now
	hash      digest
	trace     io.Writer
	film      *Film
	hashes    func(step, hash uint64) // after every step; nil: nobody compares
	marks     step.Marks
	counts    Counts
	bodies    []*body
	network   network
	metadata  *metadataService
	volumes   []*volumeState
	records   map[recordKey]digest // every record ever sent, by position (I4)
	operator  operator
	clients   []*client
	requests  map[uint64]*request
	requested uint64
	fresh     []request // to be used by the next ones
	layers    uint64    // snapshots asked for
	zeroSum   block.Checksum
	healed    bool                     // the safety phase is over: nothing breaks any more
	tamper    func(*shard, *step.Send) // of a scenario: changes what is sent, unseen; copies may differ then
	crash     stream                   // subsets of effects
	late      stream                   // timers of busy hosts
	probes    stream                   // which acknowledgements are looked into
	onFlush   []func()                 // faults that wait for the next acknowledged flush
	replies   stream                   // how long replies are on their way
	onReply   []func()                 // faults that wait for the next reply to a write that takes its time
	struck    []Incident
}

// itemKind says what an item of the queue is.
type itemKind uint8

const (
	itemNone  itemKind = iota
	itemEvent          // event for a shard
	itemDisk           // a disk operation ends
	itemFrame          // the next frame of a connection arrives
	itemCall           // something the world does
)

// item is something that will happen.
type item struct {
	kind   itemKind
	to     uint8  // itemFrame: which end of conn
	ended  bool   // itemDisk: the device has done its part, the process was paused
	life   uint32 // the process this is for; 0: it outlives processes
	label  uint32 // of an itemCall, for the hash
	disk   uint32
	handle disk.Handle
	body   *body  // whose pause holds it up
	held   uint64 // its place since it was held up first; 0: it was not
	shard  *shard
	conn   *conn
	call   func()
	event  step.Event
}

// after schedules a call of the world itself. label tells calls apart in the hash.
func (w *World) after(d time.Duration, label uint32, call func()) {
	it := w.queue.push(w.now + int64(d))
	it.kind, it.label, it.call = itemCall, label, call
}

// afterOn is after for something that a paused process holds up and that its
// death does not.
func (w *World) afterOn(b *body, d time.Duration, label uint32, call func()) {
	it := w.queue.push(w.now + int64(d))
	it.kind, it.label, it.call, it.body = itemCall, label, call, b
}

// Labels of calls, for the hash.
const (
	callFault uint32 = iota + 1
	callHeal
	callDial
	callDialled
	callKeepalive
	callApply
	callAnswer
	callWatch
	callStart
	callClient
	callOperator
	callLease
	callFlap
	callReply
)

// run takes events until the time is until or nothing is left, or stop says so.
func (w *World) run(until int64, stop func() bool) {
	for len(w.queue.heap) > 0 && w.queue.heap[0].at <= until {
		if stop != nil && w.steps%64 == 0 && stop() {
			return
		}
		w.one()
	}
	w.now = max(w.now, until)
}

// one takes the next event.
func (w *World) one() {
	at, order, slot, it := w.queue.pop()
	w.now = at
	if it.life != 0 && it.body.life != it.life {
		w.drop(it)
		w.queue.done(slot)
		return
	}
	if it.body != nil && at < it.body.pausedUntil {
		if it.kind == itemDisk && !it.ended {
			it.body.complete(it)
		}
		w.queue.again(it.body.pausedUntil, slot)
		return
	}
	w.steps++
	w.hash.add(uint64(at))
	w.hash.add(order<<8 | uint64(it.kind))
	w.hash.add(uint64(it.label))
	switch it.kind {
	case itemEvent:
		it.body.step(it.shard, &it.event)
	case itemDisk:
		if !it.ended {
			it.body.complete(it)
		}
		it.body.step(it.shard, &it.event)
	case itemFrame:
		w.network.arrive(it.conn, int(it.to))
	case itemCall:
		it.call()
	case itemNone:
		panic("sim: an empty item was scheduled")
	}
	if w.hashes != nil {
		w.hashes(w.steps, uint64(w.hash))
	}
	w.queue.done(slot)
}

// drop gives back what an event that nobody gets any more holds.
func (w *World) drop(it *item) {
	it.event.Message.Payload.Release()
	it.event.Request.Payload.Release()
}

// Violation is what a run found wrong.
type Violation struct {
	Invariant string // short name: "I7", "liveness", "linearizability", …
	Text      string
	Step      uint64
	At        time.Duration
	Stack     string                     // of a broken invariant in core
	Volume    int                        // by number, of a verdict about one
	Found     *linearizability.Violation // of a verdict about a history: what contradicts what
}

func (v *Violation) String() string {
	return fmt.Sprintf("step %d (%v): %s: %s", v.Step, v.At, v.Invariant, v.Text)
}

// fail ends the run: something that must hold does not.
func (w *World) fail(invariant, format string, values ...any) {
	panic(&Violation{Invariant: invariant, Text: fmt.Sprintf(format, values...), Step: w.steps, At: time.Duration(w.now)})
}

// watched reports whether anybody looks at what tracef tells.
func (w *World) watched() bool { return w.trace != nil || w.film != nil }

// tracef tells what the world does, to the event log and the film; a nil body is
// the world itself.
func (w *World) tracef(b *body, format string, values ...any) {
	if w.film != nil {
		s := Shot{Kind: shotNote, Node: -1, Volume: -1, Text: fmt.Sprintf(format, values...)}
		if b != nil {
			s.Node = b.index
		}
		w.shoot(s)
	}
	w.linef(b, format, values...)
}

// linef writes one line of the event log.
func (w *World) linef(b *body, format string, values ...any) {
	if w.trace == nil {
		return
	}
	column := "     "
	if b != nil {
		column = fmt.Sprintf("%-5s", b.name)
	}
	if _, err := fmt.Fprintf(w.trace, "%14.6f %8d %s %s\n", float64(w.now)/1e6, w.steps, column, fmt.Sprintf(format, values...)); err != nil {
		w.trace = nil // nobody reads on
	}
}

// id makes a readable identity: kind and number at its ends.
func id(kind byte, n, m int) (out block.ID) {
	out[0], out[1], out[2] = kind, byte(n), byte(m)
	out[15] = kind
	return out
}
