package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/cmd/lagan/config"
	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
	"github.com/lagan-storage/lagan/transport/identity"
)

// joinWithin bounds the wait for the answer to a request to join.
const joinWithin = 30 * time.Second

func (s *session) join() *cobra.Command {
	settings := config.New()
	c := &cobra.Command{
		Use:   "join HOST:PORT --token TOKEN",
		Short: "Make this machine a node of a cluster, and run it in the foreground",
		Long: `Make this machine a node of a cluster, and run it in the foreground, as
lagan up does. HOST:PORT is the API of any node of it.

lagan up prints the token when it makes a cluster, lagan token create makes more.
The token says which cluster it is for: a machine that pretends to be of it is
told nothing. Later starts of this node are  lagan up  without flags.

Settings come from flags, the environment and a file as those of lagan up do.`,
		Example: "  lagan join 10.0.0.1:7301 --token ID.SECRET.HASH --disk /var/lib/lagan-pool:100GiB",
		Args:    exactly(1),
	}
	settings.Flags(c.Flags(), "join", "cluster", "etcd-endpoints")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		if err := settings.To(arguments[0]); err != nil {
			return usageError{err}
		}
		return s.run(c.Context(), settings)
	}
	return c
}

// join makes the data directory of a node of the cluster that is named.
func join(ctx context.Context, settings *config.Config) error {
	if settings.Token == "" {
		return usageError{errors.New("--token is missing: make one on any node of the cluster with  lagan token create")}
	}
	token, err := identity.ParseToken(settings.Token)
	if err != nil {
		return usageError{err}
	}
	node := &settings.Node
	if err := cluster.Join(ctx, node.Data, node.Settings(), node.Addresses(), token, asker(settings.Join, token)); err != nil {
		return fmt.Errorf("join %s: %w", settings.Join, err)
	}
	known, _, err := datadir.Lookup(node.Data)
	if err == nil {
		node.Cluster = known.Cluster
	}
	return err
}

// asker takes a request to join to the node at address, if that belongs to the
// token's cluster.
func asker(address string, token identity.Token) func(context.Context, volume.JoinRequest) (volume.JoinAnswer, error) {
	return func(ctx context.Context, j volume.JoinRequest) (volume.JoinAnswer, error) {
		ctx, cancel := context.WithTimeout(ctx, joinWithin)
		defer cancel()
		node := client.OverTLS(address, identity.Pinned(token.Authority))
		defer node.Close()
		joined, err := node.Join(ctx, api.Join{
			TokenID: j.TokenID, TokenSecret: j.TokenSecret, Name: j.Name, Request: string(j.Request),
			API: j.API, EtcdPeer: j.EtcdPeer, EtcdClient: j.EtcdClient,
		})
		if err != nil {
			return volume.JoinAnswer{}, err
		}
		answer := volume.JoinAnswer{
			Cluster: joined.Cluster, Authority: []byte(joined.Authority), Certificate: []byte(joined.Certificate), Endpoints: joined.Endpoints, External: joined.External,
		}
		return answer, answer.Node.UnmarshalText([]byte(joined.Node))
	}
}
