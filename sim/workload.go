package sim

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/linearizability"
)

// client is one user of a volume's device. It stays with one coordinator until
// that one is gone, or it loses patience, or it is moved: so coordinators that
// were replaced without knowing it keep their users.
type client struct {
	world     *World
	index     int
	volume    *volumeState
	rand      stream
	seldom    stream // of the rare operations: the others stay what they were
	mount     *serving
	patience  time.Duration
	depth     int
	inFlight  int
	written   uint64 // stamps used
	left      int    // operations still to be asked
	think     time.Duration
	readShare int
	rare      bool   // it asks for the rare operations too
	back      stream // of the turns in which it takes its volume back
	end       stream // and of those in which it deletes it
	mover     stream // of the operations that change copies: likewise
	moves     bool   // it asks for those too
	grower    stream // of the turns in which its volume grows
	grows     bool
	drainer   stream // of the operations that ask something of nodes
	drains    bool
	mapper    stream // of the turns in which it asks for maps
	maps      bool
	picks     uint64 // of the last of them
	epoch     int    // of the mount: what was asked in an older one is not waited for
	script    []Operation
	asked     []Operation     // so far
	asker     *serving        // of the last one
	turn      func()          // tick or follow
	values    []uint64        // of the last write
	asking    *operationAsked // what the next request is a part of; nil: it is one of its own
}

// request is one operation at a coordinator: a range within a chunk.
type request struct {
	id      uint64
	client  *client
	epoch   int
	history *linearizability.History // of the volume, when it was asked
	op      linearizability.Op
	of      *operation
	kind    step.RequestKind
	blocks  block.Range
	apart   bool          // a read that no history knows: of a snapshot, or to compare with the stream
	layer   block.LayerID // of such a read: the snapshot; 0: the volume
	maps    bool          // only where there is data is asked for
	present uint16        // the answer to that
	mount   *serving
	asked   int64
	at      block.Position // of a write: its record, once it was seen
	floor   block.Seq      // of a flush: every record up to here must be durable when it returns
	losses  int            // of the volume, when it was asked
	fua     bool
	reader  func(ok bool)    // of the read-back
	group   *operationAsked  // of a device that may outlive its process
	payload []byte           // likewise: what is written
	era     block.Epoch      // of the session that was asked again, 0: none was
	earlier []block.Position // its records of the sessions before
}

func newClient(w *World, index int, p *ClientPlan) *client {
	c := &client{
		world: w, index: index, volume: w.volumes[p.Volume], rand: newStream(w.plan.Seed, "client", index),
		seldom:   newStream(w.plan.Seed, "client seldom", index),
		patience: p.Patience, depth: p.Depth, left: p.Operations, think: p.Think, readShare: p.ReadShare, script: p.Script,
		rare: w.plan.Snapshots > 0, back: newStream(w.plan.Seed, "client restores", index),
		end:   newStream(w.plan.Seed, "client deletes", index),
		mover: newStream(w.plan.Seed, "client mover", index), moves: w.plan.Copies,
		grower: newStream(w.plan.Seed, "client grower", index), grows: w.plan.Grows,
		drainer: newStream(w.plan.Seed, "client drainer", index), drains: w.plan.Drains,
		mapper: newStream(w.plan.Seed, "client mapper", index), maps: w.plan.Maps,
	}
	if c.turn = c.tick; w.plan.Scripted {
		c.turn = c.follow
	}
	return c
}

// tick is one turn of a client: ask something, then think.
func (c *client) tick() {
	w := c.world
	if w.healed || c.left == 0 {
		return
	}
	c.choose()
	if c.mount != nil && c.mount.survivor == nil && c.inFlight < c.depth && !c.volume.restore.stands {
		c.left--
		c.ask()
	}
	w.after(c.rand.span(c.think/2, c.think*3/2), callClient, c.turn)
}

// choose finds a coordinator to talk to.
func (c *client) choose() {
	switch {
	case c.mount == nil:
	case c.mount.survivor != nil: // it waits for a process, and most of them with it
		if c.impatient() && c.rand.oneIn(8) {
			c.leave()
		}
		return
	case c.mount.shard.gone || !c.mount.ready || c.impatient() && c.rand.oneIn(2):
		c.leave()
	case c.impatient(): // other threads of the container go on where they are
		c.giveUp()
	}
	newest := c.volume.newest()
	switch {
	case newest == nil || newest == c.mount:
	case c.mount == nil:
		c.mount = newest
	case c.rand.oneIn(64): // the container is moved, while the old one runs on
		c.leave()
		c.mount = newest
	}
}

// newest returns the youngest coordinator that serves.
func (v *volumeState) newest() *serving {
	for i := len(v.servings) - 1; i >= 0; i-- {
		if st := v.servings[i]; st.ready && !st.shard.gone {
			return st
		}
	}
	return nil
}

func (c *client) impatient() bool {
	if c.inFlight < c.depth {
		return false
	}
	for _, r := range c.mount.requests {
		if r.client == c && r.epoch == c.epoch && c.world.now-r.asked < int64(c.patience) {
			return false
		}
	}
	return true
}

func (c *client) leave() {
	c.mount = nil
	c.giveUp()
}

// giveUp stops waiting for what was asked.
func (c *client) giveUp() {
	c.inFlight = 0
	c.epoch++
}

// ask draws one operation and performs it.
func (c *client) ask() { c.perform(c.draw()) }

func (c *client) perform(o Operation) {
	of := &operations[o.Kind]
	of.perform(c, of, o)
}

// crowdMax bounds the requests on one block that are under way at once: the
// search for an order of more takes for ever.
const crowdMax = 7

func (v *volumeState) crowded(r block.Range) bool {
	return slices.ContainsFunc(v.busy[r.First:r.End()], func(n uint8) bool { return n >= crowdMax })
}

// occupy counts a request on its blocks while it is under way.
func (v *volumeState) occupy(r block.Range, by int) {
	for b := r.First; b < r.End(); b++ {
		v.busy[b] = uint8(int(v.busy[b]) + by)
	}
}

// request sends one request to the coordinator and records the call.
func (c *client) request(kind step.RequestKind, fua bool, r block.Range) *request {
	return c.requestOf(&operations[kind], kind, fua, r)
}

func (c *client) requestOf(of *operation, kind step.RequestKind, fua bool, r block.Range) *request {
	w, st := c.world, c.mount
	w.requested++
	q := w.newRequest()
	*q = request{id: w.requested, client: c, epoch: c.epoch, of: of, kind: kind, fua: fua, blocks: r, mount: st, asked: w.now}
	q.floor, q.losses = c.volume.acked, c.volume.losses
	q.history = c.volume.history
	it := w.queue.push(w.now)
	it.kind, it.body, it.life, it.shard = itemEvent, st.shard.body, st.shard.body.life, st.shard
	it.event.Kind = step.EventRequest
	it.event.Request = step.Request{ID: q.id, Kind: kind, FUA: fua, Range: r}
	q.op = of.call(c, q, &it.event.Request)
	c.group(q, &it.event.Request)
	if st.era != 0 {
		q.history.Serve(q.op, st.era)
	}
	c.volume.occupy(r, 1)
	st.requests = append(st.requests, q)
	w.requests[q.id] = q
	w.counts.Asked++
	c.inFlight++
	w.shootRequest(shotAsk, q, "", it.event.Request.Payload.Bytes())
	return q
}

// newRequest returns a request. They are allocated by the chunk: the judges ask
// about old ones.
func (w *World) newRequest() *request {
	const chunk = 64
	if len(w.fresh) == 0 {
		w.fresh = make([]request, chunk)
	}
	q := &w.fresh[0]
	w.fresh = w.fresh[1:]
	return q
}

// stamps fills a buffer with what a write of r writes.
func (c *client) stamps(r block.Range) ([]uint64, block.Buffer) {
	size := c.world.plan.BlockSize
	payload := c.mount.shard.body.pool.Get(int(r.Count) * size)
	c.values = c.values[:0]
	for i := range int(r.Count) {
		c.written++
		s := linearizability.Stamp{Volume: c.volume.id, Block: r.First + block.Block(i), Writer: uint16(c.index + 1), Seq: c.written}
		s.Encode(payload.Bytes()[i*size : (i+1)*size])
		c.values = append(c.values, s.Value())
	}
	return c.values, payload
}

// valueOf returns the value in a stamp (see linearizability.Stamp), unchecked.
func valueOf(data []byte) uint64 { return binary.LittleEndian.Uint64(data[32:]) }

// complete takes a coordinator's answer.
func (w *World) complete(s *shard, c *step.Completion) {
	q := w.requests[c.ID]
	if q == nil || q.mount.shard != s {
		w.fail("completions", "%s completes request %d, which it was not asked or has completed already", s, c.ID)
	}
	q.present = c.Present
	if q.apart {
		w.completeApart(s, q, c)
		return
	}
	if q.group != nil {
		w.reply(s, q, c)
		return
	}
	w.answered(s, q, c)
}

// answered has a client know how its request ended.
func (w *World) answered(s *shard, q *request, c *step.Completion) {
	switch q.outcome(c.Error) {
	case step.RequestOK:
		w.counts.Acknowledged++
		w.checkOverlap(q)
		q.of.done(w, q, s, c.Payload.Bytes())
	case step.RequestNoSpace:
		w.noSpace(s, q)
	case step.RequestIO:
		w.unreadable(s, q)
	case step.RequestAmbiguous:
		w.counts.Ambiguous++
		q.history.Ambiguous(q.op)
	case step.RequestRefused:
		w.counts.Refused++
		q.history.Fail(w.now, q.op)
	}
	w.shootRequest(shotAnswer, q, outcomeText(c.Error), c.Payload.Bytes())
	c.Payload.Release()
	w.finished(q, c.Error == step.RequestOK)
}

// outcome is what an answer means to who asked. What was asked again may have been
// done the first time.
func (q *request) outcome(told step.RequestError) step.RequestError {
	if q.era != 0 && (told == step.RequestRefused || told == step.RequestNoSpace) {
		return step.RequestAmbiguous
	}
	return told
}

func (w *World) finished(q *request, ok bool) {
	delete(w.requests, q.id)
	q.client.volume.occupy(q.blocks, -1)
	list := q.mount.requests
	for i, o := range list {
		if o == q {
			q.mount.requests = append(list[:i], list[i+1:]...)
			break
		}
	}
	if q.client.epoch == q.epoch {
		q.client.inFlight--
	}
	if q.reader != nil {
		q.reader(ok)
	}
}

// abandon ends every request of a coordinator that is gone: nobody will ever
// know what became of them.
func (w *World) abandon(s *shard) {
	st := s.state
	for len(st.requests) > 0 {
		if q := st.requests[0]; !q.apart {
			w.shootRequest(shotAnswer, q, "the coordinator is gone", nil)
		}
		st.requests[0].group.undo()
		w.finished(st.requests[0], false)
	}
	for i, o := range st.volume.servings {
		if o == st {
			st.volume.servings = append(st.volume.servings[:i], st.volume.servings[i+1:]...)
			break
		}
	}
}
