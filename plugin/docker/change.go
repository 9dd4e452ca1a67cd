package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	plugin "github.com/docker/go-plugins-helpers/volume"

	"github.com/lagan-storage/lagan/core/volume"
)

// create makes a volume. The engine calls it only for one that it does not
// know: others may have made it meanwhile, and then it must be as asked for.
func (p *Plugin) create(ctx context.Context, r *plugin.CreateRequest) error {
	spec, err := volume.ParseNamed(r.Name, r.Options)
	if err != nil {
		return err
	}
	return p.within(ctx, fmt.Sprintf("creation of volume %q", spec.Name), func(ctx context.Context) error {
		report, _, err := p.p.Volumes.Create(ctx, spec, false)
		if err == nil {
			p.keep(p.catalogue.put(report))
		}
		return err
	})
}

// remove deletes a volume that no container uses. One that only lingers is
// detached first.
func (p *Plugin) remove(ctx context.Context, r *plugin.RemoveRequest) error {
	spec, err := volume.ParseNamed(r.Name, nil)
	if err != nil {
		return err
	}
	name := spec.Name
	if users := p.holders(name); len(users) > 0 {
		return &volume.Error{
			Kind:   volume.ErrInUse,
			What:   fmt.Sprintf("cannot delete volume %q: it is in use on node %s", name, p.p.Node),
			Causes: []string{"in use by " + strings.Join(users, ", ")},
			Fix:    "stop the containers that use it:  docker ps --filter volume=" + name,
		}
	}
	return p.within(ctx, fmt.Sprintf("deletion of volume %q", name), func(ctx context.Context) error {
		if err := p.releaseNow(ctx, name); err != nil {
			return err
		}
		err := p.p.Volumes.Delete(ctx, name, false)
		gone := err == nil || errors.Is(err, volume.ErrVolumeNotFound) || errors.Is(err, volume.ErrVolumeDeleted)
		if !gone {
			return err
		}
		p.keep(p.catalogue.remove(name))
		return nil
	})
}

// within does work and waits for it as long as the engine does. Work that ends
// later ends all the same, and unheard.
func (p *Plugin) within(ctx context.Context, what string, work func(ctx context.Context) error) error {
	late := &volume.Error{
		Kind:   volume.ErrOutcomeUnknown,
		What:   fmt.Sprintf("%s was not done within %v", what, answerWithin),
		Causes: []string{"node " + p.p.Node + " goes on with it"},
		Fix:    "see that the nodes of the cluster are up (lagan status), then try again",
	}
	done, expired := make(chan error, 1), make(chan struct{})
	stop := p.p.AfterFunc(answerWithin, func() { close(expired) })
	defer stop()
	if !p.start(func() { done <- work(context.WithoutCancel(ctx)) }) {
		return &volume.Error{
			Kind: volume.ErrNotReady, What: fmt.Sprintf("node %s stops", p.p.Node), Fix: "start it again:  lagan up",
		}
	}
	select {
	case err := <-done:
		return err
	case <-expired:
	case <-ctx.Done(): // the engine hung up, or died
	}
	return late
}

// holders returns what people call those for whom a volume is mounted here.
func (p *Plugin) holders(name string) (users []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.uses[name]; u != nil {
		for _, user := range u.users() {
			users = append(users, user.String())
		}
	}
	return users
}
