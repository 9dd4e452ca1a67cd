package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

// cut takes one direction away. Every cut is undone by one mend.
func (n *network) cut(from, to int) {
	l := &n.links[from][to]
	l.cuts++
	if l.cuts > 1 {
		return
	}
	l.cut++
	n.world.shootLink(shotCut, from, to)
	number := l.cut
	n.world.after(n.world.plan.Keepalive, callKeepalive, func() {
		if l.cuts == 0 || l.cut != number {
			return
		}
		for _, c := range n.between(from, to) {
			n.snap(c, 0, step.ConnReset)
			n.snap(c, 1, step.ConnReset)
		}
	})
}

// mend undoes one cut; what was held up is sent again.
func (n *network) mend(from, to int) {
	l := &n.links[from][to]
	if l.cuts == 0 {
		return // healed before its time
	}
	l.cuts--
	if l.cuts == 0 {
		n.world.shootLink(shotMend, from, to)
		n.release(from, to)
	}
}

// clog lets nothing arrive for a while.
func (n *network) clog(from, to int, d time.Duration) {
	l := &n.links[from][to]
	l.clogged = max(l.clogged, n.world.now+int64(d))
	n.world.after(d, callHeal, func() { n.release(from, to) })
}

func (n *network) release(from, to int) {
	l := &n.links[from][to]
	if l.cuts > 0 || n.world.now < l.clogged {
		return
	}
	for _, c := range n.between(from, to) {
		for i := range c.ends {
			e := &c.ends[i]
			if e.body.index != to {
				continue
			}
			for ; e.waiting > 0; e.waiting-- {
				n.token(c, i, 0)
			}
		}
	}
}

// between returns the connections that use a link, oldest first.
func (n *network) between(from, to int) (list []*conn) {
	for _, c := range n.conns {
		a, b := c.ends[0].body.index, c.ends[1].body.index
		if !c.local && (a == from && b == to || a == to && b == from) {
			list = append(list, c)
		}
	}
	return list
}

// of returns the connections of a body, oldest first.
func (n *network) of(b *body) (list []*conn) {
	for _, c := range n.conns {
		if c.ends[0].body == b || c.ends[1].body == b {
			list = append(list, c)
		}
	}
	return list
}

// reset breaks one connection between two hosts, drawn from all.
func (n *network) reset(pick uint64) {
	c := n.remote(pick)
	if c == nil {
		return
	}
	n.world.tracef(nil, "network: connection %d (%s to %s) is reset", c.number, c.ends[0].body.name, c.ends[1].body.name)
	n.truncate(c, 0, step.ConnReset)
	n.truncate(c, 1, step.ConnReset)
}

// resetTo breaks the connections that other hosts made to a body.
func (n *network) resetTo(b *body) {
	for _, c := range n.of(b) {
		if !c.local && c.ends[1].body == b && c.ends[1].shard != nil {
			n.truncate(c, 0, step.ConnReset)
			n.truncate(c, 1, step.ConnReset)
		}
	}
}

// halve holds up what a body sends over one of its connections, until the body
// gives it up and long after: then it arrives, beside what the next connection
// brings. Nothing but a keepalive tells the other end.
func (n *network) halve(b *body, pick uint64, d time.Duration) {
	var list []*conn
	for _, c := range n.of(b) {
		if !c.local && c.ends[0].body == b && c.ends[1].shard != nil {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return
	}
	c := list[pick%uint64(len(list))]
	c.stuck, c.mute = true, true
	n.world.after(d/4, callFault, func() { n.snap(c, 0, step.ConnReset) })
	n.world.after(d, callHeal, func() {
		c.stuck = false
		for e := &c.ends[1]; e.waiting > 0; e.waiting-- {
			n.token(c, 1, 0)
		}
	})
	n.world.after(d+n.world.plan.Keepalive, callKeepalive, func() { n.snap(c, 1, step.ConnReset) })
}

// flip flips a bit of a frame under way. The receiver's checksum finds it: the
// frame is dropped with all that follows, and the receiver resets.
func (n *network) flip(pick uint64) {
	c := n.remote(pick)
	if c == nil {
		return
	}
	to := int(pick>>32) & 1
	if e := &c.ends[to]; e.first < len(e.frames) {
		n.spoil(e, &e.frames[e.first], scramble(pick))
	}
	n.truncate(c, to, step.ConnReset)
	n.truncate(c, 1-to, step.ConnReset)
}

func (n *network) remote(pick uint64) *conn {
	var list []*conn
	for _, c := range n.conns {
		if !c.local && c.ends[1].shard != nil {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[pick%uint64(len(list))]
}

// died tells the network that a body's process is gone. A host that is still
// there closes its connections; one without power says nothing.
func (n *network) died(b *body, powered bool) {
	for _, c := range n.of(b) {
		for i := range c.ends {
			e := &c.ends[i]
			if e.body != b || !e.open {
				continue
			}
			other := 1 - i
			n.shut(c, i)
			if c.local || !c.ends[other].open {
				continue
			}
			if powered {
				n.truncate(c, other, step.ConnReset)
				continue
			}
			n.world.after(n.world.plan.Keepalive, callKeepalive, func() { n.snap(c, other, step.ConnReset) })
		}
	}
}

// heal makes every link good again.
func (n *network) heal() {
	n.world.plan.TailOneIn = 0
	for from := range n.links {
		for to := range n.links[from] {
			l := &n.links[from][to]
			if l.cuts > 0 {
				n.world.shootLink(shotMend, from, to)
			}
			l.cuts, l.clogged = 0, 0
			l.cut++
			n.release(from, to)
		}
	}
}
