package usecase

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

// mount mounts the volume's file system at m.target; u is being changed and has
// a device.
func (n *Node) mount(ctx context.Context, u *use, m mount) error {
	device := u.shown()
	if device == nil {
		return n.lost(u)
	}
	status, err := n.find(ctx, u.name)
	if err != nil {
		return err
	}
	spec := &status.Spec
	if len(u.mountedAt()) == 0 {
		if err := n.prepare(ctx, spec, device.Path()); err != nil {
			return err
		}
	}
	var options []string
	if spec.MountOptions != "" {
		options = strings.Split(spec.MountOptions, ",")
	}
	first := len(u.mountedAt()) == 0
	mount := func() error {
		if err := n.p.Filesystem.Mount(ctx, device.Path(), m.target, spec.Filesystem, options...); err != nil {
			return fmt.Errorf("mount volume %q: %w", u.name, err)
		}
		return nil
	}
	if err := mount(); err != nil {
		return err
	}
	if first {
		if err := n.growMounted(ctx, u, spec, m.target, mount); err != nil {
			return err
		}
	}
	m.since = n.p.Now().UTC().Format(time.RFC3339)
	u.mu.Lock()
	lost := u.device != device
	if !lost {
		u.mounts = append(u.mounts, m)
	}
	u.mu.Unlock()
	if lost {
		return n.lost(u)
	}
	n.tell(u)
	n.log.Info("volume mounted", slog.String("volume", u.name), slog.String("target", m.target))
	return nil
}

// prepare sees to it that the device carries the volume's file system, fit to be
// mounted. A file system is made only while the specification says that none
// ever was, and nobody has seen the volume before that is recorded.
//
//	not formatted: blank ──▶ make ──┐
//	               unknown ▶ erase ▶┤ (a make that was interrupted)
//	               ours ────────────┴──▶ record that it is formatted ──▶ check
func (n *Node) prepare(ctx context.Context, spec *volume.Spec, device string) error {
	if !spec.Formatted {
		if err := n.format(ctx, spec, device); err != nil {
			return err
		}
		mark := volume.Command{Kind: volume.MarkFormatted, Name: spec.Name}
		if _, err := n.p.Host.Command(ctx, mark); err != nil {
			return fmt.Errorf("record that volume %q has a file system: %w", spec.Name, err)
		}
	}
	if err := n.p.Filesystem.Check(ctx, device, spec.Filesystem); err != nil {
		return &volume.Error{
			Kind:   volume.ErrDamaged,
			What:   fmt.Sprintf("cannot mount volume %q: its file system is not fit for it", spec.Name),
			Causes: []string{err.Error()},
			Fix:    fmt.Sprintf("attach it (lagan volume attach %s) and repair the file system by hand", spec.Name),
		}
	}
	return nil
}

func (n *Node) format(ctx context.Context, spec *volume.Spec, device string) error {
	content, err := n.p.Filesystem.Probe(device)
	if err != nil {
		return fmt.Errorf("volume %q: %w", spec.Name, err)
	}
	switch content {
	case spec.Filesystem:
		return nil
	case "":
	default:
		n.log.Warn("making of a file system was interrupted and starts again", slog.String("volume", spec.Name))
		if err := n.p.Filesystem.Erase(ctx, device); err != nil {
			return &volume.Error{
				Kind:   volume.ErrForeignData,
				What:   fmt.Sprintf("cannot make a file system on volume %q", spec.Name),
				Causes: []string{err.Error()},
				Fix:    "use it without a file system, or create another volume",
			}
		}
	}
	if err := n.p.Filesystem.Make(ctx, device, spec.Filesystem); err != nil {
		return fmt.Errorf("make a file system on volume %q: %w", spec.Name, err)
	}
	n.log.Info("file system made", slog.String("volume", spec.Name), slog.String("fs", spec.Filesystem))
	return nil
}

// Unmount takes the volume's file system from target, or from everywhere if that
// is "". A volume that was attached by mounting is detached with its last mount,
// also by a second try: the first may have come as far as the unmounting.
func (n *Node) Unmount(ctx context.Context, name, target string) error {
	status, err := n.find(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := change(ctx)
	defer cancel()
	u := n.useOf(status.Volume, status.Spec.Name)
	done, err := n.unmountFrom(ctx, u, target)
	if err != nil || !done {
		return err
	}
	return n.detachUse(ctx, u, volume.DetachOptions{})
}

// unmountFrom reports whether the attachment is to end with the mount.
func (n *Node) unmountFrom(ctx context.Context, u *use, target string) (last bool, err error) {
	u.changing.Lock()
	defer u.changing.Unlock()
	switch {
	case target == "":
		err = n.unmountAll(ctx, u)
	case slices.Contains(u.mountedAt(), target):
		err = n.unmount(ctx, u, target)
	}
	return u.unneeded(), err
}

func (n *Node) unmountAll(ctx context.Context, u *use) error {
	for _, target := range slices.Backward(u.mountedAt()) {
		if err := n.unmount(ctx, u, target); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) unmount(ctx context.Context, u *use, target string) error {
	if err := n.p.Filesystem.Unmount(ctx, target); err != nil {
		return inUse("unmount", u.name, err)
	}
	u.mu.Lock()
	u.mounts = slices.DeleteFunc(u.mounts, func(m mount) bool { return m.target == target })
	u.mu.Unlock()
	n.tell(u)
	n.log.Info("volume unmounted", slog.String("volume", u.name), slog.String("target", target))
	return nil
}
