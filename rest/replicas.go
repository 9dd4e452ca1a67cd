package rest

import (
	"context"

	"github.com/lagan-storage/lagan/rest/api"
)

// ListReplicas implements api.StrictServerInterface.
func (s *server) ListReplicas(ctx context.Context, r api.ListReplicasRequestObject) (api.ListReplicasResponseObject, error) {
	report, err := s.Volumes.Volume(requestOf(ctx).Context(), r.Name)
	return api.ListReplicas200JSONResponse{Items: replicasOf(&report)}, err
}

// AddReplica implements api.StrictServerInterface.
func (s *server) AddReplica(ctx context.Context, r api.AddReplicaRequestObject) (api.AddReplicaResponseObject, error) {
	report, err := s.Replicas.AddReplica(requestOf(ctx).Context(), r.Name, r.Body.Node, r.Body.Disk)
	return api.AddReplica202JSONResponse(volumeOf(&report)), err
}

// MoveReplica implements api.StrictServerInterface.
func (s *server) MoveReplica(ctx context.Context, r api.MoveReplicaRequestObject) (api.MoveReplicaResponseObject, error) {
	if r.Body.To == "" {
		return nil, invalidRequest("to: name the node that is to have the copy")
	}
	report, err := s.Replicas.MoveReplica(requestOf(ctx).Context(), r.Name, r.Node, r.Body.To)
	return api.MoveReplica202JSONResponse(volumeOf(&report)), err
}

// RemoveReplica implements api.StrictServerInterface.
func (s *server) RemoveReplica(ctx context.Context, r api.RemoveReplicaRequestObject) (api.RemoveReplicaResponseObject, error) {
	report, err := s.Replicas.RemoveReplica(requestOf(ctx).Context(), r.Name, r.Node)
	return api.RemoveReplica202JSONResponse(volumeOf(&report)), err
}

// RecoverVolume implements api.StrictServerInterface.
func (s *server) RecoverVolume(ctx context.Context, r api.RecoverVolumeRequestObject) (api.RecoverVolumeResponseObject, error) {
	if r.Body.AcceptLoss == "" {
		return nil, invalidRequest("accept_loss: name the node whose copy is to be the volume from now on")
	}
	report, err := s.Replicas.RecoverVolume(requestOf(ctx).Context(), r.Name, r.Body.AcceptLoss)
	return api.RecoverVolume200JSONResponse(volumeOf(&report)), err
}

// CheckVolume implements api.StrictServerInterface.
func (s *server) CheckVolume(ctx context.Context, r api.CheckVolumeRequestObject) (api.CheckVolumeResponseObject, error) {
	o, err := s.Replicas.CheckVolume(requestOf(ctx).Context(), r.Name, r.Params.Here)
	return api.CheckVolume202JSONResponse(operationOf(&o)), err
}
