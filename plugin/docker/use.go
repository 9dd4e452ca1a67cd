package docker

// use is one volume as the containers of this node use it. Plugin.mu guards all
// but turn.
type use struct {
	name    string
	turn    chan struct{} // holds something while somebody changes the mount
	holders map[string]holder
	mounted bool        // containers can be given it
	left    bool        // unmounted, but not detached: that is to be tried again
	linger  uint64      // number of the wait under way: an older one is void
	stop    func() bool // ends that wait; nil: there is none
}

// holder is one ID for which the engine had the volume mounted.
type holder struct {
	count      int
	generation uint64 // of the engine that counts
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
func (u *use) hold(id string, generation uint64) {
	u.disarm()
	h := u.holders[id]
	if h.generation != generation {
		h = holder{generation: generation}
	}
	h.count++
	u.holders[id] = h
}

// drop counts one mount less for an ID and reports whether there was one. What
// an older engine counted goes at once: its successor knows of one mount only.
// p.mu is held.
func (u *use) drop(id string, generation uint64) bool {
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
