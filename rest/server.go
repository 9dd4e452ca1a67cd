// Package rest is the API of a node: it parses requests, calls a use case and
// prints the outcome. It owns the routes and what an error looks like in HTTP,
// and holds no logic of its own.
//
//	/healthz  /readyz  /v1/status
//	/v1/volumes                       GET
//	/v1/volumes/{name}                GET, PUT (?dry_run=1), DELETE
//	/v1/volumes/{name}/attachment     PUT, DELETE (?force=1, ?unmount=1)
//	/v1/volumes/{name}/mount          DELETE (?target=)
//	/v1/volumes/{name}/blocks         GET (?offset=&length=), PUT (?offset=)
//	/v1/nodes  /v1/nodes/{id}  /v1/disks
//	/v1/join                          POST, without a certificate
//	/v1/tokens                        GET, POST
//	/v1/tokens/{id}                   DELETE
//	/v1/stop                          POST, on the socket alone
//
// cmd/lagan puts it on the node's socket and port; rest/client speaks to it.
// What travels is in rest/api.
package rest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"github.com/lagan-storage/lagan/core/volume"
)

// bodyBytesMax bounds the JSON of one request: a specification with all its
// labels is a few KiB.
const bodyBytesMax = 1 << 20

// Volumes are the use cases about volumes.
type Volumes interface {
	Volumes(ctx context.Context) ([]volume.Report, error)
	Volume(ctx context.Context, name string) (volume.Report, error)
	Create(ctx context.Context, spec volume.Spec, dryRun bool) (report volume.Report, placement []string, err error)
	Delete(ctx context.Context, name string) error
	Attach(ctx context.Context, name string, o volume.AttachOptions) (volume.Report, error)
	Detach(ctx context.Context, name string, o volume.DetachOptions) error
	Unmount(ctx context.Context, name, target string) error
}

// Blocks are the use cases about the content of volumes attached to this node.
type Blocks interface {
	ReadBlocks(ctx context.Context, name string, offset, length int64, w io.Writer) error
	WriteBlocks(ctx context.Context, name string, offset int64, r io.Reader) (durable int64, err error)
}

// Machines are the use cases about nodes and disks.
type Machines interface {
	Nodes(ctx context.Context) ([]volume.NodeReport, error)
	Disks(ctx context.Context) ([]volume.DiskReport, error)
	// Ready returns why the node cannot do its part, or nil.
	Ready() error
}

// Params is what the API is made from.
type Params struct {
	Volumes  Volumes
	Blocks   Blocks
	Machines Machines
	// Admissions let nodes join.
	Admissions Admissions
	// Stop makes the node stop in order, and returns before it has.
	Stop    func()
	Node    string // this node's name
	Version string
	Log     *slog.Logger
}

// server holds the handlers.
type server struct {
	Params
	joins *rate.Limiter
}

// New returns the API's handler.
func New(p Params) http.Handler {
	gin.SetMode(gin.ReleaseMode) // or it prints its routes
	s := &server{p, newJoinLimit()}
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.UseRawPath, engine.UnescapePathValues = true, true // a name with a slash is one name, and refused as such
	engine.Use(s.recovered, s.onlyNodes)
	engine.NoRoute(s.noRoute)
	engine.NoMethod(s.noMethod)
	engine.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	engine.GET("/readyz", s.readyz)
	v1 := engine.Group("/v1")
	v1.GET("/status", s.status)
	v1.GET("/volumes", s.listVolumes)
	v1.GET("/volumes/:name", s.getVolume)
	v1.PUT("/volumes/:name", s.putVolume)
	v1.DELETE("/volumes/:name", s.deleteVolume)
	v1.PUT("/volumes/:name/attachment", s.putAttachment)
	v1.DELETE("/volumes/:name/attachment", s.deleteAttachment)
	v1.DELETE("/volumes/:name/mount", s.deleteMount)
	v1.GET("/volumes/:name/blocks", s.getBlocks)
	v1.PUT("/volumes/:name/blocks", s.putBlocks)
	v1.GET("/nodes", s.listNodes)
	v1.GET("/nodes/:id", s.getNode)
	v1.GET("/disks", s.listDisks)
	engine.POST(joinPath, s.postJoin)
	v1.GET("/tokens", s.listTokens)
	v1.POST("/tokens", s.postToken)
	v1.DELETE("/tokens/:id", s.deleteToken)
	v1.POST("/stop", s.postStop)
	return engine
}

// recovered keeps a defect in one handler from ending the daemon.
func (s *server) recovered(c *gin.Context) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p) // ours, to end a connection in the middle of an answer
		default:
			s.Log.Error("handler panicked", slog.String("path", c.Request.URL.Path), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			if !c.Writer.Written() {
				s.internal(c)
			}
			c.Abort()
		}
	}()
	c.Next()
}
