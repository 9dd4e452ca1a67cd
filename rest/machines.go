package rest

import (
	"context"
	"net/http"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// GetHealth implements api.StrictServerInterface.
func (s *server) GetHealth(context.Context, api.GetHealthRequestObject) (api.GetHealthResponseObject, error) {
	return api.GetHealth200TextResponse("ok\n"), nil
}

// GetReadiness implements api.StrictServerInterface.
func (s *server) GetReadiness(context.Context, api.GetReadinessRequestObject) (api.GetReadinessResponseObject, error) {
	return api.GetReadiness200TextResponse("ready\n"), s.Machines.Ready()
}

// GetStatus answers with all that one screen shows, and as much of it as is known.
func (s *server) GetStatus(ctx context.Context, _ api.GetStatusRequestObject) (api.GetStatusResponseObject, error) {
	r := requestOf(ctx)
	answer := api.GetStatus200JSONResponse{Node: s.Node, Version: s.Version, Ready: true}
	if err := s.Machines.Ready(); err != nil {
		problem := s.problemOf(r, err)
		answer.Ready, answer.Problem = false, &problem
	}
	// Before the cluster is known each of these fails for the reason given above.
	alerts, _ := s.Machines.Alerts(r.Context())
	answer.Alerts = itemsOf(alerts, alertOf)
	nodes, _ := s.Machines.Nodes(r.Context())
	answer.Nodes = itemsOf(nodes, nodeOf)
	disks, _ := s.Machines.Disks(r.Context())
	answer.Disks = itemsOf(disks, diskOf)
	volumes, _ := s.Volumes.Volumes(r.Context())
	answer.Volumes = itemsOf(volumes, volumeOf)
	return answer, nil
}

// ListAlerts implements api.StrictServerInterface.
func (s *server) ListAlerts(ctx context.Context, _ api.ListAlertsRequestObject) (api.ListAlertsResponseObject, error) {
	all, err := s.Machines.Alerts(requestOf(ctx).Context())
	return api.ListAlerts200JSONResponse{Items: itemsOf(all, alertOf)}, err
}

// ListNodes implements api.StrictServerInterface.
func (s *server) ListNodes(ctx context.Context, _ api.ListNodesRequestObject) (api.ListNodesResponseObject, error) {
	all, err := s.Machines.Nodes(requestOf(ctx).Context())
	return api.ListNodes200JSONResponse{Items: itemsOf(all, nodeOf)}, err
}

// GetNode implements api.StrictServerInterface.
func (s *server) GetNode(ctx context.Context, r api.GetNodeRequestObject) (api.GetNodeResponseObject, error) {
	all, err := s.Machines.Nodes(requestOf(ctx).Context())
	if err != nil {
		return nil, err
	}
	for i := range all {
		if n := nodeOf(&all[i]); n.ID == r.ID || n.Name == r.ID {
			return api.GetNode200JSONResponse(n), nil
		}
	}
	return nil, nodeNotFound(r.ID)
}

// DeleteNode implements api.StrictServerInterface.
func (s *server) DeleteNode(ctx context.Context, r api.DeleteNodeRequestObject) (api.DeleteNodeResponseObject, error) {
	return api.DeleteNode204Response{}, s.Machines.RemoveNode(requestOf(ctx).Context(), r.ID)
}

// GetMetrics implements api.StrictServerInterface.
func (s *server) GetMetrics(ctx context.Context, _ api.GetMetricsRequestObject) (api.GetMetricsResponseObject, error) {
	r := requestOf(ctx)
	if s.Metrics == nil {
		return nil, nothingAt(r.URL.Path)
	}
	return measurements{s.Metrics, r}, nil
}

// measurements is an answer that somebody else writes.
type measurements struct {
	handler http.Handler
	request *http.Request
}

// VisitGetMetricsResponse implements api.GetMetricsResponseObject.
func (m measurements) VisitGetMetricsResponse(w http.ResponseWriter) error {
	m.handler.ServeHTTP(w, m.request)
	return nil
}

// itemsOf converts a list; one of none is a list, too.
func itemsOf[From, To any](all []From, convert func(*From) To) []To {
	items := make([]To, 0, len(all))
	for i := range all {
		items = append(items, convert(&all[i]))
	}
	return items
}

func alertOf(a *volume.Alert) api.Alert {
	return api.Alert{Code: a.Code, Subject: a.Subject, Text: a.Text, Fix: a.Fix}
}
