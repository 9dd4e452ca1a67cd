package coordinator

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Replay: what the unstable window is for. Every operation that a member may lose
// with its power is in it, so that a member is never filled, nor a volume stopped,
// for what its client's node still has. The last copy is made whole by it too.

// kept is how far back the window goes for a member that was put out because it did
// not answer: one whose process starts again, or whose link was cut, is back within
// seconds, and lacks what it missed meanwhile, no more.
type kept struct {
	above block.Seq // what it may lack
	until step.Time
}

// replayable reports whether the window has everything that m lacks, and m nothing
// that others do not have.
func (c *Coordinator) replayable(m *member) bool {
	last := m.promise.LastAccepted
	return m.promise.Complete && last.Era == c.era && last.Seq+1 >= c.window.base && last.Seq < c.window.next
}

// rejoinable reports whether m, which was put out a moment ago, needs no resync. One
// whose disk failed a write is filled, whatever it says. One that may be in sync
// already, in the life in which it was here before, waits for that to be known.
func (c *Coordinator) rejoinable(m *member) bool {
	return c.phase == serving && !c.required(m) && m.State == volume.Out && c.now < m.kept.until &&
		!m.promise.Tainted && !m.astray && !c.unwanted(m) && c.replayable(m)
}

// rejoin gives m what it missed. From now on it is required.
func (c *Coordinator) rejoin(m *member, out *step.Effects) {
	out.Marks.Hit("coordinator: member that was away is given what it missed")
	m.stream(m.promise.LastAccepted.Seq)
	c.pump(m, out)
	c.renewGrant(m, out)
	c.joins(m, out)
}

// resume goes on with members that turned out to be in sync while they were here: the
// change that made them so was definite only after they had come back.
func (c *Coordinator) resume(out *step.Effects) {
	for _, m := range c.members {
		if c.Serving() && m.State == volume.InSync && m.prepared() && !m.streaming && m.condemned == "" {
			out.Marks.Hit("coordinator: member came back before it was known to be in sync")
			c.onMemberBack(m, out)
		}
	}
}

// joins makes m required. It becomes InSync once it and all others have everything
// up to here durable.
func (c *Coordinator) joins(m *member, out *step.Effects) {
	m.joining, m.joinAt = true, c.window.next-1
	c.askSyncTo(m.joinAt, out)
}

// replayRefused parts with the members that have no room for an acknowledged operation,
// which each had before it lost it. It can never be taken back. The last copy is given
// it again and again: its disk may come to have room.
func (c *Coordinator) replayRefused(seq block.Seq, out *step.Effects) {
	for _, m := range c.members {
		if c.required(m) && m.refusedAt == seq {
			out.Marks.Hit("coordinator: no room for what was acknowledged")
			c.hangUp(m, out)
			m.dialAt = c.now.Add(resyncPause)
			m.kept = kept{}
			m.condemned = "it has no room for acknowledged writes that it had and lost"
			c.afterLinkLost(m, out)
		}
	}
}

// superviseReturns ends the return of members that do not get on: everything waits
// for them meanwhile.
func (c *Coordinator) superviseReturns(out *step.Effects) {
	for _, m := range c.members {
		if m.State == volume.Out && m.joining && (m.condemned != "" || c.late(m)) {
			out.Marks.Hit("coordinator: return of a member given up")
			c.hangUp(m, out)
			m.kept = kept{}
			m.restsFor(resyncPause, c.now)
			c.advance(out)
		}
	}
}

// makeRoom has what fills the window made durable, by every member that is not at it.
func (c *Coordinator) makeRoom(out *step.Effects) {
	for _, m := range c.members {
		if c.required(m) && m.syncAsked <= m.durable {
			c.askSyncOf(m, m.sent, out)
		}
	}
}

// trimWindow drops what no member can need any more: it is acknowledged, and durable
// on all that are required. For one that was put out a moment ago, or is being filled
// and was not sent it yet, it is kept while there is room.
func (c *Coordinator) trimWindow(out *step.Effects) {
	stable := min(c.stable, c.committed)
	if windowEarly && stable < c.committed {
		out.Marks.Hit("mutant: window early")
		stable = c.committed
	}
	keep := stable
	for _, m := range c.members {
		switch {
		case m.streaming:
			keep = min(keep, m.sent)
		case m.State == volume.Out && c.now < m.kept.until:
			keep = min(keep, m.kept.above)
		}
	}
	full := c.window.full()
	c.window.dropBelow(keep)
	if keep < stable && c.window.filling() {
		out.Marks.Hit("coordinator: window not kept any longer for a member that is out")
		c.window.dropBelow(stable)
	}
	if full && !c.window.full() {
		c.startWaiting(out)
	}
}
