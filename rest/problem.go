package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// fail answers with err as a problem.
func (s *server) fail(c *gin.Context, err error) {
	p := s.problemOf(c.Request, err)
	c.Header("Content-Type", api.ProblemType)
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

func (s *server) problemOf(r *http.Request, err error) api.Problem {
	code := volume.CodeOf(err)
	if code == "" {
		return s.unnamed(r, err)
	}
	p := api.Problem{Type: "/problems/" + code, Status: statusOf(err), Code: code, Detail: err.Error()}
	for _, x := range volume.Catalogue() {
		if errors.Is(err, x.Kind) {
			p.Title, p.Fix = x.Meaning, x.Remedy
			break
		}
	}
	var told *volume.Error
	if errors.As(err, &told) {
		p.Detail, p.Cause, p.Fix = told.What, told.Causes, told.Fix
	}
	return p
}

// unnamed is for what no user caused, or no user waits for any more.
func (s *server) unnamed(r *http.Request, err error) api.Problem {
	status := http.StatusInternalServerError
	if errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	if r.Context().Err() == nil {
		s.Log.Error("request was not carried out", slog.String("method", r.Method),
			slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	return api.Problem{
		Type: "/problems/" + api.CodeInternal, Title: "the node could not do what was asked",
		Status: status, Code: api.CodeInternal, Detail: err.Error(),
		Fix: fmt.Sprintf("see the log of node %s, and try again", s.Node),
	}
}

// internal answers when there is nothing to say.
func (s *server) internal(c *gin.Context) {
	s.fail(c, errors.New("an internal error, noted in the node's log"))
}

// statusOf returns the HTTP status of a kind of error.
func statusOf(err error) int {
	var refused *refusedError
	if errors.As(err, &refused) {
		return refused.status
	}
	for _, row := range []struct {
		status int
		kinds  []error
	}{
		{http.StatusBadRequest, []error{
			volume.ErrInvalidName, volume.ErrInvalidSize, volume.ErrInvalidOption, volume.ErrUnknownOption,
			volume.ErrUnsupportedOption, volume.ErrInvalidRange, volume.ErrInvalidRequest,
		}},
		{http.StatusForbidden, []error{volume.ErrTokenRefused}},
		{http.StatusNotFound, []error{volume.ErrVolumeNotFound, volume.ErrNodeNotFound, volume.ErrTokenNotFound}},
		{http.StatusGone, []error{volume.ErrVolumeDeleted, volume.ErrEventsGone, volume.ErrNodeRemoved}},
		{http.StatusConflict, []error{
			volume.ErrNameTaken, volume.ErrNoPlacement, volume.ErrAttached, volume.ErrAttachedElsewhere,
			volume.ErrNotAttached, volume.ErrInUse, volume.ErrForeignData, volume.ErrNodeNameTaken, volume.ErrNoAuthority,
			volume.ErrNodeAlive, volume.ErrLastCopy,
		}},
		{http.StatusServiceUnavailable, []error{volume.ErrBusy, volume.ErrNotServed, volume.ErrNotReady}},
		{http.StatusGatewayTimeout, []error{volume.ErrOutcomeUnknown, volume.ErrDetachPending}},
		{http.StatusInsufficientStorage, []error{volume.ErrNoSpace}},
	} {
		for _, kind := range row.kinds {
			if errors.Is(err, kind) {
				return row.status
			}
		}
	}
	return http.StatusInternalServerError
}

func (s *server) noRoute(c *gin.Context) { s.fail(c, nothingAt(c.Request.URL.Path)) }

func (s *server) noMethod(c *gin.Context) {
	s.fail(c, refused(http.StatusMethodNotAllowed, "%s does not take %s", c.Request.URL.Path, c.Request.Method))
}
