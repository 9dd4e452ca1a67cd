package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// scrub has a disk begin to read all that is on it.
func (w *World) scrub(f *Fault, b *body) {
	if b.life == 0 {
		w.counts.Faults[f.Kind]--
		return
	}
	b.drives[0].scrub = &volume.Scrub{Rate: 64 << 10 << (f.Pick % 12)}
	b.goOnScrubbing(0)
}

// goOnScrubbing tells a disk how far its scrub was when it was last heard of, as
// the body of a node does after a restart.
func (b *body) goOnScrubbing(drive int) {
	if s := b.drives[drive].scrub; s != nil && !s.Over && drive < len(b.disks) {
		b.tell(b.disks[drive], &step.Control{Kind: step.ScrubDisk, Scrub: s})
	}
}

// repairAfter is when what a scrub found is repaired.
const repairAfter = 5 * time.Second

// scrubAll reads all disks of a healed world: whatever one copy has lost and
// another has is whole again afterwards.
func (w *World) scrubAll() {
	for _, b := range w.bodies {
		for i, d := range b.drives {
			if b.life != 0 && b.disks[i].ready {
				d.scrub = &volume.Scrub{Rate: 1 << 40}
				b.goOnScrubbing(i)
			}
		}
	}
	w.run(w.now+int64(w.plan.Liveness), w.scrubbed)
	if !w.scrubbed() {
		w.fail("liveness", "a disk of a healed world is not read to its end in %v", w.plan.Liveness)
	}
	w.run(w.now+int64(repairAfter), nil)
	if w.marks.Counts["store: block of a snapshot repaired"] > 0 { // which takes effect at the next checkpoint, and where others have lost what they share with it
		w.run(w.now+int64(mergedAfter), nil)
	}
	w.run(w.now+int64(w.plan.Liveness), w.recovered)
	if !w.recovered() {
		w.fail("liveness", "%v after a scrub: %s", w.plan.Liveness, w.missing())
	}
}

func (w *World) scrubbed() bool {
	for _, b := range w.bodies {
		for i, d := range b.drives {
			if b.life != 0 && b.disks[i].ready && d.scrub != nil && !d.scrub.Over {
				return false
			}
		}
	}
	return true
}
