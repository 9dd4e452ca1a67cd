package usecase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/volume"
)

// A volume that has grown here has a device that grows, and a file system on it that
// does so while it is mounted:
//
//	volume ──▶ device ──▶ mounted: the file system, at once
//	                └───▶ not mounted: when it is mounted next
//
// What cannot grow stays as large as it was and goes on; the volume's report says why,
// and what to do.

// ErrGrowUnmounted says that this machine cannot have a file system grow while it is
// mounted.
var ErrGrowUnmounted = errors.New("the file system cannot grow here while it is mounted")

// follow has the device and the file system become as large as the volume is by now. It
// does not wait: the kernel asks the volume itself meanwhile.
func (n *Node) follow(ctx context.Context, u *use, v *host.Volume) {
	n.running.Go(func() {
		ctx, cancel := change(ctx)
		defer cancel()
		u.changing.Lock()
		defer u.changing.Unlock()
		device, at := u.shown(), u.mountedAt()
		if device == nil || u.served() != v {
			return
		}
		err := device.Resize(ctx, v.Size())
		if err == nil && len(at) > 0 {
			err = n.growFilesystem(ctx, u, at[0])
		}
		n.followed(u, v, err)
	})
}

// growFilesystem has a mounted file system take all of its device.
func (n *Node) growFilesystem(ctx context.Context, u *use, target string) error {
	status, err := n.find(ctx, u.name)
	if err != nil {
		return err
	}
	return n.p.Filesystem.Grow(ctx, u.shown().Path(), target, status.Spec.Filesystem)
}

// followed notes whether what is on a volume is as large as the volume.
func (n *Node) followed(u *use, v *host.Volume, err error) {
	problem := ""
	switch {
	case err == nil:
		n.log.Info("device has grown with its volume", slog.String("volume", u.name), slog.Int64("bytes", v.Size()))
	case errors.Is(err, ErrGrowUnmounted):
		problem = "the file system is smaller than the volume, and its node lacks the capability CAP_SYS_RESOURCE to have it grow while it is mounted: " +
			"unmount it and mount it again, and it is as large:  lagan volume unmount " + u.name
	default:
		problem = fmt.Sprintf("device or file system did not grow with the volume (%v): unmount it and mount it again:  lagan volume unmount %s", err, u.name)
	}
	if problem != "" {
		n.log.Warn("device or file system did not grow with its volume", slog.String("volume", u.name), slog.Any("error", err))
	}
	u.mu.Lock()
	u.smaller = problem
	u.mu.Unlock()
}

// growMounted has a file system that was just mounted take all of its device, if the
// volume has grown, or is a clone that is larger than its origin. Where it grows only
// while it is not mounted, remount does that in between.
func (n *Node) growMounted(ctx context.Context, u *use, spec *volume.Spec, target string, remount func() error) error {
	v, device := u.served(), u.shown()
	if v == nil || device == nil || !v.Grown() && spec.Parent == "" {
		return nil
	}
	err := n.p.Filesystem.Grow(ctx, device.Path(), target, spec.Filesystem)
	if errors.Is(err, ErrGrowUnmounted) {
		if err = n.p.Filesystem.Unmount(ctx, target); err != nil {
			return err
		}
		grown := n.p.Filesystem.GrowUnmounted(ctx, device.Path(), spec.Filesystem)
		if err = remount(); err != nil {
			return err
		}
		err = grown
	}
	n.followed(u, v, err)
	return nil
}
