package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lagan-storage/lagan/rest/api"
)

// Status returns what one screen shows.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	r, err := c.api.GetStatusWithResponse(ctx)
	return answer(r, err, func(r *api.GetStatusResponse) *api.Status { return r.JSON200 })
}

// Ready returns nil if the node can do its part.
func (c *Client) Ready(ctx context.Context) error {
	return done(c.api.GetReadinessWithResponse(ctx))
}

// Alerts returns what someone must act on.
func (c *Client) Alerts(ctx context.Context) ([]api.Alert, error) {
	r, err := c.api.ListAlertsWithResponse(ctx)
	list, err := answer(r, err, func(r *api.ListAlertsResponse) *api.AlertList { return r.JSON200 })
	return list.Items, err
}

// Nodes returns all nodes.
func (c *Client) Nodes(ctx context.Context) ([]api.Node, error) {
	r, err := c.api.ListNodesWithResponse(ctx)
	list, err := answer(r, err, func(r *api.ListNodesResponse) *api.NodeList { return r.JSON200 })
	return list.Items, err
}

// Node returns one node, by name or identity.
func (c *Client) Node(ctx context.Context, name string) (api.Node, error) {
	if err := refuseName(name); err != nil {
		return api.Node{}, err
	}
	r, err := c.api.GetNodeWithResponse(ctx, name)
	return answer(r, err, func(r *api.GetNodeResponse) *api.Node { return r.JSON200 })
}

// RemoveNode strikes off a node, by name or identity, that is dead.
func (c *Client) RemoveNode(ctx context.Context, name string) error {
	if err := refuseName(name); err != nil {
		return err
	}
	return done(c.api.DeleteNodeWithResponse(ctx, name))
}

// Disks returns all disks.
func (c *Client) Disks(ctx context.Context) ([]api.Disk, error) {
	r, err := c.api.ListDisksWithResponse(ctx)
	list, err := answer(r, err, func(r *api.ListDisksResponse) *api.DiskList { return r.JSON200 })
	return list.Items, err
}

// Disk returns one disk, by identity or path.
func (c *Client) Disk(ctx context.Context, name string) (api.Disk, error) {
	if err := refuseName(name); err != nil {
		return api.Disk{}, err
	}
	r, err := c.api.GetDiskWithResponse(ctx, name)
	return answer(r, err, func(r *api.GetDiskResponse) *api.Disk { return r.JSON200 })
}

// AddDisk gives a node a disk while it runs.
func (c *Client) AddDisk(ctx context.Context, d api.NewDisk) (api.Disk, error) {
	r, err := c.api.AddDiskWithResponse(ctx, d)
	return answer(r, err, func(r *api.AddDiskResponse) *api.Disk { return r.JSON201 })
}

// CordonDisk keeps new copies away from a disk, or lets them come again.
func (c *Client) CordonDisk(ctx context.Context, name string, cordoned bool) (api.Disk, error) {
	if err := refuseName(name); err != nil {
		return api.Disk{}, err
	}
	r, err := c.api.ChangeDiskWithResponse(ctx, name, api.DiskChange{Cordoned: &cordoned})
	return answer(r, err, func(r *api.ChangeDiskResponse) *api.Disk { return r.JSON200 })
}

// ScrubDisk has all that is on a disk read.
func (c *Client) ScrubDisk(ctx context.Context, name string) (api.Operation, error) {
	if err := refuseName(name); err != nil {
		return api.Operation{}, err
	}
	r, err := c.api.ScrubDiskWithResponse(ctx, name)
	return answer(r, err, func(r *api.ScrubDiskResponse) *api.Operation { return r.JSON202 })
}

// RemoveDisk takes a disk out of the cluster that holds no copies.
func (c *Client) RemoveDisk(ctx context.Context, name string) error {
	if err := refuseName(name); err != nil {
		return err
	}
	return done(c.api.DeleteDiskWithResponse(ctx, name))
}

// Join asks the node to admit this machine.
func (c *Client) Join(ctx context.Context, j api.Join) (api.Joined, error) {
	r, err := c.api.JoinWithResponse(ctx, j)
	return answer(r, err, func(r *api.JoinResponse) *api.Joined { return r.JSON201 })
}

// CreateToken makes a token that is good for ttl; 0 is a day.
func (c *Client) CreateToken(ctx context.Context, ttl time.Duration) (api.Token, error) {
	r, err := c.api.CreateTokenWithResponse(ctx, api.NewToken{TTLSeconds: int64(ttl / time.Second)})
	return answer(r, err, func(r *api.CreateTokenResponse) *api.Token { return r.JSON201 })
}

// Tokens returns the tokens that can be used.
func (c *Client) Tokens(ctx context.Context) ([]api.Token, error) {
	r, err := c.api.ListTokensWithResponse(ctx)
	list, err := answer(r, err, func(r *api.ListTokensResponse) *api.TokenList { return r.JSON200 })
	return list.Items, err
}

// RemoveToken makes a token useless.
func (c *Client) RemoveToken(ctx context.Context, id string) error {
	if err := refuseName(id); err != nil {
		return err
	}
	return done(c.api.DeleteTokenWithResponse(ctx, id))
}

// BackupCluster copies the content of the metadata store to w. That it is whole its
// last bytes say.
func (c *Client) BackupCluster(ctx context.Context, w io.Writer) error {
	response, err := c.api.BackupCluster(ctx)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("back the metadata store up: %w", err)
	}
	return nil
}

// Stop makes the node stop in order. The answer names the process, which ends
// when that is done.
func (c *Client) Stop(ctx context.Context) (api.Stopping, error) {
	r, err := c.api.StopWithResponse(ctx)
	return answer(r, err, func(r *api.StopResponse) *api.Stopping { return r.JSON202 })
}
