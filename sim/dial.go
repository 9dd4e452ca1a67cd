package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

const (
	dialTimeout = 1 * time.Second
	// acceptedBit tells the connections a shard accepted from those it dialled.
	acceptedBit = step.Conn(1) << 63
)

// dial starts a connection to a shard of another node, or of the same one.
func (n *network) dial(s *shard, d *step.Dial) {
	w := n.world
	target := w.bodyOf(d.Node)
	if target == nil {
		w.fail("connections", "%s dialled node %v, which does not exist", s, d.Node)
	}
	if c, _ := s.peer(d.Conn); c != nil {
		w.fail("connections", "%s dialled with the number of an open connection", s)
	}
	n.made++
	c := &conn{number: n.made, hello: d.Hello, local: target == s.body, made: w.now}
	c.ends[0] = end{body: s.body, shard: s, id: d.Conn, open: true, dialled: true}
	c.ends[1] = end{body: target}
	s.conns = append(s.conns, connRef{id: d.Conn, conn: c, peer: 1})
	n.conns = append(n.conns, c)
	if c.local {
		w.afterOn(target, n.rand.span(0, 2*time.Microsecond), callDial, func() { n.knock(c) })
		return
	}
	w.afterOn(target, n.latency(n.link(c, 1)), callDial, func() { n.knock(c) })
}

// knock is a dial's arrival at the host that it is for.
func (n *network) knock(c *conn) {
	w := n.world
	dialler, target := &c.ends[0], c.ends[1].body
	if !dialler.open {
		return
	}
	if !c.local {
		there, back := n.link(c, 1), n.link(c, 0)
		if there.cuts > 0 || back.cuts > 0 || w.now < there.clogged || !target.powered {
			n.failDial(c, step.ConnTimeout, dialTimeout-time.Duration(w.now-c.made))
			return
		}
	}
	if target.life == 0 {
		n.failDial(c, step.ConnRefused, n.latency(n.link(c, 0)))
		return
	}
	s := target.diskShard(c.hello.Disk)
	if s == nil || c.hello.Version != message.Version {
		n.failDial(c, step.ConnDenied, n.latency(n.link(c, 0)))
		return
	}
	s.accepted++
	e := &c.ends[1]
	e.shard, e.id, e.open = s, s.accepted|acceptedBit, true
	s.conns = append(s.conns, connRef{id: e.id, conn: c, peer: 0})
	n.put(c, 0, frame{kind: frameConnected})
	w.scratch = step.Event{Kind: step.EventAccepted, Conn: e.id, Hello: c.hello}
	target.step(s, &w.scratch)
}

func (n *network) failDial(c *conn, reason step.ConnError, after time.Duration) {
	n.world.afterOn(c.ends[0].body, max(after, 0), callDialled, func() {
		n.snap(c, 0, reason)
	})
}
