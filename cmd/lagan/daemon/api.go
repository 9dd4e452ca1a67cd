package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"go.uber.org/fx"

	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/host/metrics"
	"github.com/lagan-storage/lagan/core/host/usecase"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/device/holder"
	"github.com/lagan-storage/lagan/rest"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
)

const (
	headerWithin = 10 * time.Second // a client that sends its request byte by byte is none
	// requestWithin bounds how long a request takes to come whole; streams of blocks
	// may take longer.
	requestWithin = 30 * time.Second
	idleWithin    = 2 * time.Minute
	// headerBytesMax bounds the address of a request and its headers: a name and a
	// few options.
	headerBytesMax = 32 << 10
	// writeWithin bounds what has no end of its own: a client that does not read
	// its answer. A change and its undoing take two minutes.
	writeWithin = 150 * time.Second
	// connectionsMax bounds the connections of each listener: idle ones cost too,
	// and on the port strangers may make some.
	connectionsMax = 1024
	// reachWithin bounds the wait for the metadata store of who asks whether the
	// node is ready: an election takes a second or two, and is no reason to say no.
	reachWithin = 3 * time.Second
	// detachWithin bounds the detaching of all volumes at a stop.
	detachWithin = 30 * time.Second
	// schedulesEvery is how often it is asked what schedules of snapshots say.
	schedulesEvery = 2 * time.Second
	// drainWithin bounds the wait for requests under way at a stop.
	drainWithin = 3 * time.Second
)

func newUseCases(ctx context.Context, life fx.Lifecycle, store *etcd.Store, node volume.Node, b body, d disks, devs *devices, out *exports, k *cluster.Keeper, dir *datadir.Dir, own *identity.Identity, log *slog.Logger) *usecase.Node {
	p := usecase.Params{
		Host: b.host, Membership: k, Node: node, NoDevices: devs.missing, Exporter: out, Filesystem: filesystems{},
		Drives: drives{dir, log}, Peers: peers{own}, Unusable: d.unusable, Pool: b.pool, Now: time.Now, Log: log,
		Survivors: devs.survivors, Grace: holder.GraceDefault,
		Reach: func() error {
			ctx, cancel := context.WithTimeout(ctx, reachWithin)
			defer cancel()
			return store.Reach(ctx)
		},
	}
	if devs.attacher != nil {
		p.Attacher = devs
	}
	n := usecase.New(p)
	life.Append(fx.StopHook(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, detachWithin)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			log.Error("not everything was detached in order: the next start cleans up", slog.Any("error", err))
		}
	}))
	life.Append(fx.StartHook(func() { n.TakeOver(ctx) })) // whoever wants to hear of it is known by then
	followSchedules(ctx, life, n)
	return n
}

// followSchedules has the node take the snapshots that are due. At a stop that ends
// before volumes are detached.
func followSchedules(ctx context.Context, life fx.Lifecycle, n *usecase.Node) {
	run, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	life.Append(fx.StartStopHook(
		func() {
			go func() {
				defer close(ended)
				ticks := time.NewTicker(schedulesEvery)
				defer ticks.Stop()
				n.FollowSchedules(run, ticks.C)
			}()
		},
		func() {
			end()
			<-ended
		},
	))
}

func newMetrics(node volume.Node, b body, store *etcd.Store, log *slog.Logger) *metrics.Metrics {
	return metrics.New(metrics.Params{
		Node: node, Host: b.host, Transport: b.peers.Figures, Reachable: store.Reachable, Log: log.With(slog.String("part", "metrics")),
	})
}

func newAPI(c Config, d *datadir.Dir, store *etcd.Store, node volume.Node, n *usecase.Node, a *cluster.Admissions, m *metrics.Metrics, down fx.Shutdowner, log *slog.Logger) http.Handler {
	return m.Count(rest.New(rest.Params{
		Volumes: n, Exports: n, Snapshots: n, Replicas: n, Operations: n, Blocks: n, Machines: n, Service: n, Admissions: a, Events: n, Metrics: m.Handler(), Node: node.Name, Version: c.Version, Log: log.With(slog.String("part", "api")),
		Backup: func(ctx context.Context, w io.Writer) error { return backUp(ctx, d, store, w) },
		Stop:   func() { _ = down.Shutdown() }, // an error says that it is stopping already
	}))
}

// serveAPI puts the API on the node's socket and on a port where those who hold a
// certificate of the cluster are heard, and others if they want to join.
func serveAPI(ctx context.Context, life fx.Lifecycle, c Config, own *identity.Identity, n *usecase.Node, handler http.Handler, log *slog.Logger) error {
	socket, err := listenSocket(ctx, c.Socket())
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerWithin, ReadTimeout: requestWithin, IdleTimeout: idleWithin,
		WriteTimeout: writeWithin, MaxHeaderBytes: headerBytesMax,
		ErrorLog:    slog.NewLogLogger(log.With(slog.String("part", "api")).Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	socket = newBounded(socket)
	listeners := []net.Listener{socket}
	serve := []func() error{func() error { return server.Serve(socket) }}
	config := net.ListenConfig{}
	port, err := config.Listen(ctx, "tcp", c.API)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the API: %w: stop what listens there, or choose another port with --api", err), socket.Close())
	}
	port = newBounded(port)
	listeners = append(listeners, port)
	server.TLSConfig = own.API()
	serve = append(serve, func() error { return server.ServeTLS(port, "", "") })
	life.Append(fx.StartStopHook(
		func() {
			for i, run := range serve {
				go func() {
					if err := run(); !errors.Is(err, http.ErrServerClosed) {
						log.Error("API is not served any more", slog.String("address", listeners[i].Addr().String()), slog.Any("error", err))
					}
				}()
			}
		},
		func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, drainWithin)
			defer cancel()
			n.EndEvents() // who follows them would be waited for
			if err := server.Shutdown(ctx); err != nil {
				return server.Close()
			}
			return nil
		},
	))
	return nil
}

// listenSocket makes the socket for local root. One that a killed daemon left is
// removed: the lock of the runtime directory says that it is not another's.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of a former daemon: %w", err)
	}
	config := net.ListenConfig{}
	socket, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for local commands: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the socket: %w", err), socket.Close())
	}
	return socket, nil
}
