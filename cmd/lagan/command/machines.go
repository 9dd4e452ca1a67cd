package command

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) node() *cobra.Command {
	return group("node", "See the nodes of the cluster, and take them out of service",
		&cobra.Command{
			Use: "ls", Short: "List nodes", Aliases: []string{"list"}, Args: exactly(0),
			Example: "  lagan node ls -o wide",
			RunE: func(c *cobra.Command, _ []string) error {
				all, err := s.client().Nodes(c.Context())
				if err != nil {
					return err
				}
				return s.print(all, func(w io.Writer) error { return s.nodeTable(w, all) })
			},
		},
		&cobra.Command{
			Use: "inspect NAME", Short: "Show all that is known of a node", Args: exactly(1), ValidArgsFunction: s.nodeNames,
			RunE: func(c *cobra.Command, arguments []string) error { return s.nodeInspect(c, arguments[0]) },
		},
		&cobra.Command{
			Use: "rm NAME", Short: "Remove a node that is dead and will not come back", Aliases: []string{"remove"},
			Args: exactly(1), ValidArgsFunction: s.nodeNames,
			Long: `Remove a node that is dead and will not come back. One that is heard from is
refused: stop it first; so is one that has the only whole copy of a volume. Its
copies and its vote go, another node votes in its place, and its name is free.`,
			Example: "  lagan node rm c",
			RunE: func(c *cobra.Command, arguments []string) error {
				return s.client().RemoveNode(c.Context(), arguments[0])
			},
		},
		s.nodeCordon("cordon", "Keep new copies away from a node", true),
		s.nodeCordon("uncordon", "Let new copies come to a node again", false),
		s.nodeDrain(), s.nodeUndrain(), s.nodeDecommission(), s.nodeMaintenance(), s.nodeCanReboot(),
	)
}

func (s *session) nodeInspect(c *cobra.Command, name string) error {
	daemon := s.client()
	n, err := daemon.Node(c.Context(), name)
	if err != nil {
		return err
	}
	return s.print(n, func(w io.Writer) error {
		disks, err := daemon.Disks(c.Context())
		if err != nil {
			return err
		}
		volumes, err := daemon.Volumes(c.Context())
		if err != nil {
			return err
		}
		return nodeDetails(w, &n, disks, volumes)
	})
}

// nodeDetails writes what a node is, has and does.
func nodeDetails(w io.Writer, n *api.Node, disks []api.Disk, volumes []api.Volume) error {
	pairs := [][2]string{
		{"Name", n.Name},
		{"ID", n.ID},
		{"State", stateOf(n)},
		{"Votes", yes(n.Votes)},
		{"Data", n.Address},
		{"API", n.API},
		{"Zone", n.Zone},
		{"Labels", labels(n.Labels)},
		{"Version", n.Version},
	}
	for _, d := range disks {
		if d.Node != n.Name {
			continue
		}
		state := fmt.Sprintf("%s, %s of %s free", d.ID, volume.RoundSize(d.Free), volume.RoundSize(d.Capacity))
		if d.Path != "" {
			state += " at " + d.Path
		}
		if d.Problem != "" {
			state += ": " + d.Problem
		}
		pairs = append(pairs, [2]string{"Disk", state})
	}
	for i := range volumes {
		v := &volumes[i]
		j := slices.IndexFunc(v.Status.Replicas, func(r api.Replica) bool { return r.Node == n.Name })
		if j >= 0 {
			pairs = append(pairs, [2]string{"Copy", "of " + v.Name + ", " + v.Status.Replicas[j].State})
		}
		if a := v.Status.Attachment; a != nil && a.Node == n.Name {
			pairs = append(pairs, [2]string{"Attached", v.Name})
		}
	}
	return details(w, pairs)
}
