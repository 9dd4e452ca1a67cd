package storetest

import (
	"fmt"
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

const openTriesMax = 8 // times that a disk is opened if errors stop it

// diskErrors counts what the store may rightly stop for.
func (m *Machine) diskErrors() (n uint64) {
	for _, k := range []disk.Kind{disk.ReadError, disk.WriteError, disk.SyncFails, disk.SyncSwallows, disk.SyncDrops} {
		n += m.disk.Count(k)
	}
	return n
}

// Reopen opens the store of a disk that was left at any moment, and checks it. An
// error that passes may stop it while it opens, or while it is looked at.
func (m *Machine) Reopen() {
	for range openTriesMax {
		errs := m.diskErrors()
		m.boot()
		m.open()
		if m.opened && m.failure == nil {
			m.checkRecovered()
		}
		if m.stopped == "" || m.diskErrors() == errs {
			break // it is not a passing error that stopped it
		}
		m.lossy = true
		m.disk.Kill()
	}
	if m.failure == nil && !m.opened && !m.faulty {
		m.fail("the store did not open: %s", m.stopped)
	}
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
		if m.failure != nil || m.stopped != "" {
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
	told := info.Stable <= max(r.stable, r.stableBefore()) || m.faulty // damage, and what the oracle knows of it, may pass
	if info.Durable != info.LastAccepted.Seq || !told || info.Stable > info.Durable {
		m.fail("replica %x has last %v, durable %d, stable %d; the store was told stable %d", r.id[:8], info.LastAccepted, info.Durable, info.Stable, r.stable)
		return
	}
	candidates := r.candidates(info, floor)
	if len(candidates) == 0 && r.unread != nil {
		r.log = r.unread // what could not be read then can be read now
		candidates = r.candidates(info, floor)
	}
	if len(candidates) == 0 {
		m.fail("replica %x was recovered with last %v meta %+v (durable %d), which is none of:%s", r.id[:8], info.LastAccepted, info.Meta, info.Durable, r.tell(floor))
		return
	}
	r.handle = info.Handle
	images := m.ReadAll(r)
	if m.failure != nil || m.stopped != "" {
		return
	}
	if m.adoptOne(r, candidates, images, info) {
		return
	}
	if info.Damaged && r.origin != nil { // what it was cloned from may be gone with what was damaged
		r.origin = make([]stamp, len(r.origin))
		if m.adoptOne(r, candidates, images, info) {
			return
		}
	}
	st := r.after(candidates[0])
	if info.Damaged && len(images) <= len(st.strata.ids()) {
		m.stopped = "a replica that says that it is damaged lost a layer of which the oracle forgot the beginning"
		m.log("  %s", m.stopped)
		return
	}
	m.fail("replica %x was recovered up to %v (act %d), but %s", r.id[:8], info.LastAccepted, candidates[0], st.strata.differs(images, r))
}

// adoptOne adopts the first of the candidates whose images are those found.
func (m *Machine) adoptOne(r *replica, candidates []int, images []found, info *store.ReplicaInfo) bool {
	for _, n := range candidates {
		if st := r.after(n); st.strata.agree(images) {
			m.adopt(r, n, info)
			return true
		}
	}
	return false
}

// agree reports whether the images found are those of s.
func (s *strata) agree(images []found) bool { return s.differs(images, nil) == "" }

// differs says how the images found differ from those of s; "" if they do not.
func (s *strata) differs(images []found, r *replica) string {
	if ids := s.ids(); len(images) != len(ids)+1 {
		return fmt.Sprintf("it has %d images, snapshots are %v", len(images), ids)
	}
	for _, f := range images {
		want := s.image(f.id)
		if want == nil {
			return fmt.Sprintf("there is no snapshot %d", f.id)
		}
		for b := range want {
			if !f.known[b] || f.content[b] == want[b] {
				continue
			}
			text := fmt.Sprintf("block %d of image %d holds stamp %d instead of %d", b, f.id, f.content[b], want[b])
			if r != nil {
				text += fmt.Sprintf("; the head had %v", r.held(block.Block(b)))
			}
			return text
		}
	}
	return ""
}

// stableBefore returns the highest stable seq that a reset may have undone.
func (r *replica) stableBefore() (seq block.Seq) {
	for i := range r.log {
		seq = max(seq, r.log[i].stable)
	}
	return seq
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
	r.lost = slices.Clone(r.log[n:])
	switch {
	case !info.Damaged:
		r.unread = nil
	case r.unread == nil: // else it was unreadable before, and is still
		r.unread = slices.Clone(r.log)
	}
	r.log = r.log[:n]
	if r.after(n).meta != info.Meta {
		r.log = append(r.log, act{kind: actMeta, meta: info.Meta})
		n++
	}
	r.accepted, r.durable = n, n
	m.handles[r.handle], r.damaged = r.id, info.Damaged
	r.era++
	s := r.after(n)
	r.stable, r.told = min(r.stable, s.last.Seq), info.Stable
	m.FetchTail(r, max(info.Stable, s.below.Seq, r.base.last.Seq)+1, info.LastAccepted.Seq)
	r.forget()
}

func (m *Machine) waiting() bool {
	return m.stopped == "" && m.failure == nil && slices.ContainsFunc(m.replicas, func(r *replica) bool { return r != nil && r.accepted != len(r.log) })
}

// Settled checks that everything asked for has happened: nothing waits but, on
// a full disk, for what is stored to become stable.
func (m *Machine) Settled() {
	m.Drain()
	if m.waiting() {
		m.log("everything becomes stable")
		for slot := range m.replicas {
			m.Play([]Line{{Verb: Sync, Slot: slot}, {Verb: Run, N: 1000}, {Verb: Stable, Slot: slot}, {Verb: Idle, N: 62}})
		}
	}
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
