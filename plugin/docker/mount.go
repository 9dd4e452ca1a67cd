package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	plugin "github.com/docker/go-plugins-helpers/volume"

	"github.com/lagan-storage/lagan/core/volume"
)

// mount makes a volume's content available for an ID. What is mounted already is
// only counted.
func (p *Plugin) mount(ctx context.Context, r *plugin.MountRequest) (*plugin.MountResponse, error) {
	spec, err := volume.ParseNamed(r.Name, nil)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	u, generation := p.useOf(spec.Name), p.generation
	u.hold(r.ID, r.Name, generation, p.p.Now().UTC().Format(time.RFC3339)) // first, or a wait that ends now takes the mount away
	p.tells(u)                                                             // of one that lingered: it is in use again
	p.mu.Unlock()
	err = p.within(ctx, fmt.Sprintf("mount of volume %q", spec.Name), func(ctx context.Context) error {
		u.turn <- struct{}{}
		defer func() { <-u.turn }()
		return p.attach(ctx, u, spec.Preempt)
	})
	if err != nil {
		// If it comes to its end after all, what lingers is taken back then.
		p.let(ctx, u, r.ID, generation)
		return nil, err
	}
	p.mu.Lock()
	p.tells(u)
	p.names(context.WithoutCancel(ctx), u)
	p.mu.Unlock()
	return &plugin.MountResponse{Mountpoint: p.contentOf(spec.Name)}, nil
}

// attach has the volume mounted; the caller has the turn.
func (p *Plugin) attach(ctx context.Context, u *use, preempt bool) error {
	p.mu.Lock()
	uses := u.now()
	p.mu.Unlock()
	o := volume.AttachOptions{Mount: p.pointOf(u.name), Uses: &uses}
	report, err := p.p.Volumes.Attach(ctx, u.name, o)
	for tries := 1; tries < handOverTriesMax && errors.Is(err, volume.ErrAttachedElsewhere) && p.lingersElsewhere(ctx, u.name); tries++ {
		report, err = p.p.Volumes.Attach(ctx, u.name, o)
	}
	if errors.Is(err, volume.ErrAttachedElsewhere) && (preempt || p.preempts(ctx, u.name)) {
		p.log.Warn("volume is taken from the node that has it, as its options ask", slog.String("volume", u.name), slog.Any("reason", err))
		o.Force = true
		report, err = p.p.Volumes.Attach(ctx, u.name, o)
	}
	if err == nil {
		err = os.MkdirAll(p.contentOf(u.name), 0o755)
	}
	p.mu.Lock()
	u.mounted = err == nil
	p.mu.Unlock()
	if err == nil && report.Spec.Name == u.name {
		p.keep(p.catalogue.put(report))
	}
	return err
}

// lingersElsewhere reports whether nobody uses the volume where it is attached.
func (p *Plugin) lingersElsewhere(ctx context.Context, name string) bool {
	report, err := p.p.Volumes.Volume(ctx, name)
	return err == nil && report.Lingers && report.Attached != p.p.Node
}

// preempts reports whether the volume's specification says so.
func (p *Plugin) preempts(ctx context.Context, name string) bool {
	report, err := p.p.Volumes.Volume(ctx, name)
	return err == nil && report.Spec.Preempt
}

// unmount ends the use of a volume for an ID. One that is not known has ended.
func (p *Plugin) unmount(ctx context.Context, r *plugin.UnmountRequest) error {
	spec, err := volume.ParseNamed(r.Name, nil)
	if err != nil {
		return err
	}
	p.mu.Lock()
	u, generation := p.uses[spec.Name], p.generation
	p.mu.Unlock()
	if u != nil {
		p.let(ctx, u, r.ID, generation)
	}
	return nil
}

// let counts one mount less; without any the mount lingers from now on.
func (p *Plugin) let(ctx context.Context, u *use, id string, generation uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !u.drop(id, generation) {
		return
	}
	if len(u.holders) == 0 {
		p.lingers(context.WithoutCancel(ctx), u)
	} else {
		p.names(context.WithoutCancel(ctx), u)
	}
	p.tells(u)
}

// lingers begins the wait for another user. p.mu is held.
func (p *Plugin) lingers(ctx context.Context, u *use) {
	u.disarm()
	if p.closed {
		return
	}
	number := u.linger
	u.stop = p.p.AfterFunc(p.p.Linger, func() {
		p.start(func() { p.lapse(ctx, u, number) })
	})
}

// lapse ends a mount that nobody came for. If that fails it lingers again, for
// as long as the daemon lives: an engine does not ask twice.
func (p *Plugin) lapse(ctx context.Context, u *use, number uint64) {
	u.turn <- struct{}{} // a mount that is late ends first
	defer func() { <-u.turn }()
	p.mu.Lock()
	void := u.linger != number || len(u.holders) > 0
	p.mu.Unlock()
	if void {
		return
	}
	err := p.release(ctx, u)
	if err == nil {
		return
	}
	p.log.Warn("volume that no container uses could not be detached yet", slog.String("volume", u.name), slog.Any("error", err))
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.linger == number && len(u.holders) == 0 {
		p.lingers(ctx, u)
	}
}

// releaseNow ends a mount that lingers.
func (p *Plugin) releaseNow(ctx context.Context, name string) error {
	p.mu.Lock()
	u := p.uses[name]
	p.mu.Unlock()
	if u == nil {
		return nil
	}
	u.turn <- struct{}{}
	defer func() { <-u.turn }()
	p.mu.Lock()
	idle := len(u.holders) == 0
	if idle {
		u.disarm()
	}
	p.mu.Unlock()
	if !idle {
		return nil // somebody came: who deletes it is told so
	}
	err := p.release(ctx, u)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(u.holders) == 0 {
			p.lingers(ctx, u)
		}
	}
	return err
}

// Wanted ends what lingers of a volume that another node wants.
func (p *Plugin) Wanted(ctx context.Context, name string) {
	p.start(func() {
		if err := p.releaseNow(ctx, name); err != nil {
			p.log.Warn("volume that another node wants could not be detached", slog.String("volume", name), slog.Any("error", err))
		}
	})
}

// release unmounts and detaches; the caller has the turn.
func (p *Plugin) release(ctx context.Context, u *use) error {
	p.mu.Lock()
	was := u.mounted || u.left
	u.mounted = false
	p.mu.Unlock()
	err := p.p.Volumes.Unmount(ctx, u.name, p.pointOf(u.name))
	if errors.Is(err, volume.ErrVolumeNotFound) || errors.Is(err, volume.ErrNotAttached) || errors.Is(err, volume.ErrAttachedElsewhere) {
		err = nil // it is not here any more
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u.left = err != nil
	if err == nil && was {
		p.log.Info("volume was detached after its last container", slog.String("volume", u.name))
	}
	return err
}
