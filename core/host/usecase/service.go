package usecase

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// ChangeNode changes what is asked of a node, by name or identity.
func (n *Node) ChangeNode(ctx context.Context, name string, asked volume.NodeChange) (volume.NodeReport, error) {
	ctx, cancel := change(ctx)
	defer cancel()
	id, called, err := n.nodeNamed(ctx, name)
	if err != nil {
		return volume.NodeReport{}, err
	}
	if _, err := n.p.Host.Command(ctx, volume.Command{Kind: volume.ChangeNode, Node: id, Name: called, Change: asked, Time: n.p.Now().UTC().Format(time.RFC3339)}); err != nil {
		return volume.NodeReport{}, err
	}
	return n.nodeReport(ctx, id, called)
}

func (n *Node) nodeReport(ctx context.Context, id block.NodeID, called string) (volume.NodeReport, error) {
	all, err := n.Nodes(ctx)
	if err != nil {
		return volume.NodeReport{}, err
	}
	for i := range all {
		if all[i].ID == id {
			return all[i], nil
		}
	}
	return volume.NodeReport{}, orchestrator.NoSuchNode(called)
}

// Maintain announces that a node will be away, for at most a while: its copies are not
// made anew elsewhere meanwhile. With 0 that is over. It is refused when the cluster
// could not do without the node, unless force is set.
func (n *Node) Maintain(ctx context.Context, name string, most time.Duration, force bool) (volume.NodeReport, error) {
	until := ""
	if most > 0 {
		a, err := n.Absence(ctx, name)
		if err != nil {
			return volume.NodeReport{}, err
		}
		if !a.Safe && !force {
			return volume.NodeReport{}, needed("cannot put node "+a.Node+" into maintenance", a.Reasons,
				fmt.Sprintf("see to that first, or do it all the same:  lagan node maintenance on %s --force", a.Node))
		}
		until = n.p.Now().Add(most).UTC().Format(time.RFC3339)
	}
	return n.ChangeNode(ctx, name, volume.NodeChange{Maintained: &until})
}

// Decommission has a node drained and, once nothing is there any more, removed from the
// cluster. It is refused to the only node that votes: nobody could record anything.
func (n *Node) Decommission(ctx context.Context, name string) (volume.NodeReport, error) {
	a, err := n.Absence(ctx, name)
	if err != nil {
		return volume.NodeReport{}, err
	}
	if v := &a.Voters; v.Known && v.Votes && v.All == 1 {
		return volume.NodeReport{}, needed("cannot decommission node "+a.Node, []string{"it alone votes in the metadata store"},
			"add nodes until three vote:  lagan token create")
	}
	leaves := true
	return n.ChangeNode(ctx, name, volume.NodeChange{Leaves: &leaves})
}

func needed(what string, why []string, fix string) error {
	return &volume.Error{Kind: volume.ErrNodeNeeded, What: what + ": the cluster needs it now", Causes: why, Fix: fix}
}

// followNodes does what is due of what was asked of nodes, if it is this node that
// sees to it. What cannot be done now is looked at again.
func (n *Node) followNodes(ctx context.Context) {
	var chores []volume.Command
	n.p.Host.View(func(o *orchestrator.Orchestrator) { chores = o.NodeChores(n.p.Now()) })
	for _, c := range chores {
		err := error(nil)
		switch {
		case c.Kind != volume.RemoveNode:
			_, err = n.p.Host.Command(ctx, c)
		case n.votersLackWithout(c.Node) == "":
			err = n.remove(ctx, c)
		}
		if err != nil && ctx.Err() == nil {
			n.log.Warn("what was asked of a node is not done yet", slog.String("node", c.Name), slog.Any("error", err))
		}
	}
}

// votersLackWithout says why a node cannot leave yet, or nothing.
func (n *Node) votersLackWithout(id block.NodeID) string {
	voters := n.voting()
	var v volume.Voters
	n.p.Host.View(func(o *orchestrator.Orchestrator) { v = o.VotersWithout(id, voters) })
	if v.Enough() {
		return ""
	}
	return fmt.Sprintf("waits until enough nodes that vote are heard from: without it %d of %d are, %d are needed", v.Left, v.All, v.Needed)
}

// tellVoters adds to what a decommission waits for that nodes which vote are away.
func (n *Node) tellVoters(o *volume.Operation) {
	var id block.NodeID
	found := false
	n.p.Host.View(func(or *orchestrator.Orchestrator) {
		id, _, found = or.NodeNamed(strings.TrimPrefix(o.ID, orchestrator.DrainPrefix))
	})
	if why := n.votersLackWithout(id); found && why != "" {
		o.Reason += "; " + why
	}
}

// cancelDrain has the copies of a node stay there again.
func (n *Node) cancelDrain(ctx context.Context, operation string) error {
	stay := false
	_, err := n.ChangeNode(ctx, strings.TrimPrefix(operation, orchestrator.DrainPrefix), volume.NodeChange{Drained: &stay})
	return err
}

// Absence says what the rest of the cluster would notice if a node were away.
func (n *Node) Absence(ctx context.Context, name string) (a volume.Absence, err error) {
	id, called, err := n.nodeNamed(ctx, name)
	if err != nil {
		return a, err
	}
	if _, err := n.nodeReport(ctx, id, called); err != nil { // it was only admitted, or removed
		return a, err
	}
	voters := n.voting()
	n.p.Host.View(func(o *orchestrator.Orchestrator) { a = o.Absence(id, voters) })
	return a, nil
}

// Explain says why the copies of a volume are where they are, and what becomes of
// it if a node dies.
func (n *Node) Explain(ctx context.Context, name string) (a volume.Account, err error) {
	status, err := n.find(ctx, name)
	if err != nil {
		return a, err
	}
	voters, found := n.voting(), false
	n.p.Host.View(func(o *orchestrator.Orchestrator) { a, found = o.Account(status.Volume.String(), voters) })
	if !found {
		return a, &volume.Error{
			Kind: volume.ErrVolumeDeleted, What: "volume " + name + " is being deleted, or its record cannot be read here",
			Fix: "look at:  lagan volume ls",
		}
	}
	return a, nil
}

// voting returns the nodes that vote, none if that is not known.
func (n *Node) voting() []block.NodeID {
	if n.p.Membership == nil {
		return nil
	}
	return n.p.Membership.Voting()
}
