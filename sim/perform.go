package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/sim/disk"
)

// crashPlan makes a process die in the middle of what one of its steps wants
// done.
type crashPlan struct {
	power   bool // the host goes too
	steps   int  // how many steps with effects are still completed
	pending bool // only steps of shards that emit disk writes or transactions count
	down    time.Duration
}

// step gives one event to a machine and performs what it asks for.
func (b *body) step(s *shard, ev *step.Event) {
	w := b.world
	if s.gone {
		ev.Message.Payload.Release()
		ev.Request.Payload.Release()
		return
	}
	if w.trace != nil {
		w.traceEvent(s, ev)
	}
	out := &s.effects
	out.Marks = w.marks
	s.machine.Step(b.clock.at(w.now), ev, out)
	if s.kind == diskShard {
		w.learnDamage(s)
	}
	w.hashEffects(s, out)
	if w.trace != nil {
		w.traceEffects(s, out)
	}
	if b.armed != nil && b.strike(s, out) {
		return
	}
	b.perform(s, out)
	out.Reset()
}

// strike reports whether the armed crash happens in this step, and makes it so.
func (b *body) strike(s *shard, out *step.Effects) bool {
	a := b.armed
	if len(out.Disk)+len(out.Sends)+len(out.Transactions)+len(out.Completions) == 0 ||
		a.pending && len(out.Disk)+len(out.Transactions) == 0 {
		return false
	}
	if a.steps--; a.steps > 0 {
		return false
	}
	b.armed = nil
	w := b.world
	w.counts.EffectCrashes++
	w.keepSome(out)
	w.tracef(b, "crash: of the effects of this step, %d disk operations, %d messages, %d transactions and %d completions happen",
		len(out.Disk), len(out.Sends), len(out.Transactions), len(out.Completions))
	b.perform(s, out)
	out.Reset()
	w.stop(b, a.power, a.down)
	return true
}

// keepSome leaves any subset of the effects that others can see. What was sent
// over a connection is a stream: only its end can be missing.
func (w *World) keepSome(out *step.Effects) {
	ppm := w.crash.below(5) * million / 4
	keep := func() bool { return w.crash.chance(ppm) }
	out.Disk = filter(out.Disk, func(*step.DiskOp) bool { return keep() })
	out.Transactions = filter(out.Transactions, func(*step.Transaction) bool { return keep() })
	out.Completions = filter(out.Completions, func(*step.Completion) bool { return keep() })
	out.Closes = filter(out.Closes, func(*step.Conn) bool { return keep() })
	var dead []step.Conn
	out.Sends = filter(out.Sends, func(m *step.Send) bool {
		for _, c := range dead {
			if c == m.Conn {
				return false
			}
		}
		if keep() {
			return true
		}
		dead = append(dead, m.Conn)
		return false
	})
	out.Controls = out.Controls[:0]
}

func filter[T any](list []T, keep func(*T) bool) []T {
	n := 0
	for i := range list {
		if keep(&list[i]) {
			list[n] = list[i]
			n++
		}
	}
	return list[:n]
}

// perform makes the effects of one step happen.
func (b *body) perform(s *shard, out *step.Effects) {
	w := b.world
	for i := range out.Dials {
		w.network.dial(s, &out.Dials[i])
	}
	for i := range out.Sends {
		w.observe(s, &out.Sends[i])
		if w.tamper != nil {
			w.tamper(s, &out.Sends[i])
		}
		w.network.send(s, &out.Sends[i])
	}
	for _, c := range out.Closes {
		w.network.close(s, c)
	}
	for i := range out.Disk {
		b.submit(s, &out.Disk[i])
	}
	for i := range out.Timers {
		t := &out.Timers[i]
		late := w.lateness()
		it := w.queue.push(max(b.clock.world(t.At), w.now) + int64(late))
		it.kind, it.body, it.life, it.shard = itemEvent, b, b.life, s
		it.event.Kind, it.event.Tag = step.EventTimer, t.Tag
	}
	for i := range out.Transactions {
		w.propose(s, &out.Transactions[i].Txn)
		w.metadata.submit(s, &out.Transactions[i])
	}
	for i := range out.Completions {
		w.complete(s, &out.Completions[i])
	}
	for i := range out.Controls {
		b.route(s, &out.Controls[i])
	}
	for i := range out.Answers {
		w.operator.answered(b, &out.Answers[i])
	}
}

// lateness draws how late a timer of a busy host fires.
func (w *World) lateness() time.Duration {
	if w.plan.TimerLateMax == 0 {
		return 0
	}
	return w.late.span(0, w.plan.TimerLateMax)
}

func (b *body) submit(s *shard, op *step.DiskOp) {
	w := b.world
	if s.kind != diskShard {
		w.fail("effects", "%s asked for a disk operation", s)
	}
	if op.Kind == step.DiskWrite {
		w.miswritten(b, s.disk)
	}
	h, took := b.drives[s.disk].submit(op)
	w.shootTransfer(s, op, took)
	it := w.queue.push(w.now + int64(took))
	it.kind, it.body, it.life, it.shard = itemDisk, b, b.life, s
	it.disk, it.handle, it.label = uint32(s.disk), h, uint32(op.Kind)+1
	it.event.Kind, it.event.Tag = step.EventDiskDone, op.Tag
}

// route hands a control to the shards it is for, after what was done before.
func (b *body) route(s *shard, c *step.Control) {
	b.world.hear(s, c)
	for _, t := range node.Targets(c) {
		switch t {
		case node.ToBody:
			b.control(c)
		case node.ToOrchestrator:
			b.tell(b.orchestrator, c)
		case node.ToDisk:
			if to := b.diskShard(c.Disk); to != nil {
				b.tell(to, c)
			}
		case node.ToCoordinator:
			if to := b.coordinator(c.Volume); to != nil {
				b.tell(to, c)
			}
		}
	}
}

func (b *body) tell(to *shard, c *step.Control) {
	it := b.world.queue.push(b.world.now)
	it.kind, it.body, it.life, it.shard = itemEvent, b, b.life, to
	it.event.Kind, it.event.Control = step.EventControl, *c
}

// control is what a machine tells the body itself.
func (b *body) control(c *step.Control) {
	switch c.Kind {
	case step.StartCoordinator:
		b.startCoordinator(c)
	case step.VolumeFenced, step.VolumeDetached:
		b.dropCoordinator(c.Volume)
	case step.VolumeWanted:
		b.world.operator.wanted(b, c.Volume)
	default: // the rest concerns the machines only
	}
}

// stop ends a process, or the power of its host, and plans its return.
func (w *World) stop(b *body, power bool, down time.Duration) {
	if power {
		b.powerLoss(disk.LossDrawn)
	} else {
		b.kill()
	}
	w.after(down, callStart, b.up)
}
