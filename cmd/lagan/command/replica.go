package command

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) replica() *cobra.Command {
	return group("replica", "See, add, move and remove the copies of volumes",
		s.replicaList(), s.replicaAdd(), s.replicaMove(), s.replicaRemove())
}

func (s *session) replicaList() *cobra.Command {
	return &cobra.Command{
		Use: "ls VOLUME", Short: "List the copies of a volume, those to come included", Aliases: []string{"list"}, Args: exactly(1),
		ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			all, err := s.client().Replicas(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			return s.print(all, func(w io.Writer) error { return s.replicaTable(w, all) })
		},
	}
}

func (s *session) replicaTable(w io.Writer, all []api.Replica) error {
	header := "NODE DISK STATE"
	if s.wide() {
		header += " ID"
	}
	var rows [][]string
	for i := range all {
		one := &all[i]
		note := ""
		switch {
		case one.Leaving:
			note = "goes when the others are in sync"
		case one.Fill != nil:
			note = fillDetails(one.Fill)
		}
		row := []string{one.Node, one.Disk, one.State}
		if s.wide() {
			row = append(row, one.ID)
		}
		rows = append(rows, append(row, note))
	}
	return table(w, header+" NOTE", rows)
}

func (s *session) replicaAdd() *cobra.Command {
	node, disk, wait := "", "", false
	c := &cobra.Command{
		Use: "add VOLUME", Short: "Add a copy to a volume", Args: exactly(1), ValidArgsFunction: s.volumeNames,
		Long: `Add a copy to a volume, in use or not. Without --node it goes where a new volume's
would: to another node, in another zone if there is one, with the most room. It is
filled while the volume goes on; lagan operation ls shows how far it is.`,
		Example: `  lagan replica add db
  lagan replica add db --node c --wait`,
		RunE: func(c *cobra.Command, arguments []string) error {
			v, err := s.client().AddReplica(c.Context(), arguments[0], node, disk)
			return s.rearranged(c, v, err, wait)
		},
	}
	c.Flags().StringVar(&node, "node", "", "name of the node that is to have it")
	c.Flags().StringVar(&disk, "disk", "", "identity of its disk that is to have it")
	waitFlag(c.Flags(), &wait, "it is in sync")
	return c
}

func (s *session) replicaMove() *cobra.Command {
	wait := false
	c := &cobra.Command{
		Use: "move VOLUME FROM-NODE TO-NODE", Short: "Move a copy of a volume from one node to another", Args: exactly(3),
		ValidArgsFunction: s.replicaNodes,
		Long: `Move a copy of a volume, in use or not. The new one is filled first, and the old one
goes when it is in sync: the volume never has fewer copies meanwhile. Until then it
can be broken off: lagan operation cancel.`,
		Example: "  lagan replica move db a c",
		RunE: func(c *cobra.Command, arguments []string) error {
			v, err := s.client().MoveReplica(c.Context(), arguments[0], arguments[1], arguments[2])
			return s.rearranged(c, v, err, wait)
		},
	}
	waitFlag(c.Flags(), &wait, "it is done")
	return c
}

func (s *session) replicaRemove() *cobra.Command {
	wait := false
	c := &cobra.Command{
		Use: "rm VOLUME NODE", Short: "Remove the copy of a volume on a node", Aliases: []string{"remove", "delete"}, Args: exactly(2),
		ValidArgsFunction: s.replicaNodes,
		Long: `Remove the copy of a volume on a node; the volume is asked to have one fewer from
then on. The last one that holds everything cannot be removed.`,
		Example: "  lagan replica rm db c",
		RunE: func(c *cobra.Command, arguments []string) error {
			v, err := s.client().RemoveReplica(c.Context(), arguments[0], arguments[1])
			return s.rearranged(c, v, err, wait)
		},
	}
	waitFlag(c.Flags(), &wait, "it is gone")
	return c
}

// rearranged prints what a volume's copies become, or are once that is done.
func (s *session) rearranged(c *cobra.Command, v api.Volume, err error, wait bool) error {
	if err == nil && wait {
		v, err = s.await(c.Context(), v.ID, isPlaced)
	}
	if err != nil {
		return err
	}
	all := v.Status.Replicas
	return s.print(all, func(w io.Writer) error { return s.replicaTable(w, all) })
}

// isPlaced reports whether a volume has the copies that it should have.
func isPlaced(v *api.Volume) bool {
	for i := range v.Status.Replicas {
		if r := &v.Status.Replicas[i]; r.Leaving || r.State != string(volume.InSync) {
			return false
		}
	}
	return true
}

// comingAndGoing says which copies are not there yet, or still.
func comingAndGoing(v *api.Volume) string {
	var parts []string
	for i := range v.Status.Replicas {
		switch r := &v.Status.Replicas[i]; {
		case r.Leaving:
			parts = append(parts, "the copy on node "+r.Node+" is leaving")
		case r.State != string(volume.InSync):
			parts = append(parts, "the copy on node "+r.Node+" is "+r.State)
		}
	}
	return strings.Join(parts, ", ")
}

// replicaNodes completes a volume, and then nodes.
func (s *session) replicaNodes(c *cobra.Command, arguments []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(arguments) == 0 {
		return s.volumeNames(c, arguments, begun)
	}
	return s.nodeNames(c, nil, begun)
}
