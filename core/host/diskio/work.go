package diskio

import (
	"sync/atomic"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// work counts what a disk was asked to do. Operations of one kind that are under
// way are told apart by nothing: a disk is waiting while it has some and none of
// them ends.
type work struct {
	elapsed func() time.Duration
	kinds   [3]tally
}

type tally struct {
	underWay atomic.Int64
	moved    atomic.Int64 // when one began as the only one, or ended, as elapsed says
	count    atomic.Uint64
	errors   atomic.Uint64
	took     atomic.Int64
}

func (w *work) of(kind step.DiskKind) *tally {
	switch kind {
	case step.DiskRead:
		return &w.kinds[0]
	case step.DiskWrite:
		return &w.kinds[1]
	case step.DiskSync:
	}
	return &w.kinds[2]
}

// begin notes that the kernel is asked, and returns when.
func (w *work) begin(kind step.DiskKind) time.Duration {
	t, now := w.of(kind), w.elapsed()
	if t.underWay.Add(1) == 1 {
		t.moved.Store(int64(now))
	}
	return now
}

func (w *work) end(kind step.DiskKind, began time.Duration, err step.DiskError) {
	t, now := w.of(kind), w.elapsed()
	t.moved.Store(int64(now))
	t.underWay.Add(-1)
	t.count.Add(1)
	t.took.Add(int64(now - began))
	if err != step.DiskOK {
		t.errors.Add(1)
	}
}

// File returns the disk that the queue works on.
func (q *Queue) File() *File { return q.file }

// Work returns what the disk has done, and how long it has not answered.
func (q *Queue) Work() volume.DiskWork {
	w, now := &q.work, q.work.elapsed()
	done := volume.DiskWork{Direct: q.file.Direct}
	for i, into := range []*volume.Operations{&done.Reads, &done.Writes, &done.Syncs} {
		t := &w.kinds[i]
		*into = volume.Operations{Count: t.count.Load(), Errors: t.errors.Load(), Took: time.Duration(t.took.Load())}
		if t.underWay.Load() > 0 {
			done.Waiting = max(done.Waiting, now-time.Duration(t.moved.Load()))
		}
	}
	return done
}
