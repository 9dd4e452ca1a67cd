package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
)

// The directories of a member's data beside the one that is used.
const (
	restoringDir = "etcd.restoring" // not whole yet
	replacedDir  = "etcd.replaced-" // what there was before a restore, by its time
)

// Restore makes the metadata store of a cluster anew from a backup, with the node of c
// as its only voter. The node must not run. What there was stays beside it:
//
//	backup ──▶ etcd.restoring, one voter, heard by nobody else ──▶ volumes marked ──▶ etcd
//	                                                                    etcd ──▶ etcd.replaced-TIME
func Restore(ctx context.Context, c Config, file string, now time.Time, log *slog.Logger) (r cluster.Restored, err error) {
	d, err := openStopped(c)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	p := memberParams(c, d, log)
	etcdDir, address := p.Dir, p.AdvertiseClient
	p.Dir = d.Path(restoringDir)
	p.Token += "-restored-" + strconv.FormatInt(now.UnixNano(), 36) // another cluster than the lost one
	if err := os.RemoveAll(p.Dir); err != nil {
		return r, fmt.Errorf("remove what a restore left that was broken off: %w", err)
	}
	if err := etcd.Restore(ctx, file, p); err != nil {
		return r, err
	}
	if r, err = markRestored(ctx, p, d, now, log); err != nil {
		return r, errors.Join(err, os.RemoveAll(p.Dir))
	}
	if err := os.Rename(etcdDir, d.Path(replacedDir+now.UTC().Format("20060102T150405"))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, fmt.Errorf("put the former metadata store aside: %w", err)
	}
	if err := os.Rename(p.Dir, etcdDir); err != nil {
		return r, fmt.Errorf("put the restored metadata store in place: %w", err)
	}
	r.Address = address
	return r, errors.Join(syncDir(filepath.Dir(etcdDir)), d.SetEndpoints([]string{cluster.Scheme + "://" + address}))
}

// openStopped takes the data directory of a node that belongs to a cluster whose nodes
// run the metadata store, and that does not run now.
func openStopped(c Config) (*datadir.Dir, error) {
	own, err := loadIdentity(c)
	if err != nil {
		return nil, err
	}
	d, err := datadir.Open(c.Data, own.Node)
	if err != nil {
		return nil, err
	}
	switch belongs := d.Cluster(); {
	case belongs == nil:
		err = fmt.Errorf("data directory %s belongs to no cluster: name that of a node with --data", c.Data)
	case belongs.External:
		err = fmt.Errorf("cluster %s keeps its records in an etcd that others run: restore it there, with its own tools", belongs.Name)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// markRestored runs the restored member where nobody else looks for it, while volumes
// are marked.
func markRestored(ctx context.Context, p etcd.MemberParams, d *datadir.Dir, now time.Time, log *slog.Logger) (r cluster.Restored, err error) {
	if p.ListenPeer, err = freePort(ctx); err != nil {
		return r, err
	}
	if p.ListenClient, err = freePort(ctx); err != nil {
		return r, err
	}
	p.AdvertiseClient = p.ListenClient
	m, err := etcd.StartMember(ctx, p)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx))) }()
	s, err := etcd.Open(ctx, etcd.Params{Endpoints: []string{m.Endpoint()}, TLS: p.TLS, Logger: log})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	return cluster.MarkRestored(ctx, s, d, now)
}

// freePort returns an address of this machine alone that is free.
func freePort(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Rejoin makes the stopped node of c a client of the voter whose client address is
// given, of the cluster that was restored there: its own member of the lost one is discarded.
func Rejoin(c Config, address string) (err error) {
	d, err := openStopped(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("address of the restored metadata store: %w: write it as HOST:7303", err)
	}
	if err := etcd.Discard(d.Path("etcd")); err != nil {
		return err
	}
	return d.SetEndpoints([]string{cluster.Scheme + "://" + address})
}

// backUp copies the metadata store to w, if the nodes run it.
func backUp(ctx context.Context, d *datadir.Dir, s *etcd.Store, w io.Writer) error {
	if d.Cluster().External {
		return &volume.Error{
			Kind: volume.ErrUnsupportedOption,
			What: "cannot back up the cluster's records: they are in an etcd that others run",
			Fix:  "use its own tools:  etcdctl snapshot save FILE",
		}
	}
	return s.Backup(ctx, w)
}
