package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/lagan-storage/lagan/rest/api"
)

// binary is the media type of blocks.
const binary = "application/octet-stream"

// Volumes returns all volumes.
func (c *Client) Volumes(ctx context.Context) ([]api.Volume, error) {
	r, err := c.api.ListVolumesWithResponse(ctx)
	list, err := answer(r, err, func(r *api.ListVolumesResponse) *api.VolumeList { return r.JSON200 })
	return list.Items, err
}

// Volume returns one volume, by name or identity.
func (c *Client) Volume(ctx context.Context, name string) (api.Volume, error) {
	if err := refuseName(name); err != nil {
		return api.Volume{}, err
	}
	r, err := c.api.GetVolumeWithResponse(ctx, name)
	return answer(r, err, func(r *api.GetVolumeResponse) *api.Volume { return r.JSON200 })
}

// Create makes a volume from its options, as they are written on a command line;
// with dryRun it only says where the copies would be.
func (c *Client) Create(ctx context.Context, name string, options map[string]string, dryRun bool) (api.Volume, error) {
	if err := refuseName(name); err != nil {
		return api.Volume{}, err
	}
	spec, err := optionsOf(options)
	if err != nil {
		return api.Volume{}, err
	}
	r, err := c.api.PutVolumeWithResponse(ctx, name, &api.PutVolumeParams{DryRun: dryRun}, api.VolumeRequest{Spec: spec})
	return answer(r, err, func(r *api.PutVolumeResponse) *api.Volume {
		if r.JSON201 != nil {
			return r.JSON201
		}
		return r.JSON200
	})
}

func optionsOf(options map[string]string) (api.VolumeOptions, error) {
	spec := api.VolumeOptions{}
	for key, value := range options {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", key, err)
		}
		spec[key] = text
	}
	return spec, nil
}

// Set changes options of a volume that can be changed.
func (c *Client) Set(ctx context.Context, name string, options map[string]string) (api.Volume, error) {
	if err := refuseName(name); err != nil {
		return api.Volume{}, err
	}
	spec, err := optionsOf(options)
	if err != nil {
		return api.Volume{}, err
	}
	r, err := c.api.PatchVolumeWithResponse(ctx, name, api.VolumeRequest{Spec: spec})
	return answer(r, err, func(r *api.PatchVolumeResponse) *api.Volume { return r.JSON200 })
}

// Delete deletes a volume that nobody uses and that has no snapshots.
func (c *Client) Delete(ctx context.Context, name string) error { return c.delete(ctx, name, false) }

// DeleteAll deletes a volume that nobody uses, with its snapshots.
func (c *Client) DeleteAll(ctx context.Context, name string) error { return c.delete(ctx, name, true) }

func (c *Client) delete(ctx context.Context, name string, snapshots bool) error {
	if err := refuseName(name); err != nil {
		return err
	}
	return done(c.api.DeleteVolumeWithResponse(ctx, name, &api.DeleteVolumeParams{Snapshots: snapshots}))
}

// Attach has the node serve, show and mount a volume, as far as asked for.
func (c *Client) Attach(ctx context.Context, name string, a api.Attach) (api.Volume, error) {
	if err := refuseName(name); err != nil {
		return api.Volume{}, err
	}
	r, err := c.api.PutAttachmentWithResponse(ctx, name, a)
	return answer(r, err, func(r *api.PutAttachmentResponse) *api.Volume { return r.JSON200 })
}

// Detach ends the use of a volume on the node.
func (c *Client) Detach(ctx context.Context, name string, force bool) error {
	if err := refuseName(name); err != nil {
		return err
	}
	return done(c.api.DeleteAttachmentWithResponse(ctx, name, &api.DeleteAttachmentParams{Force: force}))
}

// Unmount unmounts a volume from target, or from everywhere if that is "".
func (c *Client) Unmount(ctx context.Context, name, target string) error {
	if err := refuseName(name); err != nil {
		return err
	}
	return done(c.api.DeleteMountWithResponse(ctx, name, &api.DeleteMountParams{Target: ifAny(target)}))
}

// Export makes a volume, or a snapshot of it, reachable for block clients through the
// node.
func (c *Client) Export(ctx context.Context, name, snapshot string, force bool) (api.Export, error) {
	if err := refuseName(name); err != nil {
		return api.Export{}, err
	}
	r, err := c.api.PutExportWithResponse(ctx, name, &api.PutExportParams{Snapshot: ifAny(snapshot), Force: force})
	return answer(r, err, func(r *api.PutExportResponse) *api.Export { return r.JSON200 })
}

// Unexport ends that.
func (c *Client) Unexport(ctx context.Context, name, snapshot string, force bool) error {
	if err := refuseName(name); err != nil {
		return err
	}
	return done(c.api.DeleteExportWithResponse(ctx, name, &api.DeleteExportParams{Snapshot: ifAny(snapshot), Force: force}))
}

// ifAny leaves a parameter out that says nothing.
func ifAny(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// ReadBlocks copies a range of a volume that the node serves to w.
func (c *Client) ReadBlocks(ctx context.Context, name string, offset, length int64, w io.Writer) error {
	if err := refuseName(name); err != nil {
		return err
	}
	from, count := strconv.FormatInt(offset, 10), strconv.FormatInt(length, 10)
	response, err := c.api.ReadBlocks(ctx, name, &api.ReadBlocksParams{Offset: &from, Length: &count})
	if err != nil {
		return err
	}
	n, err := io.Copy(w, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read volume %q: %d of %d bytes came: %w", name, n, length, err)
	}
	return nil
}

// WriteBlocks stores what r has in a volume that the node serves; it is durable
// when this returns nil.
func (c *Client) WriteBlocks(ctx context.Context, name string, offset int64, r io.Reader) (int64, error) {
	if err := refuseName(name); err != nil {
		return 0, err
	}
	from := strconv.FormatInt(offset, 10)
	response, err := c.api.WriteBlocksWithBodyWithResponse(ctx, name, &api.WriteBlocksParams{Offset: &from}, binary, r)
	written, err := answer(response, err, func(r *api.WriteBlocksResponse) *api.Written { return r.JSON200 })
	return written.Bytes, err
}
