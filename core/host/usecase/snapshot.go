package usecase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// Snapshots reports those of a volume, oldest first.
func (n *Node) Snapshots(ctx context.Context, name string) ([]volume.SnapshotReport, error) {
	status, err := n.find(ctx, name)
	if err != nil || status.Snapshots == nil {
		return nil, err
	}
	var all []volume.SnapshotReport
	_, used, _ := n.usage(status.Config)
	for i := range status.Snapshots.List {
		all = append(all, n.snapshotReport(&status, &status.Snapshots.List[i], used))
	}
	return all, nil
}

// Snapshot reports one snapshot of a volume.
func (n *Node) Snapshot(ctx context.Context, name, snapshot string) (volume.SnapshotReport, error) {
	status, err := n.find(ctx, name)
	if err != nil {
		return volume.SnapshotReport{}, err
	}
	if status.Snapshots != nil {
		if s := status.Snapshots.Named(snapshot); s != nil {
			_, used, _ := n.usage(status.Config)
			return n.snapshotReport(&status, s, used), nil
		}
	}
	return volume.SnapshotReport{}, noSnapshot(status.Spec.Name, snapshot)
}

func noSnapshot(name, snapshot string) error {
	return &volume.Error{
		Kind: volume.ErrSnapshotNotFound,
		What: fmt.Sprintf("volume %q has no snapshot %q", name, snapshot),
		Fix:  "look at:  lagan snapshot ls " + name,
	}
}

func (n *Node) snapshotReport(status *orchestrator.VolumeStatus, s *volume.Snapshot, used map[block.LayerID]volume.Usage) volume.SnapshotReport {
	r := volume.SnapshotReport{Snapshot: *s, Of: status.Spec.Name, Size: int64(s.Blocks) * block.Size}
	if older := status.Snapshots.Find(s.Restores); s.Restores != 0 && older != nil {
		r.RestoredTo = older.Name
	}
	if u, counted := used[s.Layer]; counted {
		r.Usage = &u
	}
	n.p.Host.View(func(o *orchestrator.Orchestrator) {
		for _, id := range s.Cloning {
			if clone, found := o.Volume(id.String()); found && clone.Config != nil && clone.Config.Virgin() {
				r.CloningTo = append(r.CloningTo, clone.Spec.Name)
			}
		}
	})
	return r
}

// TakeSnapshot takes a snapshot of a volume, or takes the one of that name which
// is there. It returns when that is durable on all copies.
func (n *Node) TakeSnapshot(ctx context.Context, name, snapshot string, freeze bool) (volume.SnapshotReport, error) {
	ctx, cancel := change(ctx)
	defer cancel()
	c := volume.Command{Kind: volume.CreateSnapshot, Name: name, Snapshot: snapshot, Freeze: freeze, Time: n.now()}
	answer, err := n.p.Host.Command(ctx, c)
	if err != nil {
		return volume.SnapshotReport{}, err
	}
	return n.Snapshot(ctx, answer.Volume.String(), snapshot)
}

// DeleteSnapshot deletes a snapshot of a volume.
func (n *Node) DeleteSnapshot(ctx context.Context, name, snapshot string) error {
	ctx, cancel := change(ctx)
	defer cancel()
	_, err := n.p.Host.Command(ctx, volume.Command{Kind: volume.DeleteSnapshot, Name: name, Snapshot: snapshot})
	return err
}

// Restore has a volume that nobody uses go back to a snapshot, and keeps what it
// was as another one, whose name it returns, unless that is to be discarded. Of a
// process that dies in between it is kept.
func (n *Node) Restore(ctx context.Context, name, snapshot string, discard bool) (kept string, err error) {
	ctx, cancel := change(ctx)
	defer cancel()
	kept = volume.NameAt("before-restore-of-"+snapshot, n.p.Now())
	c := volume.Command{Kind: volume.RestoreSnapshot, Name: name, Snapshot: snapshot, As: kept, Time: n.now()}
	if _, err := n.p.Host.Command(ctx, c); err != nil || !discard {
		return kept, err
	}
	if err := n.DeleteSnapshot(ctx, name, kept); err != nil {
		return kept, fmt.Errorf("volume %q went back to snapshot %q, but what it was is kept as %q: %w", name, snapshot, kept, err)
	}
	return "", nil
}

// Set changes what can be changed of a volume's specification.
func (n *Node) Set(ctx context.Context, name string, changes volume.Spec) (volume.Report, error) {
	if fixed := fixedOption(&changes); fixed != "" {
		return volume.Report{}, &volume.Error{
			Kind: volume.ErrUnsupportedOption,
			What: fmt.Sprintf("cannot change option %s of volume %q: it is what it was created with", fixed, name),
			Fix:  "change size, replicas, min_writable or snapshot_schedule alone, or make another volume",
		}
	}
	ctx, cancel := change(ctx)
	defer cancel()
	answer, err := n.p.Host.Command(ctx, volume.Command{Kind: volume.SetVolume, Name: name, Spec: changes, Time: n.now()})
	if err != nil {
		return volume.Report{}, err
	}
	return n.Volume(ctx, answer.Volume.String())
}

// fixedOption names an option that is set and cannot be changed, "" if there is none.
func fixedOption(s *volume.Spec) string {
	fixed := *s
	fixed.Name, fixed.Schedule, fixed.Replicas, fixed.MinWritable, fixed.Size = "", "", 0, 0, 0
	key, _, _ := strings.Cut(fixed.String(), "=")
	return key
}

func (n *Node) now() string { return n.p.Now().UTC().Format(time.RFC3339) }

// createClone creates a volume as a clone. Of a parent without a snapshot one is
// taken for it first, unless the volume is there already or cannot be made anyway.
func (n *Node) createClone(ctx context.Context, spec volume.Spec, dryRun bool) (answer volume.Answer, err error) {
	c := volume.Command{Kind: volume.CreateVolume, Spec: spec, DryRun: dryRun}
	parent, snapshot := volume.SplitParent(spec.Parent)
	if _, _, there := n.look(spec.Name); snapshot != "" || dryRun || there {
		return n.p.Host.Command(ctx, c)
	}
	trial := c
	trial.DryRun = true
	if answer, err = n.p.Host.Command(ctx, trial); err != nil || answer.Volume != (block.VolumeID{}) {
		return answer, err // it cannot be made, or is there
	}
	c.Snapshot = volume.NameAt("for-"+spec.Name, n.p.Now())
	take := volume.Command{Kind: volume.CreateSnapshot, Name: parent, Snapshot: c.Snapshot, Freeze: true, Time: spec.Created}
	if _, err := n.p.Host.Command(ctx, take); err != nil {
		return answer, fmt.Errorf("cannot create volume %q: %w", spec.Name, err)
	}
	if answer, err = n.p.Host.Command(ctx, c); err != nil && !errors.Is(err, volume.ErrOutcomeUnknown) {
		if undo := n.DeleteSnapshot(ctx, parent, c.Snapshot); undo != nil {
			n.log.Warn("snapshot for a clone that was not made is left", slog.String("volume", parent), slog.String("snapshot", c.Snapshot), slog.Any("error", undo))
		}
	}
	return answer, err
}

// choresMax is how many snapshots this node takes or deletes by schedule at once.
const choresMax = 8

// FollowSchedules carries out at every tick what the schedules of volumes ask of
// this node, until ctx ends. A schedule that cannot be followed now is followed late.
func (n *Node) FollowSchedules(ctx context.Context, ticks <-chan time.Time) {
	places := make(chan struct{}, choresMax)
	for {
		select {
		case <-ticks:
		case <-ctx.Done():
			for range cap(places) {
				places <- struct{}{} // all are done
			}
			return
		}
		n.followNodes(ctx)
		var chores []volume.Command
		n.p.Host.View(func(o *orchestrator.Orchestrator) { chores = o.Chores(n.p.Now()) })
		for _, c := range chores {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				continue
			}
			go func() {
				defer func() { <-places }()
				n.doChore(ctx, c)
			}()
		}
	}
}

func (n *Node) doChore(ctx context.Context, c volume.Command) {
	_, err := n.p.Host.Command(ctx, c)
	name, known := c.Name, false
	if _, status, found := n.look(c.Name); found {
		name, known = status.Spec.Name, true
	}
	switch {
	case err == nil && c.Kind == volume.CreateSnapshot:
		n.log.Info("snapshot taken by schedule", slog.String("volume", name), slog.String("snapshot", c.Snapshot))
	case err != nil && known && ctx.Err() == nil:
		n.log.Warn("schedule of snapshots could not be followed", slog.String("volume", name), slog.String("snapshot", c.Snapshot), slog.Any("error", err))
	}
}
