package sim

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
)

// A device may outlive the process that serves it, as one does whose descriptor
// somebody holds. What it asked for and was not told the end of it asks again of the
// next process there, before anything else; it goes on only if nothing was lost that
// it was told of. A reply takes its time to arrive:
//
//	asked ──▶ answered by the coordinator ──▶ delivered: the device knows
//	  ▲                                          │
//	  └── asked again ◀── the process is killed ─┘ before that

// device is what clients see of a volume on one node, as long as it is there.
type device struct {
	volume *volumeState
	number uint64      // of the attachment that it was made for
	era    block.Epoch // of the session that served it first
	losses int         // that takeovers had settled by then
}

// survivor is a device whose process is gone.
type survivor struct {
	*device
	mount    *serving   // which its clients know
	requests []*request // not answered
}

// operationAsked is one operation of a device, cut into requests: it has one reply.
type operationAsked struct {
	number   uint64
	whole    block.Range
	parts    int
	requests []*request // answered, and not yet delivered
	answers  []step.Completion
}

// drawSurvival has devices outlive their processes in a third of the runs, and
// kills some more of those that serve volumes.
func (p *Plan) drawSurvival() {
	s := newStream(p.Seed, "survival", 0)
	if p.Profile != Swarm || !s.oneIn(3) {
		return
	}
	p.Survival, p.ReplyMax = true, s.logSpan(100*time.Microsecond, 50*time.Millisecond)
	for range s.logBetween(1, 8) {
		f := p.drawFault(&s, KillHolder)
		f.For = s.logSpan(time.Millisecond, 4*time.Second)
		p.Faults = append(p.Faults, f)
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
}

// killHolder kills the process that serves a volume, at once or while a reply is on
// its way. Now and then the power of all others goes meanwhile.
func (w *World) killHolder(f *Fault) {
	kill := func() {
		if w.healed {
			return
		}
		b := w.holder(f)
		w.stop(b, false, f.For)
		if f.Pick>>8%4 != 0 {
			return
		}
		for i, o := range w.bodies {
			if o != b {
				w.stop(o, true, time.Duration(scramble(f.Pick^uint64(i)<<8)%uint64(2*f.For+1)))
			}
		}
	}
	if w.plan.Survival && f.Pick>>16%2 == 0 {
		w.onReply = append(w.onReply, kill)
		return
	}
	kill()
}

// group makes a request one of an operation of a device that may outlive its process.
func (c *client) group(q *request, r *step.Request) {
	if c.mount.device == nil {
		return
	}
	if q.group = c.asking; q.group == nil {
		q.group = &operationAsked{whole: q.blocks}
	}
	if q.group.parts++; q.group.number == 0 {
		q.group.number = q.id
	}
	q.mark(r)
	q.payload = slices.Clone(r.Payload.Bytes())
}

// mark says of which operation a request that changes something is a part.
func (q *request) mark(r *step.Request) {
	if q.kind != step.WriteRequest && q.kind != step.ZeroRequest {
		return
	}
	if r.Operation = q.group.number; q.group.whole != q.blocks {
		r.Whole = q.group.whole
	}
}

// reply takes the answer to a request of a device that may outlive its process; once
// all of its operation are there, they are on their way.
func (w *World) reply(s *shard, q *request, c *step.Completion) {
	g := q.group
	g.requests, g.answers = append(g.requests, q), append(g.answers, *c)
	if len(g.answers) < g.parts {
		return
	}
	failed := slices.ContainsFunc(g.answers, func(c step.Completion) bool { return c.Error != step.RequestOK })
	if failed || !w.replies.oneIn(2) {
		w.deliver(s, g)
		return
	}
	late := w.replies.span(0, w.plan.ReplyMax)
	w.after(late, callReply, func() {
		if len(g.answers) == g.parts && g.requests[0].mount.shard == s && !s.gone {
			w.deliver(s, g)
		}
	})
	if q.kind == step.WriteRequest {
		for _, strike := range w.onReply {
			w.after(w.replies.span(0, late), callFault, strike)
		}
		w.onReply = nil
	}
}

// deliver has the device know how its operation ended, and its coordinator that.
func (w *World) deliver(s *shard, g *operationAsked) {
	requests, answers := g.requests, g.answers
	g.requests, g.answers = nil, nil
	kind := requests[0].kind
	for i, q := range requests {
		w.answered(s, q, &answers[i])
	}
	if kind != step.WriteRequest && kind != step.ZeroRequest {
		return
	}
	it := w.queue.push(w.now)
	it.kind, it.body, it.life, it.shard = itemEvent, s.body, s.body.life, s
	it.event.Kind, it.event.Request = step.EventDelivered, step.Request{Operation: g.number}
}

// undo forgets what was answered and not delivered.
func (g *operationAsked) undo() {
	if g == nil {
		return
	}
	for i := range g.answers {
		g.answers[i].Payload.Release()
	}
	g.requests, g.answers = nil, nil
}

// keepDevices has the devices of a process outlive it.
func (b *body) keepDevices() {
	for _, s := range b.coordinators {
		st := s.state
		if st.device == nil || s.gone {
			continue
		}
		v := &survivor{device: st.device, mount: st}
		st.requests = slices.DeleteFunc(st.requests, func(q *request) bool {
			if q.group == nil {
				return false
			}
			q.group.undo()
			v.requests = append(v.requests, q)
			return true
		})
		st.survivor = v
		b.survivors = append(b.survivors, v)
		b.world.tracef(b, "the device of %s outlives its process, with %d requests", v.volume.name, len(v.requests))
	}
}

// held is what a new process is told of the devices that outlived the last one.
func (b *body) held() map[block.VolumeID]orchestrator.Held {
	held := map[block.VolumeID]orchestrator.Held{}
	for _, v := range b.survivors {
		held[v.volume.id] = orchestrator.Held{Number: v.number, Era: v.era}
	}
	return held
}

// tendDevices takes down the devices whose volume is not attached here any more.
func (b *body) tendDevices() {
	const every = 50 * time.Millisecond
	w, life := b.world, b.life
	for _, v := range slices.Clone(b.survivors) {
		if a := &v.volume.attachment; v.volume.deleted || a.Node != b.id || a.Number != v.number {
			b.tearDown(v, "its volume is not attached here any more")
		}
	}
	if len(b.survivors) > 0 {
		w.after(every, callHeal, func() {
			if b.life == life {
				b.tendDevices()
			}
		})
	}
}

// tearDown ends a device without its process: nobody will know what became of what
// it had asked for.
func (b *body) tearDown(v *survivor, why string) {
	b.world.tracef(b, "the device of %s is torn down: %s", v.volume.name, why)
	b.world.counts.DevicesLost++
	b.forgetDevice(v)
	for _, q := range v.requests {
		b.world.finished(q, false)
	}
	v.requests = nil
}

func (b *body) forgetDevice(v *survivor) {
	v.mount.survivor = nil
	b.survivors = slices.DeleteFunc(b.survivors, func(o *survivor) bool { return o == v })
}

// deviceOf gives a session that comes to serve its device: the one that outlived the
// process before, if nothing was lost, or a new one.
func (w *World) deviceOf(st *serving, c *step.Control) {
	b, v := st.shard.body, st.volume
	i := slices.IndexFunc(b.survivors, func(o *survivor) bool { return o.volume == v && o.number == st.number })
	if i < 0 {
		st.device = &device{volume: v, number: st.number, era: c.Era, losses: v.settledLosses}
		return
	}
	old := b.survivors[i]
	if !c.Lossless {
		b.tearDown(old, "what it was told of may be lost")
		w.deviceOf(st, c)
		return
	}
	b.forgetDevice(old)
	st.device = old.device
	w.counts.DevicesKept++
	for _, client := range w.clients {
		if client.mount == old.mount {
			client.mount = st
		}
	}
	for _, q := range old.requests {
		w.askAgain(st, q, c.Era)
	}
}

// askAgain has a device ask once more for what it does not know the end of.
func (w *World) askAgain(st *serving, q *request, era block.Epoch) {
	w.counts.AskedAgain++
	if q.at.Seq != 0 {
		q.earlier = append(q.earlier, q.at)
	}
	q.mount, q.at, q.era = st, block.Position{}, era
	q.history.Place(q.op, block.Position{})
	st.requests = append(st.requests, q)
	it := w.queue.push(w.now)
	it.kind, it.body, it.life, it.shard = itemEvent, st.shard.body, st.shard.body.life, st.shard
	it.event.Kind = step.EventRequest
	it.event.Request = step.Request{ID: q.id, Kind: q.kind, FUA: q.fua, Map: q.maps, Range: q.blocks}
	q.mark(&it.event.Request)
	if q.kind == step.WriteRequest {
		payload := st.shard.body.pool.Get(len(q.payload))
		copy(payload.Bytes(), q.payload)
		it.event.Request.Payload = payload
	}
}

// checkDevice insists that a device which goes on was told of nothing that is lost.
func (w *World) checkDevice(st *serving) {
	if d := st.device; d != nil && d.losses != st.volume.settledLosses && !st.volume.beyond {
		w.fail("devices", "the device of %s at %s goes on, and what it was told of is lost", st.volume.name, st.shard.body.name)
	}
}
