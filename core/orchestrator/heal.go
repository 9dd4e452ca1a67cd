package orchestrator

import (
	"bytes"
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// A copy is lost when its node was removed or its disk is not recorded any more,
// and when either has been gone for a set time. The first node has it made anew
// elsewhere, as a command would that moves it; not while its node is in maintenance,
// which was announced. So are copies on a node that is
// drained, which are none the worse for it and serve until then:
//
//	lost, or drained ──▶ another copy is wanted in its place ──▶ that is in sync: the old one has left
//	                                └── it came back first, or may stay: it is wanted again
//
// Where more than a third of the nodes are silent, something else is wrong than
// nodes, and what is left would be filled with copies: then only those of removed
// nodes are made anew.

const (
	healsMax = 4 // volumes that are being filled in the cluster before another is healed
	looksMax = 4 // volumes that are planned at a tick: each looks at all nodes, and again while there is no room
)

// healing is what this node knows of lost copies. Every node keeps it, so that any
// may be the first.
type healing struct {
	nodes   map[block.NodeID]step.Time       // not heard from; since when, as this process saw
	disks   map[block.DiskID]step.Time       // that cannot be used; likewise
	stopped bool                             // too many nodes are silent
	asked   map[block.NodeID]volume.NodeSpec // of nodes, when volumes were examined last
	overdue int                              // of nodes and disks: gone for the set time
	ill     map[block.VolumeID]bool          // a copy is lost or missing, or came back
	filling map[block.VolumeID]bool          // a wanted copy is not in sync, and can become so
	from    block.VolumeID                   // where the next look begins
}

func newHealing() healing {
	return healing{
		nodes: map[block.NodeID]step.Time{}, disks: map[block.DiskID]step.Time{}, asked: map[block.NodeID]volume.NodeSpec{},
		ill: map[block.VolumeID]bool{}, filling: map[block.VolumeID]bool{},
	}
}

// heal does, at every tick, what is due.
func (o *Orchestrator) heal(out *step.Effects) {
	if !o.view.Known() {
		return
	}
	if o.missMachines() { // rare: all volumes are looked at only then
		o.view.EachVolume(o.examine)
	}
	h := &o.healing
	if len(h.ill) == 0 || !o.first() {
		return
	}
	ids := slices.SortedFunc(maps.Keys(h.ill), compareVolumes)
	begin, _ := slices.BinarySearchFunc(ids, h.from, compareVolumes)
	var nodes []placement.Node
	for i := range min(len(ids), looksMax) {
		id := ids[(begin+i)%len(ids)]
		h.from = ids[(begin+i+1)%len(ids)]
		if nodes == nil && len(h.filling) < healsMax {
			nodes = o.placeable()
		}
		o.healVolume(id, nodes, out)
	}
}

func compareVolumes(a, b block.VolumeID) int { return bytes.Compare(a[:], b[:]) }

// missMachines notes which nodes and disks are gone, and what is asked of
// nodes, and reports whether that changes what is to be made anew.
func (o *Orchestrator) missMachines() (changed bool) {
	h := &o.healing
	known, overdue := 0, 0
	gone := func(since step.Time) {
		if o.p.HealAfter > 0 && o.now.Sub(since) >= o.p.HealAfter {
			overdue++
		}
	}
	for _, id := range o.view.Nodes() {
		held := o.view.Node(id)
		if held.Record.Revision != 0 {
			known++
		}
		changed = note(h.nodes, id, held.Record.Revision != 0 && held.Alive.Revision == 0, o.now) || changed
		if asked := o.nodeSpec(id); asked != h.asked[id] {
			h.asked[id], changed = asked, true
		}
	}
	for _, d := range o.view.Disks() {
		changed = note(h.disks, d.ID, d.Unusable != "", o.now) || changed
	}
	maps.DeleteFunc(h.nodes, func(id block.NodeID, _ step.Time) bool { return o.view.Node(id).Record.Revision == 0 })       // any order: each is judged alone
	maps.DeleteFunc(h.asked, func(id block.NodeID, _ volume.NodeSpec) bool { return o.view.Node(id).Record.Revision == 0 }) // any order: each is judged alone
	maps.DeleteFunc(h.disks, func(id block.DiskID, _ step.Time) bool { return o.view.Disk(id).Revision == 0 })              // any order: each is judged alone
	for _, since := range h.nodes {                                                                                         // any order: they are counted
		gone(since)
	}
	for _, since := range h.disks { // any order: they are counted
		gone(since)
	}
	stopped := tooManySilent(len(h.nodes), known)
	changed = changed || overdue != h.overdue || stopped != h.stopped
	h.overdue, h.stopped = overdue, stopped
	return changed
}

// tooManySilent reports whether so many nodes are silent that it is not they that
// are broken.
func tooManySilent(silent, nodes int) bool { return 3*silent > nodes }

// note keeps since when something is so, and reports whether that is news.
func note[ID comparable](since map[ID]step.Time, id ID, so bool, now step.Time) (changed bool) {
	_, was := since[id]
	switch {
	case so && !was:
		since[id] = now
	case was && !so:
		delete(since, id)
	}
	return so != was
}

// drained reports whether the copies on a node are to be elsewhere.
func (o *Orchestrator) drained(id block.NodeID) bool {
	asked := o.view.Node(id).Spec.Value
	return asked != nil && asked.Drained != ""
}

// displaced reports whether a copy is to be made anew elsewhere.
func (o *Orchestrator) displaced(at *volume.Place) bool { return o.drained(at.Node) || o.lost(at) }

// lost reports whether a copy is gone for good, as far as anybody can tell.
func (o *Orchestrator) lost(at *volume.Place) bool {
	if o.view.Removed(at.Node).Revision != 0 || o.view.Disk(at.Disk).Revision == 0 {
		return true
	}
	over := func(since step.Time, gone bool) bool {
		return gone && o.p.HealAfter > 0 && !o.healing.stopped && o.nodeSpec(at.Node).Maintained == "" && o.now.Sub(since) >= o.p.HealAfter
	}
	node, silent := o.healing.nodes[at.Node]
	disk, unusable := o.healing.disks[at.Disk]
	return over(node, silent) || over(disk, unusable)
}

// examine notes whether a volume is to be healed, and whether it is being filled.
func (o *Orchestrator) examine(id block.VolumeID, v *view.Volume) {
	c, p := v.Config.Value, v.Placement.Value
	if c == nil || c.Tombstone || v.Spec.Value == nil || v.Placement.Problem != nil {
		delete(o.healing.ill, id)
		delete(o.healing.filling, id)
		return
	}
	count, ill, filling := 0, false, false
	p.Each(c, func(at *volume.Place) {
		count++
		inSync := isInSync(c, at.Replica)
		ill = ill || o.displaced(at) || at.Heals != nil && !inSync && o.returned(p, c, at) >= 0
		filling = filling || !inSync && o.reachable(at.Disk, at.Node) && o.served(c)
	})
	ill = ill || count < v.Spec.Value.Replicas
	mark(o.healing.ill, id, ill)
	mark(o.healing.filling, id, filling)
}

// mark makes a set have id, or not.
func mark(set map[block.VolumeID]bool, id block.VolumeID, so bool) {
	if so {
		set[id] = true
	} else {
		delete(set, id)
	}
}

func isInSync(c *volume.Config, replica block.ReplicaID) bool {
	m := c.Member(replica)
	return m != nil && m.State == volume.InSync
}

// returned is the place among the leaving of the copy that at is made for, if that
// came back, or may stay; else it is below 0.
func (o *Orchestrator) returned(p *volume.Placement, c *volume.Config, at *volume.Place) int {
	return slices.IndexFunc(p.Leaving, func(old volume.Place) bool {
		return old.Replica == *at.Heals && c.Member(old.Replica) != nil && !o.displaced(&old) && o.reachable(old.Disk, old.Node)
	})
}

// healVolume writes down which copies are wanted in place of lost ones. While
// enough volumes are being filled none is made anew.
func (o *Orchestrator) healVolume(id block.VolumeID, nodes []placement.Node, out *step.Effects) {
	v, key := o.view.Volume(id), volume.PlacementKey(id)
	if o.writing[key] {
		return
	}
	next := placementOf(id, &v)
	back := o.takeBack(next, v.Config.Value)
	if !back && (len(o.healing.filling) >= healsMax || !o.replace(next, &v, nodes)) {
		return
	}
	if back {
		out.Marks.Hit("orchestrator: lost copy came back")
	} else {
		out.Marks.Hit("orchestrator: lost copy is made anew")
	}
	if o.write(key, id, o.placed(id, &v, next), out) {
		o.healing.filling[id] = true // until the answer says what it is
	}
}

// takeBack wants lost copies again that came back before others were in sync in
// their place.
func (o *Orchestrator) takeBack(next *volume.Placement, c *volume.Config) (any bool) {
	for i := range next.Copies {
		at := next.Copies[i]
		if at.Heals == nil || isInSync(c, at.Replica) {
			continue
		}
		if old := o.returned(next, c, &at); old >= 0 {
			next.Copies[i], next.Leaving[old] = next.Leaving[old], at
			next.Leaving[old].Heals, any = nil, true
		}
	}
	return any
}

// replace wants other copies in place of lost and drained ones, as many as there is
// room for, and reports whether that changes anything. Where no copy in sync is left,
// it is one of the lost ones that is waited for.
func (o *Orchestrator) replace(next *volume.Placement, v *view.Volume, nodes []placement.Node) bool {
	c, spec := v.Config.Value, v.Spec.Value
	var lost, kept []volume.Place
	whole := false
	for _, at := range next.Copies {
		whole = whole || isInSync(c, at.Replica) && !o.lost(&at)
		if o.displaced(&at) {
			lost = append(lost, at)
		} else {
			kept = append(kept, at)
		}
	}
	if !whole {
		return false
	}
	held := slices.Clone(kept)
	for _, at := range next.Leaving {
		if !o.lost(&at) {
			held = append(held, at)
		}
	}
	made := o.anew(spec, nodes, held, spec.Replicas-len(kept))
	next.Copies = kept
	for _, at := range lost {
		removed := o.view.Removed(at.Node).Revision != 0
		if len(made) == 0 && !removed {
			next.Copies = append(next.Copies, at)
			continue
		}
		if len(made) > 0 {
			if made[0].Heals = at.Heals; at.Heals == nil && !removed && c.Member(at.Replica) != nil {
				made[0].Heals = &at.Replica
			}
			next.Copies, made = append(next.Copies, made[0]), made[1:]
		}
		at.Heals = nil
		next.Leaving = append(next.Leaving, at)
	}
	next.Copies = append(next.Copies, made...)
	return !slices.Equal(next.Copies, v.Placement.Value.Wanted(c))
}

// anew plans new copies, as many as there is room for.
func (o *Orchestrator) anew(spec *volume.Spec, nodes []placement.Node, held []volume.Place, count int) (made []volume.Place) {
	if count <= 0 {
		return nil
	}
	plan := placement.Add(spec, nodes, held, count)
	if plan.Fitting < count && plan.Fitting > 0 {
		plan = placement.Add(spec, nodes, held, plan.Fitting)
	}
	for _, d := range plan.Disks {
		made = append(made, volume.Place{Replica: block.ReplicaID(o.random.id()), Node: d.Node, Disk: d.ID})
	}
	return made
}
