package rest

import (
	"context"
	"strings"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// ListDisks implements api.StrictServerInterface.
func (s *server) ListDisks(ctx context.Context, _ api.ListDisksRequestObject) (api.ListDisksResponseObject, error) {
	all, err := s.Machines.Disks(requestOf(ctx).Context())
	return api.ListDisks200JSONResponse{Items: itemsOf(all, diskOf)}, err
}

// AddDisk implements api.StrictServerInterface.
func (s *server) AddDisk(ctx context.Context, r api.AddDiskRequestObject) (api.AddDiskResponseObject, error) {
	switch {
	case !strings.HasPrefix(r.Body.Path, "/"):
		return nil, invalidRequest("path is %q: want the whole path on the node, which begins with a slash", r.Body.Path)
	case r.Body.Size < 0:
		return nil, invalidRequest("size is %d: want bytes, or nothing for what exists", r.Body.Size)
	}
	d, err := s.Machines.AddDisk(requestOf(ctx).Context(), volume.NewDisk{Node: r.Body.Node, Path: r.Body.Path, Size: r.Body.Size, Wipe: r.Body.Wipe})
	return api.AddDisk201JSONResponse(diskOf(&d)), err
}

// GetDisk implements api.StrictServerInterface.
func (s *server) GetDisk(ctx context.Context, r api.GetDiskRequestObject) (api.GetDiskResponseObject, error) {
	d, err := s.Machines.Disk(requestOf(ctx).Context(), r.ID)
	return api.GetDisk200JSONResponse(diskOf(&d)), err
}

// ChangeDisk implements api.StrictServerInterface.
func (s *server) ChangeDisk(ctx context.Context, r api.ChangeDiskRequestObject) (api.ChangeDiskResponseObject, error) {
	if r.Body.Cordoned == nil {
		return nil, invalidRequest("nothing is to change: say whether the disk is to be cordoned")
	}
	d, err := s.Machines.CordonDisk(requestOf(ctx).Context(), r.ID, *r.Body.Cordoned)
	return api.ChangeDisk200JSONResponse(diskOf(&d)), err
}

// ScrubDisk implements api.StrictServerInterface.
func (s *server) ScrubDisk(ctx context.Context, r api.ScrubDiskRequestObject) (api.ScrubDiskResponseObject, error) {
	o, err := s.Machines.ScrubDisk(requestOf(ctx).Context(), r.ID)
	return api.ScrubDisk202JSONResponse(operationOf(&o)), err
}

// DeleteDisk implements api.StrictServerInterface.
func (s *server) DeleteDisk(ctx context.Context, r api.DeleteDiskRequestObject) (api.DeleteDiskResponseObject, error) {
	return api.DeleteDisk204Response{}, s.Machines.RemoveDisk(requestOf(ctx).Context(), r.ID)
}
