// Package local is one store on one file, with the body that a node gives it and
// nothing else: what a replica pays on its own disk, without coordinator and
// network. It owns the file. The suite (package bench) measures with it.
//
//	lane ─▶ [ lock: store ] ─▶ core/host/diskio ─▶ file
//	  ▲            │ results            │ completions
//	  └────────────┴────────────────────┘
//
// A lane is a caller with one operation under way; it begins the next one when
// that has ended, on the goroutine that brought the completion, as asynchronous
// engines of fio do: no wake-up of a caller is measured. What is durable becomes stable
// with the next record, and at the latest a second later, as it would by a
// coordinator whose other copies are as fast.
package local

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
)

// syncEvery is how often what was written is made durable and stable.
const syncEvery = time.Second

// Params is what a disk is made and opened with.
type Params struct {
	Path    string
	Size    int64 // bytes of the disk
	Journal int64 // bytes of it
	Sparse  bool  // the file takes space only where it is written
	Limits  store.Limits
	Pool    block.Pool
	Clock   func() step.Time
}

// Disk is a store at work.
type Disk struct {
	params Params
	queue  *diskio.Queue
	turns  sync.Pool
	ticker *time.Timer

	mu      sync.Mutex // guards what follows
	store   *store.Store
	volumes map[store.Handle]*Volume
	waiting map[uint64]*Lane // by token
	token   uint64
	opened  *Lane
	closed  *Lane
	failed  error
	stopped bool

	withheld func(op step.DiskOp) bool // nil: none
}

// turn is what one hold of the lock leaves to be done without it.
type turn struct {
	step.Effects
	ended []*Lane
}

// Format makes the file with an empty store. Unless it is sparse, all of it was
// written before, as a disk is that has been in use for a while: the first write to
// a place of a new file costs twice as much as the second.
func Format(p *Params) (err error) {
	if err := p.make(); err != nil {
		return fmt.Errorf("make %s: %w", p.Path, err)
	}
	f, err := diskio.Open(p.Path, p.Size)
	if err != nil {
		return err
	}
	g := store.Geometry{Disk: block.DiskID{1}, Capacity: p.Size, BlockSize: block.Size, JournalBytes: p.Journal}
	return errors.Join(f.Format(g, p.Pool, 1, p.Clock), f.Close())
}

func (p *Params) make() error {
	f, err := os.OpenFile(p.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_DIRECT, 0o600)
	if err != nil {
		return err
	}
	if err := f.Truncate(p.Size); err != nil || p.Sparse {
		return errors.Join(err, f.Close())
	}
	zeroes := p.Pool.Get(4 << 20)
	defer zeroes.Release()
	clear(zeroes.Bytes())
	for at := int64(0); at < p.Size && err == nil; at += int64(zeroes.Len()) {
		_, err = f.WriteAt(zeroes.Bytes(), at)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// Open recovers the store of the file, and says how long that took.
func Open(p *Params) (d *Disk, took time.Duration, err error) {
	f, err := diskio.Open(p.Path, 0)
	if err != nil {
		return nil, 0, err
	}
	d = &Disk{params: *p, volumes: map[store.Handle]*Volume{}, waiting: map[uint64]*Lane{}}
	d.turns.New = func() any { return &turn{} }
	d.store = store.New(store.Params{Pool: p.Pool, Seed: 2, Limits: p.Limits})
	d.queue = f.Start(diskio.Params{Deliver: d.deliver, Failed: func(string) uint32 { return 0 }})
	d.opened, d.closed = newWaiter(), newWaiter()
	begin := p.Clock()
	d.step(func(t *turn) { d.store.Open(p.Clock(), f.Size, &t.Effects) })
	if err := d.opened.wait(); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open the store: %w", err), d.Kill())
	}
	took = p.Clock().Sub(begin)
	d.step(func(*turn) {
		for _, r := range d.store.Replicas(nil) {
			d.volumes[r.Handle] = &Volume{disk: d, handle: r.Handle, blocks: r.Blocks, at: r.LastAccepted, durable: r.Durable}
		}
	})
	d.ticker = time.AfterFunc(syncEvery, d.tick) //nolint:forbidigo // a body is where real time comes from
	return d, took, nil
}

// Close closes the store and its file.
func (d *Disk) Close() error {
	d.stop()
	d.step(func(t *turn) { d.store.Close(d.params.Clock(), &t.Effects) })
	return errors.Join(d.closed.wait(), d.queue.Stop())
}

// Kill stops the store as the end of its process would.
func (d *Disk) Kill() error {
	d.stop()
	return d.queue.Stop()
}

// stop ends the timers.
func (d *Disk) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.ticker != nil {
		d.ticker.Stop()
	}
}

// Pressure returns how full the journal is, from 0 to 1.
func (d *Disk) Pressure() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return float64(d.store.Pressure()) / 256
}

// Withhold never performs the operations that which names, so that the store can be
// killed in a state of the caller's choice.
func (d *Disk) Withhold(which func(op step.DiskOp) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.withheld = which
}

// step calls the store under the lock and does what it asks for without it.
func (d *Disk) step(call func(t *turn)) {
	t := d.turns.Get().(*turn)
	d.mu.Lock()
	call(t)
	d.goOn(t)
	d.mu.Unlock()
	d.queue.Submit(t.Disk)
	d.finish(t)
}

// deliver brings completions to the store, on a worker of its disk.
func (d *Disk) deliver(done []step.Event, next []step.DiskOp) []step.DiskOp {
	t := d.turns.Get().(*turn)
	d.mu.Lock()
	for i := range done {
		d.store.Step(d.params.Clock(), &done[i], &t.Effects)
	}
	d.goOn(t)
	d.mu.Unlock()
	if d.queue.Running() {
		next = append(next, t.Disk...)
	}
	d.finish(t)
	return next
}

// goOn lets lanes whose operation has ended begin the next, until there is none.
func (d *Disk) goOn(t *turn) {
	d.take(t)
	for n := 0; n < len(t.ended); n++ {
		if l := t.ended[n]; l.then(l.err) {
			l.begin(t)
			d.take(t)
		}
	}
	clear(t.ended)
	t.ended = t.ended[:0]
	if d.withheld != nil {
		t.Disk = slices.DeleteFunc(t.Disk, d.withheld)
	}
}

// finish sets the timers of a turn.
func (d *Disk) finish(t *turn) {
	for _, timer := range t.Timers {
		ev := step.Event{Kind: step.EventTimer, Tag: timer.Tag}
		time.AfterFunc(timer.At.Sub(d.params.Clock()), func() { d.fire(&ev) }) //nolint:forbidigo // a body is where real time comes from
	}
	t.Reset()
	d.turns.Put(t)
}

func (d *Disk) fire(ev *step.Event) {
	d.step(func(t *turn) {
		if !d.stopped {
			d.store.Step(d.params.Clock(), ev, &t.Effects)
		}
	})
}

// tick makes everything durable, as a coordinator does.
func (d *Disk) tick() {
	d.step(func(t *turn) {
		for _, v := range d.volumes { // any order: each is its own
			if !d.stopped {
				v.settle(t)
				d.store.Sync(d.params.Clock(), v.handle, &t.Effects)
			}
		}
		if !d.stopped {
			d.ticker.Reset(syncEvery)
		}
	})
}

// take hands on what the store has finished.
func (d *Disk) take(t *turn) {
	results := d.store.Results()
	for i := range results {
		r := &results[i]
		switch r.Kind {
		case store.Accepted:
			if v := d.volumes[r.Handle]; v != nil {
				v.accepted.upTo(r.Position.Seq, t)
			}
		case store.Durable:
			if v := d.volumes[r.Handle]; v != nil {
				v.durable = r.Position.Seq
				v.flushed.upTo(r.Position.Seq, t)
			}
		case store.ReadDone, store.RecordDone:
			r.Payload.Release()
			if l := d.waiting[r.Token]; l != nil {
				delete(d.waiting, r.Token)
				l.end(errorOf(r.Status), t)
			}
		case store.Opened:
			d.opened.end(nil, t)
		case store.Closed:
			d.closed.end(nil, t)
		case store.Failed, store.Refused:
			d.fail(fmt.Errorf("the store stopped with status %d: %s", r.Status, r.Text), t)
		default: // not asked for
		}
	}
}

// fail ends every operation: nothing will be answered any more.
func (d *Disk) fail(err error, t *turn) {
	d.failed = err
	for _, l := range d.waiting { // any order: all of them
		l.end(err, t)
	}
	clear(d.waiting)
	for _, v := range d.volumes { // any order: all of them
		v.accepted.fail(err, t)
		v.flushed.fail(err, t)
	}
	d.opened.end(err, t)
	d.closed.end(err, t)
}
