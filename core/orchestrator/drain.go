package orchestrator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// A node is drained by writing down that its copies are to be elsewhere. Healing
// moves them (heal.go), a few volumes at a time, whoever is the first node; what is
// left is counted from the records whenever somebody asks:
//
//	drained, copies there ──▶ an operation: so many left, so many on their way, these cannot be moved
//	drained, none there ────▶ no operation any more; it stays so until the node is undrained

// stuckMax is how many copies that are not on their way are looked at in detail when
// somebody asks: each is planned over all nodes.
const stuckMax = 32

// DrainPrefix begins the identity of the operation that drains a node.
const DrainPrefix = "drain-"

// drain is what is left of one.
type drain struct {
	left    int              // volumes with copies there, those being deleted included
	moving  int              // of them: another copy is wanted already
	freeing int              // of them: being deleted
	waiting []block.VolumeID // the others
	holding []string         // names of volumes that are attached to a node that is to leave
}

// drains are those under way, by node.
type drains map[block.NodeID]*drain

// drains returns all that are asked for, with nothing counted.
func (o *Orchestrator) drains() drains {
	all := drains{}
	for _, id := range o.view.Nodes() {
		if o.drained(id) && o.view.Node(id).Record.Revision != 0 {
			all[id] = &drain{}
		}
	}
	return all
}

// look counts the copies of one volume.
func (d drains) look(o *Orchestrator, id block.VolumeID, v *view.Volume) {
	if len(d) == 0 {
		return
	}
	c, p := v.Config.Value, v.Placement.Value
	if a := v.Attachment.Value; a != nil && d[a.Node] != nil && o.nodeSpec(a.Node).Leaves {
		d[a.Node].holding = append(d[a.Node].holding, calledBy(id, v))
	}
	seen := map[block.NodeID]bool{}
	count := func(node block.NodeID, replica block.ReplicaID) {
		one := d[node]
		if one == nil || seen[node] {
			return
		}
		seen[node] = true
		one.left++
		switch {
		case c.Tombstone:
			one.freeing++
		case p.Wants(replica):
			one.waiting = append(one.waiting, id)
		default:
			one.moving++
		}
	}
	for i := range c.Members {
		count(c.Members[i].Node, c.Members[i].Replica)
	}
	for _, at := range p.Promised(c) {
		count(at.Node, at.Replica)
	}
}

// operations reports the drains of nodes with copies left.
func (d drains) operations(o *Orchestrator) (all []volume.Operation) {
	var nodes []placement.Node
	for _, id := range o.view.Nodes() {
		one := d[id]
		asked := o.nodeSpec(id)
		if one == nil || one.left == 0 && !asked.Leaves {
			continue
		}
		if nodes == nil && len(one.waiting) > 0 {
			nodes = o.placeable()
		}
		op := volume.Operation{
			ID: DrainPrefix + id.String(), Kind: volume.DrainOperation, Node: o.nodeName(id), Since: asked.Drained, Cancellable: true,
			Total: asked.DrainedFrom, Done: max(0, asked.DrainedFrom-o.promisedOn(id)),
		}
		op.Reason, op.Failed = o.drainReason(one, nodes)
		if asked.Leaves {
			op.Kind = volume.DecommissionOperation
		}
		all = append(all, op)
	}
	return all
}

// drainReason says what is left, and why what cannot be moved cannot. It has failed
// when that is all.
func (o *Orchestrator) drainReason(d *drain, nodes []placement.Node) (reason string, failed bool) {
	slices.SortFunc(d.waiting, compareVolumes)
	var stuck []string
	looked := d.waiting[:min(len(d.waiting), stuckMax)]
	for _, id := range looked {
		v := o.view.Volume(id)
		if why := o.stuck(&v, nodes); why != "" {
			stuck = append(stuck, fmt.Sprintf("volume %s cannot be moved: %s", calledBy(id, &v), why))
		}
	}
	failed = len(stuck) > 0 && len(stuck) == len(looked) && d.moving+d.freeing == 0
	slices.Sort(stuck)
	parts := []string{copies(d.left) + " left"}
	if d.moving > 0 {
		parts = append(parts, fmt.Sprintf("%d on their way", d.moving))
	}
	if d.freeing > 0 {
		parts = append(parts, fmt.Sprintf("%d being freed", d.freeing))
	}
	slices.Sort(d.holding)
	if n := len(d.holding) - namedMax; n > 0 {
		d.holding = append(d.holding[:namedMax], fmt.Sprintf("and %d more", n))
	}
	if len(d.holding) > 0 {
		parts = append(parts, "waits until nothing is attached there: "+strings.Join(d.holding, ", "))
	}
	if n := len(stuck) - namedMax; n > 0 {
		stuck = append(stuck[:namedMax], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(append([]string{strings.Join(parts, ", ")}, stuck...), "; "), failed
}

// stuck says why a copy of a volume cannot be moved elsewhere now, or nothing.
func (o *Orchestrator) stuck(v *view.Volume, nodes []placement.Node) string {
	c, spec := v.Config.Value, v.Spec.Value
	switch {
	case spec == nil || v.Placement.Problem != nil:
		return "its record cannot be read here"
	case !o.served(c):
		return "no copy that holds everything can be reached"
	}
	plan := placement.Add(spec, nodes, v.Placement.Value.Promised(c), 1)
	if len(plan.Disks) > 0 {
		return ""
	}
	var why []string
	for _, reason := range plan.Reasons {
		if !strings.HasSuffix(reason, ": it has a copy") {
			why = append(why, reason)
		}
	}
	if len(why) == 0 {
		return "every other node has a copy"
	}
	if n := len(why) - namedMax; n > 0 {
		why = append(why[:namedMax], fmt.Sprintf("and %d more nodes", n))
	}
	return strings.Join(why, ", ")
}
