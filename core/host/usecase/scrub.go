package usecase

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// scrubPrefix begins the identities of the operations that read a disk, which ends
// them. They are known to the disk's node alone, which the others ask.
const scrubPrefix = "scrub-"

// ScrubDisk has all that is on a disk read: one of this node, or of another by asking
// it. A scrub that is under way goes on.
func (n *Node) ScrubDisk(ctx context.Context, name string) (volume.Operation, error) {
	ctx, cancel := change(ctx)
	defer cancel()
	d, err := n.Disk(ctx, name)
	if err != nil {
		return volume.Operation{}, err
	}
	if d.Node != n.p.Node.ID {
		peer, err := n.peer(ctx, d.Node.String())
		if err != nil {
			return volume.Operation{}, err
		}
		return n.p.Peers.ScrubDisk(ctx, peer, d.ID)
	}
	if err := n.p.Host.StartScrub(d.ID); err != nil {
		return volume.Operation{}, err
	}
	for _, r := range n.p.Host.Scrubs() {
		if r.Disk == d.ID {
			return n.scrubOperation(&r), nil
		}
	}
	return volume.Operation{}, orchestrator.NoSuchDisk(name) // it was removed this very moment
}

func (n *Node) cancelScrub(ctx context.Context, disk string) error {
	d, err := n.Disk(ctx, disk)
	if err != nil {
		return err
	}
	return n.p.Host.CancelScrub(d.ID)
}

// scrubs reports the scrubs that are under way on this node.
func (n *Node) scrubs() (all []volume.Operation) {
	for _, r := range n.p.Host.Scrubs() {
		if r.Going {
			all = append(all, n.scrubOperation(&r))
		}
	}
	return all
}

func (n *Node) scrubOperation(r *host.ScrubReport) volume.Operation {
	o := volume.Operation{
		ID: scrubPrefix + r.Disk.String(), Kind: volume.ScrubOperation, Disk: r.Disk.String(), Node: n.p.Node.Name,
		Since: r.Began.UTC().Format(time.RFC3339), Done: min(r.Read, r.Total), Total: r.Total, Cancellable: true,
	}
	if r.Lost > 0 {
		o.Reason = fmt.Sprintf("chunks with damage so far: %d", r.Lost)
	}
	return o
}

// keeperOf finds the other node that alone knows of an operation, if there is one.
func (n *Node) keeperOf(ctx context.Context, id string) (node volume.Node, other bool, err error) {
	if name, check := keeperOfCheck(id); check {
		if name == n.p.Node.Name {
			return node, false, nil
		}
		node, err = n.peer(ctx, name)
		if errors.Is(err, volume.ErrNodeNotFound) {
			return node, false, nil
		}
		return node, err == nil, err
	}
	text, scrub := strings.CutPrefix(id, scrubPrefix)
	if !scrub {
		return node, false, nil
	}
	d, err := n.Disk(ctx, text)
	if errors.Is(err, volume.ErrDiskNotFound) || err == nil && d.Node == n.p.Node.ID {
		return node, false, nil
	}
	if err == nil {
		node, err = n.peer(ctx, d.Node.String())
	}
	return node, err == nil, err
}
