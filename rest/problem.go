package rest

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// fail answers with err as a problem.
func (s *server) fail(c *gin.Context, err error) {
	p := s.problemOf(c.Request, err)
	c.Header("Content-Type", api.ProblemType)
	if errors.Is(err, volume.ErrBusy) {
		c.Header("Retry-After", "1")
	}
	c.JSON(p.Status, p)
	c.Abort()
}

// refusedError is a request that makes no sense here, with another status than 400.
type refusedError struct {
	error
	status int
}

func (e *refusedError) Unwrap() error { return e.error }

func refused(status int, format string, values ...any) error {
	return &refusedError{invalidRequest(format, values...), status}
}

func nothingAt(path string) error {
	return refused(http.StatusNotFound, "there is nothing at %s", path)
}

// problemOf writes down err. What no user caused is logged, unless no user waits
// for it any more.
func (s *server) problemOf(r *http.Request, err error) api.Problem {
	told := volume.Told(err)
	p := api.Problem{Status: statusOf(err), Code: told.Kind.Error(), Detail: told.What, Cause: told.Causes, Fix: told.Fix}
	p.Type = "/problems/" + p.Code
	for _, x := range volume.Catalogue() {
		if errors.Is(told, x.Kind) {
			p.Title = x.Meaning
		}
	}
	if errors.Is(told, volume.ErrInternal) && r.Context().Err() == nil {
		s.Log.Error("request was not carried out", slog.String("method", r.Method),
			slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	return p
}

// internal answers when there is nothing to say.
func (s *server) internal(c *gin.Context) {
	s.fail(c, errors.New("an internal error, noted in the node's log"))
}

// statuses says with which HTTP status each kind of error is answered.
func statuses() map[int][]error {
	return map[int][]error{
		http.StatusBadRequest: {
			volume.ErrInvalidName, volume.ErrInvalidSize, volume.ErrInvalidOption, volume.ErrUnknownOption,
			volume.ErrUnsupportedOption, volume.ErrInvalidRange, volume.ErrInvalidRequest,
		},
		http.StatusForbidden: {volume.ErrTokenRefused},
		http.StatusNotFound:  {volume.ErrVolumeNotFound, volume.ErrSnapshotNotFound, volume.ErrOperationNotFound, volume.ErrNodeNotFound, volume.ErrTokenNotFound, volume.ErrDiskNotFound, volume.ErrReplicaNotFound},
		http.StatusGone:      {volume.ErrVolumeDeleted, volume.ErrSnapshotDeleted, volume.ErrEventsGone, volume.ErrNodeRemoved},
		http.StatusConflict: {
			volume.ErrNameTaken, volume.ErrCannotShrink, volume.ErrNoPlacement, volume.ErrAttached, volume.ErrAttachedElsewhere,
			volume.ErrNotAttached, volume.ErrInUse, volume.ErrForeignData, volume.ErrNodeNameTaken, volume.ErrNoAuthority,
			volume.ErrNodeAlive, volume.ErrNodeNeeded, volume.ErrLastCopy, volume.ErrReplicaExists, volume.ErrReplicasChanging, volume.ErrNotLost, volume.ErrConfigRegressed, volume.ErrSingleCopy, volume.ErrSnapshotNotReady, volume.ErrSnapshotLimit, volume.ErrHasSnapshots,
			volume.ErrBeingCloned, volume.ErrNotCancellable, volume.ErrDiskNotBlank, volume.ErrDiskRefused, volume.ErrDiskHoldsCopies,
		},
		http.StatusInternalServerError: {volume.ErrNewerFormat, volume.ErrBrokenRecord, volume.ErrDamaged, volume.ErrInternal},
		http.StatusServiceUnavailable:  {volume.ErrBusy, volume.ErrNotServed, volume.ErrNotReady},
		http.StatusGatewayTimeout:      {volume.ErrOutcomeUnknown, volume.ErrDetachPending, volume.ErrSnapshotPending},
		http.StatusInsufficientStorage: {volume.ErrNoSpace},
	}
}

// statusOf returns the HTTP status of an error.
func statusOf(err error) int {
	var refused *refusedError
	if errors.As(err, &refused) {
		return refused.status
	}
	kind := volume.Told(err).Kind
	for status, kinds := range statuses() { // any order: a kind is in one of them
		if slices.Contains(kinds, kind) {
			return status
		}
	}
	return http.StatusInternalServerError
}

func (s *server) noRoute(c *gin.Context) { s.fail(c, nothingAt(c.Request.URL.Path)) }

func (s *server) noMethod(c *gin.Context) {
	s.fail(c, refused(http.StatusMethodNotAllowed, "%s does not take %s", c.Request.URL.Path, c.Request.Method))
}
