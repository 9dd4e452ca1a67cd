package host

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// scrubLooks is how often it is looked whether the scrub of a disk is due.
const scrubLooks = time.Minute

// ScrubParams says when the disks of a node are scrubbed.
type ScrubParams struct {
	Every time.Duration // from the end of one to the beginning of the next; 0: only when asked for
	Rate  int64         // bytes a second that each may read
	Notes ScrubNotes    // nil: nothing outlives the process
}

// ScrubNotes keeps what is known of the scrubs of disks across restarts.
type ScrubNotes interface {
	Load() map[block.DiskID]volume.ScrubRecord
	Save(map[block.DiskID]volume.ScrubRecord) error
}

// ScrubReport is how the scrub of one disk is doing.
type ScrubReport struct {
	Disk block.DiskID
	Path string
	volume.DiskScrub
}

// scrubs is what the body knows of the scrubs of its disks.
type scrubs struct {
	host *Host
	p    ScrubParams

	mu      sync.Mutex // guards what follows
	records map[block.DiskID]volume.ScrubRecord
}

func newScrubs(h *Host, p ScrubParams) *scrubs {
	s := &scrubs{host: h, p: p, records: map[block.DiskID]volume.ScrubRecord{}}
	if p.Notes != nil {
		s.records = p.Notes.Load()
	}
	return s
}

// run begins scrubs when they are due, until the host closes.
func (s *scrubs) run() {
	tick := time.NewTicker(scrubLooks) //nolint:forbidigo // the body is where real time comes from
	defer tick.Stop()
	for {
		select {
		case <-s.host.life.Done():
			return
		case <-tick.C:
			for _, r := range s.reports() {
				if !r.Going && !r.Next.IsZero() && !r.Next.After(s.host.params.Now()) {
					s.begin(r.Disk)
				}
			}
		}
	}
}

// ready hears that a disk serves: a scrub that was under way goes on.
func (s *scrubs) ready(id block.DiskID) {
	s.mu.Lock()
	r, known := s.records[id]
	if !known {
		r.Seen = s.host.params.Now()
		s.keep(id, r)
	}
	s.mu.Unlock()
	if r.Going {
		s.tell(id, &r)
	}
}

// begin has a disk scrubbed from its beginning, unless it is already.
func (s *scrubs) begin(id block.DiskID) {
	s.mu.Lock()
	r := s.records[id]
	if r.Going {
		s.mu.Unlock()
		return
	}
	r = volume.ScrubRecord{Going: true, Began: s.host.params.Now(), Ended: r.Ended, Seen: r.Seen}
	s.keep(id, r)
	s.mu.Unlock()
	s.host.log.Info("scrub of a disk begins", slog.String("disk", s.host.diskPath(id)))
	s.tell(id, &r)
}

// cancel ends the scrub of a disk where it is.
func (s *scrubs) cancel(id block.DiskID) {
	s.mu.Lock()
	r := s.records[id]
	going := r.Going
	if r.Going = false; going {
		s.keep(id, r)
	}
	s.mu.Unlock()
	if going {
		s.host.tell(s.host.diskShard(id), &step.Control{Kind: step.ScrubDisk, Disk: id, Scrub: &volume.Scrub{}})
	}
}

func (s *scrubs) tell(id block.DiskID, r *volume.ScrubRecord) {
	s.host.tell(s.host.diskShard(id), &step.Control{
		Kind: step.ScrubDisk, Disk: id, Scrub: &volume.Scrub{At: r.At, Rate: s.p.Rate, Read: r.Read, Total: r.Total, Lost: r.Lost},
	})
}

// progress hears how far the scrub of a disk is.
func (s *scrubs) progress(id block.DiskID, now *volume.Scrub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[id]
	if !r.Going {
		return // it was cancelled
	}
	if r.At, r.Read, r.Total, r.Lost = now.At, now.Read, now.Total, now.Lost; now.Over {
		r.Going, r.At, r.Ended = false, volume.ScrubCursor{}, s.host.params.Now()
		s.host.log.Info("scrub of a disk is over", slog.String("disk", s.host.diskPath(id)), slog.Int64("bytes", r.Read), slog.Int("damaged_chunks", r.Lost))
	}
	s.keep(id, r)
}

// keep notes a record; the lock is held.
func (s *scrubs) keep(id block.DiskID, r volume.ScrubRecord) {
	s.records[id] = r
	if s.p.Notes == nil {
		return
	}
	if err := s.p.Notes.Save(s.records); err != nil {
		s.host.log.Warn("how far scrubs are could not be noted", slog.Any("error", err))
	}
}

func (s *scrubs) reports() (all []ScrubReport) {
	s.host.mu.Lock()
	open := make([]block.DiskID, 0, len(s.host.disks))
	for id := range s.host.disks { // any order: they are sorted below
		open = append(open, id)
	}
	s.host.mu.Unlock()
	slices.SortFunc(open, func(a, b block.DiskID) int { return slices.Compare(a[:], b[:]) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range open {
		r := ScrubReport{Disk: id, Path: s.host.diskPath(id), DiskScrub: volume.DiskScrub{ScrubRecord: s.records[id]}}
		if since := r.Ended; s.p.Every > 0 && !r.Going {
			if since.Before(r.Seen) {
				since = r.Seen
			}
			r.Next = since.Add(s.p.Every)
		}
		all = append(all, r)
	}
	return all
}

// Now is the time that people read.
func (h *Host) Now() time.Time { return h.params.Now() }

// Scrubs returns how the scrubs of this node's disks are doing, by disk.
func (h *Host) Scrubs() []ScrubReport { return h.scrubs.reports() }

// StartScrub has a disk of this node scrubbed now; one that is under way goes on.
func (h *Host) StartScrub(id block.DiskID) error {
	if h.diskShard(id) == nil {
		return h.noSuchDisk(id)
	}
	h.scrubs.begin(id)
	return nil
}

// CancelScrub ends the scrub of a disk of this node, if one is under way.
func (h *Host) CancelScrub(id block.DiskID) error {
	if h.diskShard(id) == nil {
		return h.noSuchDisk(id)
	}
	h.scrubs.cancel(id)
	return nil
}

func (h *Host) noSuchDisk(id block.DiskID) error {
	return &volume.Error{
		Kind: volume.ErrInvalidRequest,
		What: fmt.Sprintf("node %s has no disk %v that serves", h.params.Node.Name, id),
		Fix:  "look at:  lagan disk ls",
	}
}
