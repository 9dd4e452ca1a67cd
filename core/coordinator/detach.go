package coordinator

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// onStop detaches: in order, when everything accepted is durable everywhere and
// the configuration says so; by force, at once.
func (c *Coordinator) onStop(force bool, out *step.Effects) {
	switch {
	case force:
		c.end(step.VolumeDetached, "detached by force", out)
	case c.phase < serving:
		c.end(step.VolumeDetached, "detached before it was served", out)
	case c.phase == serving:
		c.phase = detaching
		c.endComparison(out)
		c.finishDetach(out)
	}
}

// finishDetach proposes the clean end once no operation is left and all is
// durable.
func (c *Coordinator) finishDetach(out *step.Effects) {
	if c.phase != detaching || c.proposed != nil {
		return
	}
	busy := len(c.ops.active) > 0 || len(c.ops.waiting) > 0 || len(c.flushes) > 0
	if busy || c.committed+1 != c.window.next {
		return
	}
	if c.stable < c.committed || !c.allDurable(c.committed) {
		c.askSyncTo(c.committed, out)
		return
	}
	next := c.config.Clone()
	next.Coordinator = nil
	next.CleanAt = &block.Position{Era: c.era, Seq: c.committed}
	for i := range next.Members {
		if next.Members[i].State == volume.Syncing {
			next.Members[i].State = volume.Out
		}
	}
	if c.resync != nil {
		c.abortResync(out)
	}
	c.propose(next, out)
}

// end closes the session: whatever is under way is answered, and nothing is
// sent any more. A write that may have reached a member is ambiguous.
func (c *Coordinator) end(how step.ControlKind, text string, out *step.Effects) {
	if c.phase == ended {
		return
	}
	c.phase = ended
	for i := range c.ops.slots {
		o := &c.ops.slots[i]
		o.pieces.drop()
		if o.suspect != nil || o.compares { // nobody waits for it
			o.Payload.Release()
			continue
		}
		switch o.state {
		case opFree, opMending, opComparing, opAnswered: // repairs were left out above
			continue
		case opWriting, opFlushing:
			out.Complete(o.ID, step.RequestAmbiguous, block.Buffer{})
		case opWaiting, opReading, opStalled:
			o.Payload.Release()
			out.Complete(o.ID, step.RequestRefused, block.Buffer{})
		}
		o.state = opFree
	}
	c.ops = opTable{}
	c.flushes, c.resync = nil, nil
	c.snapshots = snapshots{}
	c.comparison = comparison{}
	c.window.drop()
	for _, m := range c.members {
		c.hangUp(m, out)
	}
	out.Controls = append(out.Controls, step.Control{Kind: how, Volume: c.p.Volume, Session: c.session, Text: text})
}
