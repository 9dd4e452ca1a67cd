package host

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// ComparisonReport is how the comparison of a volume's copies goes, or went.
type ComparisonReport struct {
	Volume block.VolumeID
	Began  time.Time
	Going  bool
	Broken string // why it ended before all was compared; "" if it did not
	volume.Comparison
}

// comparisons is what the body knows of the comparisons that sessions of this node
// make: the newest of each volume. They end with the session, and nothing of them
// outlives the process.
//
//	going ──▶ over: its result is kept ──▶ forgotten, or begun anew
//	  ├─────▶ broken off by the end of the session: so is the reason
//	  └─────▶ cancelled ──▶ its session has ended it: forgotten
type comparisons struct {
	host *Host

	mu  sync.Mutex // guards what follows
	all map[block.VolumeID]*comparing
}

type comparing struct {
	ComparisonReport
	cancelled bool
}

func newComparisons(h *Host) *comparisons {
	return &comparisons{host: h, all: map[block.VolumeID]*comparing{}}
}

// begin has the session of a volume compare its copies, unless it does already.
func (c *comparisons) begin(v *Volume) (ComparisonReport, error) {
	c.mu.Lock()
	if r := c.all[v.id]; r != nil && r.Going {
		report, cancelled := r.ComparisonReport, r.cancelled
		c.mu.Unlock()
		if cancelled {
			return report, &volume.Error{
				Kind: volume.ErrNotReady, What: fmt.Sprintf("the check of volume %q is just being broken off", v.name), Fix: "try again in a moment",
			}
		}
		return report, nil
	}
	r := &comparing{ComparisonReport: ComparisonReport{Volume: v.id, Began: c.host.params.Now(), Going: true}}
	c.all[v.id] = r
	report := r.ComparisonReport
	c.mu.Unlock()
	c.host.log.Info("comparison of copies begins", slog.String("volume", v.name))
	c.host.tell(v.shard, &step.Control{Kind: step.CompareVolume, Volume: v.id})
	if state, _ := v.State(); state.Ended { // perhaps before this was noted
		c.broken(v.id, state.Text)
	}
	return report, nil
}

// cancel ends a comparison where it is, or forgets the result of one that is over.
func (c *comparisons) cancel(id block.VolumeID) {
	c.mu.Lock()
	r := c.all[id]
	going := r != nil && r.Going
	switch {
	case going:
		r.cancelled = true
	default:
		delete(c.all, id)
	}
	c.mu.Unlock()
	if going {
		c.host.tell(c.host.volumeShard(id), &step.Control{Kind: step.CompareVolume, Volume: id, Force: true})
	}
}

// progress hears how far a session is, or that it is over.
func (c *comparisons) progress(id block.VolumeID, now *volume.Comparison, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.all[id]
	switch {
	case r == nil || !r.Going:
	case over && r.cancelled:
		delete(c.all, id)
	default:
		r.Comparison = *now
		if r.Going = !over; !over {
			return
		}
		if !now.Ended {
			r.Broken = "the volume was detached from this node"
		}
		c.host.log.Info("comparison of copies is over", slog.String("volume", id.String()), slog.Bool("whole", now.Ended),
			slog.Uint64("differing_blocks", now.Blocks), slog.Uint64("unreadable_chunks", now.Damaged))
	}
}

// broken hears that the session of a volume has ended.
func (c *comparisons) broken(id block.VolumeID, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r := c.all[id]; {
	case r == nil || !r.Going:
	case r.cancelled:
		delete(c.all, id)
	default:
		r.Going, r.Broken = false, "this node does not serve the volume any more"
		if why != "" {
			r.Broken += ": " + why
		}
	}
}

// reports returns all but those that were cancelled, by volume. Those of volumes that
// are gone are forgotten.
func (c *comparisons) reports() (all []ComparisonReport) {
	c.mu.Lock()
	ids := slices.SortedFunc(maps.Keys(c.all), func(a, b block.VolumeID) int { return bytes.Compare(a[:], b[:]) })
	c.mu.Unlock()
	gone := map[block.VolumeID]bool{}
	c.host.View(func(o *orchestrator.Orchestrator) {
		for _, id := range ids {
			_, found := o.Volume(id.String())
			gone[id] = o.Known() && !found
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		switch r := c.all[id]; {
		case r == nil || r.cancelled:
		case gone[id] && !r.Going:
			delete(c.all, id)
		default:
			all = append(all, r.ComparisonReport)
		}
	}
	return all
}

// Comparisons returns how the newest comparison of each volume goes, or went, that this
// node has made, by volume.
func (h *Host) Comparisons() []ComparisonReport { return h.comparisons.reports() }

// StartComparison has the copies of a volume compared that this node serves; one that
// is under way goes on.
func (h *Host) StartComparison(v *Volume) (ComparisonReport, error) { return h.comparisons.begin(v) }

// CancelComparison ends the comparison of a volume's copies, or forgets what came of it.
func (h *Host) CancelComparison(id block.VolumeID) { h.comparisons.cancel(id) }
