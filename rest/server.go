// Package rest is the API of a node: it parses requests, calls a use case and
// prints the outcome. What it offers is written down in openapi.yaml, and the
// routes, the parsing of parameters and the form of answers are generated from
// that (rest/api). This package owns the document, carries out the operations
// and makes every error, the router's own as well, a problem in the form of the
// document. It holds no logic of its own.
//
//	openapi.yaml ──make generate──▶ rest/api ──▶ rest (server) · rest/client
//
//	request ─▶ recovered ─▶ onlyNodes ─▶ boundedJoins ─▶ bounded ─▶ readBody ─▶ parameters ─▶ fields ─▶ operation ─▶ use case
//	            │ a panic     │ 403          │ 503           │ 503        │ 400          │ 400         │ 400      │ its error
//	            └─────────────┴──────────────┴──────────── problem ───────┴──────────────┴─────────────┴──────────┘
//
// A request is understood whole or refused whole, before a use case is called. The
// server that rest is put on bounds how long a request may take to come, and its
// answer to be taken.
//
// cmd/lagan puts it on the node's socket and port; rest/client speaks to it.
package rest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// Volumes are the use cases about volumes.
type Volumes interface {
	Volumes(ctx context.Context) ([]volume.Report, error)
	Volume(ctx context.Context, name string) (volume.Report, error)
	Create(ctx context.Context, spec volume.Spec, dryRun bool) (report volume.Report, placement []string, err error)
	// Set changes what can be changed of a volume.
	Set(ctx context.Context, name string, changes volume.Spec) (volume.Report, error)
	Delete(ctx context.Context, name string, snapshots bool) error
	Attach(ctx context.Context, name string, o volume.AttachOptions) (volume.Report, error)
	Detach(ctx context.Context, name string, o volume.DetachOptions) error
	Unmount(ctx context.Context, name, target string) error
}

// Exports are the use cases about volumes that block clients use.
type Exports interface {
	// Export makes a volume, or a snapshot of it, reachable for block clients.
	Export(ctx context.Context, name string, o volume.ExportOptions) (volume.ExportReport, error)
	Unexport(ctx context.Context, name string, o volume.UnexportOptions) error
}

// Replicas are the use cases about the copies of volumes. Those that change them return
// when it is recorded what is to be.
type Replicas interface {
	AddReplica(ctx context.Context, name, node, disk string) (volume.Report, error)
	MoveReplica(ctx context.Context, name, from, to string) (volume.Report, error)
	RemoveReplica(ctx context.Context, name, node string) (volume.Report, error)
	// RecoverVolume makes the copy on a node what the volume is: those that held more
	// are lost.
	RecoverVolume(ctx context.Context, name, node string) (volume.Report, error)
	// CheckVolume has the copies of a volume compared, by this node or by asking another
	// unless it must be here.
	CheckVolume(ctx context.Context, name string, here bool) (volume.Operation, error)
}

// Snapshots are the use cases about what volumes were.
type Snapshots interface {
	// Snapshots returns those of a volume, oldest first.
	Snapshots(ctx context.Context, name string) ([]volume.SnapshotReport, error)
	Snapshot(ctx context.Context, name, snapshot string) (volume.SnapshotReport, error)
	TakeSnapshot(ctx context.Context, name, snapshot string, freeze bool) (volume.SnapshotReport, error)
	DeleteSnapshot(ctx context.Context, name, snapshot string) error
	// Restore has a volume go back to a snapshot, and names the one that it kept.
	Restore(ctx context.Context, name, snapshot string, discard bool) (kept string, err error)
}

// Operations are the use cases about what takes a while.
type Operations interface {
	Operations(ctx context.Context) ([]volume.Operation, error)
	Operation(ctx context.Context, id string) (volume.Operation, error)
	Cancel(ctx context.Context, id string) error
}

// Blocks are the use cases about the content of volumes attached to this node.
type Blocks interface {
	ReadBlocks(ctx context.Context, name string, offset, length int64, w io.Writer) error
	WriteBlocks(ctx context.Context, name string, offset int64, r io.Reader) (durable int64, err error)
}

// Machines are the use cases about nodes, disks and the cluster that they make.
type Machines interface {
	Nodes(ctx context.Context) ([]volume.NodeReport, error)
	// RemoveNode strikes off a node, by name or identity, that is not heard from.
	RemoveNode(ctx context.Context, name string) error
	Disks(ctx context.Context) ([]volume.DiskReport, error)
	Disk(ctx context.Context, name string) (volume.DiskReport, error)
	// AddDisk gives a node a disk while it runs.
	AddDisk(ctx context.Context, d volume.NewDisk) (volume.DiskReport, error)
	// CordonDisk keeps new copies away from a disk, or lets them come again.
	CordonDisk(ctx context.Context, name string, cordoned bool) (volume.DiskReport, error)
	// ScrubDisk has all that is on a disk read.
	ScrubDisk(ctx context.Context, name string) (volume.Operation, error)
	// RemoveDisk takes a disk out of the cluster that holds no copies.
	RemoveDisk(ctx context.Context, name string) error
	// Alerts returns what someone must act on.
	Alerts(ctx context.Context) ([]volume.Alert, error)
	// Ready returns why the node cannot do its part, or nil.
	Ready() error
}

// Service are the use cases about taking nodes out of service, and what that means
// to volumes.
type Service interface {
	// ChangeNode changes what is asked of a node.
	ChangeNode(ctx context.Context, name string, change volume.NodeChange) (volume.NodeReport, error)
	// Maintain announces that a node will be away for at most a while; 0: not any more.
	Maintain(ctx context.Context, name string, most time.Duration, force bool) (volume.NodeReport, error)
	// Decommission has a node drained, and removed then.
	Decommission(ctx context.Context, name string) (volume.NodeReport, error)
	// Absence says what the rest of the cluster would notice if a node were away.
	Absence(ctx context.Context, name string) (volume.Absence, error)
	// Explain says why the copies of a volume are where they are, and what becomes
	// of it if a node dies.
	Explain(ctx context.Context, name string) (volume.Account, error)
	// Rebalance has copies moved until disks differ by at most spread points, or only
	// says which.
	Rebalance(ctx context.Context, spread int, dryRun bool) (volume.Balance, error)
}

// Events are what this node saw happen.
type Events interface {
	// Events returns those with a number above after, oldest first and limit at
	// most. With wait it returns once there is one, or ctx ends.
	Events(ctx context.Context, after uint64, limit int, wait bool) ([]volume.Event, error)
}

// Params is what the API is made from.
type Params struct {
	Volumes    Volumes
	Exports    Exports
	Snapshots  Snapshots
	Replicas   Replicas
	Operations Operations
	Blocks     Blocks
	Machines   Machines
	Service    Service
	// Admissions let nodes join.
	Admissions Admissions
	// Events is nil on a node that records none.
	Events Events
	// Metrics answers with measurements; nil on a node that measures nothing.
	Metrics http.Handler
	// Backup copies the metadata store to w; see etcd.Store.
	Backup func(ctx context.Context, w io.Writer) error
	// Stop makes the node stop in order, and returns before it has.
	Stop    func()
	Node    string // this node's name
	Version string
	Log     *slog.Logger
}

// server carries out the operations of the document.
type server struct {
	Params
	joins  *rate.Limiter
	bounds bounds
}

// The routes that are not like the others, as the router names them.
const (
	volumePath     = "/v1/volumes/:name"
	attachmentPath = "/v1/volumes/:name/attachment"
	exportPath     = "/v1/volumes/:name/export"
	// blocksPath is the one route whose bodies are no JSON and not bounded.
	blocksPath = "/v1/volumes/:name/blocks"
	// joinPath is the one route that is open to those without a certificate.
	joinPath = "/v1/join"
	// backupPath is the one route whose answer has a length that nobody knows.
	backupPath = "/v1/cluster/backup"
)

var _ api.StrictServerInterface = (*server)(nil)

// New returns the API's handler.
func New(p Params) http.Handler { return newEngine(p) }

func newEngine(p Params) *gin.Engine {
	gin.SetMode(gin.ReleaseMode) // or it prints its routes
	s := &server{p, newJoinLimit(), newBounds()}
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false                      // nothing is but at its address
	engine.UseRawPath, engine.UnescapePathValues = true, true // a name with a slash is one name, and refused as such
	engine.Use(s.recovered, s.onlyNodes, s.boundedJoins, s.bounded, s.unhurried, s.readBody)
	engine.NoRoute(s.noRoute)
	engine.NoMethod(s.noMethod)
	operations := api.NewStrictHandlerWithOptions(s, []api.StrictMiddlewareFunc{looksAtAll}, api.StrictGinServerOptions{
		RequestErrorHandlerFunc:  func(c *gin.Context, err error) { s.fail(c, unreadableBody(err)) },
		HandlerErrorFunc:         s.fail,
		ResponseErrorHandlerFunc: s.brokenOff,
	})
	api.RegisterHandlersWithOptions(engine, operations, api.GinServerOptions{
		ErrorHandler: func(c *gin.Context, err error, _ int) { s.fail(c, badParameter(err)) },
	})
	return engine
}

// recovered keeps a defect in one operation from ending the daemon.
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

// brokenOff is for an answer that could not be given whole: because of err, or
// because nobody reads it any more.
func (s *server) brokenOff(c *gin.Context, err error) {
	if !c.Writer.Written() {
		s.fail(c, err)
		return
	}
	panic(http.ErrAbortHandler) // a short answer must not look whole
}
