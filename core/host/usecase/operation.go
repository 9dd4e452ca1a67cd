package usecase

import (
	"context"
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// Operations reports what takes a while: the scrubs of this node's disks and the checks
// by its sessions, then by volume what the records say, and how far a copy is filled if this node serves
// its volume.
func (n *Node) Operations(context.Context) ([]volume.Operation, error) {
	known := false
	var all []volume.Operation
	n.p.Host.View(func(o *orchestrator.Orchestrator) { known, all = o.Known(), o.UnderWayInRecords() })
	if !known {
		return nil, n.notReady()
	}
	for i := range all {
		if all[i].Kind == volume.DecommissionOperation {
			n.tellVoters(&all[i])
		}
	}
	n.fills(all)
	return slices.Concat(n.scrubs(), n.checksToList(), all), nil
}

// Operation reports one of them, a scrub or check by another node, or a check that is over.
func (n *Node) Operation(ctx context.Context, id string) (volume.Operation, error) {
	all, err := n.Operations(ctx)
	if err != nil {
		return volume.Operation{}, err
	}
	for _, o := range append(all, n.checks()...) {
		if o.ID == id {
			return o, nil
		}
	}
	if peer, other, err := n.keeperOf(ctx, id); err != nil {
		return volume.Operation{}, err
	} else if other {
		return n.p.Peers.Operation(ctx, peer, id)
	}
	return volume.Operation{}, &volume.Error{
		Kind: volume.ErrOperationNotFound,
		What: fmt.Sprintf("there is no operation %q: it is done, or never was", id),
		Fix:  "look at:  lagan operation ls",
	}
}

// Cancel breaks an operation off: a snapshot that is being taken is given up, one
// that failed is forgotten, copies that were to come or go do not, those of a node that
// is drained stay, no other one is moved to balance disks, and a scrub or check ends
// where it is. What came of a check that is over is forgotten.
func (n *Node) Cancel(ctx context.Context, id string) error {
	ctx, cancel := change(ctx)
	defer cancel()
	if peer, other, err := n.keeperOf(ctx, id); err != nil {
		return err
	} else if other {
		return n.p.Peers.Cancel(ctx, peer, id)
	}
	o, err := n.Operation(ctx, id)
	if err != nil {
		return err
	}
	if o.Kind == volume.ScrubOperation {
		return n.cancelScrub(ctx, o.Disk)
	}
	if o.Kind == volume.CheckOperation {
		n.cancelCheck(id)
		return nil
	}
	if !o.Cancellable {
		return &volume.Error{
			Kind: volume.ErrNotCancellable,
			What: fmt.Sprintf("cannot break off operation %s: a %s goes on to its end", id, o.Kind),
			Fix:  "wait until it is done:  lagan operation ls",
		}
	}
	if o.Kind == volume.DrainOperation || o.Kind == volume.DecommissionOperation {
		return n.cancelDrain(ctx, id)
	}
	if o.Kind == volume.RebalanceOperation {
		_, err := n.p.Host.Command(ctx, volume.Command{Kind: volume.BalanceDisks})
		return err
	}
	if o.Kind == volume.ReplicasOperation {
		_, err := n.rearrange(ctx, volume.Command{Kind: volume.KeepReplicas, Name: o.Volume})
		return err
	}
	return n.DeleteSnapshot(ctx, o.Volume, o.Snapshot)
}
