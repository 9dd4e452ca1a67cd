package usecase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// Export has this node serve a volume and makes it, or a snapshot of it, reachable for
// block clients. An export that is there already stays.
func (n *Node) Export(ctx context.Context, name string, o volume.ExportOptions) (volume.ExportReport, error) {
	status, err := n.find(ctx, name)
	if err != nil {
		return volume.ExportReport{}, err
	}
	if n.p.Exporter == nil {
		return volume.ExportReport{}, &volume.Error{
			Kind: volume.ErrUnsupportedOption,
			What: fmt.Sprintf("cannot export volume %q: node %s serves no block clients", status.Spec.Name, n.p.Node.Name),
			Fix:  "export it on a node that does",
		}
	}
	snapshot, err := readySnapshot(&status, o.Snapshot)
	if err != nil {
		return volume.ExportReport{}, err
	}
	ctx, cancel := change(ctx)
	defer cancel()
	u := n.useOf(status.Volume, status.Spec.Name)
	u.changing.Lock()
	defer u.changing.Unlock()
	if err := n.exportUse(ctx, u, snapshot, o); err != nil {
		return volume.ExportReport{}, err
	}
	return n.exportReport(u, o.Snapshot), nil
}

// readySnapshot finds a snapshot that can be read; nil for the volume itself.
func readySnapshot(status *orchestrator.VolumeStatus, name string) (*volume.Snapshot, error) {
	if name == "" {
		return nil, nil
	}
	var s *volume.Snapshot
	if status.Snapshots != nil {
		s = status.Snapshots.Named(name)
	}
	switch {
	case s == nil:
		return nil, noSnapshot(status.Spec.Name, name)
	case s.State != volume.SnapshotReady:
		return nil, &volume.Error{
			Kind: volume.ErrSnapshotNotReady,
			What: fmt.Sprintf("cannot export snapshot %q of volume %q: it is %s", name, status.Spec.Name, s.State),
			Fix:  "look at:  lagan snapshot ls " + status.Spec.Name,
		}
	}
	return s, nil
}

// exportUse does what Export says; u is being changed.
func (n *Node) exportUse(ctx context.Context, u *use, s *volume.Snapshot, o volume.ExportOptions) (err error) {
	if u.exported(o.Snapshot) != nil {
		return nil
	}
	if d := u.shown(); d != nil && s == nil {
		return &volume.Error{
			Kind: volume.ErrInUse,
			What: fmt.Sprintf("cannot export volume %q: it is in use as %s, and two writers would ruin its file system", u.name, d.Path()),
			Fix:  fmt.Sprintf("detach it first:  lagan volume detach %s;  or export a snapshot of it:  lagan volume export %s@SNAPSHOT", u.name, u.name),
		}
	}
	attached := false
	defer func() {
		if err != nil && attached {
			err = errors.Join(err, n.rollBack(ctx, u, true))
		}
	}()
	if u.served() == nil {
		if err := n.serve(ctx, u, o.Force); err != nil {
			attached = !refused(err)
			return err
		}
		attached = true
		u.mu.Lock()
		u.byUse = true
		u.mu.Unlock()
	}
	return n.publish(u, s, o.Snapshot)
}

// publish makes the export. A coordinator that is fenced meanwhile must find what
// there is to close.
func (n *Node) publish(u *use, s *volume.Snapshot, snapshot string) error {
	v, name := u.served(), exportName(u.name, snapshot)
	if v == nil {
		return n.lost(u)
	}
	e, err := n.p.Exporter.Export(name, v, s)
	if err != nil {
		return fmt.Errorf("export volume %q: %w", u.name, err)
	}
	u.mu.Lock()
	lost := u.volume != v
	if !lost {
		if u.exports == nil {
			u.exports = map[string]Export{}
		}
		u.exports[snapshot] = e
	}
	u.mu.Unlock()
	if lost {
		return errors.Join(n.lost(u), e.Close(true))
	}
	n.tell(u)
	n.log.Info("volume exported", slog.String("volume", u.name), slog.String("export", name))
	return nil
}

// exportName is what clients call a volume or a snapshot of it.
func exportName(name, snapshot string) string {
	if snapshot == "" {
		return name
	}
	return name + "@" + snapshot
}

// Unexport ends an export. A volume that was attached by exporting it is detached
// with its last one. What is not exported is not looked for.
func (n *Node) Unexport(ctx context.Context, name string, o volume.UnexportOptions) error {
	status, err := n.find(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := change(ctx)
	defer cancel()
	u := n.useOf(status.Volume, status.Spec.Name)
	done, err := n.unpublish(u, o)
	if err != nil || !done {
		return err
	}
	return n.detachUse(ctx, u, volume.DetachOptions{})
}

// unpublish reports whether the attachment is to end with the export.
func (n *Node) unpublish(u *use, o volume.UnexportOptions) (last bool, err error) {
	u.changing.Lock()
	defer u.changing.Unlock()
	e := u.exported(o.Snapshot)
	if e == nil {
		return u.unneeded(), nil
	}
	name := exportName(u.name, o.Snapshot)
	if err := e.Close(o.Force); err != nil {
		return false, exportBusy(name, err)
	}
	u.mu.Lock()
	delete(u.exports, o.Snapshot)
	u.mu.Unlock()
	n.tell(u)
	n.log.Info("export of a volume ended", slog.String("volume", u.name), slog.String("export", name))
	return u.unneeded(), nil
}

func exportBusy(name string, err error) error {
	return &volume.Error{
		Kind:   volume.ErrInUse,
		What:   fmt.Sprintf("cannot end the export of %q", name),
		Causes: []string{err.Error()},
		Fix:    fmt.Sprintf("disconnect its clients, or cut them off:  lagan volume unexport %s --force", name),
	}
}

func exportInUse(verb, name string) error {
	return &volume.Error{
		Kind: volume.ErrInUse,
		What: fmt.Sprintf("cannot %s: it is exported, and two writers would ruin its file system", verb),
		Fix:  "end that first:  lagan volume unexport " + name,
	}
}

// exported returns the export of a snapshot, or with "" that of the volume itself; nil
// if there is none.
func (u *use) exported(snapshot string) Export {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.exports[snapshot]
}

// allExports returns the exports by the names of their snapshots, and those in order.
func (u *use) allExports() (snapshots []string, all map[string]Export) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.exports)), maps.Clone(u.exports)
}

// closeExports ends all exports, or none while a client is connected to one; u is being
// changed.
func (n *Node) closeExports(u *use) error {
	snapshots, all := u.allExports()
	for _, s := range snapshots {
		if clients := all[s].Clients(); clients > 0 {
			return fmt.Errorf("connections of block clients to %s: %d", exportName(u.name, s), clients)
		}
	}
	for _, s := range snapshots {
		if err := all[s].Close(false); err != nil {
			return err
		}
		u.mu.Lock()
		delete(u.exports, s)
		u.mu.Unlock()
	}
	return nil
}

// endExports ends all exports, whoever uses them.
func (n *Node) endExports(u *use) {
	u.mu.Lock()
	all := u.exports
	u.exports = nil
	u.mu.Unlock()
	n.cutOff(u, all)
}

// cutOff ends exports that are the use's no more.
func (n *Node) cutOff(u *use, all map[string]Export) {
	for s, e := range all { // any order: all of them
		if err := e.Close(true); err != nil {
			n.log.Error("export could not be ended", slog.String("export", exportName(u.name, s)), slog.Any("error", err))
		}
	}
}

// exportReport reports one export.
func (n *Node) exportReport(u *use, snapshot string) volume.ExportReport {
	r := volume.ExportReport{Name: exportName(u.name, snapshot), Snapshot: snapshot}
	r.URIs = n.p.Exporter.URIs(r.Name)
	if e := u.exported(snapshot); e != nil {
		r.Clients = e.Clients()
	}
	return r
}

// exportsOf reports the exports of a volume here.
func (n *Node) exportsOf(u *use) (all []volume.ExportReport) {
	snapshots, _ := u.allExports()
	for _, s := range snapshots {
		all = append(all, n.exportReport(u, s))
	}
	return all
}
