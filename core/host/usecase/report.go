package usecase

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// Create makes a volume, or takes the one that is as it was asked for. With
// dryRun it only says where the copies would be. reasons has a line a node, and
// one for each warning.
func (n *Node) Create(ctx context.Context, spec volume.Spec, dryRun bool) (report volume.Report, reasons []string, err error) {
	ctx, cancel := change(ctx)
	defer cancel()
	spec.Created = n.p.Now().UTC().Format(time.RFC3339)
	answer, err := n.create(ctx, spec, dryRun)
	if err != nil || dryRun {
		return volume.Report{Spec: spec}, reasonsOf(&answer), err
	}
	for _, warning := range answer.Warnings {
		n.log.Warn("volume was created all the same", slog.String("volume", spec.Name), slog.String("warning", warning))
	}
	report, err = n.Volume(ctx, answer.Volume.String())
	return report, reasonsOf(&answer), err
}

func (n *Node) create(ctx context.Context, spec volume.Spec, dryRun bool) (volume.Answer, error) {
	if spec.Parent != "" {
		return n.createClone(ctx, spec, dryRun)
	}
	return n.p.Host.Command(ctx, volume.Command{Kind: volume.CreateVolume, Spec: spec, DryRun: dryRun})
}

func reasonsOf(a *volume.Answer) []string {
	reasons := slices.Clone(a.Reasons)
	for _, warning := range a.Warnings {
		reasons = append(reasons, "warning: "+warning)
	}
	return reasons
}

// Delete deletes a volume that nobody uses, with its snapshots if it is to. Its
// copies are freed as their nodes hear of it.
func (n *Node) Delete(ctx context.Context, name string, snapshots bool) error {
	ctx, cancel := change(ctx)
	defer cancel()
	_, err := n.p.Host.Command(ctx, volume.Command{Kind: volume.DeleteVolume, Name: name, Snapshots: snapshots})
	return err
}

// Volumes reports all volumes, by name.
func (n *Node) Volumes(context.Context) ([]volume.Report, error) {
	var all []orchestrator.VolumeStatus
	known, names := false, map[block.NodeID]string{}
	n.p.Host.View(func(o *orchestrator.Orchestrator) {
		known, all, names = o.Known(), o.Volumes(), nodeNames(o)
	})
	if !known {
		return nil, n.notReady()
	}
	reports := make([]volume.Report, len(all))
	for i, at := range byName(all) {
		reports[i] = n.report(&all[at], names)
	}
	return reports, nil
}

// byName returns the indexes of volumes in the order of their names: they are
// too large to be moved about.
func byName(all []orchestrator.VolumeStatus) []int {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &all[i], &all[j]
		return cmp.Or(strings.Compare(a.Spec.Name, b.Spec.Name), bytes.Compare(a.Volume[:], b.Volume[:]))
	})
	return order
}

// Volume reports one volume, by name or identity.
func (n *Node) Volume(ctx context.Context, name string) (volume.Report, error) {
	status, err := n.find(ctx, name)
	if err != nil {
		return volume.Report{}, err
	}
	names := map[block.NodeID]string{}
	n.p.Host.View(func(o *orchestrator.Orchestrator) {
		if status.Config == nil {
			return
		}
		for _, m := range status.Config.Members {
			names[m.Node] = o.NodeName(m.Node)
		}
		for _, at := range status.Placement.Wanted(status.Config) {
			names[at.Node] = o.NodeName(at.Node)
		}
	})
	report := n.report(&status, names)
	n.addFill(ctx, &status, &report)
	return report, nil
}

func nodeNames(o *orchestrator.Orchestrator) map[block.NodeID]string {
	names := map[block.NodeID]string{}
	for _, node := range o.Nodes() {
		names[node.ID] = node.Name
	}
	for id, name := range o.RemovedNames() { // any order: into another map
		names[id] = name
	}
	return names
}

func (n *Node) report(s *orchestrator.VolumeStatus, names map[block.NodeID]string) volume.Report {
	r := volume.Report{ID: s.Volume, Spec: s.Spec, Attached: s.AttachedTo, Revision: int64(s.Revision)}
	if s.Attachment != nil {
		r.Users, r.Lingers = s.Attachment.Users, s.Attachment.Lingering
	}
	if s.Config != nil {
		r.Epoch, r.Size = s.Config.Epoch, int64(s.Blocks)*block.Size
		for _, m := range s.Config.Members {
			r.Copies = append(r.Copies, volume.Copy{
				Replica: m.Replica, Node: names[m.Node], NodeID: m.Node, Disk: m.Disk, State: m.State, Leaving: !s.Placement.Wants(m.Replica),
			})
		}
		for _, at := range s.Placement.Wanted(s.Config) {
			if s.Config.Member(at.Replica) == nil && !s.Deleting {
				r.Copies = append(r.Copies, volume.Copy{
					Replica: at.Replica, Node: names[at.Node], NodeID: at.Node, Disk: at.Disk, State: volume.Out,
				})
			}
		}
		slices.SortFunc(r.Copies, func(a, b volume.Copy) int {
			return cmp.Or(strings.Compare(a.Node, b.Node), bytes.Compare(a.Replica[:], b.Replica[:]))
		})
	}
	if s.Snapshots != nil {
		r.Snapshots = len(s.Snapshots.List)
	}
	if whole, _, known := n.usage(s.Config); known {
		r.Usage = &whole
	}
	if s.Here.Started {
		r.Here = &volume.Use{Serving: s.Here.Serving, Lossless: s.Here.Lossless}
		if !s.Here.Serving {
			r.Here.Reason = s.Here.Text
		}
		r.Here.Device, r.Here.Mounts, r.Here.Smaller = n.usedBy(s.Volume)
		if u := n.known(s.Volume); u != nil {
			uses := u.uses() // what is recorded may be behind
			r.Users, r.Lingers = uses.Users, uses.Lingering
			r.Here.Exports = n.exportsOf(u)
		}
	}
	r.Health, r.Reason = s.Health(func(id block.NodeID) string { return names[id] })
	return r
}

// usage returns what a volume and its snapshots take here: of a copy on this node
// that is in sync. c may be nil.
func (n *Node) usage(c *volume.Config) (whole volume.Usage, snapshots map[block.LayerID]volume.Usage, known bool) {
	if c == nil {
		return whole, nil, false
	}
	at := slices.IndexFunc(c.Members, func(m volume.Member) bool { return m.Node == n.p.Node.ID && m.State == volume.InSync })
	if at < 0 {
		return whole, nil, false
	}
	return n.p.Host.Usage(c.Members[at].Disk, c.Members[at].Replica)
}

// Nodes reports all nodes, by name.
func (n *Node) Nodes(context.Context) ([]volume.NodeReport, error) {
	known := false
	voting := n.voting()
	var all []orchestrator.NodeStatus
	n.p.Host.View(func(o *orchestrator.Orchestrator) { known, all = o.Known(), o.Nodes() })
	if !known {
		return nil, n.notReady()
	}
	reports := make([]volume.NodeReport, 0, len(all))
	for _, s := range all {
		reports = append(reports, volume.NodeReport{Node: s.Node, Alive: s.Alive, Silent: s.Silent, Spec: s.Spec, Self: s.ID == n.p.Node.ID, Votes: slices.Contains(voting, s.ID)})
	}
	return reports, nil
}
