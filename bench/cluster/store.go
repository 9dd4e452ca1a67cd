package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
)

// Store opens one more client of the cluster's metadata store, with the
// certificate of n, which belongs to the cluster by now. The caller closes it.
func (c *Cluster) Store(ctx context.Context, n *Node, log *slog.Logger) (*etcd.Store, error) {
	_, known, err := datadir.Lookup(n.dir)
	switch {
	case err != nil:
		return nil, err
	case known == nil:
		return nil, fmt.Errorf("node %s belongs to no cluster yet", n.Name)
	}
	return etcd.Open(ctx, etcd.Params{Endpoints: known.Endpoints, TLS: n.StoreTLS(), Logger: log})
}

// StoreTLS names the files with which the node speaks to the metadata store.
func (n *Node) StoreTLS() *etcd.TLS {
	file := func(name string) string { return filepath.Join(n.dir, datadir.TLSDir, name) }
	return &etcd.TLS{
		CertFile: file(identity.CertificateFile), KeyFile: file(identity.KeyFile), CAFile: file(identity.AuthorityFile),
		ServerName: identity.AnyNode,
	}
}

// Leader returns the node whose member leads the metadata store.
func (c *Cluster) Leader(ctx context.Context, s *etcd.Store) (*Node, error) {
	id, err := s.Leader(ctx)
	if err != nil {
		return nil, err
	}
	seats, err := s.Seats(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(seats, func(seat etcd.Seat) bool { return seat.ID == id })
	if i < 0 || c.nodes[seats[i].Name] == nil {
		return nil, fmt.Errorf("member %x leads the metadata store, and is none of this cluster's nodes: %v", id, seats)
	}
	return c.nodes[seats[i].Name], nil
}
