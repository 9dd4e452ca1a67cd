package cluster

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/identity"
)

// vacantWithin bounds the wait of somebody who founds a cluster for an etcd that
// runs already: one that is electing a leader answers by then.
const vacantWithin = 5 * time.Second

// Vacant returns an error if the metadata store cannot be asked, or if a cluster
// keeps its records in it already: there is room for one.
func Vacant(ctx context.Context, s interface {
	Store
	Reach(ctx context.Context) error
},
) error {
	ctx, cancel := context.WithTimeout(ctx, vacantWithin)
	defer cancel()
	if err := s.Reach(ctx); err != nil {
		return fmt.Errorf("%w\nsee that it runs and lets this machine in: --etcd-endpoints, --etcd-ca, --etcd-cert and --etcd-key say where and how", err)
	}
	r := s.Do(ctx, metadata.Txn{Read: []string{authorityKey}})
	if r.Outcome != metadata.Applied {
		return unanswered("the cluster was not founded")
	}
	item, found := r.Find(authorityKey)
	if !found {
		return nil
	}
	record, err := decode[authorityRecord](item)
	if err != nil {
		return err
	}
	return occupied(&record)
}

func occupied(other *authorityRecord) error {
	return fmt.Errorf("the metadata store has a cluster already, %s, and there is room for one: join it with  lagan join HOST:7301 --token …, or delete what is below /lagan/ there if nobody needs its volumes", other.Cluster)
}

// Scheme is of all URLs of the metadata store: nodes that were admitted speak
// mutual TLS.
const Scheme = "https"

// Found makes the directory of the first node of a new cluster. The authority's
// key stays in it until the Keeper has put it into the metadata store. external
// are the client URLs of a metadata store that others run, none if the nodes do.
func Found(path string, s datadir.Settings, external []string, now time.Time) error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	birth, err := datadir.Prepare(path)
	if err != nil {
		return err
	}
	authority, err := identity.NewAuthority(now)
	if err != nil {
		return errors.Join(err, birth.Abandon())
	}
	var node block.NodeID
	_, _ = rand.Read(node[:]) // never fails
	key, request, err := identity.NewKey()
	if err != nil {
		return errors.Join(err, birth.Abandon())
	}
	certificate, err := authority.Issue(request, node, nil, now)
	if err != nil {
		return errors.Join(err, birth.Abandon())
	}
	c := datadir.Cluster{Name: s.Cluster, Authority: authority.Hash().String(), Endpoints: external, External: len(external) > 0}
	return birth.Settle(node, s, c, func(dir string) error {
		if err := identity.SaveAuthority(dir, authority); err != nil {
			return err
		}
		return identity.Save(dir, authority.Certificate(), certificate, key)
	})
}

// Addresses are where others will reach a node: host:port.
type Addresses struct{ API, EtcdPeer, EtcdClient string }

// Join makes the directory of a node of the cluster that made the token. ask
// takes the request to a node of it, whose authority was compared with the
// token's. Nothing is left of a request that was refused.
func Join(ctx context.Context, path string, s datadir.Settings, a Addresses, token identity.Token,
	ask func(context.Context, volume.JoinRequest) (volume.JoinAnswer, error),
) error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	birth, err := datadir.Prepare(path)
	if err != nil {
		return err
	}
	key, request, err := identity.NewKey()
	if err != nil {
		return errors.Join(err, birth.Abandon())
	}
	answer, err := ask(ctx, volume.JoinRequest{
		TokenID: token.ID, TokenSecret: token.Secret, Name: s.Name, Request: request,
		API: a.API, EtcdPeer: a.EtcdPeer, EtcdClient: a.EtcdClient,
	})
	if err == nil {
		err = checkAnswer(&answer, token, key)
	}
	if err != nil {
		return errors.Join(err, birth.Abandon())
	}
	s.Cluster = answer.Cluster
	c := datadir.Cluster{Name: answer.Cluster, Authority: token.Authority.String(), Endpoints: answer.Endpoints, External: answer.External}
	return birth.Settle(answer.Node, s, c, func(dir string) error {
		return identity.Save(dir, answer.Authority, answer.Certificate, key)
	})
}

// checkAnswer refuses what would not be the token's cluster, or no node.
func checkAnswer(a *volume.JoinAnswer, token identity.Token, key []byte) error {
	id, err := identity.Parse(a.Authority, a.Certificate, key)
	if err != nil {
		return fmt.Errorf("the node's answer cannot be used: %w: see that all nodes run the same version", err)
	}
	p, _ := pem.Decode(a.Authority) // it was parsed
	if identity.HashOf(p.Bytes) != token.Authority || id.Node != a.Node || len(a.Endpoints) == 0 {
		return identity.ErrOtherAuthority
	}
	return nil
}

// unfounded reports whether the authority in dir was not yet put into the store.
func unfounded(dir string) (*identity.Authority, error) {
	found, err := filepath.Glob(filepath.Join(dir, identity.AuthorityKeyFile))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return identity.LoadAuthority(dir)
}
