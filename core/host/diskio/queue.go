package diskio

import (
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

const (
	// queueMax bounds the operations that wait for a worker. A store has fewer
	// under way; a full queue would only make its shard wait.
	queueMax = 4096
	// blockingWorkers is how many operations are under way without rings: calls on
	// that many threads were measured to be as fast as fio's asynchronous ones.
	blockingWorkers = 32
	// ringWorkers is how many goroutines have a ring: see crew.
	ringWorkers = 2
	// syncWorkers perform syncs beside rings: a ring would need a thread of the
	// kernel's for each. A store has one under way at a time.
	syncWorkers = 1
)

// Params is what a queue is started with.
type Params struct {
	// Deliver brings completions to the machine and appends to next what it asks
	// of the disk after them. done is valid during the call.
	Deliver func(done []step.Event, next []step.DiskOp) []step.DiskOp
	// Failed notes that a write or sync failed, before any machine hears of it.
	Failed func(path string) (taint uint32)
	// Blocking leaves io_uring alone.
	Blocking bool
	// Elapsed is a clock that only goes forward; nil: nobody wants to know how long
	// operations take.
	Elapsed func() time.Duration
}

// Queue is a File at work.
type Queue struct {
	file    *File
	params  Params
	work    work
	workers sync.WaitGroup
	rings   bool

	mu      sync.RWMutex // guards the closing of the queues
	stopped bool
	jobs    chan step.DiskOp // reads and writes
	syncs   chan step.DiskOp // the same queue without rings
	crew    crew             // the workers of jobs, with rings
}

// Start begins to perform operations. The queue owns the file from now on.
func (f *File) Start(p Params) *Queue {
	if p.Elapsed == nil {
		p.Elapsed = func() time.Duration { return 0 }
	}
	q := &Queue{file: f, params: p, work: work{elapsed: p.Elapsed}, jobs: make(chan step.DiskOp, queueMax)}
	rings := q.openRings()
	q.rings = len(rings) > 0
	if !q.rings {
		q.syncs = q.jobs
		q.block(blockingWorkers)
		return q
	}
	q.syncs = make(chan step.DiskOp, queueMax)
	q.block(syncWorkers)
	q.crew.size = len(rings)
	for _, w := range rings {
		q.workers.Go(w.run)
	}
	return q
}

// openRings makes all rings or none.
func (q *Queue) openRings() (workers []*ringWorker) {
	if q.params.Blocking {
		return nil
	}
	for range ringWorkers {
		w, err := newRingWorker(q)
		if err != nil { // then it is done without
			for _, made := range workers {
				made.close() // nothing was asked of it
			}
			return nil
		}
		workers = append(workers, w)
	}
	return workers
}

func (q *Queue) block(workers int) {
	for range workers {
		q.workers.Go((&blockingWorker{queue: q}).run)
	}
}

// Rings reports whether operations go through io_uring.
func (q *Queue) Rings() bool { return q.rings }

// Running reports whether operations are still performed.
func (q *Queue) Running() bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return !q.stopped
}

// Submit queues operations. After Stop they are dropped: nobody waits for them.
func (q *Queue) Submit(ops []step.DiskOp) {
	if len(ops) == 0 {
		return
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.stopped {
		return
	}
	work := false
	for i := range ops {
		if ops[i].Kind == step.DiskSync {
			q.syncs <- ops[i]
		} else {
			q.jobs <- ops[i]
			work = true
		}
	}
	if work && q.rings {
		q.crew.call()
	}
}

// Stop waits for what is under way and closes the disk.
func (q *Queue) Stop() error {
	q.mu.Lock()
	q.stopped = true
	close(q.jobs)
	if q.rings {
		close(q.syncs)
		q.crew.dismiss()
	}
	q.mu.Unlock()
	q.workers.Wait()
	return q.file.Close()
}

// done makes the event of a completion.
func (q *Queue) done(op *step.DiskOp, err step.DiskError) step.Event {
	ev := step.Event{Kind: step.EventDiskDone, Tag: op.Tag, DiskError: err}
	if err != step.DiskOK && op.Kind != step.DiskRead {
		ev.Taint = q.params.Failed(q.file.Path)
	}
	return ev
}
