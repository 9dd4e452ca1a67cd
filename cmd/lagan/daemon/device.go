package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.uber.org/fx"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/host/usecase"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/fuse"
	"github.com/lagan-storage/lagan/plugin/device/holder"
	"github.com/lagan-storage/lagan/plugin/filesystem"
)

// devices shows volumes to the kernel, if this machine can.
type devices struct {
	attacher  device.Attacher
	missing   string             // why there is none
	survivors []usecase.Survivor // outlived a former daemon
	held      map[block.VolumeID]orchestrator.Held
}

// openDevices takes over what was held for a former daemon, removes what one left
// that nobody held, and makes the driver. The lock of the runtime directory says that
// no other daemon uses the devices.
func openDevices(ctx context.Context, life fx.Lifecycle, c Config, _ *datadir.Markers, log *slog.Logger) (*devices, error) {
	if missing := missingForDevices(); missing != "" {
		log.Warn("volumes cannot be shown as devices on this machine", slog.String("reason", missing))
		return &devices{missing: missing}, nil
	}
	keeper, kept, err := holder.Connect(ctx, holderSocket(c.Run), func() error { return startHolder(ctx, c.Run) }, time.Now)
	if err != nil {
		return nil, err
	}
	life.Append(fx.StopHook(keeper.Close))
	dir := devicesDir(c.Run)
	attacher, err := fuse.New(fuse.Params{Dir: dir, Keeper: keeper, Log: log})
	if err != nil {
		return nil, err
	}
	d := &devices{attacher: attacher, held: map[block.VolumeID]orchestrator.Held{}}
	survivors := d.takeOver(attacher, kept, log)
	left, err := fuse.Cleanup(ctx, dir, survivors...)
	for _, l := range left {
		log.Warn("device that a killed daemon left was removed: containers that had it must be restarted",
			slog.String("volume", l.VolumeID), slog.Any("devices", l.Devices), slog.Any("mounts", l.Mounts), slog.Bool("in_use", l.InUse))
	}
	if err != nil {
		return nil, fmt.Errorf("remove what a killed daemon left: %w", err)
	}
	return d, nil
}

// takeOver makes out the devices that were held, and returns whose they are. What
// cannot be made out is cleaned up with the rest.
func (d *devices) takeOver(a *fuse.Attacher, kept []device.Kept, log *slog.Logger) (ids []block.VolumeID) {
	for _, k := range kept {
		s, err := a.Survivor(k)
		var held orchestrator.Held
		if err == nil {
			if held, err = usecase.HeldBy(s.Memory()); err != nil {
				err = errors.Join(err, s.Abandon())
			}
		}
		if err != nil {
			log.Error("device that was held cannot be made out", slog.String("volume", k.Volume.String()), slog.Any("error", err))
			continue
		}
		log.Info("device outlived the daemon that served it", slog.String("volume", s.Name()))
		d.survivors = append(d.survivors, survivor{s})
		d.held[k.Volume] = held
		ids = append(ids, k.Volume)
	}
	return ids
}

// survivor implements usecase.Survivor.
type survivor struct{ *fuse.Survivor }

// Resume serves the device again.
func (s survivor) Resume(ctx context.Context, v *host.Volume) (usecase.Device, error) {
	d, err := s.Survivor.Resume(ctx, backend{volume: v, delivers: true})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// missingForDevices says what this machine lacks, "" for nothing.
func missingForDevices() string {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Sprintf("the daemon runs as user %d: run it as root", uid)
	}
	for _, name := range []string{"/dev/fuse", "/dev/loop-control"} {
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return fmt.Sprintf("%v: load its kernel module, or pass the device in", err)
		}
		_ = file.Close() // nothing was written
	}
	return ""
}

// Attach implements usecase.Attacher.
func (d *devices) Attach(ctx context.Context, name string, v *host.Volume) (usecase.Device, error) {
	shown, err := d.attacher.Attach(ctx, device.Volume{Name: name, ID: v.ID(), Size: v.Size()}, backend{volume: v, delivers: true})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// backend serves a volume, or a snapshot of it for reading, to a driver.
type backend struct {
	volume *host.Volume
	layer  block.LayerID // the snapshot; 0: the volume itself
	// delivers says that the driver's clients ask again in another life of the daemon
	// for what they were not told of.
	delivers bool
}

// operation is what a request of a driver becomes. It stays with the request, so
// that nothing is allocated when that comes again.
type operation struct {
	host.Operation
	request *device.Request
}

// Submit implements device.Backend.
func (b backend) Submit(r *device.Request) {
	o, made := r.Scratch.(*operation)
	if !made {
		o = &operation{}
		o.Done = o.done
		r.Scratch = o
	}
	o.request = r
	if b.layer != 0 && r.Kind != device.Read && r.Kind != device.Map {
		o.done(&o.Operation, b.unchanging(r.Kind))
		return
	}
	o.Layer, o.Map, o.Delivers = b.layer, nil, b.delivers
	o.FUA, o.Offset, o.Length, o.Buffer = r.FUA, r.Offset, r.Length, r.Buffer
	switch r.Kind {
	case device.Read:
		o.Kind = step.ReadRequest
	case device.Write:
		o.Kind = step.WriteRequest
	case device.Flush:
		o.Kind = step.FlushRequest
	case device.Zero:
		o.Kind = step.ZeroRequest
	case device.Map:
		o.Kind, o.Map = step.ReadRequest, r.Map
	}
	b.volume.Submit(&o.Operation)
}

// unchanging answers what a snapshot is asked but to be read.
func (b backend) unchanging(kind device.Kind) error {
	if kind == device.Flush {
		return nil // it is durable
	}
	return fmt.Errorf("%s of a snapshot: it is for reading", kind)
}

// done gives the request back; nothing of it may be touched afterwards.
func (o *operation) done(_ *host.Operation, err error) {
	r := o.request
	o.request = nil
	switch {
	case err == nil:
	case errors.Is(err, host.ErrNoSpace):
		err = device.ErrNoSpace
	case errors.Is(err, host.ErrGone):
		err = device.ErrGone
	}
	r.Done(r, err)
}

// filesystems implements usecase.Filesystem.
type filesystems struct{}

// Probe says what a device carries, "" for nothing.
func (filesystems) Probe(path string) (string, error) {
	content, err := filesystem.Probe(path)
	if content.Blank || err != nil {
		return "", err
	}
	return content.String(), nil
}

// Make makes a file system on a blank device.
func (filesystems) Make(ctx context.Context, path, kind string) error {
	return filesystem.Make(ctx, path, filesystem.Type(kind))
}

// Erase makes a device blank whose Make was interrupted.
func (filesystems) Erase(ctx context.Context, path string) error { return filesystem.Erase(ctx, path) }

// Check makes a file system fit for mounting.
func (filesystems) Check(ctx context.Context, path, kind string) error {
	return filesystem.Check(ctx, path, filesystem.Type(kind))
}

// CheckTarget refuses what can be no mount point.
func (filesystems) CheckTarget(target string) error { return filesystem.CheckTarget(target) }

// Mount mounts a device at a directory.
func (filesystems) Mount(ctx context.Context, path, target, kind string, options ...string) error {
	return filesystem.Mount(ctx, path, target, filesystem.Type(kind), options...)
}

// Grow makes a mounted file system take all of its device.
func (filesystems) Grow(ctx context.Context, path, target, kind string) error {
	err := filesystem.Grow(ctx, path, target, filesystem.Type(kind))
	if errors.Is(err, filesystem.ErrGrowUnmounted) {
		err = fmt.Errorf("%w: %w", usecase.ErrGrowUnmounted, err)
	}
	return err
}

// GrowUnmounted makes a file system that is not mounted take all of its device.
func (filesystems) GrowUnmounted(ctx context.Context, path, kind string) error {
	return filesystem.GrowUnmounted(ctx, path, filesystem.Type(kind))
}

// Freeze freezes what is mounted at a directory.
func (filesystems) Freeze(ctx context.Context, target string, most time.Duration) (thaw func() error, err error) {
	return filesystem.Freeze(ctx, target, most)
}

// Unmount unmounts a directory.
func (filesystems) Unmount(ctx context.Context, target string) error {
	return filesystem.Unmount(ctx, target)
}
