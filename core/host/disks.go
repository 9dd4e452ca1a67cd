package host

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// OwnDisk is a disk that this node works on.
type OwnDisk struct {
	ID   block.DiskID
	Path string
	Work volume.DiskWork
}

// OwnDisks returns the disks that this node works on, those included whose store
// cannot be opened.
func (h *Host) OwnDisks() []OwnDisk {
	h.mu.Lock()
	files := slices.Clone(h.files)
	h.mu.Unlock()
	all := make([]OwnDisk, 0, len(files))
	for _, q := range files {
		f := q.File()
		all = append(all, OwnDisk{ID: f.ID, Path: f.Path, Work: q.Work()})
	}
	return all
}

// AddDisk begins to work on a disk that was formatted for this node.
func (h *Host) AddDisk(file *diskio.File) { h.startDisk(file) }

// RemoveDisk stops the work on a disk and closes it, after what is under way. It
// gives up waiting for that when ctx ends: a disk that does not answer is closed
// when it does.
func (h *Host) RemoveDisk(ctx context.Context, id block.DiskID) error {
	h.mu.Lock()
	shard := h.disks[id]
	delete(h.disks, id)
	var queue *diskio.Queue
	for i, q := range h.files {
		if q.File().ID == id {
			queue = q
			h.files = slices.Delete(h.files, i, i+1)
			break
		}
	}
	h.mu.Unlock()
	if shard != nil {
		shard.remove()
	}
	if queue == nil {
		return nil
	}
	closed := make(chan error, 1)
	go func() { closed <- queue.Stop() }()
	select {
	case err := <-closed:
		h.log.Info("disk was removed", slog.String("disk", queue.File().Path))
		return err
	case <-ctx.Done():
		return fmt.Errorf("close disk %s: it has operations under way that do not end: %w", queue.File().Path, ctx.Err())
	}
}

func (h *Host) startDisk(file *diskio.File) {
	h.mu.Lock()
	index := h.numbered
	h.numbered++
	h.mu.Unlock()
	machine := node.NewDisk(h.machines, node.DiskParams{
		Index: index, Disk: file.ID, Capacity: file.Size, Taint: h.params.Markers.Taint(file.Path),
	})
	s := newShard(h, slog.String("disk", file.Path), machine)
	s.disk = file.Start(diskio.Params{Deliver: s.deliverDone, Failed: h.noteFailure, Blocking: h.params.BlockingDisks, Elapsed: h.stopwatch})
	h.log.Debug("disk is worked on", slog.String("disk", file.Path), slog.Bool("io_uring", s.disk.Rings()), slog.Bool("direct", file.Direct))
	h.mu.Lock()
	h.files = append(h.files, s.disk)
	h.mu.Unlock()
	machine.Opened = func(id block.DiskID) {
		h.mu.Lock()
		h.disks[id] = s
		h.mu.Unlock()
	}
	h.start(s)
}

const (
	// lookEvery is how often the disks are asked how they are doing.
	lookEvery = time.Second
	// stalledAfter is how long a disk may not answer before it is called unwell: by
	// then its copies are out, see evictAfter and syncEvictAfter of coordinators.
	stalledAfter = 5 * time.Second
	// wellAfter is how long it has to answer again before it is called well.
	wellAfter = 10 * time.Minute
)

// patient is what was last said of a disk.
type patient struct {
	said    string
	stalled time.Duration // when it was last seen not to answer, by the stopwatch; 0: not lately
}

// watchDisks has the orchestrator hear when a disk returns errors or does not
// answer: no new copies go there, and somebody has to look.
func (h *Host) watchDisks(ctx context.Context) {
	ticker := time.NewTicker(lookEvery) //nolint:forbidigo // the body is where real time comes from
	defer ticker.Stop()
	patients := map[block.DiskID]*patient{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, d := range h.OwnDisks() {
			p := patients[d.ID]
			if p == nil {
				p = &patient{}
				patients[d.ID] = p
			}
			text, said := p.diagnose(&d, h.stopwatch()), p.said
			p.said = text
			if text != said && text != "" {
				h.log.Error("disk is not well, it gets no new copies", slog.String("disk", d.Path), slog.String("reason", text))
			}
			if text != said || text != "" { // again, for it is not listened to before the disk was opened once
				h.tell(h.orchestrator, &step.Control{Kind: step.DiskAiling, Disk: d.ID, Text: text})
			}
		}
	}
}

// diagnose says what ails a disk. How many errors there were is left to the
// metrics: what is recorded changes once, and not with each of them.
func (p *patient) diagnose(d *OwnDisk, now time.Duration) string {
	w := &d.Work
	if w.Waiting >= stalledAfter {
		p.stalled = now
	}
	var kinds []string
	for _, k := range []struct {
		name   string
		errors uint64
	}{{"reads", w.Reads.Errors}, {"writes", w.Writes.Errors}, {"syncs", w.Syncs.Errors}} {
		if k.errors > 0 {
			kinds = append(kinds, k.name)
		}
	}
	switch {
	case len(kinds) > 0:
		return fmt.Sprintf("%s returned errors for %s since its node was started", d.Path, list(kinds))
	case p.stalled > 0 && now-p.stalled < wellAfter:
		return fmt.Sprintf("%s did not answer for %v or longer", d.Path, stalledAfter)
	}
	p.stalled = 0
	return ""
}

func list(words []string) string {
	switch n := len(words); n {
	case 1:
		return words[0]
	case 2:
		return words[0] + " and " + words[1]
	}
	return words[0] + ", " + list(words[1:])
}
