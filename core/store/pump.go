package store

import (
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

const (
	tickEvery = time.Second      // how often an unfinished store looks after itself
	calmAfter = time.Second      // without appends, before stable data goes home unasked
	idleAfter = 30 * time.Second // without appends, before a checkpoint
)

// housekeeping is what the store does when nobody asks for anything.
type housekeeping struct {
	armed      bool
	generation uint32
	touched    step.Time // of the last append
	idle       bool      // nothing was appended for calmAfter
	goal, by   uint64    // the seal that calm asks for
}

// pump moves everything on that can move. Every method and completion ends here.
func (s *Store) pump(out *step.Effects) {
	if s.phase != phaseOpen && s.phase != phaseClosing {
		return
	}
	s.writeBatches(out)
	s.driveSync(out)
	s.driveCheckpoint(out)
	s.driveDestage(out)
	s.driveReclaim(out)
	s.driveMerge(out)
	s.driveCalm(out)
	s.driveCheckpoint(out)
	s.writeBatches(out)
	s.driveSync(out)
	if s.phase == phaseClosing {
		s.driveClose(out)
	} else {
		s.arm(out)
	}
}

// unfinished reports whether there is something that calm would bring home.
func (s *Store) unfinished() bool {
	return s.journal.newest > s.ckpt.cut.batch || s.leaves.dirty > 0 || s.slots.Pending() > 0 ||
		len(s.journal.stableDue) > 0 || len(s.dead) > 0 || s.destage.first < len(s.destage.fifo)
}

// arm asks for the next tick while there is something to do.
func (s *Store) arm(out *step.Effects) {
	merging := s.merging()
	if s.timer.armed || s.phase != phaseOpen || !merging && !s.unfinished() {
		return
	}
	every := tickEvery
	if merging && !s.merge.stuck {
		every = mergeEvery
	}
	s.timer.armed = true
	s.timer.generation++
	out.After(s.now, every, step.Tag{Owner: s.params.Owner, Slot: timerSlot, Generation: s.timer.generation})
}

func (s *Store) onTimer(tag step.Tag, out *step.Effects) {
	t := &s.timer
	if tag.Slot != timerSlot || tag.Generation != t.generation {
		return
	}
	t.armed = false
	if s.phase != phaseOpen {
		return
	}
	t.idle = s.now.Sub(t.touched) >= calmAfter
	if t.idle && t.goal <= s.journal.sealed.batch && (s.journal.newest > s.journal.sealed.batch || len(s.journal.stableDue) > 0) {
		t.goal, t.by = s.journal.accepted, 0
	}
	if s.now.Sub(t.touched) >= idleAfter && s.unfinished() {
		s.ckpt.wanted = true
	}
}

// driveCalm seals what calm asked to be sealed.
func (s *Store) driveCalm(out *step.Effects) {
	if s.timer.goal > 0 && s.driveSeal(s.timer.goal, &s.timer.by, out) {
		s.timer.goal = 0
	}
	if s.now.Sub(s.timer.touched) < calmAfter {
		s.timer.idle = false
	}
}

// Close makes everything durable and marks the disk clean. Result: Closed.
// Nothing may be called after it.
func (s *Store) Close(now step.Time, out *step.Effects) {
	s.now = max(s.now, now)
	switch s.phase {
	case phaseOpen:
		s.phase = phaseClosing
		s.pump(out)
	case phaseNew, phaseFormatting, phaseOpening, phaseFailed:
		s.phase = phaseClosed
		s.result(Result{Kind: Closed})
	case phaseClosing, phaseMarking, phaseClosed:
	}
}

// driveClose waits until nothing is in flight and writes the last superblock.
func (s *Store) driveClose(out *step.Effects) {
	j := &s.journal
	if len(j.flight) > 0 || s.syncs.running || s.ckpt.phase != ckptIdle || s.destage.active > 0 {
		return
	}
	if s.queue.records > 0 {
		if s.queue.ready() { // it waits for space that only a stable above can give
			out.Marks.Hit("store: close drops what was never accepted")
			s.dropQueue()
		} else {
			return
		}
	}
	if j.durable < j.accepted {
		s.syncs.want = j.accepted
		s.driveSync(out)
		return
	}
	s.phase = phaseMarking
	s.super.Clean, s.super.Journal.Durable = true, j.durable
	s.writeSuper(superClose, out)
}
