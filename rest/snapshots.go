package rest

import (
	"context"
	"errors"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// ListSnapshots implements api.StrictServerInterface.
func (s *server) ListSnapshots(ctx context.Context, r api.ListSnapshotsRequestObject) (api.ListSnapshotsResponseObject, error) {
	all, err := s.Snapshots.Snapshots(requestOf(ctx).Context(), r.Name)
	return api.ListSnapshots200JSONResponse{Items: itemsOf(all, snapshotOf)}, err
}

// GetSnapshot implements api.StrictServerInterface.
func (s *server) GetSnapshot(ctx context.Context, r api.GetSnapshotRequestObject) (api.GetSnapshotResponseObject, error) {
	report, err := s.Snapshots.Snapshot(requestOf(ctx).Context(), r.Name, r.Snapshot)
	return api.GetSnapshot200JSONResponse(snapshotOf(&report)), err
}

// PutSnapshot implements api.StrictServerInterface.
func (s *server) PutSnapshot(ctx context.Context, r api.PutSnapshotRequestObject) (api.PutSnapshotResponseObject, error) {
	ctx = requestOf(ctx).Context()
	_, err := s.Snapshots.Snapshot(ctx, r.Name, r.Snapshot)
	created := errors.Is(err, volume.ErrSnapshotNotFound) // unless somebody else takes it right now
	freeze := r.Body.Freeze == nil || *r.Body.Freeze
	report, err := s.Snapshots.TakeSnapshot(ctx, r.Name, r.Snapshot, freeze)
	if err != nil {
		return nil, err
	}
	if created {
		return api.PutSnapshot201JSONResponse(snapshotOf(&report)), nil
	}
	return api.PutSnapshot200JSONResponse(snapshotOf(&report)), nil
}

// DeleteSnapshot implements api.StrictServerInterface.
func (s *server) DeleteSnapshot(ctx context.Context, r api.DeleteSnapshotRequestObject) (api.DeleteSnapshotResponseObject, error) {
	return api.DeleteSnapshot204Response{}, s.Snapshots.DeleteSnapshot(requestOf(ctx).Context(), r.Name, r.Snapshot)
}

// RestoreVolume implements api.StrictServerInterface.
func (s *server) RestoreVolume(ctx context.Context, r api.RestoreVolumeRequestObject) (api.RestoreVolumeResponseObject, error) {
	if r.Body.Snapshot == "" {
		return nil, invalidRequest("snapshot: name the one to go back to")
	}
	kept, err := s.Snapshots.Restore(requestOf(ctx).Context(), r.Name, r.Body.Snapshot, r.Body.Discard)
	return api.RestoreVolume200JSONResponse{Kept: kept}, err
}

// ListOperations implements api.StrictServerInterface.
func (s *server) ListOperations(ctx context.Context, _ api.ListOperationsRequestObject) (api.ListOperationsResponseObject, error) {
	all, err := s.Operations.Operations(requestOf(ctx).Context())
	return api.ListOperations200JSONResponse{Items: itemsOf(all, operationOf)}, err
}

// GetOperation implements api.StrictServerInterface.
func (s *server) GetOperation(ctx context.Context, r api.GetOperationRequestObject) (api.GetOperationResponseObject, error) {
	operation, err := s.Operations.Operation(requestOf(ctx).Context(), r.ID)
	return api.GetOperation200JSONResponse(operationOf(&operation)), err
}

// CancelOperation implements api.StrictServerInterface.
func (s *server) CancelOperation(ctx context.Context, r api.CancelOperationRequestObject) (api.CancelOperationResponseObject, error) {
	return api.CancelOperation204Response{}, s.Operations.Cancel(requestOf(ctx).Context(), r.ID)
}
