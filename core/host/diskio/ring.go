package diskio

import (
	"errors"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/host/uring"
	"github.com/lagan-storage/lagan/core/step"
)

// ringDepth is how many operations one ring has under way.
const ringDepth = 64

// eventsMax is how many completions the machine is told of at a time: what it asks
// for then is with the kernel before the next are looked at, so that the disk does
// not run dry meanwhile.
const eventsMax = 6

// joinBytes is how large an operation may be that others are joined to. Two chunks
// written side by side are one operation of 128 KiB, which a disk was measured to
// perform a third more of than of their halves. joinLook is how many operations
// are looked at.
const (
	joinBytes = 128 << 10
	joinLook  = 8
)

// ringWorker performs reads and writes by a ring, as many at once as there are.
type ringWorker struct {
	queue    *Queue
	ring     *uring.Ring
	bell     bell
	woken    chan struct{}  // of capacity 1: it is called while idle
	blocking blockingWorker // for an operation that is alone
	slots    [ringDepth]ringSlot
	free     []uint64
	begun    []uint64 // those that the ring has not been given yet
	events   []step.Event
	next     []step.DiskOp
}

// ringSlot is one operation of the kernel under way: what one, or several that lie
// side by side, asked for.
type ringSlot struct {
	ops    []step.DiskOp
	began  time.Duration
	offset int64
	end    int64
	pieces []unix.Iovec // what is left to transfer; the kernel reads them
	memory []unix.Iovec // under pieces
}

func newRingWorker(q *Queue) (*ringWorker, error) {
	r, err := uring.New(ringDepth + 1) // and the bell
	if err != nil {
		return nil, err
	}
	w := &ringWorker{queue: q, ring: r, woken: make(chan struct{}, 1), blocking: blockingWorker{queue: q}}
	for i := range w.slots {
		w.free = append(w.free, uint64(i))
	}
	if err := w.bell.open(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return w, nil
}

func (w *ringWorker) close() {
	_ = w.ring.Close() // nothing is under way
	w.bell.close()
}

// run performs operations until the queue is closed and what was begun has ended.
func (w *ringWorker) run() {
	for w.begin() {
		if len(w.events) == 0 {
			w.wait()
		}
		w.collect()
		clear(w.next)
		w.next = w.next[:0]
		if len(w.events) > 0 {
			w.next = w.queue.params.Deliver(w.events, w.next)
			w.events = w.events[:0]
			if w.busy() {
				runtime.Gosched() // whom that woke asks for more, which then goes along
			}
		}
	}
	w.close()
}

func (w *ringWorker) busy() bool { return len(w.free) < ringDepth }

// wait waits for an operation to end, or to be called.
func (w *ringWorker) wait() {
	c := &w.queue.crew
	called := len(w.free) == 0 // it takes nothing more
	if !called {
		c.enter(&c.waiting, w)
		if len(w.queue.jobs) > 0 && c.leave(&c.waiting, w) {
			return
		}
		w.bell.arm(w.ring)
	}
	w.give()
	if err := w.ring.Wait(); err != nil {
		panic("diskio: " + err.Error()) // nobody knows what was done, and no argument of ours can be wrong
	}
	if !called {
		c.leave(&c.waiting, w)
	}
}

// rest waits to be called, with nothing under way.
func (w *ringWorker) rest() {
	c := &w.queue.crew
	c.enter(&c.idle, w)
	if (len(w.queue.jobs) > 0 || !w.queue.Running()) && c.leave(&c.idle, w) {
		return
	}
	<-w.woken
}

// begin starts what follows from the last completions and what is queued. With
// nothing else to do it waits for that, and reports false at the end.
func (w *ringWorker) begin() bool {
	w.follow()
	for len(w.events) == 0 && len(w.free) > 0 {
		if !w.busy() && len(w.queue.jobs) > 0 && w.queue.crew.pass(w) {
			<-w.woken
		}
		select {
		case op, open := <-w.queue.jobs:
			if !open {
				return w.busy()
			}
			if !w.block(&op) {
				w.start(&op)
			}
		default:
			if w.busy() {
				return true
			}
			w.rest()
		}
	}
	return true
}

// follow starts what the machine asked for last.
func (w *ringWorker) follow() {
	if len(w.next) == 1 && w.block(&w.next[0]) {
		return
	}
	alone := !w.busy() // another may have something under way
	for i := range w.next {
		if alone || w.next[i].Kind == step.DiskSync || len(w.free) == 0 {
			w.queue.Submit(w.next[i : i+1])
		} else {
			w.start(&w.next[i])
		}
	}
}

// block performs an operation that is alone by a blocking call, which costs less
// than a ring's way there and back. It reports false if it is not alone.
func (w *ringWorker) block(op *step.DiskOp) bool {
	c := &w.queue.crew
	if w.busy() || len(w.queue.jobs) > 0 || !c.block() {
		return false
	}
	defer c.unblock()
	if len(w.queue.jobs) > 0 { // whoever put it there took this worker for one at work
		return false
	}
	w.events = append(w.events, w.queue.done(op, w.blocking.perform(op)))
	return true
}

// start prepares one read or write, or joins it to another.
func (w *ringWorker) start(op *step.DiskOp) {
	if !w.queue.file.holds(op) {
		w.events = append(w.events, w.queue.done(op, step.DiskShort))
		return
	}
	began := w.queue.work.begin(op.Kind)
	if w.join(op) {
		return
	}
	last := len(w.free) - 1
	i := w.free[last]
	w.free = w.free[:last]
	s := &w.slots[i]
	s.began, s.offset, s.end, s.pieces = began, op.Offset, op.Offset, s.memory[:0]
	s.add(op)
	w.begun = append(w.begun, i)
}

// join makes op the end of an operation that the ring has not been given yet. It
// reports false if there is none that ends where op begins.
func (w *ringWorker) join(op *step.DiskOp) bool {
	for n := len(w.begun) - 1; n >= max(0, len(w.begun)-joinLook); n-- {
		s := &w.slots[w.begun[n]]
		if s.end == op.Offset && s.ops[0].Kind == op.Kind && op.End()-s.offset <= joinBytes && len(s.pieces)+len(op.Pieces) <= iovMax {
			s.add(op)
			return true
		}
	}
	return false
}

// add puts op at the end of s.
func (s *ringSlot) add(op *step.DiskOp) {
	s.ops = append(s.ops, *op)
	for _, b := range op.Pieces {
		v := unix.Iovec{Base: &b.Bytes()[0]}
		v.SetLen(b.Len())
		s.pieces = append(s.pieces, v)
		s.end += int64(b.Len())
	}
	s.memory = s.pieces
}

// give hands what was begun to the ring.
func (w *ringWorker) give() {
	for _, i := range w.begun {
		w.transfer(i)
	}
	w.begun = w.begun[:0]
}

// transfer hands what is left of an operation to the ring.
func (w *ringWorker) transfer(i uint64) {
	s, fd := &w.slots[i], int(w.queue.file.file.Fd())
	pieces := s.pieces[:min(len(s.pieces), iovMax)]
	if s.ops[0].Kind == step.DiskRead {
		w.ring.Read(fd, pieces, s.offset, i)
	} else {
		w.ring.Write(fd, pieces, s.offset, i)
	}
}

// collect turns what has ended into events. What was cut short goes on.
func (w *ringWorker) collect() {
	for len(w.events) < eventsMax {
		i, result, ok := w.ring.Next()
		if !ok {
			return
		}
		if i == bellSlot {
			w.bell.armed = false
			continue
		}
		s := &w.slots[i]
		switch errno := syscall.Errno(-result); {
		case result > 0:
			if s.advance(result); len(s.pieces) > 0 {
				w.transfer(i)
			} else {
				w.end(i, step.DiskOK)
			}
		case result == 0:
			w.end(i, step.DiskShort)
		case errno == unix.EINTR || errno == unix.EAGAIN:
			w.transfer(i)
		default:
			w.end(i, step.DiskEIO)
		}
	}
}

func (w *ringWorker) end(i uint64, err step.DiskError) {
	s := &w.slots[i]
	for n := range s.ops {
		op, err := &s.ops[n], err
		if err != step.DiskOK && op.Kind == step.DiskRead && len(s.ops) > 1 {
			err = w.queue.file.perform(op, w.blocking.pieces) // the error may be its neighbour's
		}
		w.queue.work.end(op.Kind, s.began, err)
		w.events = append(w.events, w.queue.done(op, err))
	}
	clear(s.memory)
	clear(s.ops)
	s.ops, s.pieces, s.memory = s.ops[:0], nil, s.memory[:0]
	w.free = append(w.free, i)
}

// advance takes n transferred bytes off the front of pieces.
func (s *ringSlot) advance(n int) {
	s.offset += int64(n)
	for n > 0 {
		first := &s.pieces[0]
		size := int(first.Len)
		if n < size {
			first.Base = (*byte)(unsafe.Add(unsafe.Pointer(first.Base), n))
			first.SetLen(size - n)
			return
		}
		n -= size
		s.pieces = s.pieces[1:]
	}
}
