package rest

import (
	"context"
	"io"
	"net/http"

	"github.com/lagan-storage/lagan/rest/api"
)

// BackupCluster implements api.StrictServerInterface. The authority's key is in it.
func (s *server) BackupCluster(ctx context.Context, _ api.BackupClusterRequestObject) (api.BackupClusterResponseObject, error) {
	if !onSocket(ctx) {
		return nil, refused(http.StatusForbidden, "a backup is taken on a node's own machine: run  lagan cluster backup  there")
	}
	asked := requestOf(ctx).Context()
	return stored{func(w io.Writer) error { return s.Backup(asked, w) }}, nil
}

// stored is an answer of unknown length that is written as it comes.
type stored struct{ copyTo func(w io.Writer) error }

// VisitBackupClusterResponse implements api.BackupClusterResponseObject.
func (a stored) VisitBackupClusterResponse(w http.ResponseWriter) error {
	return a.copyTo(&lateBody{w: w, length: -1})
}
