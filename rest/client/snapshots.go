package client

import (
	"context"

	"github.com/lagan-storage/lagan/rest/api"
)

// refuseNames refuses names that cannot stand in an address.
func refuseNames(names ...string) error {
	for _, name := range names {
		if err := refuseName(name); err != nil {
			return err
		}
	}
	return nil
}

// Snapshots returns the snapshots of a volume, oldest first.
func (c *Client) Snapshots(ctx context.Context, name string) ([]api.Snapshot, error) {
	if err := refuseName(name); err != nil {
		return nil, err
	}
	r, err := c.api.ListSnapshotsWithResponse(ctx, name)
	list, err := answer(r, err, func(r *api.ListSnapshotsResponse) *api.SnapshotList { return r.JSON200 })
	return list.Items, err
}

// TakeSnapshot takes a snapshot of a volume; taken is false if it was there.
func (c *Client) TakeSnapshot(ctx context.Context, name, snapshot string, freeze bool) (s api.Snapshot, taken bool, err error) {
	if err := refuseNames(name, snapshot); err != nil {
		return s, false, err
	}
	r, err := c.api.PutSnapshotWithResponse(ctx, name, snapshot, api.SnapshotRequest{Freeze: &freeze})
	s, err = answer(r, err, func(r *api.PutSnapshotResponse) *api.Snapshot {
		if taken = r.JSON201 != nil; taken {
			return r.JSON201
		}
		return r.JSON200
	})
	return s, taken, err
}

// DeleteSnapshot deletes a snapshot of a volume.
func (c *Client) DeleteSnapshot(ctx context.Context, name, snapshot string) error {
	if err := refuseNames(name, snapshot); err != nil {
		return err
	}
	return done(c.api.DeleteSnapshotWithResponse(ctx, name, snapshot))
}

// Restore has a volume go back to a snapshot.
func (c *Client) Restore(ctx context.Context, name, snapshot string, discard bool) (api.Restored, error) {
	if err := refuseName(name); err != nil {
		return api.Restored{}, err
	}
	r, err := c.api.RestoreVolumeWithResponse(ctx, name, api.Restore{Snapshot: snapshot, Discard: discard})
	return answer(r, err, func(r *api.RestoreVolumeResponse) *api.Restored { return r.JSON200 })
}

// Operations returns what takes a while, by volume.
func (c *Client) Operations(ctx context.Context) ([]api.Operation, error) {
	r, err := c.api.ListOperationsWithResponse(ctx)
	list, err := answer(r, err, func(r *api.ListOperationsResponse) *api.OperationList { return r.JSON200 })
	return list.Items, err
}

// Operation returns one of them, also where another node alone knows of it.
func (c *Client) Operation(ctx context.Context, id string) (api.Operation, error) {
	if err := refuseName(id); err != nil {
		return api.Operation{}, err
	}
	r, err := c.api.GetOperationWithResponse(ctx, id)
	return answer(r, err, func(r *api.GetOperationResponse) *api.Operation { return r.JSON200 })
}

// Cancel breaks an operation off.
func (c *Client) Cancel(ctx context.Context, id string) error {
	if err := refuseName(id); err != nil {
		return err
	}
	return done(c.api.CancelOperationWithResponse(ctx, id))
}
