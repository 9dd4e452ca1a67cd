package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) node() *cobra.Command {
	c := &cobra.Command{Use: "node", Short: "See the nodes of the cluster"}
	c.AddCommand(
		&cobra.Command{
			Use: "ls", Short: "List nodes", Aliases: []string{"list"}, Args: exactly(0),
			RunE: func(c *cobra.Command, _ []string) error {
				all, err := s.client().Nodes(c.Context())
				if err != nil {
					return err
				}
				return s.print(all, func(w io.Writer) error { return nodeTable(w, all) })
			},
		},
		&cobra.Command{
			Use: "inspect NAME", Short: "Show all that is known of a node", Args: exactly(1),
			RunE: func(c *cobra.Command, arguments []string) error {
				n, err := s.client().Node(c.Context(), arguments[0])
				if err != nil {
					return err
				}
				return s.print(n, func(w io.Writer) error { return nodeTable(w, []api.Node{n}) })
			},
		},
	)
	return c
}

func (s *session) disk() *cobra.Command {
	c := &cobra.Command{Use: "disk", Short: "See the disks of the cluster"}
	c.AddCommand(&cobra.Command{
		Use: "ls", Short: "List disks", Aliases: []string{"list"}, Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := s.client().Disks(c.Context())
			if err != nil {
				return err
			}
			return s.print(all, func(w io.Writer) error { return diskTable(w, all) })
		},
	})
	return c
}

func (s *session) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the cluster on one screen", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			status, err := s.client().Status(c.Context())
			if err != nil {
				return err
			}
			return s.print(status, func(w io.Writer) error { return statusScreen(w, &status) })
		},
	}
}

func statusScreen(w io.Writer, s *api.Status) error {
	state := "ready"
	if !s.Ready {
		state = "not ready"
	}
	if _, err := fmt.Fprintf(w, "node %s is %s, version %s\n", s.Node, state, s.Version); err != nil {
		return err
	}
	if p := s.Problem; p != nil {
		for _, line := range append(append([]string{p.Detail}, p.Cause...), p.Fix) {
			if _, err := fmt.Fprintf(w, "  %s\n", line); err != nil {
				return err
			}
		}
	}
	for _, part := range []func() error{
		func() error { return nodeTable(w, s.Nodes) },
		func() error { return diskTable(w, s.Disks) },
		func() error { return volumeTable(w, s.Volumes) },
	} {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}
