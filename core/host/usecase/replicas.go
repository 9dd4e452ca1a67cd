package usecase

import (
	"context"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// AddReplica adds a copy to a volume: on a node, and there on a disk, if they are
// named. It returns when that is recorded, and the copy is filled after that.
func (n *Node) AddReplica(ctx context.Context, name, node, disk string) (volume.Report, error) {
	c := volume.Command{Kind: volume.AddReplica, Name: name}
	if disk != "" {
		d, err := n.Disk(ctx, disk)
		if err != nil {
			return volume.Report{}, err
		}
		c.Disk, c.Node = d.ID, d.Node
	}
	if node != "" {
		id, called, err := n.nodeNamed(ctx, node)
		if err != nil {
			return volume.Report{}, err
		}
		if disk != "" && c.Node != id {
			return volume.Report{}, notOnNode(c.Disk, called)
		}
		c.Node = id
	}
	return n.rearrange(ctx, c)
}

// MoveReplica has the copy of one node made anew on another, and removed then.
func (n *Node) MoveReplica(ctx context.Context, name, from, to string) (report volume.Report, err error) {
	c := volume.Command{Kind: volume.MoveReplica, Name: name}
	if c.From, _, err = n.nodeNamed(ctx, from); err != nil {
		return report, err
	}
	if c.Node, _, err = n.nodeNamed(ctx, to); err != nil {
		return report, err
	}
	return n.rearrange(ctx, c)
}

// RemoveReplica removes the copy on a node.
func (n *Node) RemoveReplica(ctx context.Context, name, node string) (report volume.Report, err error) {
	c := volume.Command{Kind: volume.RemoveReplica, Name: name}
	if c.Node, _, err = n.nodeNamed(ctx, node); err != nil {
		return report, err
	}
	return n.rearrange(ctx, c)
}

// RecoverVolume makes the copy on a node what the volume is from now on: those that
// held more are lost. It is not attached by that.
func (n *Node) RecoverVolume(ctx context.Context, name, node string) (report volume.Report, err error) {
	c := volume.Command{Kind: volume.RecoverVolume, Name: name}
	if c.Node, _, err = n.nodeNamed(ctx, node); err != nil {
		return report, err
	}
	return n.rearrange(ctx, c)
}

func (n *Node) rearrange(ctx context.Context, c volume.Command) (volume.Report, error) {
	ctx, cancel := change(ctx)
	defer cancel()
	answer, err := n.p.Host.Command(ctx, c)
	if err != nil {
		return volume.Report{}, err
	}
	return n.Volume(ctx, answer.Volume.String())
}

func notOnNode(disk block.DiskID, node string) error {
	return &volume.Error{
		Kind: volume.ErrDiskNotFound,
		What: "node " + node + " has no disk " + disk.String(),
		Fix:  "look at:  lagan disk ls",
	}
}
