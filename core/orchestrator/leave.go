package orchestrator

import (
	"fmt"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// What is asked of nodes and ends by itself: the body, which has a clock and knows
// who votes, asks what is due and gives the commands.
//
//	in maintenance until a time ──▶ that is over ──▶ as any other node
//	leaves ──▶ drained, nothing attached there ──▶ removed, though it is heard from ──▶ it stops

// NodeChores returns what is due of what was asked of nodes, if it is this one that
// sees to it.
func (o *Orchestrator) NodeChores(now time.Time) (all []volume.Command) {
	if !o.view.Known() || !o.seesToNodes() {
		return nil
	}
	over := ""
	for _, id := range o.view.Nodes() {
		asked := o.nodeSpec(id)
		if until, err := time.Parse(time.RFC3339, asked.Maintained); asked.Maintained != "" && (err != nil || !now.Before(until)) {
			all = append(all, volume.Command{
				Kind: volume.ChangeNode, Node: id, Name: o.nodeName(id), Change: volume.NodeChange{Maintained: &over}, Time: now.UTC().Format(time.RFC3339),
			})
		}
		if asked.Leaves && o.promisedOn(id) == 0 && o.view.Node(id).Record.Revision != 0 && o.occupied(id) == "" {
			all = append(all, volume.Command{Kind: volume.RemoveNode, Node: id, Name: o.nodeName(id), Force: true})
		}
	}
	return all
}

// seesToNodes reports whether this is the first node of those that stay.
func (o *Orchestrator) seesToNodes() bool {
	for _, id := range o.view.Nodes() {
		if o.view.Node(id).Alive.Revision != 0 && o.view.Removed(id).Revision == 0 && !o.nodeSpec(id).Leaves {
			return id == o.p.Node.ID
		}
	}
	return false
}

// occupied says what is still on a node, or nothing.
func (o *Orchestrator) occupied(id block.NodeID) (what string) {
	if len(o.view.OnNode(id)) > 0 {
		return "it has copies"
	}
	o.view.EachVolume(func(_ block.VolumeID, v *view.Volume) {
		if a := v.Attachment.Value; a != nil && a.Node == id {
			what = "volumes are attached there"
		}
	})
	return what
}

// letGo removes a node that was asked to leave and on which nothing is left. With it
// holds that it is still asked to, so that no copy comes, and that its disks promise
// nothing.
func (o *Orchestrator) letGo(op *operation) decision {
	id := op.command.Node
	why := o.occupied(id)
	for _, d := range o.view.Disks() {
		if d.Node == id && d.Promised > 0 {
			why = fmt.Sprintf("disk %v promises %s to volumes", d.ID, volume.RoundSize(d.Promised))
		}
	}
	if !o.nodeSpec(id).Leaves {
		why = "it was not asked to leave"
	}
	if why != "" {
		return refuse(&volume.Error{
			Kind: volume.ErrNodeNeeded, What: fmt.Sprintf("cannot %s: %s", actionOf(op), why), Fix: "look at:  lagan operation ls",
		})
	}
	return write(o.removal(id, op.command.Name))
}
