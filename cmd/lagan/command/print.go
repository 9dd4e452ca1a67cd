package command

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// table writes rows under a header, in columns.
func table(w io.Writer, header string, rows [][]string) error {
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{strings.Fields(header)}, rows...) {
		if _, err := fmt.Fprintln(columns, strings.TrimRight(strings.Join(row, "\t"), "\t")); err != nil {
			return err
		}
	}
	return columns.Flush()
}

// details writes pairs of a word and what it is, in two columns. Pairs without
// the second are left out.
func details(w io.Writer, pairs [][2]string) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range pairs {
		if p[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(columns, "%s:\t%s\n", p[0], p[1]); err != nil {
			return err
		}
	}
	return columns.Flush()
}

func (s *session) volumeTable(w io.Writer, all []api.Volume) error {
	header := "VOLUME SIZE USED HEALTH COPIES ON ATTACHED"
	if s.wide() {
		header += " EXCLUSIVE SHARED USED-BY FS EPOCH CREATED ID"
	}
	var rows [][]string
	for i := range all {
		v := &all[i]
		attached, users := "", []string(nil)
		if a := v.Status.Attachment; a != nil {
			attached = a.Node
			if a.Lingering {
				attached += " (lingers)"
			}
			for _, u := range a.Users {
				users = append(users, cmp.Or(u.Container, u.Mount))
			}
		}
		used := usageColumns(v.Status.Usage)
		row := []string{
			v.Name, volume.RoundSize(v.Spec.Size), used[0], v.Status.Health, fmt.Sprintf("%d/%d", inSync(v), v.Spec.Replicas),
			dash(strings.Join(nodesOf(v), ",")), dash(attached),
		}
		if s.wide() {
			row = append(row, used[1], used[2], dash(strings.Join(users, ",")), v.Spec.FS, fmt.Sprint(v.Status.Epoch), dash(v.Status.Created), v.ID)
		}
		rows = append(rows, append(row, v.Status.Reason))
	}
	return table(w, header+" REASON", rows)
}

// usageColumns is what something takes, what only it does, and the rest.
func usageColumns(u *api.Usage) [3]string {
	if u == nil {
		return [3]string{"-", "-", "-"}
	}
	return [3]string{volume.RoundSize(u.Used), volume.RoundSize(u.Exclusive), volume.RoundSize(u.Shared)}
}

// usageDetails says in words what a volume takes.
func usageDetails(u *api.Usage) string {
	if u == nil {
		return ""
	}
	text := volume.RoundSize(u.Used) + " on each disk"
	if u.Shared > 0 {
		text += fmt.Sprintf(", %s of it shared with clones or what it is a clone of", volume.RoundSize(u.Shared))
	}
	return text
}

// inSync returns how many copies have all that was acknowledged.
func inSync(v *api.Volume) (count int) {
	for _, r := range v.Status.Replicas {
		if r.State == string(volume.InSync) {
			count++
		}
	}
	return count
}

func nodesOf(v *api.Volume) (nodes []string) {
	for _, r := range v.Status.Replicas {
		nodes = append(nodes, r.Node)
	}
	return nodes
}

func volumeDetails(w io.Writer, v *api.Volume) error {
	formatted := " (made at the first mount)"
	if v.Status.Formatted || v.Spec.FS == "none" {
		formatted = ""
	}
	preempt := ""
	if v.Spec.Preempt {
		preempt = "a container takes it from the node that has it"
	}
	needed := ""
	if n := v.Spec.MinWritable; n > 1 {
		needed = fmt.Sprintf("%d copies in sync", n)
	}
	pairs := [][2]string{
		{"Name", v.Name},
		{"ID", v.ID},
		{"Size", sizeDetails(v)},
		{"Used", usageDetails(v.Status.Usage)},
		{"Needed to write", needed},
		{"File system", v.Spec.FS + formatted},
		{"Mount options", v.Spec.MountOptions},
		{"Copies on nodes", strings.Join(v.Spec.Nodes, ", ")},
		{"Copies in zones", strings.Join(v.Spec.Zones, ", ")},
		{"Copies with labels", labels(v.Spec.Labels)},
		{"Preempt", preempt},
		{"Clone of", v.Spec.Parent},
		{"Snapshots", snapshotCount(v.Status.Snapshots)},
		{"Snapshot schedule", v.Spec.SnapshotSchedule},
		{"Created", v.Status.Created},
		{"Health", strings.TrimSuffix(v.Status.Health+": "+v.Status.Reason, ": ")},
		{"Epoch", fmt.Sprint(v.Status.Epoch)},
	}
	for _, r := range v.Status.Replicas {
		text := fmt.Sprintf("%s on node %s, disk %s", r.State, r.Node, r.Disk)
		if r.Fill != nil {
			text += ": " + fillDetails(r.Fill)
		}
		pairs = append(pairs, [2]string{"Copy", text})
	}
	return details(w, append(pairs, attachmentDetails(v.Status.Attachment)...))
}

// fillDetails says how far a copy is that is being filled.
func fillDetails(f *api.Fill) string { return howFar(f.Done, f.Total, f.Rate, f.SecondsLeft) }

// howFar says how far something is, and how fast it goes on if that is known.
func howFar(done, total, rate, left int64) string {
	text := volume.RoundSize(done)
	if total > 0 {
		text += " of " + volume.RoundSize(total)
	}
	if rate > 0 {
		text += fmt.Sprintf(", %s/s", volume.RoundSize(rate))
	}
	if left > 0 {
		text += fmt.Sprintf(", %v left", time.Duration(left)*time.Second)
	}
	return text
}

// sizeDetails is what was asked for and, while it grows, what a volume has.
func sizeDetails(v *api.Volume) string {
	text := volume.FormatSize(v.Spec.Size)
	if isLarger(v) || v.Status.Size == 0 {
		return text
	}
	return text + ", of which it has " + volume.FormatSize(v.Status.Size)
}

func snapshotCount(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func attachmentDetails(a *api.Attachment) [][2]string {
	if a == nil {
		return [][2]string{{"Attached to", "no node"}}
	}
	pairs := [][2]string{{"Attached to", a.Node}, {"Requests wait", a.Reason}, {"Device", a.Device}, {"Problem", a.Smaller}}
	for _, m := range a.Mounts {
		pairs = append(pairs, [2]string{"Mounted at", m})
	}
	pairs = append(pairs, exportDetails(a.Exports)...)
	for _, u := range a.Users {
		user := volume.User{Mount: u.Mount, Container: u.Container}
		pairs = append(pairs, [2]string{"In use by", fmt.Sprintf("%s, since %s", &user, u.Since)})
	}
	if a.Lingering {
		pairs = append(pairs, [2]string{"In use by", "nobody: node " + a.Node + " gives it up when another asks"})
	}
	return pairs
}

func labels(all map[string]string) string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		words = append(words, key+"="+all[key])
	}
	return strings.Join(words, ",")
}

func stateOf(n *api.Node) string {
	state := "silent"
	switch {
	case n.Alive:
		state = "up"
	case n.SilentSeconds > 0:
		state = fmt.Sprintf("silent for %v", time.Duration(n.SilentSeconds)*time.Second)
	}
	switch {
	case n.Leaving:
		state += ", leaving"
	case n.Drained != "":
		state += ", drained"
	case n.Cordoned:
		state += ", cordoned"
	}
	if n.MaintenanceUntil != "" {
		state += ", in maintenance until " + n.MaintenanceUntil
	}
	return state
}

func (s *session) nodeTable(w io.Writer, all []api.Node) error {
	header := "NODE STATE VOTES ADDRESS ZONE VERSION"
	if s.wide() {
		header += " LABELS API ID"
	}
	var rows [][]string
	for i := range all {
		n := &all[i]
		name := n.Name
		if n.Self {
			name += "*"
		}
		row := []string{name, stateOf(n), yes(n.Votes), n.Address, dash(n.Zone), n.Version}
		if s.wide() {
			row = append(row, dash(labels(n.Labels)), dash(n.API), n.ID)
		}
		rows = append(rows, row)
	}
	return table(w, header, rows)
}

// dash stands for nothing in a table.
func dash(text string) string { return cmp.Or(text, "-") }

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "-"
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
