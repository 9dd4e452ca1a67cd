package coordinator

import (
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// wish is what reconfigure wants to make of a member.
type wish uint8

const (
	keepAsIs  wish = iota
	evict          // InSync to Out
	accept         // InSync, with its new incarnation
	giveUp         // Syncing to Out
	fill           // Out to Syncing
	readmit        // Syncing to InSync
	rejoin         // Out to InSync
	drop           // it is not wanted, and not a member any more
	stuckHere      // it should go, but no other could carry the volume on
)

// reconfigure compares what members are with what they should be and proposes
// the difference, all of it in one change. Level-triggered: it is safe to call
// after any event, and does nothing while a change is under way.
func (c *Coordinator) reconfigure(out *step.Effects) {
	if c.proposed != nil || !c.Serving() {
		return
	}
	var next *volume.Config
	filling := false
	for _, m := range c.members {
		w := c.wishFor(m, out)
		if w == fill && (filling || c.resync != nil) {
			w = keepAsIs // one at a time
		}
		filling = filling || w == fill
		if w == keepAsIs || w == stuckHere {
			continue
		}
		if next == nil {
			next = c.config.Clone()
		}
		if w == drop {
			dropMember(next, m, out)
			continue
		}
		c.grantWish(next.Member(m.Replica), m, w, out)
	}
	if missing := c.missingPlaces(); len(missing) > 0 {
		out.Marks.Hit("coordinator: wanted copy added")
		if next == nil {
			next = c.config.Clone()
		}
		for _, at := range missing {
			next.Members = append(next.Members, volume.Member{Replica: at.Replica, Node: at.Node, Disk: at.Disk, State: volume.Out})
		}
	}
	if least := c.wantedMinWritable(); least != c.config.MinWritable {
		if next == nil {
			next = c.config.Clone()
		}
		next.MinWritable = least
	}
	if next = c.enlarge(next, out); next != nil {
		c.propose(next, out)
		return
	}
	c.reportHealth(out)
}

// dropMember takes a member that is not wanted out of a configuration. One that is
// in sync is required until that is definite.
func dropMember(next *volume.Config, m *member, out *step.Effects) {
	if m.State == volume.InSync {
		out.Marks.Hit("coordinator: member in sync dropped")
	} else {
		out.Marks.Hit("coordinator: member that is out dropped")
	}
	next.Members = slices.DeleteFunc(next.Members, func(o volume.Member) bool { return o.Replica == m.Replica })
}

func (c *Coordinator) wishFor(m *member, out *step.Effects) wish {
	unwanted := c.unwanted(m)
	switch m.State {
	case volume.InSync:
		if unwanted && c.dispensable(out) {
			return drop
		}
		return c.wishForInSync(m)
	case volume.Syncing:
		switch {
		case unwanted || c.resync == nil || c.resync.target != m:
			return giveUp
		case m.joining && c.allDurable(m.joinAt):
			return readmit
		}
	case volume.Out:
		if unwanted {
			return drop
		}
		if m.joining && c.allDurable(m.joinAt) {
			return rejoin
		}
		if c.phase == serving && m.prepared() && !m.joining && c.now >= m.resyncAfter && c.source() != nil {
			return fill
		}
	}
	return keepAsIs
}

func (c *Coordinator) wishForInSync(m *member) wish {
	if m.condemned == "" && m.repairing && m.prepared() && m.accepted >= c.committed && m.durable >= m.repairTo {
		return accept
	}
	if m.condemned == "" && !c.late(m) {
		return keepAsIs
	}
	for _, other := range c.members {
		if other != m && c.fine(other) {
			return evict
		}
	}
	return stuckHere
}

func (c *Coordinator) grantWish(listed *volume.Member, m *member, w wish, out *step.Effects) {
	switch w {
	case evict:
		out.Marks.Hit("coordinator: member evicted")
		listed.State = volume.Out
		m.kept = kept{}
		switch {
		case m.condemned == "" && m.prepared() && c.now.Sub(m.heardAt) < evictAfter:
			out.Marks.Hit("coordinator: slow member put out")
			m.restsFor(slowPause, c.now)
		case m.condemned == "":
			m.kept = kept{above: c.stable, until: c.now.Add(c.p.Window.Kept)}
		}
		m.restsFor(resyncPause, c.now)
		if evictEarly {
			out.Marks.Hit("mutant: evict early")
			m.State = volume.Out
		}
	case giveUp:
		listed.State = volume.Out
		m.restsFor(resyncPause, c.now)
	case accept:
		listed.Incarnation, listed.BootID = m.promise.Incarnation, m.promise.BootID
	case fill:
		listed.State = volume.Syncing
		listed.Incarnation, listed.BootID = m.promise.Incarnation, m.promise.BootID
	case readmit:
		out.Marks.Hit("coordinator: member filled and in sync again")
		listed.State = volume.InSync
		m.astray = false
	case rejoin:
		out.Marks.Hit("coordinator: member that was away in sync again from the window")
		listed.State = volume.InSync
		listed.Incarnation, listed.BootID = m.promise.Incarnation, m.promise.BootID
	case keepAsIs, stuckHere, drop:
	}
}

// reportHealth says whom the volume waits for, if it does, and when it does not
// any more.
func (c *Coordinator) reportHealth(out *step.Effects) {
	for _, m := range c.members {
		if m.State != volume.InSync || c.wishForInSync(m) != stuckHere {
			continue
		}
		why := m.condemned
		if why == "" {
			why = "it does not answer"
		}
		c.report(fmt.Sprintf("waiting for replica %v on node %v, the last valid copy: %s", m.Replica, m.Node, why), out)
		return
	}
	if c.tooFew() && c.committed+1 != c.window.next {
		c.report(fmt.Sprintf("writes wait: %d of its copies are in sync, and it wants %d for a write",
			c.config.Count(volume.InSync), c.config.MinWritable), out)
		return
	}
	if c.status != "" && c.source() != nil {
		c.reportServing(out)
	}
}

// afterLinkLost goes on without m's connection: its reads are asked elsewhere,
// a resync that it was part of is over.
func (c *Coordinator) afterLinkLost(m *member, out *step.Effects) {
	c.giveUpMending(m, out)
	if !c.Serving() {
		return
	}
	c.stallReads(m)
	if c.resync != nil && (c.resync.target == m || c.resync.source == m) {
		c.abortResync(out)
	}
	c.retryReads(out)
	c.reconfigure(out)
}

// allDurable reports whether every required member has everything up to seq
// durable.
func (c *Coordinator) allDurable(seq block.Seq) bool {
	for _, m := range c.members {
		if c.required(m) && (!c.counts(m) || m.durable < seq) {
			return false
		}
	}
	return true
}
