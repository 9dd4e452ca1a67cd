package orchestrator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// Account says why the copies of a volume, by name or identity, are where they
// are, and what becomes of it if a node dies now. voters are as for Absence.
func (o *Orchestrator) Account(name string, voters []block.NodeID) (a volume.Account, found bool) {
	id, found := o.view.Resolve(name)
	held := o.view.Volume(id)
	if !found || held.Config.Value == nil || held.Spec.Value == nil || held.Config.Value.Tombstone {
		return a, false
	}
	status := o.status(id, &held)
	a.Health, a.Reason = status.Health(o.nodeName)
	c, spec := held.Config.Value, held.Spec.Value
	a.Volume, a.Asked, a.MinWritable, a.Rules = spec.Name, spec.Replicas, minWritable(&held), rulesOf(spec)
	nodes := o.placeable()
	wanted := held.Placement.Value.Promised(c)
	plan := placement.Add(spec, nodes, wanted, 1)
	next := plan.ByNode()
	a.Copies = o.copyAccounts(&held, nodes)
	for i := range nodes {
		n := &nodes[i]
		loss := o.lossWithout(id, &held, n.ID, o.enoughWithout(n.ID, voters))
		a.Nodes = append(a.Nodes, volume.NodeAccount{
			Node: n.Name, Place: next[n.Name], Fate: loss.Fate, Text: o.outlook(&held, n.ID, &loss, nodes),
		})
	}
	slices.SortFunc(a.Nodes, func(x, y volume.NodeAccount) int { return strings.Compare(x.Node, y.Node) })
	return a, true
}

func (o *Orchestrator) enoughWithout(node block.NodeID, voters []block.NodeID) bool {
	v := o.VotersWithout(node, voters)
	return v.Enough()
}

// rulesOf says in words what a specification asks of the nodes of copies.
func rulesOf(s *volume.Spec) (rules []string) {
	if len(s.Nodes) > 0 {
		rules = append(rules, "on "+oneOf("node", s.Nodes))
	}
	if len(s.Zones) > 0 {
		rules = append(rules, "in "+oneOf("zone", s.Zones))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Labels)) {
		rules = append(rules, fmt.Sprintf("on nodes with label %s=%s", key, s.Labels[key]))
	}
	return append(rules, "each on another node, and in another zone while there is one with room")
}

func oneOf(thing string, names []string) string {
	if len(names) == 1 {
		return thing + " " + names[0]
	}
	return thing + "s " + strings.Join(names, " or ")
}

// copyAccounts says of the copies that there are, and of those to come, why they
// are where they are.
func (o *Orchestrator) copyAccounts(v *view.Volume, nodes []placement.Node) (all []volume.CopyAccount) {
	c, p := v.Config.Value, v.Placement.Value
	add := func(at volume.Place, state volume.State, leaving bool) {
		all = append(all, volume.CopyAccount{
			Copy: volume.Copy{Replica: at.Replica, Node: o.nodeName(at.Node), NodeID: at.Node, Disk: at.Disk, State: state, Leaving: leaving},
			Why:  o.whyThere(v, &at, state, leaving, nodes),
		})
	}
	for i := range c.Members {
		m := &c.Members[i]
		at := volume.Place{Replica: m.Replica, Node: m.Node, Disk: m.Disk}
		if i := slices.IndexFunc(p.Wanted(c), func(w volume.Place) bool { return w.Replica == m.Replica }); i >= 0 {
			at = p.Wanted(c)[i]
		}
		add(at, m.State, !p.Wants(m.Replica))
	}
	for _, at := range p.Wanted(c) {
		if c.Member(at.Replica) == nil {
			add(at, volume.Out, false)
		}
	}
	slices.SortFunc(all, func(a, b volume.CopyAccount) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Replica.String(), b.Replica.String()))
	})
	return all
}

// whyThere says why one copy is where it is, and as it is.
func (o *Orchestrator) whyThere(v *view.Volume, at *volume.Place, state volume.State, leaving bool, nodes []placement.Node) (why []string) {
	i := slices.IndexFunc(nodes, func(n placement.Node) bool { return n.ID == at.Node })
	if i < 0 {
		return []string{"its node was removed: it is made anew elsewhere"}
	}
	n := &nodes[i]
	switch {
	case leaving:
		why = append(why, "it goes as soon as the others are in sync")
	case at.Heals != nil:
		why = append(why, "it is made in the place of one that was lost")
	}
	if refusal := placement.Forbidden(v.Spec.Value, &n.Node); refusal != "" {
		why = append(why, "no new copy would come here: "+refusal)
	} else {
		why = append(why, "it may be here"+inZone(n.Zone))
	}
	for _, other := range v.Placement.Value.Wanted(v.Config.Value) {
		j := slices.IndexFunc(nodes, func(o placement.Node) bool { return o.ID == other.Node })
		if other.Replica != at.Replica && j >= 0 && nodes[j].Zone == n.Zone && n.Zone != "" {
			why = append(why, fmt.Sprintf("node %s in the same zone has one, too", nodes[j].Name))
		}
	}
	if state != volume.InSync {
		why = append(why, o.whyNotInSync(v, at, state))
	}
	return why
}

func inZone(zone string) string {
	if zone == "" {
		return ""
	}
	return ", in zone " + zone
}

// whyNotInSync says what a copy waits for.
func (o *Orchestrator) whyNotInSync(v *view.Volume, at *volume.Place, state volume.State) string {
	d := o.view.Disk(at.Disk).Value
	switch {
	case o.view.Node(at.Node).Alive.Revision == 0:
		return "not in sync: its node is not heard from"
	case d == nil:
		return "not in sync: its disk was removed"
	case d.Unusable != "":
		return "not in sync: its disk cannot be used: " + d.Unusable
	case !o.served(v.Config.Value):
		return "not in sync: no copy that holds everything can be reached"
	case state == volume.Syncing:
		return "it is being filled from the others"
	}
	return "it is to be filled from the others"
}

// outlook says what it means for a volume that a node dies.
func (o *Orchestrator) outlook(v *view.Volume, node block.NodeID, loss *volume.Loss, nodes []placement.Node) string {
	var parts []string
	if a := v.Attachment.Value; a != nil && a.Node == node && !a.Upkeep {
		text := "it is attached there: another node can take it over"
		if users := usersOf(a); users != "" {
			text = "it is attached there, and lost to " + users + ": another node can take it over"
		}
		parts = append(parts, text)
	}
	if loss.Fate == volume.Unaffected {
		return strings.Join(append(parts, "no copy in sync is there"), "; ")
	}
	_, text, _ := strings.Cut(loss.Text, " "+loss.Volume)
	parts = append(parts, "it"+strings.TrimPrefix(text, ":"))
	if loss.Left > 0 { // or there is nothing to fill a new one from
		parts = append(parts, o.madeAnew(v, node, nodes))
	}
	return strings.Join(parts, "; ")
}

// madeAnew says where a copy would be made in the place of one that is lost.
func (o *Orchestrator) madeAnew(v *view.Volume, node block.NodeID, nodes []placement.Node) string {
	if o.p.HealAfter == 0 {
		return "lost copies are not made anew (--heal-after)"
	}
	others := slices.DeleteFunc(slices.Clone(nodes), func(n placement.Node) bool { return n.ID == node })
	held := slices.DeleteFunc(slices.Clone(v.Placement.Value.Promised(v.Config.Value)), func(at volume.Place) bool { return at.Node == node })
	plan := placement.Add(v.Spec.Value, others, held, 1)
	if len(plan.Disks) == 0 {
		return "no other node could take a copy in its place"
	}
	return fmt.Sprintf("after %v a copy is made on node %s in its place", o.p.HealAfter, o.nodeName(plan.Disks[0].Node))
}
