package usecase

import (
	"context"
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
