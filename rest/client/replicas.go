package client

import (
	"context"

	"github.com/lagan-storage/lagan/rest/api"
)

// Replicas returns the copies of a volume: those that it has, and those that are
// to come.
func (c *Client) Replicas(ctx context.Context, name string) ([]api.Replica, error) {
	if err := refuseName(name); err != nil {
		return nil, err
	}
	r, err := c.api.ListReplicasWithResponse(ctx, name)
	list, err := answer(r, err, func(r *api.ListReplicasResponse) *api.ReplicaList { return r.JSON200 })
	return list.Items, err
}

// AddReplica adds a copy to a volume: on a node, and there on a disk, if they are
// named.
func (c *Client) AddReplica(ctx context.Context, name, node, disk string) (api.Volume, error) {
	if err := refuseName(name); err != nil {
		return api.Volume{}, err
	}
	r, err := c.api.AddReplicaWithResponse(ctx, name, api.NewReplica{Node: node, Disk: disk})
	return answer(r, err, func(r *api.AddReplicaResponse) *api.Volume { return r.JSON202 })
}

// MoveReplica has the copy of one node made anew on another, and removed then.
func (c *Client) MoveReplica(ctx context.Context, name, from, to string) (api.Volume, error) {
	if err := refuseNames(name, from); err != nil {
		return api.Volume{}, err
	}
	r, err := c.api.MoveReplicaWithResponse(ctx, name, from, api.ReplicaMove{To: to})
	return answer(r, err, func(r *api.MoveReplicaResponse) *api.Volume { return r.JSON202 })
}

// RemoveReplica removes the copy on a node.
func (c *Client) RemoveReplica(ctx context.Context, name, node string) (api.Volume, error) {
	if err := refuseNames(name, node); err != nil {
		return api.Volume{}, err
	}
	r, err := c.api.RemoveReplicaWithResponse(ctx, name, node)
	return answer(r, err, func(r *api.RemoveReplicaResponse) *api.Volume { return r.JSON202 })
}

// RecoverVolume makes the copy on a node what the volume is: those that held more
// are lost.
func (c *Client) RecoverVolume(ctx context.Context, name, node string) (api.Volume, error) {
	if err := refuseName(name); err != nil {
		return api.Volume{}, err
	}
	r, err := c.api.RecoverVolumeWithResponse(ctx, name, api.Recovery{AcceptLoss: node})
	return answer(r, err, func(r *api.RecoverVolumeResponse) *api.Volume { return r.JSON200 })
}

// CheckVolume has the copies of a volume compared, with here only by the node that is
// asked.
func (c *Client) CheckVolume(ctx context.Context, name string, here bool) (api.Operation, error) {
	if err := refuseName(name); err != nil {
		return api.Operation{}, err
	}
	r, err := c.api.CheckVolumeWithResponse(ctx, name, &api.CheckVolumeParams{Here: here})
	return answer(r, err, func(r *api.CheckVolumeResponse) *api.Operation { return r.JSON202 })
}
