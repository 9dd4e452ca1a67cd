package command

import (
	"io"

	"github.com/spf13/cobra"
)

func (s *session) volumeRecover() *cobra.Command {
	node := ""
	c := &cobra.Command{
		Use: "recover VOLUME --accept-loss NODE", Short: "Give up what the lost copies of a volume held", Args: exactly(1), ValidArgsFunction: s.volumeNames,
		Long: `Make the copy on a node what the volume is, because those that held more are lost for
good: their disks are broken, their machines are gone. What was written since the copy
was last in sync is lost, flushed or not; all others are made anew from it. It is
refused while a copy that holds everything can be reached, and nothing else ever
does this. After the cluster's records went back to a backup (config-regressed) the
record does not say who holds everything: the copy that you name is believed. Attach
the volume afterwards, and check what is in it.`,
		Example: `  lagan replica ls db
  lagan volume recover db --accept-loss b`,
		RunE: func(c *cobra.Command, arguments []string) error {
			v, err := s.client().RecoverVolume(c.Context(), arguments[0], node)
			if err != nil {
				return err
			}
			return s.print(v.Status.Replicas, func(w io.Writer) error { return s.replicaTable(w, v.Status.Replicas) })
		},
	}
	c.Flags().StringVar(&node, "accept-loss", "", "name of the node whose copy it is")
	if err := c.MarkFlagRequired("accept-loss"); err != nil {
		panic(err) // the flag is there
	}
	return c
}
