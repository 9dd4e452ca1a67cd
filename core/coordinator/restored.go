package coordinator

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// A metadata store that went back to a backup says of a volume what it once was:
// copies that lack acknowledged writes may be listed as in sync. So a configuration
// that is marked as restored is believed when every copy that it lists was heard and
// none knows of a newer one; and one that is not marked, until a copy names an
// epoch that the store never heard of. Then the volume stops until a person decides.

// hearsay is what a copy told of a configuration that this session does not know.
type hearsay struct {
	node     block.NodeID
	promised block.Epoch // the era of a claim; 0: none
	known    block.Epoch // of a configuration that a replica learnt of; 0: none
}

// doubted reports whether a copy knows of a configuration which this session should
// know if it came after all others: a later claim than its own, or any that is newer.
func (c *Coordinator) doubted() bool {
	return c.hearsay.promised > c.era || c.hearsay.known > c.config.Epoch
}

// heard takes what a copy knows. It is no proof: this session may have been
// replaced. What the store says to it is.
func (c *Coordinator) heard(h hearsay, out *step.Effects) {
	if h.promised <= c.era && h.known <= c.config.Epoch {
		return
	}
	if c.hearsay = h; c.proposed == nil {
		c.verify(out)
	}
}

// heardRival takes a refusal to promise this very era, since it is promised to
// another session: two sessions of one era cannot come from one history.
func (c *Coordinator) heardRival(m *member, era block.Epoch, out *step.Effects) {
	if m.link == linkPreparing && era == c.era && c.proposed == nil {
		c.accuse(m.Node, era, out)
	}
}

// refuted reports whether the store, which was just read and knows this session as
// the newest, has lost a configuration that a copy knows of.
func (c *Coordinator) refuted(out *step.Effects) bool {
	if !c.doubted() || c.proposed != nil {
		return false
	}
	c.accuse(c.hearsay.node, max(c.hearsay.promised, c.hearsay.known), out)
	return true
}

// accuse records that a copy knows of a configuration that is lost. The session
// ends with that.
func (c *Coordinator) accuse(node block.NodeID, known block.Epoch, out *step.Effects) {
	out.Marks.Hit("coordinator: configuration that went back found out")
	next := c.config.Clone()
	next.Accuse(known, node)
	c.propose(next, out)
}

// stopRegressed ends the session of a volume whose configuration is known to be too
// old: no session decides anything of it any more.
func (c *Coordinator) stopRegressed(out *step.Effects) bool {
	if !c.config.Regressed() {
		return false
	}
	r := c.config.Restored
	c.end(step.VolumeFenced, fmt.Sprintf("config-regressed: the metadata store went back to an older state: the copy on node %v knows of configuration %d, which is lost",
		r.Node, r.Known), out)
	return true
}

// proven reports whether what is recorded may be believed; see the top of the file.
func (c *Coordinator) proven(out *step.Effects) bool {
	if c.config.Restored == nil {
		return true
	}
	var silent []*member
	for _, m := range c.members {
		switch {
		case !m.prepared():
			silent = append(silent, m)
		case c.config.Lost(m.promise.KnownEpoch):
			c.accuse(m.Node, m.promise.KnownEpoch, out)
			return false
		case m.State == volume.InSync && !m.promise.Complete:
			// It is not what is recorded of it: made anew since, or being filled.
			c.accuse(m.Node, c.config.Restored.Epoch+1, out)
			return false
		}
	}
	if len(silent) > 0 {
		c.reportWaiting("the metadata store was restored from a backup, and each copy must say that it knows of nothing newer; waiting for ", silent, out)
	}
	return len(silent) == 0
}

// surpassed reports whether a copy that is not to stay has records beyond the last
// one of those that are: in a restored configuration it may be the one that went on.
func (c *Coordinator) surpassed(out *step.Effects) bool {
	if c.config.Restored == nil {
		return false
	}
	for _, m := range c.members {
		if c.takeover.last.Less(m.promise.LastAccepted) {
			out.Marks.Hit("coordinator: copy outside a restored configuration has more")
			c.phase = preparing
			c.accuse(m.Node, c.config.Restored.Epoch+1, out)
			return true
		}
	}
	return false
}

// hearPromise notes what a promise says of configurations.
func (c *Coordinator) hearPromise(m *member, p *message.PromiseInfo, out *step.Effects) {
	if c.config.Restored == nil {
		c.heard(hearsay{node: m.Node, known: p.KnownEpoch}, out)
	}
}
