package docker

import (
	"context"
	"slices"
)

// Kept takes note that a volume is mounted as it was for a former daemon: whoever had
// it then has it still, until the engine says otherwise or the kernel shows that it
// is gone. What the engine knows nothing of is left to who mounted it.
func (p *Plugin) Kept(ctx context.Context, name string, targets []string) {
	if !slices.Contains(targets, p.pointOf(name)) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.useOf(name)
	u.mounted = true
	for _, f := range u.former {
		if _, known := u.holders[f.Mount]; !known {
			u.holders[f.Mount] = holder{count: 1, generation: p.generation, called: name, container: f.Container, since: f.Since}
		}
	}
	u.former = nil
	if len(u.holders) == 0 {
		p.lingers(ctx, u)
	}
	p.tells(u)
}
