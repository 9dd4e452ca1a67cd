package rest

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

const (
	// joinBytesMax bounds what a stranger may send: a request is 1 KiB.
	joinBytesMax = 16 << 10
	// joinsPerSecond and joinsAtOnce bound what strangers can ask of a node and
	// its metadata store. A cluster of a hundred nodes is made in half a minute.
	joinsPerSecond = 5
	joinsAtOnce    = 20
)

// Admissions are the use cases about nodes to come.
type Admissions interface {
	Join(ctx context.Context, j volume.JoinRequest) (volume.JoinAnswer, error)
	CreateToken(ctx context.Context, ttl time.Duration) (volume.TokenReport, error)
	Tokens(ctx context.Context) ([]volume.TokenReport, error)
	RemoveToken(ctx context.Context, id string) error
}

func newJoinLimit() *rate.Limiter { return rate.NewLimiter(joinsPerSecond, joinsAtOnce) }

// onlyNodes turns away who shows no certificate of the cluster: the verifier of
// TLS has taken certificates of no other authority.
func (s *server) onlyNodes(c *gin.Context) {
	if t := c.Request.TLS; t != nil && len(t.VerifiedChains) == 0 && c.Request.URL.Path != joinPath {
		s.fail(c, refused(http.StatusForbidden, "this port speaks to nodes of the cluster: show a certificate, or use the socket of the node"))
	}
}

// boundedJoins turns strangers away who ask too often.
func (s *server) boundedJoins(c *gin.Context) {
	if c.FullPath() == joinPath && c.Request.Method == http.MethodPost && !s.joins.Allow() {
		s.fail(c, &volume.Error{Kind: volume.ErrBusy, What: "too many ask to join at once", Fix: "try again in a moment"})
	}
}

// Join implements api.StrictServerInterface.
func (s *server) Join(ctx context.Context, r api.JoinRequestObject) (api.JoinResponseObject, error) {
	answer, err := s.Admissions.Join(requestOf(ctx).Context(), volume.JoinRequest{
		TokenID: r.Body.TokenID, TokenSecret: r.Body.TokenSecret, Name: r.Body.Name,
		API: r.Body.API, EtcdPeer: r.Body.EtcdPeer, EtcdClient: r.Body.EtcdClient, Request: []byte(r.Body.Request),
	})
	return api.Join201JSONResponse{
		Node: answer.Node.String(), Cluster: answer.Cluster, Authority: string(answer.Authority),
		Certificate: string(answer.Certificate), Endpoints: answer.Endpoints, External: answer.External,
	}, err
}

// CreateToken implements api.StrictServerInterface.
func (s *server) CreateToken(ctx context.Context, r api.CreateTokenRequestObject) (api.CreateTokenResponseObject, error) {
	const secondsMax = 1 << 32 // beyond it the duration could overflow
	seconds := r.Body.TTLSeconds
	if seconds < 0 || seconds > secondsMax {
		return nil, invalidRequest("ttl_seconds is %d: want 0 to %d", seconds, int64(secondsMax))
	}
	t, err := s.Admissions.CreateToken(requestOf(ctx).Context(), time.Duration(seconds)*time.Second)
	return api.CreateToken201JSONResponse(tokenOf(&t)), err
}

// ListTokens implements api.StrictServerInterface.
func (s *server) ListTokens(ctx context.Context, _ api.ListTokensRequestObject) (api.ListTokensResponseObject, error) {
	all, err := s.Admissions.Tokens(requestOf(ctx).Context())
	return api.ListTokens200JSONResponse{Items: itemsOf(all, tokenOf)}, err
}

// DeleteToken implements api.StrictServerInterface.
func (s *server) DeleteToken(ctx context.Context, r api.DeleteTokenRequestObject) (api.DeleteTokenResponseObject, error) {
	return api.DeleteToken204Response{}, s.Admissions.RemoveToken(requestOf(ctx).Context(), r.ID)
}

func tokenOf(t *volume.TokenReport) api.Token {
	return api.Token{ID: t.ID, Token: t.Text, API: t.API, Expires: t.Expires.UTC().Format(time.RFC3339)}
}

// onSocket reports whether a request came over the node's socket: only local root can.
func onSocket(ctx context.Context) bool {
	local, _ := requestOf(ctx).Context().Value(http.LocalAddrContextKey).(net.Addr)
	return local != nil && local.Network() == "unix"
}

// Stop stops the node in order. Only local root can: another node may be told to
// stop by nobody but its own machine.
func (s *server) Stop(ctx context.Context, _ api.StopRequestObject) (api.StopResponseObject, error) {
	if !onSocket(ctx) {
		return nil, refused(http.StatusForbidden, "a node is stopped on its own machine: run  lagan down  there")
	}
	return stopping{api.Stop202JSONResponse{Process: os.Getpid()}, s.Params.Stop}, nil
}

// stopping is an answer that is given before what it says begins.
type stopping struct {
	api.Stop202JSONResponse
	stop func()
}

// VisitStopResponse implements api.StopResponseObject.
func (a stopping) VisitStopResponse(w http.ResponseWriter) error {
	defer a.stop()
	return a.Stop202JSONResponse.VisitStopResponse(w)
}
