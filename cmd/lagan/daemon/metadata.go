package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
)

const (
	// leaseTTL is how long a silent node counts as alive: what people see, and how
	// long its volumes go on elsewhere only by force. No safety rests on it.
	leaseTTL = 5 * time.Second
	// storeWithin and memberWithin bound the stop of the metadata store, which
	// without a majority would take long and gain nothing.
	storeWithin  = 2 * time.Second
	memberWithin = 5 * time.Second
)

// keeping is the metadata store and who keeps its members, if this node may have
// one.
type keeping struct {
	fx.Out

	Store      *etcd.Store
	Admissions *cluster.Admissions
	Keeper     *cluster.Keeper
}

// openStore returns a client of the metadata store, and starts what keeps this
// node's member of it and the list of voters. It waits for nobody.
func openStore(ctx context.Context, life fx.Lifecycle, e *early, failed breakdown, c Config, d *datadir.Dir, log *slog.Logger) (k keeping, err error) {
	member, external := memberParams(c, d, log), d.Cluster().External
	own := member.TLS.Scheme() + "://" + member.AdvertiseClient
	endpoints, secure := append([]string{own}, d.Cluster().Endpoints...), member.TLS
	if external {
		if len(c.Etcd.Endpoints) > 0 {
			if err := d.SetEndpoints(c.Etcd.Endpoints); err != nil {
				return k, err
			}
		}
		endpoints, secure = d.Cluster().Endpoints, externalTLS(c, d.Cluster().Endpoints)
		if secure == nil {
			log.Warn("etcd is reached without TLS: anybody who reads what is sent can be any node", slog.Any("endpoints", endpoints))
		}
	}
	k.Store, err = etcd.Open(ctx, etcd.Params{
		Endpoints: distinct(endpoints), TLS: secure, Logger: log.With(slog.String("part", "metadata")), LeaseTTL: leaseTTL,
	})
	if err != nil {
		return k, err
	}
	var keeper *cluster.Keeper // of both, each of which needs the other
	k.Admissions = cluster.NewAdmissions(cluster.Params{
		Store: k.Store, API: c.Addresses().API, Scheme: cluster.Scheme, Now: time.Now,
		Endpoints: func() []string { return keeper.Endpoints() }, External: external,
	})
	keeper = cluster.NewKeeper(cluster.KeeperParams{
		Store: k.Store, Dir: d, TLSDir: d.Path(datadir.TLSDir), Member: member, Client: own,
		Self: cluster.Member{
			Name: c.Name, API: c.Addresses().API, Client: own, Peer: member.TLS.Scheme() + "://" + c.outside(c.EtcdPeer),
		},
		Tokens: k.Admissions, Founded: func(t volume.TokenReport) { tellToken(c, t) },
		Failed: failed.tell, Log: log,
	})
	k.Keeper = keeper
	closeMember := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, memberWithin)
		defer cancel()
		return keeper.Close(ctx)
	}
	closeStore := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, storeWithin)
		defer cancel()
		return k.Store.Close(ctx)
	}
	end := keep(ctx, keeper)
	life.Append(fx.StopHook(closeMember))
	life.Append(fx.StopHook(closeStore))
	life.Append(fx.StopHook(end))
	e.add(func() {
		end()
		ctx := context.WithoutCancel(ctx)
		_ = errors.Join(closeStore(ctx), closeMember(ctx)) // what went wrong before is what matters
	})
	return k, nil
}

// keep runs the keeper until end is called.
func keep(ctx context.Context, keeper *cluster.Keeper) (end func()) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		keeper.Run(running)
		close(ended)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// memberParams describes the member of the metadata store that this node has or
// may come to have.
func memberParams(c Config, d *datadir.Dir, log *slog.Logger) etcd.MemberParams {
	p := etcd.MemberParams{
		Name: c.Name, Dir: d.Path("etcd"),
		ListenClient: c.EtcdClient, AdvertiseClient: c.outside(c.EtcdClient),
		Logger: slog.New(grave{log.Handler()}).With(slog.String("part", "etcd")),
	}
	p.TLS = &etcd.TLS{
		CertFile:   filepath.Join(d.Path(datadir.TLSDir), identity.CertificateFile),
		KeyFile:    filepath.Join(d.Path(datadir.TLSDir), identity.KeyFile),
		CAFile:     filepath.Join(d.Path(datadir.TLSDir), identity.AuthorityFile),
		ServerName: identity.AnyNode,
	}
	p.ListenPeer = c.EtcdPeer
	p.Cluster = map[string][]string{c.Name: {cluster.Scheme + "://" + c.outside(c.EtcdPeer)}}
	p.Token = d.Cluster().Authority
	return p
}

// externalTLS returns what the node proves itself with to an etcd that others
// run, nil if that speaks without TLS.
func externalTLS(c Config, endpoints []string) *etcd.TLS {
	if !slices.ContainsFunc(endpoints, func(url string) bool { return strings.HasPrefix(url, "https:") }) {
		return nil
	}
	return &etcd.TLS{CertFile: c.Etcd.Cert, KeyFile: c.Etcd.Key, CAFile: c.Etcd.CA}
}

// Vacant returns an error if the etcd that c names cannot be asked, or if it
// holds a cluster already.
func Vacant(ctx context.Context, c Config) error {
	store, err := etcd.Open(ctx, etcd.Params{Endpoints: c.Etcd.Endpoints, TLS: externalTLS(c, c.Etcd.Endpoints)})
	if err != nil {
		return err
	}
	return errors.Join(cluster.Vacant(ctx, store), store.Close(ctx))
}

// tellToken prints how others join.
func tellToken(c Config, t volume.TokenReport) {
	_, _ = fmt.Fprintf(c.Out, "cluster %s is ready for other machines, until %s:\n\n  lagan join %s --token %s\n\n",
		c.Cluster, t.Expires.Local().Format(time.DateTime), t.API, t.Text) // there is nowhere else to say it
}

// distinct returns list without what comes again in it.
func distinct(list []string) (one []string) {
	for _, text := range list {
		if !slices.Contains(one, text) {
			one = append(one, text)
		}
	}
	return one
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
