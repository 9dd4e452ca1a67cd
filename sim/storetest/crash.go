package storetest

import (
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/sim/disk"
)

// Crash is a way to die.
type Crash struct {
	Power bool
	Loss  disk.Loss // of a power loss
	Seed  uint64    // of what is drawn
}

// fork returns a machine whose disk and oracle are as those of m now, and go
// their own way from here. It has no store: Crash comes next.
func (m *Machine) fork(seed uint64) *Machine {
	f := *m
	f.disk = m.disk.Clone(seed)
	f.config.Seed = seed
	f.replicas = make([]*replica, len(m.replicas))
	for i, r := range m.replicas {
		if r != nil {
			f.replicas[i] = r.clone()
		}
	}
	f.gone, f.handles = maps.Clone(m.gone), maps.Clone(m.handles)
	f.expected = make(map[uint64]func(*store.Result))
	f.trace, f.operations = slices.Clone(m.trace), nil
	f.onBoundary, f.store, f.out, f.events = nil, nil, step.Effects{}, nil
	return &f
}

// Crash kills the store, opens the disk anew and checks what is found against
// what was asked for and promised.
func (m *Machine) Crash(c Crash) {
	if m.stopped != "" {
		m.lossy = true // a disk error: what was not durable may be gone from the cache too
	}
	if c.Power {
		m.lossy = true
		drawn := m.disk.PowerLoss(c.Loss)
		m.log("POWER LOSS: %v", drawn)
	} else {
		m.disk.Kill()
		m.log("KILL")
	}
	m.Reopen()
}

// Reopen opens the store of a disk that was left at any moment, and checks it.
func (m *Machine) Reopen() {
	m.boot()
	m.open()
	if m.failure != nil {
		return
	}
	if !m.opened {
		if !m.faulty {
			m.fail("the store did not open: %s", m.stopped)
		}
		return
	}
	m.checkRecovered()
}

func (m *Machine) checkRecovered() {
	found := m.store.Replicas(nil)
	for i := range found {
		info := &found[i]
		if m.gone[info.Replica] && !m.faulty {
			m.fail("replica %x is back after its deletion was durable", info.Replica[:8])
		}
		if r := m.byID(info.Replica); r == nil && m.gone[info.Replica] {
			continue // a damaged journal forgot the deletion
		} else if r == nil {
			m.fail("replica %x was never created", info.Replica[:8])
		} else {
			m.recovered(r, info)
		}
		if m.failure != nil {
			return
		}
	}
	for _, r := range m.replicas {
		if r != nil && !slices.ContainsFunc(found, func(i store.ReplicaInfo) bool { return i.Replica == r.id }) {
			m.missing(r)
		}
	}
	m.lossy = false
	m.Check()
}

func (m *Machine) byID(id block.ReplicaID) *replica {
	for _, r := range m.replicas {
		if r != nil && r.id == id {
			return r
		}
	}
	return nil
}

// floor returns how many acts of r must have survived.
func (r *replica) floor(lossy bool) int {
	if lossy {
		return r.durable
	}
	return max(r.accepted, r.durable)
}

// missing checks that a replica which is not there may be absent.
func (m *Machine) missing(r *replica) {
	floor := r.floor(m.lossy)
	if m.faulty {
		floor = 0
	}
	for n := len(r.log); n >= floor; n-- {
		if !r.after(n).exists {
			m.buried(r)
			return
		}
	}
	m.fail("replica %x is missing:%s", r.id[:8], r.tell(r.floor(m.lossy)))
}

// recovered finds the prefix of r's acts that recovery kept.
func (m *Machine) recovered(r *replica, info *store.ReplicaInfo) {
	floor := r.floor(m.lossy)
	if m.faulty {
		floor = 0 // what rots behind the last header that vouches for it looks like a torn tail
	}
	if info.Damaged && !m.faulty {
		m.fail("replica %x is damaged on a disk without faults", r.id[:8])
		return
	}
	if info.Durable != info.LastAccepted.Seq || info.Stable > max(r.stable, r.stableBefore()) || info.Stable > info.Durable {
		m.fail("replica %x has last %v, durable %d, stable %d; the store was told stable %d", r.id[:8], info.LastAccepted, info.Durable, info.Stable, r.stable)
		return
	}
	candidates := r.candidates(info, floor)
	if len(candidates) == 0 {
		m.fail("replica %x was recovered with last %v meta %+v (durable %d), which is none of:%s", r.id[:8], info.LastAccepted, info.Meta, info.Durable, r.tell(floor))
		return
	}
	r.handle = info.Handle
	content, known := m.ReadAll(r)
	if m.failure != nil {
		return
	}
	for _, n := range candidates {
		if agree(r.after(n).content, content, known) {
			m.adopt(r, n, info)
			return
		}
	}
	want := r.after(candidates[0]).content
	for b := range want {
		if known[b] && content[b] != want[b] {
			m.fail("replica %x was recovered up to %v (act %d), but block %d holds stamp %d instead of %d; it had %v",
				r.id[:8], info.LastAccepted, candidates[0], b, content[b], want[b], r.held(block.Block(b)))
			return
		}
	}
}

// stableBefore returns the highest stable seq that a reset may have undone.
func (r *replica) stableBefore() (seq block.Seq) {
	for i := range r.log {
		seq = max(seq, r.log[i].stable)
	}
	return seq
}

func agree(want, got []stamp, known []bool) bool {
	for b := range want {
		if known[b] && want[b] != got[b] {
			return false
		}
	}
	return true
}

// adopt makes what was recovered the truth from here on.
func (m *Machine) adopt(r *replica, n int, info *store.ReplicaInfo) {
	for i := n; i < len(r.log); i++ {
		if k := r.log[i].kind; k == actReset || k == actContinue {
			r.stable = r.log[i].stable
			break
		}
	}
	m.log("recovered replica %x: %d of %d acts, last %v, stable %d", r.id[:8], n, len(r.log), info.LastAccepted, info.Stable)
	r.log = r.log[:n]
	r.accepted, r.durable = n, n
	m.handles[r.handle] = r.id
	r.era++
	s := r.after(n)
	r.stable, r.told = min(r.stable, s.last.Seq), info.Stable
	m.FetchTail(r, max(info.Stable, s.below.Seq, r.base.last.Seq)+1, info.LastAccepted.Seq)
	r.forget()
}

// Settled checks that everything asked for has happened: nothing waits.
func (m *Machine) Settled() {
	m.Drain()
	if m.stopped != "" || m.failure != nil {
		return
	}
	for _, r := range m.replicas {
		if r != nil && r.accepted != len(r.log) {
			m.fail("at rest, %d of %d acts of replica %x are accepted:%s", r.accepted, len(r.log), r.id[:8], r.tell(r.accepted))
		}
	}
	if len(m.expected) > 0 {
		m.fail("at rest, %d results have not come", len(m.expected))
	}
}
