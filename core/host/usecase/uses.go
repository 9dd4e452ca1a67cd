package usecase

import (
	"context"

	"github.com/lagan-storage/lagan/core/volume"
)

// mount is one place where a volume's file system is mounted.
type mount struct {
	target string
	since  string       // RFC 3339
	told   *volume.Uses // who uses it, if that was ever said; else whoever mounted it does
}

// Use says who uses a volume through its mount at target from now on. The
// cluster hears of it when it can; nothing waits for that. Of what is not
// mounted there is nothing to say.
func (n *Node) Use(name, target string, uses volume.Uses) {
	_, status, found := n.look(name)
	if !found {
		return
	}
	u := n.known(status.Volume)
	if u == nil {
		return
	}
	u.mu.Lock()
	mounted := false
	for i := range u.mounts {
		if u.mounts[i].target == target {
			mounted, u.mounts[i].told = true, &uses
		}
	}
	u.mu.Unlock()
	if mounted {
		n.tell(u)
	}
}

// keep makes the attachment one that a person asked for: it outlives its mounts and
// exports and is given up to nobody.
func (n *Node) keep(u *use) {
	u.mu.Lock()
	was := u.byUse
	u.byUse = false
	u.mu.Unlock()
	if was {
		n.tell(u)
	}
}

// tell has the cluster know who uses a volume, but not while it comes to its
// end: what is recorded until then lets another node wait for it.
func (n *Node) tell(u *use) {
	u.telling.Lock()
	defer u.telling.Unlock()
	n.remember(u)
	v, uses := u.served(), u.uses()
	if v != nil && !u.unneeded() {
		v.Use(uses)
	}
}

// unneeded reports whether the volume is attached for mounts and exports that are no
// more.
func (u *use) unneeded() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.volume != nil && u.byUse && len(u.mounts) == 0 && len(u.exports) == 0
}

// uses returns who uses the volume here. It lingers when nobody does who was
// ever said to, and its end is that of its mounts.
func (u *use) uses() volume.Uses {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := volume.Uses{Lingering: u.byUse && len(u.mounts) > 0 && len(u.exports) == 0}
	for _, m := range u.mounts {
		if m.told == nil {
			all.Users = append(all.Users, volume.User{Mount: m.target, Since: m.since})
			all.Lingering = false
			continue
		}
		all.Users = append(all.Users, m.told.Users...)
		all.Lingering = all.Lingering && m.told.Lingering && len(m.told.Users) == 0
	}
	return all
}

// OnWanted has f called when another node wants a volume that only lingers here.
// f must not block; what it starts ends with a call of Unmount, or never.
func (n *Node) OnWanted(f func(ctx context.Context, name string)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wanted = f
}

func (n *Node) letGo(ctx context.Context, u *use) {
	n.mu.Lock()
	f := n.wanted
	n.mu.Unlock()
	if f != nil {
		f(ctx, u.name)
	}
}
