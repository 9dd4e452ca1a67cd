package sim

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
	"github.com/lagan-storage/lagan/sim/fsck"
)

// A disk is unsound once its journal or its metadata are not what was written.
// Nobody notices before its store is opened anew. Then it does one of four
// things: it comes back whole, since what is lost was not needed; it says what
// it lost, and its copies are filled anew; it is refused, and its volumes go on
// elsewhere; or, where what was lost looks like an end that a power loss tore,
// its copies come back shorter than they were and do not know it. That one the
// protocol survives as long as another copy in sync is asked.

// strikeDeep makes a disk unsound. Copies elsewhere are whole at that moment.
func (w *World) strikeDeep(f *Fault, b *body) {
	d := b.drives[0]
	if b.life == 0 || !b.disks[0].ready || !w.sparable(b, 0) {
		w.counts.Faults[f.Kind]--
		return
	}
	found := true
	switch f.Kind {
	case MisdirectWrite:
		d.miswrite = disk.MisdirectedWrite
		return // unsound once it happens
	case LoseWrite:
		d.miswrite = disk.LostWrite
		return
	case RotJournal, SpoilJournal:
		found = w.harmJournal(d, f)
	case RotPage, SpoilPage:
		found = w.harmPage(d, f)
	case HarmSuperblocks:
		for i := range int64(format.SuperblockCopies) {
			if i < int64(1+f.Pick%format.SuperblockCopies) {
				d.harm((i+int64(f.Pick>>8))%format.SuperblockCopies*format.SuperblockStride, f.Pick>>16^uint64(i), f.Pick>>(32+i)&1 != 0)
			}
		}
	default:
	}
	if !found {
		w.counts.Faults[f.Kind]--
		return
	}
	w.unsettle(b, 0)
	if f.Pick>>63 != 0 { // an opening is what reads all of it
		w.stop(b, f.Pick>>62&1 != 0, f.For)
	}
}

// harmJournal damages a batch of the journal: mostly one near the end, where a
// loss looks most like something else.
func (w *World) harmJournal(d *drive, f *Fault) bool {
	list := fsck.Batches(d.device)
	if len(list) == 0 {
		return false
	}
	back := f.Pick % uint64(len(list))
	if f.Pick>>52&15 != 0 {
		back %= 1 + f.Pick>>56&7
	}
	b := list[back]
	d.hides = d.hides || d.damaged || !proven(d, b.Number)
	d.harm(b.Offset+int64(f.Pick>>8%uint64(b.Length/format.PageSize))*format.PageSize, f.Pick>>32, f.Kind == SpoilJournal)
	return true
}

// proven reports whether the disk itself says that a batch was durable: its loss
// is no torn end then (rule 10 of the store).
func proven(d *drive, batch uint64) bool {
	return slices.ContainsFunc(fsck.Batches(fsck.Durable(d.device)), func(b fsck.Batch) bool { return b.Number > batch && b.Durable >= batch })
}

// harmPage damages a page of the newest root.
func (w *World) harmPage(d *drive, f *Fault) bool {
	list := fsck.Pages(d.device)
	if len(list) == 0 {
		return false
	}
	d.harm(list[f.Pick%uint64(len(list))], f.Pick>>32, f.Kind == SpoilPage)
	return true
}

// harm damages a page of a disk: one of the bits where it is not empty, or one of
// its sectors.
func (d *drive) harm(page int64, pick uint64, spoil bool) {
	var content [format.PageSize]byte
	d.device.Peek(page, content[:])
	at := page + int64(pick>>3%format.PageSize)
	for n := range int64(format.PageSize) {
		if next := (at - page + n) % format.PageSize; content[next] != 0 {
			at = page + next
			break
		}
	}
	if spoil {
		d.device.Spoil(at)
	} else {
		d.device.Rot(at, uint(pick&7))
	}
}

// miswritten takes the write that is about to go wrong: only now it is known
// whether another copy may be relied on.
func (w *World) miswritten(b *body, drive int) {
	d := b.drives[drive]
	if d.miswrite == disk.None {
		return
	}
	if !w.sparable(b, drive) {
		d.miswrite = disk.None
		return
	}
	d.hides = true // where the write went, or was to go, may be the journal's end
	w.unsettle(b, drive)
}

// unsettle notes that a disk is unsound from now on.
func (w *World) unsettle(b *body, drive int) {
	d := b.drives[drive]
	// A block that was damaged before may be one that the unproven end of the journal
	// names, and takes that end away: see reopened.
	d.hides = d.hides || d.damaged && !d.unsound
	d.unsound, d.damaged = true, true
	w.counts.Unsound++
	w.tracef(b, "disk %d is unsound", drive)
	w.eachCopy(d, func(_ *volumeState, m *volume.Member, state *memberState) { state.unsound = true })
}

// eachCopy visits the copies that lie on a disk.
func (w *World) eachCopy(d *drive, visit func(*volumeState, *volume.Member, *memberState)) {
	for _, v := range w.volumes {
		for i := range v.config.Members {
			if m := &v.config.Members[i]; m.Disk == d.id {
				visit(v, m, v.member(m.Replica))
			}
		}
	}
}

// recovered is what a copy of a damaged disk should come back with.
type recovered struct {
	replica       block.ReplicaID
	filled        bool // it was whole, and not one that was made anew
	last, durable block.Seq
}

// expect notes what a damaged disk would give back if it were whole.
func (b *body) expect(drive int) {
	d := b.drives[drive]
	if !d.damaged || drive >= len(b.disks) || !b.disks[drive].ready {
		return
	}
	shard, ours := b.disks[drive].machine.(*node.Disk)
	if !ours {
		return
	}
	d.expected = d.expected[:0]
	for _, info := range shard.Store().Replicas(nil) {
		d.expected = append(d.expected, recovered{replica: info.Replica, filled: info.Meta.Complete, last: info.LastAccepted.Seq, durable: info.Durable})
	}
}

// expectDurable expects no more of an unsound disk than what was durable: its host
// lost power, or a sync failed.
func (d *drive) expectDurable() {
	for i := range d.expected {
		d.expected[i].last = d.expected[i].durable
	}
}

// reopened looks at what a damaged disk came back with: rot in a block that the
// unproven end of the journal names takes that end away as well.
func (w *World) reopened(s *shard) {
	d := s.body.drives[s.disk]
	shard, ours := s.machine.(*node.Disk)
	if !d.damaged || !ours {
		return
	}
	d.refused = false
	found := shard.Store().Replicas(nil)
	w.eachCopy(d, func(v *volumeState, m *volume.Member, state *memberState) {
		state.refused = false
		lost := d.lostOf(found, m.Replica)
		if lost == lostNothing || m.State != volume.InSync || lost == lostAll && v.config.Virgin() {
			return // of a volume that has no record yet its disk may not even have heard
		}
		w.tracef(s.body, "its copy of %s %s", v.name, lost)
		if lost != lostAll && lost != lostKnown && d.unsound && !d.hides {
			w.fail("I1", "the copy of %s on %s came back without records that its disk proves, and does not say so", v.name, s)
		}
		w.lacks(v, m.Replica, lost == lostUnknown)
	})
	d.expected = nil
}

// learnDamage hears from a store what it found since it was opened: damage of a
// page shows when the page is first read.
func (w *World) learnDamage(s *shard) {
	d := s.body.drives[s.disk]
	shard, ours := s.machine.(*node.Disk)
	if !d.unsound || !ours || !s.ready {
		return
	}
	for _, info := range shard.Store().Replicas(nil) {
		if !info.Damaged {
			continue
		}
		w.eachCopy(d, func(v *volumeState, m *volume.Member, state *memberState) {
			if m.Replica == info.Replica && m.State == volume.InSync && !state.old {
				w.lacks(v, m.Replica, false)
			}
		})
	}
}

// checkPromise insists that a copy says what its store knows: others are put out
// for one that promises to be whole.
func (w *World) checkPromise(s *shard, m *step.Send) {
	c, _ := s.peer(m.Conn)
	shard, ours := s.machine.(*node.Disk)
	if c == nil || !ours || !s.body.drives[s.disk].unsound || !m.Message.Promise.Complete || m.Message.Promise.Tainted {
		return
	}
	for _, info := range shard.Store().Replicas(nil) {
		if info.Replica == c.hello.Replica && info.Damaged {
			w.fail("I1", "%s promises that replica %v is whole, while its store knows that a part is lost", s, info.Replica)
		}
	}
}

// loss is what a copy came back without.
type loss uint8

const (
	lostNothing loss = iota
	lostAll          // it is not there
	lostKnown        // records, and its store says so
	lostEnd          // the note that it was filled: it asks to be filled anew
	lostUnknown      // records, and its store does not know
)

func (l loss) String() string {
	return [...]string{"lacks nothing", "is not there", "lacks records and knows it", "does not know that it was filled", "lacks records and does not know it"}[l]
}

// lostOf returns what a copy in sync lacks of what it had.
func (d *drive) lostOf(found []store.ReplicaInfo, replica block.ReplicaID) loss {
	i := slices.IndexFunc(found, func(info store.ReplicaInfo) bool { return info.Replica == replica })
	had := slices.IndexFunc(d.expected, func(e recovered) bool { return e.replica == replica })
	switch {
	case i < 0:
		return lostAll
	case found[i].Damaged:
		return lostKnown
	case !found[i].Meta.Complete && had >= 0 && d.expected[had].filled:
		return lostEnd
	case !found[i].Meta.Complete:
		return lostKnown // it was all lost before, and it asks to be filled since
	case had >= 0 && found[i].LastAccepted.Seq < d.expected[had].last:
		return lostUnknown
	}
	return lostNothing
}

// lacks notes that a copy lost what even a flush promised.
func (w *World) lacks(v *volumeState, id block.ReplicaID, silent bool) {
	state := v.member(id)
	state.wounded, state.old, state.silent, state.since, state.unsound = true, true, silent, w.now, true
	for said := range v.accepted { // any order: all that it said counts no more
		if said.replica == id {
			delete(v.accepted, said)
		}
	}
	if !v.undamaged() {
		v.beyond = true
	}
	w.checkLoss(v, "an unsound disk lost records")
}

// refuses takes the end of a store, or its refusal to open an unsound disk.
func (w *World) refuses(s *shard) {
	d := s.body.drives[s.disk]
	d.worksRight()
	if !d.unsound {
		return
	}
	d.refused = true
	w.counts.DisksRefused++
	w.eachCopy(d, func(_ *volumeState, _ *volume.Member, state *memberState) { state.refused, state.since = true, w.now })
}

// holdsAll reports whether a store opened from a copy of an unsound disk has what
// the disk's own store has of a replica.
func (b *bareStore) holdsAll(d *drive, replica block.ReplicaID) bool {
	if b == nil {
		return false
	}
	now, found := b.find(replica)
	for _, o := range b.world.bodies {
		for i, s := range o.disks {
			if shard, ours := s.machine.(*node.Disk); ours && s.ready && o.drives[i] == d {
				for _, info := range shard.Store().Replicas(nil) {
					if info.Replica == replica {
						return found && !now.Damaged && !info.Damaged && now.LastAccepted == info.LastAccepted
					}
				}
			}
		}
	}
	return false
}
