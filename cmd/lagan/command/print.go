package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// print writes value as JSON if that was asked for, else what people does.
func (s *session) print(value any, people func(w io.Writer) error) error {
	if s.output != "json" {
		return people(s.Out)
	}
	encoder := json.NewEncoder(s.Out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// table writes rows under a header, in columns.
func table(w io.Writer, header string, rows [][]string) error {
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if _, err := fmt.Fprintln(columns, strings.Join(strings.Fields(header), "\t")); err != nil {
		return err
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(columns, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return columns.Flush()
}

func volumeTable(w io.Writer, all []api.Volume) error {
	var rows [][]string
	for i := range all {
		v := &all[i]
		attached := ""
		if v.Status.Attachment != nil {
			attached = v.Status.Attachment.Node
		}
		inSync := 0
		for _, r := range v.Status.Replicas {
			if r.State == string(volume.InSync) {
				inSync++
			}
		}
		rows = append(rows, []string{
			v.Name, volume.RoundSize(v.Spec.Size), v.Status.Health, fmt.Sprintf("%d/%d", inSync, v.Spec.Replicas),
			dash(strings.Join(nodesOf(v), ",")), dash(attached), v.Status.Reason,
		})
	}
	return table(w, "VOLUME SIZE HEALTH COPIES ON ATTACHED REASON", rows)
}

func nodesOf(v *api.Volume) (nodes []string) {
	for _, r := range v.Status.Replicas {
		nodes = append(nodes, r.Node)
	}
	return nodes
}

func volumeDetails(w io.Writer, v *api.Volume) error {
	rows := [][]string{
		{"Name", v.Name},
		{"ID", v.ID},
		{"Size", volume.FormatSize(v.Spec.Size)},
		{"File system", v.Spec.FS},
		{"Created", v.Status.Created},
		{"Health", strings.TrimSpace(v.Status.Health + " " + v.Status.Reason)},
		{"Epoch", fmt.Sprint(v.Status.Epoch)},
	}
	if a := v.Status.Attachment; a != nil {
		rows = append(rows, []string{"Attached to", a.Node})
		if a.Device != "" {
			rows = append(rows, []string{"Device", a.Device})
		}
		for _, m := range a.Mounts {
			rows = append(rows, []string{"Mounted at", m})
		}
		for _, u := range a.Users {
			user := volume.User{Mount: u.Mount, Container: u.Container}
			rows = append(rows, []string{"In use by", fmt.Sprintf("%s, since %s", &user, u.Since)})
		}
		if a.Lingering {
			rows = append(rows, []string{"In use by", "nobody: node " + a.Node + " gives it up when another asks"})
		}
	}
	for _, r := range v.Status.Replicas {
		rows = append(rows, []string{"Copy", fmt.Sprintf("%s on node %s, disk %s", r.State, r.Node, r.Disk)})
	}
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintf(columns, "%s:\t%s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return columns.Flush()
}

func nodeTable(w io.Writer, all []api.Node) error {
	var rows [][]string
	for _, n := range all {
		state := "up"
		switch {
		case n.Alive:
		case n.SilentSeconds > 0:
			state = fmt.Sprintf("silent for %v", time.Duration(n.SilentSeconds)*time.Second)
		default:
			state = "silent"
		}
		name := n.Name
		if n.Self {
			name += "*"
		}
		rows = append(rows, []string{name, state, n.Address, dash(n.Zone), n.Version, n.ID})
	}
	return table(w, "NODE STATE ADDRESS ZONE VERSION ID", rows)
}

func diskTable(w io.Writer, all []api.Disk) error {
	var rows [][]string
	for _, d := range all {
		state := "serves"
		if d.Problem != "" {
			state = d.Problem
		}
		rows = append(rows, []string{
			d.ID, d.Node, dash(d.Path), volume.RoundSize(d.Capacity), volume.RoundSize(d.Free), volume.RoundSize(d.Promised), state,
		})
	}
	return table(w, "DISK NODE PATH CAPACITY FREE PROMISED STATE", rows)
}

// dash stands for nothing in a table.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
