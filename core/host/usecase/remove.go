package usecase

import (
	"context"
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// RemoveNode removes a node that is gone for good, by name or identity. It is
// refused while the node is heard from, and while it has the only copy of a volume
// that holds everything. One that was removed already is removed to the end.
//
//	recorded as removed, its records gone ──▶ its seat in the metadata store ──▶ its name is free
//	          one transaction                                │
//	attachments, deleted volumes, copies: ◀──────────────────┘ whatever this process does not come to,
//	by whoever is there                                        others do
func (n *Node) RemoveNode(ctx context.Context, name string) error {
	ctx, cancel := change(ctx)
	defer cancel()
	id, known, err := n.nodeNamed(ctx, name)
	if err != nil {
		return err
	}
	return n.remove(ctx, volume.Command{Kind: volume.RemoveNode, Node: id, Name: known})
}

func (n *Node) remove(ctx context.Context, c volume.Command) error {
	if _, err := n.p.Host.Command(ctx, c); err != nil {
		return err
	}
	if n.p.Membership == nil {
		return nil
	}
	if err := n.p.Membership.Withdraw(ctx, c.Node); err != nil {
		return &volume.Error{
			Kind:   volume.ErrOutcomeUnknown,
			What:   fmt.Sprintf("node %s was removed, but its name is not free yet", c.Name),
			Causes: []string{err.Error()},
			Fix:    "the cluster goes on with it by itself; to see it done, give the same command again",
		}
	}
	return nil
}

// nodeNamed finds a node: one that is recorded before one that was only admitted,
// and that before one that was removed.
func (n *Node) nodeNamed(ctx context.Context, text string) (id block.NodeID, name string, err error) {
	known, found, gone := false, false, false
	n.p.Host.View(func(o *orchestrator.Orchestrator) {
		known = o.Known()
		id, name, found = o.NodeNamed(text)
		_, gone = o.RemovedNames()[id]
	})
	switch {
	case !known:
		return id, "", n.notReady()
	case found && !gone:
		return id, name, nil
	}
	if n.p.Membership != nil {
		admitted, called, is, err := n.p.Membership.Admitted(ctx, text)
		if err != nil {
			return id, "", err
		}
		if is {
			return admitted, called, nil
		}
	}
	if found {
		return id, name, nil
	}
	return id, "", &volume.Error{
		Kind: volume.ErrNodeNotFound,
		What: fmt.Sprintf("there is no node %q", text),
		Fix:  "look at:  lagan node ls",
	}
}
