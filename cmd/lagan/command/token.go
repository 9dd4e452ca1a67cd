package command

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/host/cluster"
)

func (s *session) token() *cobra.Command {
	return group("token", "Let machines join the cluster", s.tokenCreate(), s.tokenList(), &cobra.Command{
		Use: "rm ID", Short: "Make a token useless", Aliases: []string{"remove"}, Args: exactly(1), ValidArgsFunction: s.tokenIDs,
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.client().RemoveToken(c.Context(), arguments[0])
		},
	})
}

func (s *session) tokenCreate() *cobra.Command {
	var ttl time.Duration
	c := &cobra.Command{
		Use: "create", Short: "Make a token and print how to join with it", Args: exactly(0),
		Example: "  lagan token create\n  lagan token create --ttl 1h",
		RunE: func(c *cobra.Command, _ []string) error {
			if ttl < time.Second {
				return usageError{fmt.Errorf("--ttl is %v: give at least a second, as in 24h", ttl)}
			}
			t, err := s.client().CreateToken(c.Context(), ttl)
			if err != nil {
				return err
			}
			return s.print(t, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "lagan join %s --token %s\n", t.API, t.Token)
				return err
			})
		},
	}
	c.Flags().DurationVar(&ttl, "ttl", cluster.TokenTTL, "how long it is good for")
	return c
}

func (s *session) tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List tokens that can be used", Aliases: []string{"list"}, Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := s.client().Tokens(c.Context())
			if err != nil {
				return err
			}
			return s.print(all, func(w io.Writer) error {
				var rows [][]string
				for _, t := range all {
					rows = append(rows, []string{t.ID, t.Expires})
				}
				return table(w, "ID EXPIRES", rows)
			})
		},
	}
}
