package host

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// diskWorkers is how many operations one disk has under way: blocking calls on
// that many threads were measured to be as fast as fio's asynchronous ones.
const diskWorkers = 32

// diskQueue bounds the operations that wait for a worker. A store has fewer
// under way; a full queue would only make its shard wait.
const diskQueue = 4096

// DiskFile is a disk that a node was given: a raw block device or one
// preallocated file.
type DiskFile struct {
	Path   string
	ID     block.DiskID // whose store must be on it; zero: whichever it is
	Size   int64        // bytes
	Direct bool         // opened with O_DIRECT; otherwise the file system refused that
	file   *os.File
}

// OpenDiskFile opens the disk at path. A file is made, and grown to size bytes,
// if size is above 0; its space is allocated, so that it cannot run out later.
func OpenDiskFile(path string, size int64) (*DiskFile, error) {
	flags := os.O_RDWR
	if size > 0 {
		flags |= os.O_CREATE
	}
	d := &DiskFile{Path: path, Direct: true}
	file, err := os.OpenFile(path, flags|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		d.Direct = false
		file, err = os.OpenFile(path, flags, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("open disk: %w", err)
	}
	d.file = file
	if err := d.prepare(size); err != nil {
		return nil, errors.Join(fmt.Errorf("disk %s: %w", path, err), file.Close())
	}
	return d, nil
}

// prepare locks the disk against a second process and learns or makes its size.
func (d *DiskFile) prepare(size int64) error {
	fd := int(d.file.Fd())
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("in use by another process (%w): stop that one first", err)
	}
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && info.Size() < size {
		if err := unix.Fallocate(fd, 0, 0, size); err != nil {
			return fmt.Errorf("allocate %d bytes: %w", size, err)
		}
	}
	d.Size, err = d.file.Seek(0, 2)
	return err
}

// Close gives the disk back.
func (d *DiskFile) Close() error { return d.file.Close() }

// Perform runs one operation to its end, on the caller's goroutine: for those
// who drive a store themselves.
func (d *DiskFile) Perform(op *step.DiskOp) step.DiskError {
	var pieces [][]byte
	for _, b := range op.Pieces {
		pieces = append(pieces, b.Bytes())
	}
	return d.perform(op.Kind, op.Offset, pieces)
}

// perform runs one operation to its end.
func (d *DiskFile) perform(kind step.DiskKind, offset int64, pieces [][]byte) step.DiskError {
	fd := int(d.file.Fd())
	switch kind {
	case step.DiskSync:
		for {
			err := unix.Fdatasync(fd)
			if err == nil {
				return step.DiskOK
			}
			if !errors.Is(err, unix.EINTR) {
				return step.DiskEIO
			}
		}
	case step.DiskRead:
		return transfer(unix.Preadv, fd, offset, pieces)
	case step.DiskWrite:
		return transfer(unix.Pwritev, fd, offset, pieces)
	}
	return step.DiskEIO
}

// iovMax is how many pieces one call takes.
const iovMax = 1024

// transfer repeats call until all pieces are through.
func transfer(call func(int, [][]byte, int64) (int, error), fd int, offset int64, pieces [][]byte) step.DiskError {
	for len(pieces) > 0 {
		n, err := call(fd, pieces[:min(len(pieces), iovMax)], offset)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return step.DiskEIO
		case n == 0:
			return step.DiskShort
		}
		offset += int64(n)
		pieces = skip(pieces, n)
	}
	return step.DiskOK
}

// skip drops the first n bytes of pieces.
func skip(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if n > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}

// diskFile is a DiskFile at work: its queue and its workers.
type diskFile struct {
	*DiskFile
	workers sync.WaitGroup
	failed  func(path string) (taint uint32) // notes a failed write or sync

	mu      sync.RWMutex // guards the closing of jobs
	stopped bool
	jobs    chan diskJob
}

type diskJob struct {
	op    step.DiskOp
	shard *shard
}

func startDisk(d *DiskFile, failed func(path string) uint32) *diskFile {
	w := &diskFile{DiskFile: d, failed: failed, jobs: make(chan diskJob, diskQueue)}
	for range diskWorkers {
		w.workers.Go(w.work)
	}
	return w
}

// work performs operations until the queue is closed, and delivers each
// completion to its shard on this goroutine, which performs the first operation
// that this leads to as well: a sync behind a journal write, a write home of what
// was read.
func (w *diskFile) work() {
	var pieces [][]byte
	var ev step.Event
	for job := range w.jobs {
		for more := true; more; {
			pieces = pieces[:0]
			for _, b := range job.op.Pieces {
				pieces = append(pieces, b.Bytes())
			}
			err := w.perform(job.op.Kind, job.op.Offset, pieces)
			clear(pieces)
			ev = step.Event{Kind: step.EventDiskDone, Tag: job.op.Tag, DiskError: err}
			if err != step.DiskOK && job.op.Kind != step.DiskRead {
				ev.Taint = w.failed(w.Path)
			}
			job.op, more = job.shard.deliverDone(&ev)
		}
	}
}

// running reports whether operations are still performed.
func (w *diskFile) running() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return !w.stopped
}

// submit queues operations. After stop they are dropped: nobody waits for them.
func (w *diskFile) submit(s *shard, ops []step.DiskOp) {
	if len(ops) == 0 {
		return
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.stopped {
		return
	}
	for i := range ops {
		w.jobs <- diskJob{op: ops[i], shard: s}
	}
}

// stop waits for what is under way and closes the disk.
func (w *diskFile) stop() error {
	w.mu.Lock()
	w.stopped = true
	close(w.jobs)
	w.mu.Unlock()
	w.workers.Wait()
	return w.Close()
}
