package docker

import (
	"context"
	"log/slog"
)

// activate begins a generation: an engine has started, and counts anew. It has
// unmounted nothing of what it had when it was killed; for containers that
// outlived it (live-restore) it will, and for others it mounts again.
func (p *Plugin) activate(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation++
	p.sweeps(context.WithoutCancel(ctx), p.generation)
}

// sweeps has the holders of older generations judged in a while, as long as
// there are any. p.mu is held.
func (p *Plugin) sweeps(ctx context.Context, generation uint64) {
	stale := false
	for _, u := range p.uses { // any order: one is enough
		stale = stale || u.stale(generation)
	}
	if !stale || p.closed {
		return
	}
	p.p.AfterFunc(p.p.Linger, func() {
		p.start(func() { p.sweep(ctx, generation) })
	})
}

// sweep drops the holders of older generations whose container is gone: none has
// the mount.
func (p *Plugin) sweep(ctx context.Context, generation uint64) {
	p.mu.Lock()
	var suspects []*use
	for _, u := range p.uses { // any order: each alone
		if u.stale(generation) {
			suspects = append(suspects, u)
		}
	}
	p.mu.Unlock()
	for _, u := range suspects {
		p.judge(ctx, u, generation)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.generation == generation { // or the next one has its own
		p.sweeps(ctx, generation)
	}
}

func (p *Plugin) judge(ctx context.Context, u *use, generation uint64) {
	held, err := p.p.Held(p.pointOf(u.name))
	if err != nil {
		p.log.Warn("cannot see which containers have a volume", slog.String("volume", u.name), slog.Any("error", err))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if held || p.generation != generation || !u.stale(generation) {
		return
	}
	p.log.Info("containers of a former engine are gone, their mount ends", slog.String("volume", u.name))
	if u.dropStale(generation); len(u.holders) == 0 {
		p.lingers(ctx, u)
	}
	p.tells(u)
}
