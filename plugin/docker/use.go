package docker

import (
	"cmp"
	"slices"
	"sync"

	"github.com/lagan-storage/lagan/core/volume"
)

// use is one volume as the containers of this node use it. Plugin.mu guards all
// but turn and telling.
type use struct {
	name    string
	turn    chan struct{} // holds something while somebody changes the mount
	telling sync.Mutex    // one word on who uses it at a time, so that the last is the newest
	holders map[string]holder
	former  []volume.User // IDs that were held before a restart and were not heard of since
	mounted bool          // containers can be given it
	left    bool          // its release failed and is to be tried again
	linger  uint64        // number of the wait under way: an older one is void
	stop    func() bool   // ends that wait; nil: there is none
	asked   uint64        // number of the search for the holders' names: an older one is void
}

// holder is one ID for which the engine had the volume mounted.
type holder struct {
	count      int
	generation uint64 // of the engine that counts
	called     string // what the engine calls the volume
	container  string // name, as far as it is known
	seen       bool   // it runs with the volume, says the engine
	since      string // RFC 3339
}

// useOf returns the volume's use, made when there is none. p.mu is held.
func (p *Plugin) useOf(name string) *use {
	u := p.uses[name]
	if u == nil {
		u = &use{name: name, turn: make(chan struct{}, 1), holders: map[string]holder{}}
		p.uses[name] = u
	}
	return u
}

// disarm ends the wait under way.
func (u *use) disarm() {
	u.linger++
	if u.stop != nil {
		u.stop()
		u.stop = nil
	}
}

// hold counts one more mount for an ID. A count that a killed engine left begins
// anew. p.mu is held.
func (u *use) hold(id, called string, generation uint64, now string) {
	u.disarm()
	h, found := u.holders[id]
	if !found {
		h = holder{generation: generation, container: u.takeFormer(id), since: now}
	}
	if h.generation != generation {
		h.generation, h.count = generation, 0
	}
	h.called = called
	h.count++
	u.holders[id] = h
}

// takeFormer forgets an ID of before a restart and returns whose it was.
func (u *use) takeFormer(id string) (container string) {
	i := slices.IndexFunc(u.former, func(f volume.User) bool { return f.Mount == id })
	if i >= 0 {
		container = u.former[i].Container
		u.former = slices.Delete(slices.Clone(u.former), i, i+1)
	}
	return container
}

// drop counts one mount less for an ID and reports whether there was one. What
// an older engine counted goes at once: its successor knows of one mount only.
// p.mu is held.
func (u *use) drop(id string, generation uint64) bool {
	u.takeFormer(id)
	h, found := u.holders[id]
	if !found {
		return false
	}
	if h.count--; h.count <= 0 || h.generation != generation {
		delete(u.holders, id)
	} else {
		u.holders[id] = h
	}
	return true
}

// stale reports whether an engine that is gone counted holders. p.mu is held.
func (u *use) stale(generation uint64) bool {
	for _, h := range u.holders { // any order: one is enough
		if h.generation != generation {
			return true
		}
	}
	return false
}

// dropStale forgets them. p.mu is held.
func (u *use) dropStale(generation uint64) {
	for id, h := range u.holders { // any order: each alone
		if h.generation != generation {
			delete(u.holders, id)
		}
	}
}

// mountedAt returns where a volume's content is for containers, "" if nowhere.
func (p *Plugin) mountedAt(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.uses[name]; u != nil && u.mounted {
		return p.contentOf(name)
	}
	return ""
}

// users returns the holders, oldest first. p.mu is held.
func (u *use) users() []volume.User {
	var users []volume.User
	for id, h := range u.holders { // any order: sorted below
		users = append(users, volume.User{Mount: id, Container: h.container, Since: h.since})
	}
	slices.SortFunc(users, func(a, b volume.User) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Mount, b.Mount))
	})
	return users
}

// now returns who uses the volume. p.mu is held.
func (u *use) now() volume.Uses {
	users := u.users()
	return volume.Uses{Users: users, Lingering: len(users) == 0}
}

// tells has the node, the cluster and the catalogue know who uses the volume,
// soon. p.mu is held.
func (p *Plugin) tells(u *use) {
	if !p.closed {
		p.running.Go(func() { p.tell(u) })
	}
}

func (p *Plugin) tell(u *use) {
	u.telling.Lock()
	defer u.telling.Unlock()
	p.mu.Lock()
	uses := u.now()
	all := slices.Concat(uses.Users, u.former)
	p.mu.Unlock()
	p.p.Volumes.Use(u.name, p.pointOf(u.name), uses)
	p.keep(p.catalogue.keepUsers(u.name, all))
}
