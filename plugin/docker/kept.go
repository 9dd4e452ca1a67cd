package docker

import (
	"context"

	"github.com/lagan-storage/lagan/core/volume"
)

// Kept takes note that a volume is mounted as it was for a former daemon: whoever had
// it then has it still, until the engine says otherwise or the kernel shows that it
// is gone. Where somebody else mounted it the plugin has nothing to do with it.
func (p *Plugin) Kept(ctx context.Context, name, target string, users []volume.User) {
	if target != p.pointOf(name) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.useOf(name)
	u.mounted, u.former = true, nil
	for _, user := range users {
		if _, known := u.holders[user.Mount]; !known {
			u.holders[user.Mount] = holder{count: 1, generation: p.generation, called: name, container: user.Container, since: user.Since}
		}
	}
	if len(u.holders) == 0 {
		p.lingers(ctx, u)
	}
	p.tells(u)
}
