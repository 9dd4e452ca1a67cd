package sim

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/fsck"
)

// drawFull makes the disks of some runs so small that the clients fill them:
// their one volume is larger than what it lies on.
func (p *Plan) drawFull() {
	s := newStream(p.Seed, "full", 0)
	if (p.Profile != Swarm && p.Profile != DiskOnly) || p.BlockSize != 64 || !s.oneIn(16) {
		return
	}
	p.makeFull(s.between(80, 112))
}

// makeFull makes disks of so many slots, and a volume of as many chunks.
func (p *Plan) makeFull(slots int) {
	p.Full = true
	p.JournalBytes = p.leastJournal()
	p.DiskSize = format.JournalOffset + p.JournalBytes + int64(slots)*format.PageSize
	p.Volumes = p.Volumes[:1]
	p.Volumes[0].Blocks = slots * block.PerChunk
	p.Volumes[0].Hot = p.Volumes[0].Blocks
	for i := range p.Clients {
		p.Clients[i].Volume = 0
	}
	p.Faults = slices.DeleteFunc(p.Faults, func(f Fault) bool { return f.Kind == CreateTwice || f.Kind == DeleteAttached })
}

// noSpace takes the answer that no copy has room: definitely not done.
func (w *World) noSpace(s *shard, q *request) {
	if !w.plan.Full {
		w.fail("space", "%s has no space for %v, its disks do", s, q.blocks)
	}
	w.counts.NoSpace++
	q.history.Fail(w.now, q.op)
}

// saying is what a copy says in an era.
type saying struct {
	replica block.ReplicaID
	era     block.Epoch
}

// said is how far it said that it has accepted, and in which life.
type said struct {
	seq  block.Seq
	life block.Incarnation
}

// noteAccepted notes how far members in sync said that they are, by era.
func (w *World) noteAccepted(s *shard, m *step.Send) {
	c, _ := s.peer(m.Conn)
	if c == nil {
		return
	}
	v := w.volume(c.hello.Volume)
	if listed := v.config.Member(c.hello.Replica); listed != nil && listed.State == volume.InSync {
		key := saying{replica: c.hello.Replica, era: m.Message.Era}
		v.accepted[key] = said{seq: max(v.accepted[key].seq, m.Message.Accepted), life: c.incarnation}
	}
}

// takeBack hears how far a copy is that came back from a loss: what it said in a
// former life that it had beyond that, it has no more. What it said in this one it
// must not take back.
func (w *World) takeBack(s *shard, m *step.Send) {
	c, _ := s.peer(m.Conn)
	if c == nil {
		return
	}
	v := w.volume(c.hello.Volume)
	if v == nil || !v.member(c.hello.Replica).wounded {
		return
	}
	p := m.Message.Promise
	for key, before := range v.accepted { // any order: each is judged alone
		if key.replica == c.hello.Replica && before.life != p.Incarnation {
			v.accepted[key] = said{seq: min(before.seq, p.LastAccepted.Seq), life: p.Incarnation}
		}
	}
}

// takenBack reports whether a record rightly became a NOP: no member in sync
// had room for it, and none that still is said that it has it.
func (w *World) takenBack(key recordKey, r *message.Record) bool {
	v := w.volume(key.volume)
	return w.plan.Full && r.Op == message.OpNop && !slices.ContainsFunc(v.config.Members, func(m volume.Member) bool {
		return m.State == volume.InSync && v.accepted[saying{m.Replica, r.Position.Era}].seq >= r.Position.Seq
	})
}

// freeSpace empties the volume of a healed world whose disks were filled, and deletes
// its snapshots. One that seems lost may yet go on: a copy that is too old to be whole
// answers, and says so.
func (w *World) freeSpace() {
	if !w.plan.Full {
		return
	}
	v := w.volumes[0]
	c := newClient(w, len(w.plan.Clients)+1, &ClientPlan{Depth: 1})
	for range 8 { // until the operator leaves the volume where it is
		w.run(w.now+int64(w.plan.Liveness), func() bool { return v.newest() != nil && v.newest().text == "" })
		w.clearSnapshots()
		if v.lost() || w.tell(c, step.ZeroRequest, block.Range{Count: uint32(v.plan.Blocks)}) && w.tell(c, step.FlushRequest, block.Range{}) {
			return
		}
		w.run(w.now+int64(settleAfter), nil) // it is being detached, or what was accepted last takes the room until it is home
	}
	w.fail("space", "%s cannot be emptied: %s", v.name, w.missing())
}

// cramped reports whether a copy may find no room on a disk that was emptied: the
// page that named some of its slots was damaged, and they are lost until it is
// formatted. Half of what another disk with a copy in sync has left can be done without:
// the other half is for what is on its way home.
func (w *World) cramped(m *volume.Member) bool {
	d := w.bodyOf(m.Node).drives[0]
	return w.plan.Full && d.unsound && fsck.Lost(d.device) > w.roomLeft(m)/2
}

// roomLeft returns how many slots the fullest disk has left that has another copy of
// the run's one volume in sync; none if there is no other.
func (w *World) roomLeft(m *volume.Member) int {
	left := -1
	for i := range w.volumes[0].config.Members {
		o := &w.volumes[0].config.Members[i]
		s := w.bodyOf(o.Node).diskShard(o.Disk)
		if o.Replica == m.Replica || o.State != volume.InSync || s == nil || !s.ready {
			continue
		}
		if found := w.storeOf(s); found != nil {
			_, free := found.Space()
			if slots := int(free) / (block.PerChunk * w.plan.BlockSize); left < 0 || slots < left {
				left = slots
			}
		}
	}
	return max(0, left)
}

// settleAfter is when a store without work has brought home what it has, and
// freed what that left.
const settleAfter = 40 * time.Second

// useSpace writes to what was freed: it must be there again.
func (w *World) useSpace() {
	v := w.volumes[0]
	if !w.plan.Full || v.lost() {
		return
	}
	w.run(w.now+int64(settleAfter), nil)
	c := newClient(w, len(w.plan.Clients)+2, &ClientPlan{Depth: 1})
	for chunk := range v.plan.Blocks / block.PerChunk / 4 {
		if !w.tell(c, step.WriteRequest, block.Range{First: block.Block(chunk * block.PerChunk), Count: 1}) && !w.allCramped(v) {
			w.fail("space", "chunk %d of %s cannot be written although all of it was freed", chunk, v.name)
		}
	}
}

// allCramped reports whether no copy in sync is sure to find room.
func (w *World) allCramped(v *volumeState) bool {
	return !slices.ContainsFunc(v.config.Members, func(m volume.Member) bool { return m.State == volume.InSync && !w.cramped(&m) })
}

// tell asks a volume for something and waits for it.
func (w *World) tell(c *client, kind step.RequestKind, r block.Range) (ok bool) {
	ended := false
	if c.mount = c.volume.newest(); c.mount == nil {
		return false
	}
	q := c.request(kind, false, r)
	q.reader = func(how bool) { ended, ok = true, how }
	w.run(w.now+int64(w.plan.Liveness), func() bool { return ended })
	return ok
}
