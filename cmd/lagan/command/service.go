package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) nodeCordon(use, short string, cordoned bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " NODE", Short: short, Args: exactly(1), ValidArgsFunction: s.nodeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.changeNode(c, arguments[0], api.NodeChange{Cordoned: &cordoned})
		},
	}
}

// changeNode changes what is asked of a node and prints how it is then.
func (s *session) changeNode(c *cobra.Command, name string, change api.NodeChange) error {
	n, err := s.client().ChangeNode(c.Context(), name, change)
	if err != nil {
		return err
	}
	return s.print(n, func(w io.Writer) error { return s.nodeTable(w, []api.Node{n}) })
}

func (s *session) nodeDrain() *cobra.Command {
	wait := false
	c := &cobra.Command{
		Use: "drain NODE", Short: "Have all copies of a node moved to others", Args: exactly(1), ValidArgsFunction: s.nodeNames,
		Long: `Have all copies of a node moved to others, a few volumes at a time; no new ones come
meanwhile, and after that. A new copy is filled before the old one goes, so no volume
has fewer meanwhile. It goes on whichever node dies; lagan operation ls says how far it
is, and which copies cannot be moved for which reason. What is attached to the node
stays so. To break it off, or to let copies come again: lagan node undrain.`,
		Example: "  lagan node drain b --wait",
		RunE: func(c *cobra.Command, arguments []string) error {
			drained := true
			return s.emptyNode(c, arguments[0], api.NodeChange{Drained: &drained}, wait)
		},
	}
	waitFlag(c.Flags(), &wait, "no copy is left there, or none of those that are can be moved")
	return c
}

// emptyNode has a node drained, and waits for that if it is to.
func (s *session) emptyNode(c *cobra.Command, name string, change api.NodeChange, wait bool) error {
	n, err := s.client().ChangeNode(c.Context(), name, change)
	if err == nil && wait {
		err = s.awaitOperation(c.Context(), &api.Operation{ID: drainPrefix + n.ID})
	}
	if err != nil {
		return err
	}
	return s.print(n, func(w io.Writer) error { return s.nodeTable(w, []api.Node{n}) })
}

func (s *session) nodeDecommission() *cobra.Command {
	wait := false
	c := &cobra.Command{
		Use: "decommission NODE", Short: "Have a node drained, and removed from the cluster then", Args: exactly(1), ValidArgsFunction: s.nodeNames,
		Long: `Have a node drained, and removed from the cluster as soon as it has no copies, nothing
is attached to it and the metadata store has a majority without it. Another node votes
in its place then, its name is free, and it stops. Give the command on another node to
wait for that. Until then it can be taken back: lagan node undrain. The only node that
votes is refused. One that is dead is removed with lagan node rm.`,
		Example: "  lagan node decommission c --wait",
		RunE: func(c *cobra.Command, arguments []string) error {
			leaving := true
			return s.emptyNode(c, arguments[0], api.NodeChange{Leaving: &leaving}, wait)
		},
	}
	waitFlag(c.Flags(), &wait, "the node has left, or copies of it cannot be moved")
	return c
}

func (s *session) nodeMaintenance() *cobra.Command {
	most, force := time.Duration(0), false
	on := &cobra.Command{
		Use: "on NODE", Short: "Announce that a node will be away", Args: exactly(1), ValidArgsFunction: s.nodeNames,
		Long: `Announce that a node will be away, for at most a while: its copies are not made anew
elsewhere meanwhile, and no new ones come to it. It ends by itself after that time. It is
refused when lagan node can-reboot says that it is not safe, unless --force is given.`,
		Example: "  lagan node maintenance on b --for 2h",
		RunE: func(c *cobra.Command, arguments []string) error {
			seconds := int64(most / time.Second)
			if seconds < 1 {
				return usageError{fmt.Errorf("--for %v: say how long it takes at most, as in 2h", most)}
			}
			return s.changeNode(c, arguments[0], api.NodeChange{MaintenanceSeconds: &seconds, Force: force})
		},
	}
	on.Flags().DurationVar(&most, "for", time.Hour, "how long it takes at most, a week at most")
	on.Flags().BoolVar(&force, "force", false, "although the cluster needs the node")
	off := &cobra.Command{
		Use: "off NODE", Short: "Say that a node is as any other again", Args: exactly(1), ValidArgsFunction: s.nodeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			seconds := int64(0)
			return s.changeNode(c, arguments[0], api.NodeChange{MaintenanceSeconds: &seconds})
		},
	}
	return group("maintenance", "Announce that a node will be away, and that it is back", on, off)
}

// drainPrefix begins the identity of the operation that drains a node.
const drainPrefix = "drain-"

func (s *session) nodeUndrain() *cobra.Command {
	return &cobra.Command{
		Use: "undrain NODE", Short: "Let copies stay on a node, and come there again", Args: exactly(1), ValidArgsFunction: s.nodeNames,
		Long: `Let copies stay on a node, and come there again, unless it is cordoned. Those that
have not left yet stay; those that have do not come back by themselves.`,
		RunE: func(c *cobra.Command, arguments []string) error {
			drained := false
			return s.changeNode(c, arguments[0], api.NodeChange{Drained: &drained})
		},
	}
}

func (s *session) nodeCanReboot() *cobra.Command {
	return &cobra.Command{
		Use: "can-reboot NODE", Short: "Say whether the rest of the cluster goes on while a node is away", Args: exactly(1),
		ValidArgsFunction: s.nodeNames,
		Long: `Say whether the rest of the cluster goes on while a node is away, as for a reboot:
whether every volume can be used, and records can be changed. Volumes that have fewer
copies meanwhile are named, and so are those that are attached to the node: who uses
them there ends with it. Exit codes: 0 it is safe, 3 it is not, 1 nobody can tell.`,
		Example: "  lagan node can-reboot b && ssh b reboot",
		RunE: func(c *cobra.Command, arguments []string) error {
			a, err := s.client().Absence(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			if err := s.print(a, func(w io.Writer) error { return absenceText(w, &a) }); err != nil {
				return err
			}
			if !a.Safe {
				return errNo
			}
			return nil
		},
	}
}

// absenceText says in words what would be noticed if a node were away.
func absenceText(w io.Writer, a *api.Absence) error {
	lines := []string{fmt.Sprintf("node %s can be rebooted: the rest of the cluster goes on", a.Node)}
	if !a.Safe {
		lines = []string{fmt.Sprintf("node %s must not be rebooted now:", a.Node)}
		for _, reason := range a.Reasons {
			lines = append(lines, "  "+reason)
		}
	}
	var fewer []string
	for i := range a.Volumes {
		if v := &a.Volumes[i]; v.Fate == api.Fate(volume.LessRedundant) {
			fewer = append(fewer, "  "+v.Text)
		}
	}
	if len(fewer) > 0 {
		lines = append(append(lines, "with fewer copies meanwhile:"), fewer...)
	}
	if len(a.Attachments) > 0 {
		lines = append(lines, "attached there:")
	}
	for i := range a.Attachments {
		lines = append(lines, "  "+stayText(&a.Attachments[i]))
	}
	if v := a.Voters; v != nil && v.Votes {
		lines = append(lines, fmt.Sprintf("voters of the metadata store: %d of %d would be left, %d are needed", v.Left, v.Voters, v.Needed))
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

func stayText(s *api.Stay) string {
	var users []string
	for _, u := range s.Users {
		user := volume.User{Mount: u.Mount, Container: u.Container}
		users = append(users, user.String())
	}
	switch {
	case s.Lingering:
		return fmt.Sprintf("volume %s, which nobody uses", s.Volume)
	case len(users) == 0:
		return "volume " + s.Volume
	}
	return fmt.Sprintf("volume %s, in use: %s", s.Volume, strings.Join(users, ", "))
}

func (s *session) volumeExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain VOLUME", Short: "Say why the copies of a volume are where they are, and what a dead node would mean", Args: exactly(1),
		ValidArgsFunction: s.volumeNames,
		Long: `Say why the copies of a volume are where they are, and as they are; where the next one
would be, with a reason for every node; and what becomes of the volume if a node dies
now, node by node.`,
		Example: "  lagan volume explain db",
		RunE: func(c *cobra.Command, arguments []string) error {
			a, err := s.client().Explain(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			return s.print(a, func(w io.Writer) error { return accountText(w, &a) })
		},
	}
}

// accountText says in words what is known of a volume's copies.
func accountText(w io.Writer, a *api.Account) error {
	pairs := [][2]string{
		{"Volume", a.Volume},
		{"Health", strings.TrimSuffix(a.Health+": "+a.Reason, ": ")},
		{"Copies", fmt.Sprintf("%d asked for, %d needed for a write", a.Replicas, a.MinWritable)},
		{"Where", strings.Join(a.Rules, "; ")},
	}
	for i := range a.Copies {
		c := &a.Copies[i]
		pairs = append(pairs, [2]string{"Copy on " + c.Replica.Node, strings.Join(append([]string{c.Replica.State}, c.Why...), "; ")})
	}
	if err := details(w, pairs); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	var rows [][]string
	for _, n := range a.Nodes {
		rows = append(rows, []string{n.Node, n.Text, n.Placement})
	}
	return table(w, "NODE IF-IT-DIES-NOW NEXT-COPY", rows)
}
