package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// syncs is the one sync that may run and what the next one is for.
type syncs struct {
	running bool
	covers  uint64 // the batch accepted when it was submitted
	want    uint64 // a batch that someone waits for
	waiting []*replica
}

// Sync makes everything appended to h so far durable. Result: Durable.
func (s *Store) Sync(now step.Time, h Handle, out *step.Effects) {
	r := s.control(now, h)
	if r == nil {
		return
	}
	if durable := r.known(r.durable); durable >= r.appended.Seq {
		s.result(Result{Kind: Durable, Handle: h, Position: block.Position{Era: r.last.Era, Seq: durable}})
		return
	}
	if r.want == 0 {
		s.syncs.waiting = append(s.syncs.waiting, r)
	}
	r.want = r.appended.Seq
	s.pump(out)
}

// driveSync submits a sync if someone waits for one and it would help.
func (s *Store) driveSync(out *step.Effects) {
	j := &s.journal
	if s.syncs.running || j.accepted == j.durable {
		return
	}
	due := s.syncs.want > j.durable && j.accepted >= s.syncs.want
	for _, r := range s.syncs.waiting { // the rest of what was asked for may wait for this very sync to make room
		due = due || r.known(r.last.Seq) >= r.want || len(j.flight) == 0 && r.last.Seq > r.durable
	}
	unsynced := int64(j.head - j.durableAt)
	due = due || unsynced > min(unsyncedMax, s.super.Journal.Length/8)
	if !due {
		return
	}
	s.syncs.running, s.syncs.covers = true, j.accepted
	s.emit(s.begin(ioSync, 0), step.DiskSync, 0, out)
}

// onSynced makes the covered batches durable and those that a durable header
// calls durable sealed.
func (s *Store) onSynced(out *step.Effects) {
	j := &s.journal
	s.syncs.running = false
	was := j.durable
	j.durable = s.syncs.covers
	sealed := j.sealed.batch
	for _, b := range j.unsealed {
		if b.header.Batch > j.durable {
			break
		}
		if b.header.Batch > was {
			s.durable(b)
			j.durableAt = b.end().position
		}
		sealed = max(sealed, b.header.Durable)
	}
	s.seal(sealed)
	kept := s.syncs.waiting[:0]
	for _, r := range s.syncs.waiting {
		if r.known(r.durable) < r.want && s.byHandle[r.handle] == r {
			kept = append(kept, r)
		} else {
			r.want = 0
		}
	}
	clear(s.syncs.waiting[len(kept):])
	s.syncs.waiting = kept
	out.Marks.Hit("store: synced")
}

// durable reports what a batch held, now that a sync covered it.
func (s *Store) durable(b *batch) {
	for _, n := range b.notes {
		r := s.byHandle[n.handle]
		if r == nil {
			continue
		}
		r.homeable = max(r.homeable, n.stable)
		if n.last <= r.durable {
			continue
		}
		r.durable = n.last
		if !r.gone && r.resets == 0 {
			s.result(Result{Kind: Durable, Handle: Handle(n.handle), Position: block.Position{Era: r.last.Era, Seq: r.known(min(r.durable, r.appended.Seq))}})
		}
	}
	for _, d := range b.done {
		s.result(Result{Kind: RecordDone, Handle: Handle(d.handle), Token: d.token})
	}
}

// seal lets the records of batches up to sealed go home (rule 3). What recovery
// will know as stable may be used from now on.
func (s *Store) seal(sealed uint64) {
	j := &s.journal
	n := 0
	for _, b := range j.unsealed {
		if b.header.Batch > sealed {
			break
		}
		j.sealed = b.end()
		for _, note := range b.notes {
			if r := s.byHandle[note.handle]; r != nil {
				r.rootedControls += note.controls
				r.settle(b.header.Batch)
			}
		}
		j.spare = append(j.spare, b)
		n++
	}
	left := copy(j.unsealed, j.unsealed[n:])
	clear(j.unsealed[left:])
	j.unsealed = j.unsealed[:left]
	s.ripen()
}

// settle makes the metadata of sealed batches what a checkpoint may write.
func (r *replica) settle(batch uint64) {
	n := 0
	for n < len(r.metas) && r.metas[n].batch <= batch {
		r.rooted = r.metas[n].meta
		n++
	}
	r.metas = append(r.metas[:0], r.metas[n:]...)
}

// driveSeal brings sealed up to goal: a sync, a batch whose header says so and
// which carries the newest stable of every replica, and a sync of that batch.
// by remembers that batch between the calls.
func (s *Store) driveSeal(goal uint64, by *uint64, out *step.Effects) (sealed bool) {
	j := &s.journal
	if j.durable < goal {
		s.syncs.want = max(s.syncs.want, goal)
		return false
	}
	if *by == 0 {
		if j.claimed >= goal && len(j.stableDue) == 0 {
			*by = j.claimedBy
		} else if j.writing < flightMax && s.sealRoom() {
			*by = s.writeSeal(out)
		} else {
			return false
		}
	}
	s.syncs.want = max(s.syncs.want, *by)
	return j.durable >= *by
}

// sealRoom reports whether the ring takes a seal batch and the WRAP before it.
func (s *Store) sealRoom() bool {
	toEnd := s.super.Journal.Length - int64(s.journal.head%uint64(s.super.Journal.Length))
	return s.super.Journal.Length-s.journal.used() >= sealBytes+toEnd%sealBytes
}

// sealBytes is the most a seal batch takes; no other control record may use
// the last of them.
const sealBytes = format.HeaderPagesMax * format.PageSize

// writeSeal emits a batch that only says what is durable and stable.
func (s *Store) writeSeal(out *step.Effects) (batch uint64) {
	j := &s.journal
	b := j.newBatch()
	taken := 0
	for _, h := range j.stableDue {
		r := s.byHandle[h]
		if r != nil && r.journalable() > r.journaled && r.resets == 0 {
			rec := format.Record{Kind: format.Stable, Handle: h, Stable: r.journalable(), Controls: r.controls}
			if b.header.Bytes+rec.Size() > format.RecordsRoom(format.HeaderPagesMax) {
				break
			}
			s.encode(b, &rec)
			r.journaled = rec.Stable
			b.note(h).stable = rec.Stable
		}
		if r != nil {
			r.stableDue = false
		}
		taken++
	}
	j.stableDue = append(j.stableDue[:0], j.stableDue[taken:]...)
	s.writeBatch(b, out)
	out.Marks.Hit("store: seal batch")
	return b.header.Batch
}
