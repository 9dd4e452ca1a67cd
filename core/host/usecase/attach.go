package usecase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/volume"
)

// Attach has this node serve a volume, shows it as a device and mounts it, as
// far as asked for. What is there already stays. An attempt that fails undoes
// what it did itself.
func (n *Node) Attach(ctx context.Context, name string, o volume.AttachOptions) (volume.Report, error) {
	status, err := n.find(ctx, name)
	if err != nil {
		return volume.Report{}, err
	}
	if err := n.checkAttach(name, &status.Spec, o); err != nil {
		return volume.Report{}, err
	}
	ctx, cancel := change(ctx)
	defer cancel()
	u := n.useOf(status.Volume, status.Spec.Name)
	u.changing.Lock()
	defer u.changing.Unlock()
	if err := n.attachUse(ctx, u, o); err != nil {
		return volume.Report{}, err
	}
	return n.Volume(ctx, status.Volume.String())
}

func (n *Node) checkAttach(name string, spec *volume.Spec, o volume.AttachOptions) error {
	switch {
	case (o.Device || o.Mount != "") && n.p.Attacher == nil:
		return &volume.Error{
			Kind:   volume.ErrUnsupportedOption,
			What:   fmt.Sprintf("cannot show volume %q as a device on node %s", name, n.p.Node.Name),
			Causes: []string{n.p.NoDevices},
			Fix:    "attach it without a device, or use a node that can:  lagan volume attach " + name + " --no-device",
		}
	case o.Mount != "" && spec.Filesystem == "none":
		return &volume.Error{
			Kind: volume.ErrInvalidOption,
			What: fmt.Sprintf("cannot mount volume %q: it was created without a file system", name),
			Fix:  "attach it as a device:  lagan volume attach " + name,
		}
	case o.Mount != "" && !filepath.IsAbs(o.Mount):
		return &volume.Error{
			Kind: volume.ErrInvalidOption,
			What: fmt.Sprintf("mount point %q is not absolute", o.Mount),
			Fix:  "give the whole path, beginning with /",
		}
	case o.Mount != "":
		return n.p.Filesystem.CheckTarget(filepath.Clean(o.Mount))
	}
	return nil
}

// attachUse does what Attach says, step by step; u is being changed.
func (n *Node) attachUse(ctx context.Context, u *use, o volume.AttachOptions) (err error) {
	attached, showed := false, false
	defer func() {
		if err != nil && (attached || showed) {
			err = errors.Join(err, n.rollBack(ctx, u, attached))
		}
	}()
	if u.served() == nil {
		if err := n.serve(ctx, u, o.Force); err != nil {
			attached = !refused(err)
			return err
		}
		attached = true
		u.mu.Lock()
		u.byUse = o.Mount != ""
		u.mu.Unlock()
	}
	if o.Mount == "" {
		n.keep(u)
	}
	if (o.Device || o.Mount != "") && u.shown() == nil {
		if u.exported("") != nil {
			return exportInUse("show volume "+u.name+" as a device", u.name)
		}
		showed = true
		if err := n.show(ctx, u); err != nil {
			return err
		}
	}
	if o.Mount == "" || slices.Contains(u.mountedAt(), filepath.Clean(o.Mount)) {
		return nil
	}
	return n.mount(ctx, u, mount{target: filepath.Clean(o.Mount), told: o.Uses})
}

// serve attaches the volume to this node and begins to watch it.
func (n *Node) serve(ctx context.Context, u *use, force bool) error {
	v, err := n.p.Host.Attach(ctx, u.name, force)
	if err != nil {
		if v != nil && volume.CodeOf(err) == "" {
			err = &volume.Error{
				Kind:   volume.ErrNotServed,
				What:   fmt.Sprintf("volume %q was attached to node %s, but does not answer", u.name, n.p.Node.Name),
				Causes: []string{err.Error()},
				Fix:    "see that the nodes with its copies are up:  lagan volume inspect " + u.name,
			}
		}
		return err
	}
	u.mu.Lock()
	u.volume, u.stopping = v, false
	u.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	n.running.Go(func() { n.watch(ctx, u, v) })
	return nil
}

// show makes the volume a device. Without the lock: it waits for the kernel,
// and a coordinator that is fenced meanwhile must find what there is to abort.
func (n *Node) show(ctx context.Context, u *use) error {
	v := u.served()
	device, err := n.p.Attacher.Attach(ctx, u.name, v)
	if err != nil {
		return fmt.Errorf("show volume %q as a device: %w", u.name, err)
	}
	u.mu.Lock()
	lost := u.volume != v
	if !lost {
		u.device = device
	}
	u.mu.Unlock()
	if lost {
		return errors.Join(n.lost(u), device.Abort())
	}
	n.remember(u)
	return nil
}

func (n *Node) lost(u *use) error {
	return &volume.Error{
		Kind: volume.ErrNotAttached,
		What: fmt.Sprintf("volume %q was taken from node %s meanwhile", u.name, n.p.Node.Name),
		Fix:  "see who has it:  lagan volume inspect " + u.name,
	}
}

// rollBack undoes an attachment that did not come to its end.
func (n *Node) rollBack(ctx context.Context, u *use, attached bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollBackWithin)
	defer cancel()
	u.mu.Lock()
	device := u.device
	u.device, u.mounts = nil, nil
	u.stopping = attached
	u.mu.Unlock()
	var err error
	if device != nil {
		err = device.Abort()
	}
	if attached && !n.elsewhere(ctx, u) {
		if detachErr := n.p.Host.Detach(ctx, u.name, true); detachErr != nil {
			err = errors.Join(err, fmt.Errorf("and it could not be detached again: %w", detachErr))
		}
	}
	return err
}

// refused reports whether an attachment that failed was never recorded, so that
// there is nothing of ours to undo: what is recorded may be another node's.
func refused(err error) bool {
	return volume.CodeOf(err) != "" && !errors.Is(err, volume.ErrOutcomeUnknown) && !errors.Is(err, volume.ErrNotServed)
}

// elsewhere reports whether another node has the volume: to detach by force would
// take it from there.
func (n *Node) elsewhere(ctx context.Context, u *use) bool {
	status, err := n.find(ctx, u.name)
	return err == nil && status.AttachedTo != "" && status.AttachedTo != n.p.Node.Name
}

// watch waits for the end of the volume on this node, and for another node that
// wants it while it lingers. If nobody here asked for the end the device goes at
// once: what it still takes would be lost.
func (n *Node) watch(ctx context.Context, u *use, v *host.Volume) {
	for wanted, frozen, blocks := 0, false, uint64(0); ; {
		state, changed := v.State()
		if frozen != state.Freeze {
			frozen = state.Freeze
			n.freezeOrThaw(ctx, u, v, frozen)
		}
		if state.Blocks > blocks {
			if blocks != 0 {
				n.follow(ctx, u, v)
			}
			blocks = state.Blocks
		}
		if state.Wanted != wanted {
			wanted = state.Wanted
			n.letGo(ctx, u)
		}
		if !state.Ended {
			select {
			case <-changed:
				continue
			case <-n.ended:
				return
			}
		}
		u.mu.Lock()
		device, asked := u.device, u.stopping
		var exports map[string]Export
		if u.volume == v {
			exports = u.exports
			u.volume, u.device, u.mounts, u.exports, u.smaller = nil, nil, nil, nil, ""
		}
		u.mu.Unlock()
		n.cutOff(u, exports)
		u.thaw()
		if device == nil {
			return
		}
		if !asked {
			n.log.Warn("volume was taken from this node, its device is torn down",
				slog.String("volume", u.name), slog.String("reason", state.Text))
		}
		if err := device.Abort(); err != nil {
			n.log.Error("device of a volume that is gone could not be torn down", slog.String("volume", u.name), slog.Any("error", err))
		}
		return
	}
}

// served returns the volume if this node serves it.
func (u *use) served() *host.Volume {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.volume
}

func (u *use) shown() Device {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.device
}

func (u *use) mountedAt() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var at []string
	for _, m := range u.mounts {
		at = append(at, m.target)
	}
	return at
}

// Detach ends the use of a volume on this node: in order, so that everything is
// durable, or by force. A volume that another node uses is taken from it only
// by force.
func (n *Node) Detach(ctx context.Context, name string, o volume.DetachOptions) error {
	status, err := n.find(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := change(ctx)
	defer cancel()
	return n.detachUse(ctx, n.useOf(status.Volume, status.Spec.Name), o)
}

func (n *Node) detachUse(ctx context.Context, u *use, o volume.DetachOptions) error {
	if o.Force {
		n.abort(u) // before waiting: a change under way may hang on the device
	}
	u.changing.Lock()
	defer u.changing.Unlock()
	if o.Unmount {
		if err := n.unmountAll(ctx, u); err != nil {
			return err
		}
	}
	if at := u.mountedAt(); len(at) > 0 && !o.Force {
		return &volume.Error{
			Kind: volume.ErrInUse,
			What: fmt.Sprintf("cannot detach volume %q: it is mounted at %s", u.name, strings.Join(at, ", ")),
			Fix:  "unmount it first:  lagan volume unmount " + u.name,
		}
	}
	if err := n.closeExports(u); err != nil {
		return inUse("detach", u.name, err)
	}
	if device := u.shown(); device != nil {
		if err := device.Detach(ctx); err != nil {
			return inUse("detach", u.name, err)
		}
	}
	u.mu.Lock()
	u.device, u.stopping = nil, true
	u.mu.Unlock()
	return n.p.Host.Detach(ctx, u.name, o.Force)
}

// abort takes device and exports away whoever hangs on them.
func (n *Node) abort(u *use) {
	n.endExports(u)
	u.mu.Lock()
	device := u.device
	u.device, u.mounts = nil, nil
	u.mu.Unlock()
	u.thaw()
	if err := u.abandon(); err != nil {
		n.log.Error("device could not be torn down", slog.Any("error", err))
	}
	if device == nil {
		return
	}
	if err := device.Abort(); err != nil {
		n.log.Error("device could not be torn down", slog.String("volume", u.name), slog.Any("error", err))
	}
}

func inUse(verb, name string, err error) error {
	return &volume.Error{
		Kind:   volume.ErrInUse,
		What:   fmt.Sprintf("cannot %s volume %q", verb, name),
		Causes: []string{err.Error()},
		Fix:    fmt.Sprintf("stop what uses it, or give up what was not flushed:  lagan volume detach %s --force", name),
	}
}

// usedBy returns the report's part on this node's use of a volume.
func (n *Node) usedBy(id block.VolumeID) (device string, mounts []string, smaller string) {
	u := n.known(id)
	if u == nil {
		return "", nil, ""
	}
	if d := u.shown(); d != nil {
		device = d.Path()
	}
	mounts = u.mountedAt()
	u.mu.Lock()
	defer u.mu.Unlock()
	return device, mounts, u.smaller
}
