package docker

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

// The engine does not say for whom it mounts: an ID is all that a call has. But
// it can be asked, a moment later and beside everything else, which containers
// run with a volume. Where those are as many as the IDs without a name, they are
// whose the IDs are.

const (
	// askAfter is when the engine is asked after a mount, doubling until all
	// names are known: a container runs only when its last volume is there.
	askAfter = 250 * time.Millisecond
	// askPauseMax is the last pause: who does not run by then is not found.
	askPauseMax = 32 * time.Second
	// askWithin bounds one question.
	askWithin = 10 * time.Second
)

// Container is a container that runs.
type Container struct {
	Name    string
	Created int64    // Unix time
	Volumes []string // what the engine calls those that it has
}

// Containers returns a function that asks the engine on a socket which
// containers run with one of the volumes, the oldest first.
func Containers(socket string) func(ctx context.Context, volumes []string) ([]Container, error) {
	return func(ctx context.Context, volumes []string) ([]Container, error) {
		filter, err := json.Marshal(map[string][]string{"volume": volumes})
		if err != nil {
			return nil, err
		}
		answer, err := askEngine(ctx, socket, "/containers/json?filters="+url.QueryEscape(string(filter)))
		if err != nil {
			return nil, err
		}
		var list []struct {
			Created int64
			Names   []string
			Mounts  []struct{ Name string }
		}
		if err := json.Unmarshal(answer, &list); err != nil {
			return nil, err
		}
		slices.Reverse(list) // the engine has the newest first
		var all []Container
		for _, c := range list {
			next := Container{Created: c.Created}
			for _, name := range c.Names { // of one that others link to, it has their names for it too
				if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
					next.Name = name
				}
			}
			for _, m := range c.Mounts {
				next.Volumes = append(next.Volumes, m.Name)
			}
			if next.Name != "" {
				all = append(all, next)
			}
		}
		return all, nil
	}
}

// names begins the search for the names of a volume's holders. p.mu is held.
func (p *Plugin) names(ctx context.Context, u *use) {
	u.asked++
	p.asksAfter(ctx, u, u.asked, askAfter)
}

func (p *Plugin) asksAfter(ctx context.Context, u *use, number uint64, pause time.Duration) {
	if p.p.Containers == nil || p.closed {
		return
	}
	p.p.AfterFunc(pause, func() {
		p.start(func() { p.search(ctx, u, number, pause) })
	})
}

// search asks the engine once, and once more later if that was not enough.
func (p *Plugin) search(ctx context.Context, u *use, number uint64, pause time.Duration) {
	p.asking <- struct{}{} // one question at a time is enough for an engine
	defer func() { <-p.asking }()
	p.mu.Lock()
	volumes, void := u.called(), u.asked != number || p.closed
	p.mu.Unlock()
	if void || len(volumes) == 0 {
		return
	}
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	p.running.Go(func() {
		select {
		case <-p.ended:
			cancel()
		case <-asking.Done():
		}
	})
	containers, err := p.p.Containers(asking, volumes)
	if err != nil {
		p.log.Debug("engine did not say which containers have a volume", slog.String("volume", u.name), slog.Any("error", err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.asked != number {
		return
	}
	if err == nil && u.match(containers, p.started) {
		p.tells(u)
	}
	if !u.allSeen() && pause < askPauseMax {
		p.asksAfter(ctx, u, number, 2*pause)
	}
}

// called returns what the engine calls the volume. p.mu is held.
func (u *use) called() (names []string) {
	for _, h := range u.holders { // any order: sorted below
		names = append(names, h.called)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// allSeen reports whether all holders are known to run. p.mu is held.
func (u *use) allSeen() bool {
	for _, h := range u.holders { // any order: all must
		if !h.seen {
			return false
		}
	}
	return true
}

// match gives the holders the names of the containers that run with the volume,
// and reports whether that changed any. One that this process found when it
// started, at a Unix time, runs on a mount that is no more until it mounts again.
// p.mu is held.
func (u *use) match(containers []Container, started int64) (changed bool) {
	before := u.users()
	containers = slices.DeleteFunc(slices.Clone(containers), func(c Container) bool {
		return c.Created < started && slices.ContainsFunc(u.former, func(f volume.User) bool { return f.Container == c.Name })
	})
	for _, called := range u.called() {
		u.matchCalled(called, containers)
	}
	return !slices.Equal(before, u.users())
}

// matchCalled does it for the holders that call the volume by one name. What
// cannot be told apart stays without a name.
func (u *use) matchCalled(called string, containers []Container) {
	var all []string
	for _, c := range containers {
		if slices.Contains(c.Volumes, called) {
			all = append(all, c.Name)
		}
	}
	free := slices.Clone(all) // nobody's
	var unknown []string      // IDs
	for _, user := range u.users() {
		h := u.holders[user.Mount]
		if h.called != called {
			continue
		}
		if h.seen = slices.Contains(all, h.container); h.seen {
			free = slices.DeleteFunc(free, func(name string) bool { return name == h.container })
		} else {
			unknown = append(unknown, user.Mount)
		}
		u.holders[user.Mount] = h
	}
	if len(free) > len(unknown) {
		return
	}
	for i, id := range unknown {
		h := u.holders[id]
		switch {
		case i < len(free):
			h.container, h.seen = free[i], true
		case len(all) == 1: // one container has it in two places
			h.container, h.seen = all[0], true
		}
		u.holders[id] = h
	}
}
