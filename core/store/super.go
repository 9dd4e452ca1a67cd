package store

import (
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// superPurpose says what goes on once a superblock is durable.
type superPurpose uint8

const (
	superKeep superPurpose = iota // the winner, where it stands already
	superOpen
	superCheckpoint
	superClose
	superFormat
)

// superWriter writes the four copies in two rounds with a sync after each. Two
// copies of the old or of the new superblock are whole at any moment: a power
// loss that tears both copies of a round cannot take the disk with it.
//
// That holds if the old one is durable in the second half of the order. After an
// opening that failed, a read shows what no sync has covered. So an opening
// first writes the superblock that it found, over itself.
type superWriter struct {
	purpose superPurpose
	order   [format.SuperblockCopies]int // which copies go first
	holders int                          // the last so many of order hold the superblock found by an opening
	round   int
	pending int
}

// superRound is how many copies are written before a sync.
const superRound = format.SuperblockCopies / 2

func (s *Store) writeSuper(purpose superPurpose, out *step.Effects) {
	s.super.Sequence++
	s.superSlot.purpose, s.superSlot.round = purpose, 0
	s.superRound(out)
}

// keepSuper makes the superblock that was found durable where it was found.
func (s *Store) keepSuper(out *step.Effects) {
	w := &s.superSlot
	w.purpose = superKeep
	s.superCopies(w.order[len(w.order)-w.holders:], out)
}

func (s *Store) superRound(out *step.Effects) {
	w := &s.superSlot
	s.superCopies(w.order[w.round*superRound:(w.round+1)*superRound], out)
}

func (s *Store) superCopies(copies []int, out *step.Effects) {
	w := &s.superSlot
	for _, copyNumber := range copies {
		address := int64(copyNumber) * format.SuperblockStride
		page := s.params.Pool.Get(format.PageSize)
		s.super.Encode(page.Bytes(), address)
		io := s.begin(ioSuper, 0)
		s.piece(io, page)
		s.emit(io, step.DiskWrite, address, out)
		w.pending++
	}
}

func (s *Store) onSuperWritten(out *step.Effects) {
	w := &s.superSlot
	if w.pending--; w.pending == 0 {
		s.emit(s.begin(ioSuperSync, 0), step.DiskSync, 0, out)
	}
}

func (s *Store) onSuperSynced(out *step.Effects) {
	w := &s.superSlot
	switch {
	case w.purpose == superKeep:
		s.markOpen(out)
		return
	case w.round == 0:
		w.round = 1
		s.superRound(out)
		return
	}
	w.order = [format.SuperblockCopies]int{0, 1, 2, 3}
	s.super.Settled = s.super.Sequence
	switch w.purpose {
	case superKeep: // above
	case superOpen:
		s.superOpened(out)
	case superCheckpoint:
		s.checkpointDurable(out)
	case superClose:
		s.phase = phaseClosed
		s.result(Result{Kind: Closed})
	case superFormat:
		s.phase = phaseNew
		s.result(Result{Kind: Formatted})
	}
}
