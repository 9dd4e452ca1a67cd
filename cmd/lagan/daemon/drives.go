package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
	"github.com/lagan-storage/lagan/transport/identity"
)

// drives gives the node disks while it runs.
type drives struct {
	dir *datadir.Dir
	log *slog.Logger
}

// Add implements usecase.Drives.
func (d drives) Add(n volume.NewDisk) (*diskio.File, error) {
	file, err := d.dir.AddDisk(n, d.format)
	if err == nil {
		d.warn(file)
	}
	return file, err
}

// Forget implements usecase.Drives.
func (d drives) Forget(id block.DiskID) error { return d.dir.ForgetDisk(id) }

// format writes an empty store over a disk.
func (d drives) format(file *diskio.File) error {
	seed, err := newSeed()
	if err != nil {
		return err
	}
	d.log.Info("disk is formatted", slog.String("disk", file.Path), slog.Int64("size_bytes", file.Size))
	const chunk = block.Size * block.PerChunk
	return file.Format(store.Geometry{
		Disk: file.ID, Capacity: file.Size / chunk * chunk, BlockSize: block.Size,
	}, host.NewPool(), seed, host.Boottime)
}

func (d drives) warn(file *diskio.File) {
	if !file.Direct {
		d.log.Warn("disk does not take direct I/O: everything is cached twice", slog.String("disk", file.Path))
	}
}

// peers asks other nodes over their API, as this node.
type peers struct{ own *identity.Identity }

// AddDisk implements usecase.Peers.
func (p peers) AddDisk(ctx context.Context, node volume.Node, d volume.NewDisk) (volume.DiskReport, error) {
	c := client.OverTLS(node.API, p.own.Client(node.ID))
	defer c.Close()
	added, err := c.AddDisk(ctx, api.NewDisk{Path: d.Path, Size: d.Size, Wipe: d.Wipe})
	report := volume.DiskReport{NodeName: added.Node, Path: added.Path}
	if err != nil {
		return report, err
	}
	report.PromiseMax = added.PromiseMax
	report.Node, report.Capacity, report.Free, report.Promised, report.Unusable = node.ID, added.Capacity, added.Free, added.Promised, added.Problem
	return report, report.ID.UnmarshalText([]byte(added.ID))
}

// ScrubDisk implements usecase.Peers.
func (p peers) ScrubDisk(ctx context.Context, node volume.Node, id block.DiskID) (volume.Operation, error) {
	c := client.OverTLS(node.API, p.own.Client(node.ID))
	defer c.Close()
	o, err := c.ScrubDisk(ctx, id.String())
	return operationOf(&o), err
}

// CheckVolume implements usecase.Peers.
func (p peers) CheckVolume(ctx context.Context, node volume.Node, id block.VolumeID) (volume.Operation, error) {
	c := client.OverTLS(node.API, p.own.Client(node.ID))
	defer c.Close()
	o, err := c.CheckVolume(ctx, id.String(), true)
	return operationOf(&o), err
}

// Operation implements usecase.Peers.
func (p peers) Operation(ctx context.Context, node volume.Node, id string) (volume.Operation, error) {
	c := client.OverTLS(node.API, p.own.Client(node.ID))
	defer c.Close()
	o, err := c.Operation(ctx, id)
	return operationOf(&o), err
}

// Cancel implements usecase.Peers.
func (p peers) Cancel(ctx context.Context, node volume.Node, id string) error {
	c := client.OverTLS(node.API, p.own.Client(node.ID))
	defer c.Close()
	return c.Cancel(ctx, id)
}

func operationOf(o *api.Operation) volume.Operation {
	r := volume.Operation{
		ID: o.ID, Kind: volume.OperationKind(o.Kind), Volume: o.Volume, Disk: o.Disk, Snapshot: o.Snapshot, Node: o.Node,
		Failed: o.State == "failed", Over: o.State == "done",
		Reason: o.Reason, Since: o.Since, Done: o.Done, Total: o.Total, Rate: o.Rate,
		Left: time.Duration(o.SecondsLeft) * time.Second, Cancellable: o.Cancellable,
	}
	for _, d := range o.Differences {
		one := volume.Differing{Snapshot: d.Snapshot, Offset: d.Offset, Length: d.Length}
		for _, c := range d.Copies {
			one.Copies = append(one.Copies, volume.CopyContent{Node: c.Node, Checksum: c.Checksum})
		}
		r.Differences = append(r.Differences, one)
	}
	return r
}

// RemoveDisk implements usecase.Peers.
func (p peers) RemoveDisk(ctx context.Context, node volume.Node, id block.DiskID) error {
	c := client.OverTLS(node.API, p.own.Client(node.ID))
	defer c.Close()
	return c.RemoveDisk(ctx, id.String())
}
