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
	// joinPath is the one route that is open to those without a certificate.
	joinPath = "/v1/join"
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
		s.forbid(c, "this port speaks to nodes of the cluster: show a certificate, or use the socket of the node")
	}
}

func (s *server) forbid(c *gin.Context, what string) {
	p := s.problemOf(c, invalidRequest("%s", what))
	p.Status = http.StatusForbidden
	c.Header("Content-Type", api.ProblemType)
	c.JSON(p.Status, p)
	c.Abort()
}

func (s *server) postJoin(c *gin.Context) {
	if !s.joins.Allow() {
		s.fail(c, &volume.Error{Kind: volume.ErrBusy, What: "too many ask to join at once", Fix: "try again in a moment"})
		return
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, joinBytesMax)
	var body api.Join
	if err := readBody(c, &body); err != nil {
		s.fail(c, err)
		return
	}
	answer, err := s.Admissions.Join(c.Request.Context(), volume.JoinRequest{
		TokenID: body.TokenID, TokenSecret: body.TokenSecret, Name: body.Name,
		API: body.API, EtcdPeer: body.EtcdPeer, EtcdClient: body.EtcdClient, Request: []byte(body.Request),
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusCreated, api.Joined{
		Node: answer.Node.String(), Cluster: answer.Cluster, Authority: string(answer.Authority),
		Certificate: string(answer.Certificate), Endpoints: answer.Endpoints,
	})
}

func (s *server) postToken(c *gin.Context) {
	var body api.NewToken
	if err := readBody(c, &body); err != nil {
		s.fail(c, err)
		return
	}
	const secondsMax = 1 << 32 // beyond it the duration could overflow
	ttl := time.Duration(max(-1, min(body.TTLSeconds, secondsMax))) * time.Second
	t, err := s.Admissions.CreateToken(c.Request.Context(), ttl)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusCreated, tokenOf(t))
}

func (s *server) listTokens(c *gin.Context) {
	all, err := s.Admissions.Tokens(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	list := api.List[api.Token]{Items: []api.Token{}}
	for _, t := range all {
		list.Items = append(list.Items, tokenOf(t))
	}
	c.JSON(http.StatusOK, list)
}

func (s *server) deleteToken(c *gin.Context) {
	if err := s.Admissions.RemoveToken(c.Request.Context(), c.Param("id")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func tokenOf(t volume.TokenReport) api.Token {
	return api.Token{ID: t.ID, Token: t.Text, API: t.API, Expires: t.Expires.UTC().Format(time.RFC3339)}
}

// postStop stops the node in order. Only local root can: another node may be
// told to stop by nobody but its own machine.
func (s *server) postStop(c *gin.Context) {
	local, _ := c.Request.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil || local.Network() != "unix" {
		s.forbid(c, "a node is stopped on its own machine: run  lagan down  there")
		return
	}
	c.JSON(http.StatusAccepted, api.Stopping{Process: os.Getpid()})
	s.Stop()
}
