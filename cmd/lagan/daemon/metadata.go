package daemon

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"go.uber.org/fx"

	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
)

const (
	// leaseTTL is how long a silent node counts as alive: what people see. No
	// safety rests on it.
	leaseTTL = 5 * time.Second
	// storeWithin and memberWithin bound the stop of the metadata store, which
	// without a majority would take long and gain nothing.
	storeWithin  = 2 * time.Second
	memberWithin = 5 * time.Second
)

// openStore starts this node's member of the metadata store, if it is to have
// one, and returns a client. It returns when a majority of the members is up.
func openStore(ctx context.Context, life fx.Lifecycle, down fx.Shutdowner, c Config, d *datadir.Dir, log *slog.Logger) (*etcd.Store, error) {
	var tls *etcd.TLS
	if !c.Plain {
		tls = &etcd.TLS{
			CertFile: filepath.Join(c.TLSDir, identity.CertificateFile),
			KeyFile:  filepath.Join(c.TLSDir, identity.KeyFile),
			CAFile:   filepath.Join(c.TLSDir, identity.AuthorityFile),
		}
	}
	endpoints := c.Endpoints
	if len(c.Peers) > 0 {
		log.Info("waiting for a majority of the metadata store's members", slog.Int("members", len(c.Peers)))
		member, err := etcd.StartMember(ctx, etcd.MemberParams{
			Name: c.Name, Dir: d.Path("etcd"), Cluster: c.Peers, Token: c.Cluster,
			ListenClient: c.EtcdClient, TLS: tls, Logger: slog.New(grave{log.Handler()}).With(slog.String("part", "etcd")),
		})
		if err != nil {
			return nil, err
		}
		endpoints = []string{member.Endpoint()}
		life.Append(fx.StopHook(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, memberWithin)
			defer cancel()
			return member.Close(ctx)
		}))
		watchMember(ctx, member, down, log)
	}
	store, err := etcd.Open(ctx, etcd.Params{
		Endpoints: endpoints, TLS: tls, Logger: log.With(slog.String("part", "metadata")), LeaseTTL: leaseTTL,
	})
	if err != nil {
		return nil, err
	}
	life.Append(fx.StopHook(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, storeWithin)
		defer cancel()
		return store.Close(ctx)
	}))
	return store, nil
}

// watchMember ends the daemon when its member of the metadata store has failed:
// a new start is what repairs it.
func watchMember(ctx context.Context, member *etcd.Member, down fx.Shutdowner, log *slog.Logger) {
	go func() {
		err := member.Wait(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		log.Error("metadata store's member on this node failed", slog.Any("error", err))
		_ = down.Shutdown(fx.ExitCode(1)) // an error says that it is stopping already
	}()
}

// grave passes on what etcd says when somebody should know of it: most of what
// it calls news is its own business. With --debug everything is passed on.
type grave struct{ slog.Handler }

// Enabled implements slog.Handler.
func (g grave) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || g.Handler.Enabled(ctx, slog.LevelDebug)
}

// WithAttrs implements slog.Handler.
func (g grave) WithAttrs(attrs []slog.Attr) slog.Handler { return grave{g.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (g grave) WithGroup(name string) slog.Handler { return grave{g.Handler.WithGroup(name)} }
