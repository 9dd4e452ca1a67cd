package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
	"github.com/lagan-storage/lagan/transport/identity"
)

// joinWithin bounds the wait for the answer to a request to join.
const joinWithin = 30 * time.Second

func (s *session) join() *cobra.Command {
	u := &up{config: daemon.Config{Version: version(), Out: s.Out}}
	var text string
	c := &cobra.Command{
		Use:   "join HOST:PORT --token TOKEN",
		Short: "Make this machine a node of a cluster, and run it in the foreground",
		Long: `Make this machine a node of a cluster, and run it in the foreground, as
lagan up does. HOST:PORT is the API of any node of it.

lagan up prints the token when it makes a cluster, lagan token create makes more.
The token says which cluster it is for: a machine that pretends to be of it is
told nothing. Later starts of this node are  lagan up  without flags.`,
		Example: "  lagan join 10.0.0.1:7301 --token ID.SECRET.HASH --disk /var/lib/lagan-pool:100GiB",
		Args:    exactly(1),
	}
	u.flags(c)
	c.Flags().StringVar(&text, "token", "", "token that lagan up or lagan token create printed")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		config, err := u.parse()
		if err != nil {
			return usageError{err}
		}
		if text == "" {
			return usageError{errors.New("--token is missing: make one on any node of the cluster with  lagan token create")}
		}
		token, err := identity.ParseToken(text)
		if err != nil {
			return usageError{err}
		}
		if err := errors.Join(config.Complete(), config.Check()); err != nil {
			return err
		}
		err = cluster.Join(c.Context(), config.Data, config.Settings(), config.Addresses(), token, asker(arguments[0], token))
		if err != nil {
			return fmt.Errorf("join %s: %w", arguments[0], err)
		}
		if err := found(&config, func(string) bool { return false }, time.Now()); err != nil {
			return err
		}
		return s.run(c, config, u.logger(s))
	}
	return c
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
			Cluster: joined.Cluster, Authority: []byte(joined.Authority), Certificate: []byte(joined.Certificate), Endpoints: joined.Endpoints,
		}
		return answer, answer.Node.UnmarshalText([]byte(joined.Node))
	}
}
