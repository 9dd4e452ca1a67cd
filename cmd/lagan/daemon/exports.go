package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/host/usecase"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/device/nbd"
	"github.com/lagan-storage/lagan/transport/identity"
)

// exports shows volumes to block clients: at a socket of this node, and, if that is
// asked for, at a port for those who hold a certificate of the cluster.
type exports struct {
	server  *nbd.Server
	socket  string
	address string // as clients elsewhere reach it, "" for no port
}

// NBDSocket is where block clients of this machine find what is exported.
func (c *Config) NBDSocket() string { return filepath.Join(c.Run, "nbd.sock") }

// openExports opens socket and port. They are closed after the use cases have ended
// every export. The lock of the runtime directory says that no other daemon has them.
func openExports(ctx context.Context, life fx.Lifecycle, c Config, own *identity.Identity, _ *datadir.Markers, log *slog.Logger) (*exports, error) {
	log = log.With(slog.String("part", "nbd"))
	e := &exports{server: nbd.New(nbd.Params{Now: time.Now, Log: log}), socket: c.NBDSocket()}
	socket, err := listenSocket(ctx, e.socket)
	if err != nil {
		return nil, err
	}
	serve := []func(context.Context) error{func(ctx context.Context) error { return e.server.Serve(ctx, socket, nil) }}
	if c.NBDListen != "" {
		config := net.ListenConfig{}
		port, err := config.Listen(ctx, "tcp", c.NBDListen)
		if err != nil {
			_ = socket.Close() // the reason is err
			return nil, fmt.Errorf("listen for block clients: %w: stop what listens there, or choose another port with --nbd-listen", err)
		}
		e.address = c.outside(c.NBDListen)
		serve = append(serve, func(ctx context.Context) error { return e.server.Serve(ctx, port, own.Server()) })
	}
	run, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	life.Append(fx.StartStopHook(
		func() {
			for _, one := range serve {
				running.Go(func() {
					if err := one(run); err != nil {
						log.Error("block clients are not served any more", slog.Any("error", err))
					}
				})
			}
		},
		func() {
			end()
			running.Wait()
		},
	))
	return e, nil
}

// Export implements usecase.Exporter.
func (e *exports) Export(name string, v *host.Volume, s *volume.Snapshot) (usecase.Export, error) {
	p := nbd.ExportParams{Name: name, Description: "volume of Lagan", Size: v.Size, Backend: backend{volume: v}}
	if s != nil {
		size := int64(s.Blocks) * block.Size
		p.Description, p.ReadOnly = "snapshot of a volume of Lagan", true
		p.Size, p.Backend = func() int64 { return size }, backend{volume: v, layer: s.Layer}
	}
	export, err := e.server.Export(p)
	if err != nil {
		return nil, err
	}
	return export, nil
}

// URIs implements usecase.Exporter.
func (e *exports) URIs(name string) []string {
	path := "/" + url.PathEscape(name)
	socket := strings.ReplaceAll(url.QueryEscape(e.socket), "%2F", "/") // which may stand there as it is
	all := []string{"nbd+unix://" + path + "?socket=" + socket}
	if e.address != "" {
		all = append(all, "nbds://"+e.address+path+"?tls-hostname="+identity.AnyNode) // certificates name nodes, not where they are
	}
	return all
}
