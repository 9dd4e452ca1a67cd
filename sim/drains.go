package sim

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// Nodes are drained, cordoned and let be again by commands of clients, as people
// would who want to work on them. What is asked of nodes when everything heals stays
// so, and whatever can then be moved away from a drained node is.

// drawDrains makes people ask something of nodes in a quarter of the runs. Disks that
// fill up are left alone, as where copies come and go; so are runs without faults, of
// which scenarios are made.
func (p *Plan) drawDrains() {
	s := newStream(p.Seed, "drains", 0)
	p.Drains = s.oneIn(4) && !p.Full && p.Profile != Quiet
}

// drains is what a client asks for with an operation that drains a node, or ends that.
func drains(is bool) func(*client, *operation, Operation) {
	return asksOfNode(volume.NodeChange{Drained: &is})
}

// cordons is what one asks for that cordons a node, or ends that.
func cordons(is bool) func(*client, *operation, Operation) {
	return asksOfNode(volume.NodeChange{Cordoned: &is})
}

func asksOfNode(change volume.NodeChange) func(*client, *operation, Operation) {
	return func(c *client, _ *operation, o Operation) {
		if c.world.healed || c.volume.deleted {
			return
		}
		c.note(&o)
		c.changeNode(o.Range, change)
	}
}

// changeNode asks one node to write down what is asked of another, both of which
// follow from the blocks that were drawn. In half of the cases it is one with a copy
// of the client's volume, if that is there.
func (c *client) changeNode(drawn block.Range, change volume.NodeChange) {
	w := c.world
	pick := scramble(uint64(drawn.First)<<8 | uint64(drawn.Count))
	part := func(n int) int {
		i := int(pick % uint64(n))
		pick = scramble(pick)
		return i
	}
	of := w.bodies[part(len(w.bodies))]
	if members := c.volume.config.Members; part(2) == 0 {
		of = w.bodyOf(members[part(len(members))].Node)
	}
	to := w.bodies[part(len(w.bodies))]
	if of.absent || to.life == 0 {
		return
	}
	if change.Drained != nil && *change.Drained {
		w.counts.Drains++
	}
	w.operator.send(to, volume.Command{Kind: volume.ChangeNode, Node: of.id, Name: of.name, Change: change, Time: w.wall().Format(time.RFC3339)})
}

// wall is what the clocks on the walls of all nodes say.
func (w *World) wall() time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(w.now))
}

// askedOf returns what was asked of a node, as it is recorded.
func (w *World) askedOf(id block.NodeID) (asked volume.NodeSpec) {
	item, found := w.metadata.record(volume.NodeSpecKey(id))
	if !found {
		return asked
	}
	asked, err := volume.Parse[volume.NodeSpec](item.Value)
	if err != nil {
		w.fail("records", "what is asked of a node: %v", err)
	}
	return asked
}

// shuns reports whether no new copy may come to a node.
func shuns(asked volume.NodeSpec) bool { return asked.Cordoned || asked.Drained != "" }

// checkArrivals looks at the copies that a placement wants and the one before knew
// nothing of: none comes to a node that is cordoned or drained.
func (w *World) checkArrivals(v *volumeState, before, next *volume.Placement) {
	if !w.plan.Drains {
		return
	}
	known := before.Promised(v.config)
	for _, at := range next.Copies {
		if slices.ContainsFunc(known, func(o volume.Place) bool { return o.Replica == at.Replica }) {
			continue
		}
		if shuns(w.askedOf(at.Node)) {
			w.fail("placement", "a new copy of %s is wanted on %s, which is cordoned or drained", v.name, w.bodyOf(at.Node).name)
		}
		if at.Heals != nil {
			w.counts.CopiesDrained++
		}
	}
}

// isDrained reports whether no copy of a volume is wanted on a drained node that could
// be elsewhere. A copy moves while another one that is wanted is in sync: it is filled
// from that.
func (w *World) isDrained(v *volumeState) bool {
	if !w.plan.Drains {
		return true
	}
	drained, whole := false, false
	for _, at := range v.placement.Wanted(v.config) {
		m := v.config.Member(at.Replica)
		whole = whole || m != nil && m.State == volume.InSync && w.hasDisk(&at)
		drained = drained || w.askedOf(at.Node).Drained != ""
	}
	return !drained || !whole || !slices.ContainsFunc(w.bodies, func(b *body) bool { return w.takes(b, v) })
}

// takes reports whether a node could have one more copy of a volume. There is room
// wherever there is a disk: those that fill up are not in such runs.
func (w *World) takes(b *body, v *volumeState) bool {
	if b.absent || b.life == 0 || !b.disks[0].ready || b.drives[0].refused || shuns(w.askedOf(b.id)) {
		return false
	}
	return !slices.ContainsFunc(v.placement.Promised(v.config), func(at volume.Place) bool { return at.Node == b.id })
}
