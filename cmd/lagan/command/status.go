package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) status() *cobra.Command {
	return hasNoNames(&cobra.Command{
		Use: "status", Short: "Show the cluster on one screen: nodes, disks, and what needs attention", Args: exactly(0),
		Example: "  lagan status\n  lagan status -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			status, err := s.client().Status(c.Context())
			if err != nil {
				return err
			}
			return s.print(status, func(w io.Writer) error { return s.statusScreen(w, &status) })
		},
	})
}

func (s *session) statusScreen(w io.Writer, status *api.Status) error {
	if err := readiness(w, status); err != nil {
		return err
	}
	var wanting []api.Volume
	for i := range status.Volumes {
		if status.Volumes[i].Status.Health != string(volume.Healthy) {
			wanting = append(wanting, status.Volumes[i])
		}
	}
	summary := plural(len(status.Volumes), "volume", "volumes")
	switch {
	case len(status.Volumes) > 0 && len(wanting) == 0:
		summary += ", healthy"
	case len(wanting) > 0:
		summary += fmt.Sprintf(", %d not healthy", len(wanting))
	}
	for _, part := range []struct {
		count int
		write func() error
	}{
		{len(status.Nodes), func() error { return s.nodeTable(w, status.Nodes) }},
		{len(status.Disks), func() error { return s.diskTable(w, status.Disks) }},
		{1, func() error { _, err := fmt.Fprintln(w, summary); return err }},
		{len(wanting), func() error { return s.volumeTable(w, wanting) }},
		{len(status.Alerts), func() error { return alerts(w, status.Alerts) }},
	} {
		if part.count == 0 {
			continue
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := part.write(); err != nil {
			return err
		}
	}
	return nil
}

// readiness says how the node is that answers, and who is there.
func readiness(w io.Writer, status *api.Status) error {
	up, votes := 0, 0
	for i := range status.Nodes {
		if status.Nodes[i].Alive {
			up++
		}
		if status.Nodes[i].Votes {
			votes++
		}
	}
	state := "ready"
	if !status.Ready {
		state = "not ready"
	}
	line := fmt.Sprintf("node %s is %s", status.Node, state)
	if all := len(status.Nodes); all > 0 {
		line += fmt.Sprintf("; %d of %s up", up, plural(all, "node", "nodes"))
	}
	switch votes {
	case 0: // an etcd that others run, or nothing is known yet
	case 1:
		line += ", 1 votes and may not fail"
	case 2:
		line += ", 2 vote and neither may fail"
	default:
		line += fmt.Sprintf(", %d vote and %d of those may fail", votes, (votes-1)/2)
	}
	if _, err := fmt.Fprintln(w, line); err != nil {
		return err
	}
	if p := status.Problem; p != nil {
		for _, line := range append(append([]string{p.Detail}, p.Cause...), p.Fix) {
			if _, err := fmt.Fprintf(w, "  %s\n", line); err != nil {
				return err
			}
		}
	}
	return nil
}

// alerts writes what someone must act on, each with what to do.
func alerts(w io.Writer, all []api.Alert) error {
	for _, a := range all {
		text := a.Text
		if text == "" {
			text = a.Code
		}
		if _, err := fmt.Fprintf(w, "! %s: %s\n", a.Subject, strings.TrimSuffix(text+"\n    "+a.Fix, "\n    ")); err != nil {
			return err
		}
	}
	return nil
}
