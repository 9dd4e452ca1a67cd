package node

import (
	"time"

	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	scrubTurn  = 1 << 20              // bytes that are read at a stretch, one chunk after the other
	scrubYield = 5 * time.Millisecond // how long a turn waits for a busy disk,
	yieldsMax  = 20                   // and how often: it must come to an end
	scrubTells = 10 * time.Second     // how often the body is told how far it is
)

// scrub is the reading of the whole disk, turn by turn, no faster than it may.
// What is found the replicas see to.
type scrub struct {
	volume.Scrub
	asked  bool   // a turn is under way, or a timer for it
	turn   uint64 // token of the turn
	yields int
	told   step.Time
}

// onScrubDisk begins a scrub, lets it go on from somewhere, or pauses it.
func (d *Disk) onScrubDisk(now step.Time, want *volume.Scrub, out *step.Effects) {
	s := &d.scrub
	s.Scrub, s.told = *want, now.Add(-scrubTells) // the first turn tells how much there is
	s.Over, s.turn = false, 0
	if s.Total == 0 && d.open {
		s.Total = d.store.Used()
	}
	d.scrubNext(now, out)
}

// scrubNext takes the next turn, unless somebody waits for the disk.
func (d *Disk) scrubNext(now step.Time, out *step.Effects) {
	s := &d.scrub
	if !d.open || s.Rate == 0 || s.Over || s.asked {
		return
	}
	s.asked = true
	if d.store.Busy() && s.yields < yieldsMax {
		s.yields++
		d.scrubLater(now, scrubYield, out)
		return
	}
	s.yields = 0
	d.tokens++
	s.turn = d.tokens
	d.store.Scrub(now, s.At, scrubTurn, s.turn, out)
}

func (d *Disk) scrubLater(now step.Time, wait time.Duration, out *step.Effects) {
	out.After(now, wait, step.Tag{Owner: diskOwner, Slot: scrubSlot, Generation: d.epoch})
}

// onScrubDone notes how far a turn came and waits until the next one is due.
func (d *Disk) onScrubDone(now step.Time, res *store.Result, out *step.Effects) {
	s := &d.scrub
	if s.asked = false; res.Status != message.OK {
		return // it goes on when the disk is open again
	}
	if res.Token != s.turn {
		d.scrubNext(now, out)
		return
	}
	s.At, s.Read, s.Over = res.Scrub, s.Read+res.Bytes, store.ScrubEnded(res.Scrub)
	if s.Over || now.Sub(s.told) >= scrubTells {
		s.told = now
		report := s.Scrub
		d.tell(step.Control{Kind: step.DiskScrubbed, Scrub: &report}, out)
	}
	if !s.Over && s.Rate > 0 {
		s.asked = true
		d.scrubLater(now, time.Duration(res.Bytes*int64(time.Second)/s.Rate), out)
	}
}
