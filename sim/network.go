package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// network joins the bodies by streams like TCP's: what arrives does so in
// order, once, or the connection breaks and takes what was under way with it.
//
//	send ──▶ [ frames under way ] ──token──▶ deliver
//	             │      cut, clogged: the token waits for the link
//	             └─ reset: the tail is lost, then "closed" arrives
type network struct {
	world *World
	rand  stream
	links [][]link // [from][to], one direction each
	wire  []byte   // one frame of the production network
	tears stream   // where a frame breaks
	conns []*conn  // oldest first; those with an open end
	made  uint64
}

// link is one direction between two hosts.
type link struct {
	base    time.Duration
	cuts    int    // partitions that hold it cut
	cut     uint64 // number of the newest cut, to tell whether it is still the same
	clogged int64  // nothing arrives before
}

// conn is one connection. End 0 dialled, end 1 accepted.
type conn struct {
	number uint64
	hello  message.Hello
	local  bool
	mute   bool // one end is gone, and nothing will tell the other
	stuck  bool // what goes to end 1 is held up
	made   int64
	ends   [2]end

	incarnation block.Incarnation // that promised on it
}

// end is one side of a connection.
type end struct {
	body    *body
	shard   *shard
	id      step.Conn
	open    bool    // the machine there takes it for open
	dialled bool    // open, but not yet connected
	frames  []frame // under way towards this end
	first   int     // of frames
	waiting int     // tokens that wait for the link
	last    int64   // when the newest token arrives
}

type frameKind uint8

const (
	frameConnected frameKind = iota + 1
	frameMessage
	frameClosed
)

// frame is one unit of a stream.
type frame struct {
	kind     frameKind
	reason   step.ConnError
	crc      block.Checksum // of the payload when it was sent
	sent     int64
	sentStep uint64
	message  message.Message
}

func newNetwork(w *World, nodes int) network {
	n := network{world: w, rand: newStream(w.plan.Seed, "net", 0), tears: newStream(w.plan.Seed, "tears", 0)}
	n.links = make([][]link, nodes)
	for from := range n.links {
		n.links[from] = make([]link, nodes)
		for to := range n.links[from] {
			n.links[from][to].base = n.rand.span(w.plan.LatencyMin, w.plan.LatencyMax)
		}
	}
	return n
}

func (n *network) link(c *conn, to int) *link {
	return &n.links[c.ends[1-to].body.index][c.ends[to].body.index]
}

// latency draws how long one frame takes over l.
func (n *network) latency(l *link) time.Duration {
	d := l.base/2 + n.rand.span(0, l.base)
	if n.world.plan.TailOneIn > 0 && n.rand.oneIn(n.world.plan.TailOneIn) {
		d *= time.Duration(n.rand.between(10, 100)) // without tails, orders that matter hardly ever occur
	}
	return d
}

// put sends a frame towards an end.
func (n *network) put(c *conn, to int, f frame) {
	e := &c.ends[to]
	f.sent, f.sentStep = n.world.now, n.world.steps
	e.frames = append(e.frames, f)
	n.token(c, to, 0)
}

// token schedules one arrival at an end, never before those that came first.
func (n *network) token(c *conn, to int, d time.Duration) {
	e := &c.ends[to]
	at := n.world.now
	if c.local {
		at += int64(n.rand.span(0, 2*time.Microsecond))
	} else {
		l := n.link(c, to)
		at = max(at+int64(d+n.latency(l)), l.clogged)
	}
	e.last = max(e.last, at)
	it := n.world.queue.push(e.last)
	it.kind, it.conn, it.to, it.body = itemFrame, c, uint8(to), e.body
}

// arrive takes the next frame of a connection to its end.
func (n *network) arrive(c *conn, to int) {
	e := &c.ends[to]
	if !c.local {
		if l := n.link(c, to); l.cuts > 0 || n.world.now < l.clogged || e.waiting > 0 || c.stuck && to == 1 {
			e.waiting++
			return
		}
	}
	if e.first == len(e.frames) {
		return // lost with a reset
	}
	f := e.frames[e.first]
	e.frames[e.first] = frame{}
	e.first++
	if e.first == len(e.frames) {
		e.frames, e.first = e.frames[:0], 0
	}
	n.deliver(c, to, &f)
}

func (n *network) deliver(c *conn, to int, f *frame) {
	e := &c.ends[to]
	n.world.shootFrame(c, to, f, e.open)
	if !e.open {
		f.message.Payload.Release()
		if f.kind == frameMessage && e.body.powered {
			n.resetFromDead(c, to)
		}
		return
	}
	it := &n.world.scratch
	*it = step.Event{Conn: e.id}
	switch f.kind {
	case frameConnected:
		e.dialled = false
		it.Kind = step.EventConnected
	case frameMessage:
		it.Kind, it.Message = step.EventMessage, f.message
		it.Message.Payload = n.handOver(c, e, f)
		if n.world.plan.Wire && !c.local {
			it.Message = n.overWire(e, &it.Message)
		}
	case frameClosed:
		n.shut(c, to)
		it.Kind, it.ConnError = step.EventClosed, f.reason
	}
	e.body.step(e.shard, it)
}

// handOver returns the payload as the receiving process gets it: its own copy,
// or, inside a process, the very reference.
func (n *network) handOver(c *conn, e *end, f *frame) block.Buffer {
	p := f.message.Payload
	if p.Empty() {
		return p
	}
	if block.ChecksumOf(p.Bytes()) != f.crc {
		n.world.fail("buffers", "the payload of a message %d was changed after it was sent", f.message.Kind)
	}
	if c.local {
		return p
	}
	mine := e.body.pool.Get(p.Len())
	copy(mine.Bytes(), p.Bytes())
	p.Release()
	return mine
}

// resetFromDead answers a frame for a connection that this host does not know
// any more: the sender learns that it is broken.
func (n *network) resetFromDead(c *conn, to int) {
	other := &c.ends[1-to]
	if other.open && !c.local && !c.mute {
		n.lose(c, 1-to, 0)
		n.put(c, 1-to, frame{kind: frameClosed, reason: step.ConnReset})
	}
}

// send takes one message of a machine.
func (n *network) send(s *shard, m *step.Send) {
	c, to := s.peer(m.Conn)
	if c == nil {
		m.Message.Payload.Release() // it broke while the step was under way
		return
	}
	if c.ends[1-to].dialled {
		n.world.fail("connections", "%s sent a message %d before the connection was made", s, m.Message.Kind)
	}
	f := frame{kind: frameMessage, message: m.Message}
	if !m.Message.Payload.Empty() {
		f.crc = block.ChecksumOf(m.Message.Payload.Bytes())
	}
	n.put(c, to, f)
}

// close is a machine's end of a connection: in order, after what it sent.
func (n *network) close(s *shard, id step.Conn) {
	c, to := s.peer(id)
	if c == nil {
		return
	}
	n.shut(c, 1-to)
	if c.ends[to].open {
		n.put(c, to, frame{kind: frameClosed, reason: step.ConnClosed})
	}
}

// shut makes one end forget the connection.
func (n *network) shut(c *conn, at int) {
	e := &c.ends[at]
	e.open = false
	n.lose(c, at, 0)
	e.shard.forget(e.id)
	if !c.ends[0].open && !c.ends[1].open {
		for i, o := range n.conns {
			if o == c {
				n.conns = append(n.conns[:i], n.conns[i+1:]...)
				break
			}
		}
	}
}

// lose drops the frames under way towards an end, but the first keep of them.
func (n *network) lose(c *conn, to, keep int) {
	e := &c.ends[to]
	for i := e.first + keep; i < len(e.frames); i++ {
		n.world.shootFrame(c, to, &e.frames[i], false)
		e.frames[i].message.Payload.Release()
		e.frames[i] = frame{}
	}
	e.frames = e.frames[:min(len(e.frames), e.first+keep)]
}

// truncate breaks a connection for one end: of what is under way a part still
// arrives, then the end hears of it.
func (n *network) truncate(c *conn, to int, reason step.ConnError) {
	e := &c.ends[to]
	if !e.open {
		return
	}
	keep := n.rand.below(len(e.frames) - e.first + 1)
	if e.first+keep < len(e.frames) {
		n.tear(e, &e.frames[e.first+keep])
	}
	n.lose(c, to, keep)
	n.put(c, to, frame{kind: frameClosed, reason: reason})
}

// snap makes one end find out, by itself, that the connection is dead.
func (n *network) snap(c *conn, at int, reason step.ConnError) {
	e := &c.ends[at]
	if !e.open {
		return
	}
	n.world.afterOn(e.body, 0, callKeepalive, func() {
		if !e.open {
			return
		}
		n.shut(c, at)
		n.world.scratch = step.Event{Kind: step.EventClosed, Conn: e.id, ConnError: reason}
		e.body.step(e.shard, &n.world.scratch)
	})
}
