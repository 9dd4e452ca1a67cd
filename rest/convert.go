package rest

import (
	"fmt"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func nodeNotFound(id string) error {
	return &volume.Error{
		Kind: volume.ErrNodeNotFound,
		What: fmt.Sprintf("there is no node %q", id),
		Fix:  "look at:  lagan node ls",
	}
}

func volumeOf(r *volume.Report) api.Volume {
	v := api.Volume{
		Name: r.Spec.Name, ID: r.ID.String(),
		Spec: api.VolumeSpec{
			Size: r.Spec.Size, Replicas: r.Spec.Replicas, MinWritable: max(1, r.Spec.MinWritable), FS: r.Spec.Filesystem, Nodes: r.Spec.Nodes,
			Zones: r.Spec.Zones, Labels: r.Spec.Labels, MountOptions: r.Spec.MountOptions, Preempt: r.Spec.Preempt,
			Parent: r.Spec.Parent, SnapshotSchedule: r.Spec.Schedule,
		},
		Status: api.VolumeStatus{
			Health: string(r.Health), Reason: r.Reason, Created: r.Spec.Created, Formatted: r.Spec.Formatted,
			Size: r.Size, Epoch: uint64(r.Epoch), Revision: r.Revision, Snapshots: r.Snapshots, Usage: usageOf(r.Usage),
		},
	}
	if r.Attached != "" {
		v.Status.Attachment = &api.Attachment{Node: r.Attached, Lingering: r.Lingers}
		v.Status.Attachment.Users = usersOf(r.Users)
		if r.Here != nil {
			a := v.Status.Attachment
			a.Serving, a.Lossless, a.Reason = r.Here.Serving, r.Here.Lossless, r.Here.Reason
			a.Device, a.Mounts, a.Smaller = r.Here.Device, r.Here.Mounts, r.Here.Smaller
			a.Exports = itemsOf(r.Here.Exports, func(e *volume.ExportReport) api.Export { return exportOf(*e) })
		}
	}
	v.Status.Replicas = replicasOf(r)
	return v
}

func exportOf(r volume.ExportReport) api.Export {
	return api.Export{Name: r.Name, Snapshot: r.Snapshot, ReadOnly: r.Snapshot != "", Uris: r.URIs, Clients: r.Clients}
}

func usersOf(all []volume.User) (users []api.User) {
	for _, u := range all {
		users = append(users, api.User{Mount: u.Mount, Container: u.Container, Since: u.Since})
	}
	return users
}

func replicasOf(r *volume.Report) []api.Replica {
	return itemsOf(r.Copies, replicaOf)
}

func replicaOf(c *volume.Copy) api.Replica {
	r := api.Replica{ID: c.Replica.String(), Node: c.Node, Disk: c.Disk.String(), State: string(c.State), Leaving: c.Leaving}
	if f := c.Fill; f != nil {
		r.Fill = &api.Fill{Done: f.Done, Total: f.Total, Rate: f.Rate, SecondsLeft: int64(f.Left / time.Second)}
	}
	return r
}

func snapshotOf(r *volume.SnapshotReport) api.Snapshot {
	return api.Snapshot{
		Name: r.Name, Volume: r.Of, ID: fmt.Sprintf("%016x", uint64(r.Layer)), State: string(r.State), Problem: r.Error,
		Created: r.Created, Size: r.Size, Rule: r.Rule, Restores: r.RestoredTo, Cloning: r.CloningTo, Usage: usageOf(r.Usage),
	}
}

func usageOf(u *volume.Usage) *api.Usage {
	if u == nil {
		return nil
	}
	return &api.Usage{Used: u.Used, Exclusive: u.Exclusive, Shared: u.Shared}
}

func operationOf(r *volume.Operation) api.Operation {
	state := "running"
	if r.Failed {
		state = "failed"
	}
	if r.Over {
		state = "done"
	}
	var differences []api.Difference
	for _, d := range r.Differences {
		one := api.Difference{Snapshot: d.Snapshot, Offset: d.Offset, Length: d.Length}
		for _, c := range d.Copies {
			one.Copies = append(one.Copies, api.CopyContent{Node: c.Node, Checksum: c.Checksum})
		}
		differences = append(differences, one)
	}
	return api.Operation{
		ID: r.ID, Kind: string(r.Kind), Volume: r.Volume, Disk: r.Disk, Snapshot: r.Snapshot, Node: r.Node, State: state, Reason: r.Reason,
		Since: r.Since, Done: r.Done, Total: r.Total, Rate: r.Rate, SecondsLeft: int64(r.Left / time.Second), Cancellable: r.Cancellable, Differences: differences,
	}
}

func nodeOf(r *volume.NodeReport) api.Node {
	return api.Node{
		ID: r.ID.String(), Name: r.Name, Address: r.Address, API: r.API, Zone: r.Zone, Labels: r.Labels,
		Version: r.Version, Alive: r.Alive, SilentSeconds: int64(r.Silent / time.Second), Self: r.Self, Votes: r.Votes, Cordoned: r.Spec.Cordoned, Drained: r.Spec.Drained, Leaving: r.Spec.Leaves, MaintenanceUntil: r.Spec.Maintained,
	}
}

func diskOf(r *volume.DiskReport) api.Disk {
	d := api.Disk{
		ID: r.ID.String(), Node: r.NodeName, Path: r.Path,
		Capacity: r.Capacity, Free: r.Free, Promised: r.Promised, PromiseMax: r.PromiseMax, Problem: r.Unusable, Ailing: r.Ailing, Cordoned: r.Cordoned,
	}
	if w := r.Work; w != nil {
		d.Work = &api.DiskWork{
			Direct: w.Direct, Reads: operationsOf(w.Reads), Writes: operationsOf(w.Writes), Syncs: operationsOf(w.Syncs),
			WaitingSeconds: w.Waiting.Seconds(),
		}
	}
	if s := r.Scrub; s != nil {
		d.Scrub = &api.DiskScrub{
			Running: s.Going, Done: min(s.Read, s.Total), Total: s.Total, DamagedChunks: s.Lost,
			Began: timeOf(s.Began), Ended: timeOf(s.Ended), Next: timeOf(s.Next),
		}
	}
	return d
}

// timeOf writes a time for people and programs, "" for none.
func timeOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func operationsOf(o volume.Operations) api.DiskOperations {
	return api.DiskOperations{Count: o.Count, Errors: o.Errors, MeanSeconds: o.Mean().Seconds()}
}
