package diskio

import (
	"encoding/binary"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/host/uring"
)

// crew is the workers with rings. One of them does nearly everything: that
// operations share its system calls was measured to be worth more than a second
// processor. Another is woken only while that one is in a blocking call.
//
//	┌──────────────────── call ────────────────────┐
//	▼                                              │
//	[ at work ] ── all that is left is under way ─▶ [ waiting ]
//	     ├──────── nothing is under way ──────────▶ [ idle ]
//	     └──────── one operation, alone ──────────▶ [ blocked ]
type crew struct {
	mu      sync.Mutex // guards what follows
	size    int
	waiting []*ringWorker
	idle    []*ringWorker
	blocked bool // one is in a blocking call: the others use their rings
	over    bool // the queue is closed: who is idle ends
}

// enter puts w on a list. It must look at the queue once more afterwards: nobody
// called it before.
func (c *crew) enter(list *[]*ringWorker, w *ringWorker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*list = append(*list, w)
}

// leave takes w off a list, unless it was called.
func (c *crew) leave(list *[]*ringWorker, w *ringWorker) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(*list, w)
	if i < 0 {
		return false
	}
	*list = slices.Delete(*list, i, i+1)
	return true
}

// block lets a worker begin a blocking call if all others are idle. It must look at
// the queue once more afterwards, as after enter.
func (c *crew) block() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocked || len(c.idle) < c.size-1 {
		return false
	}
	c.blocked = true
	return true
}

func (c *crew) unblock() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = false
}

// pass leaves the queue to a worker that has operations under way, if there is one,
// and makes w idle: two that share the work do less than one.
func (c *crew) pass(w *ringWorker) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	if other := pop(&c.waiting); other != nil {
		other.bell.ring()
	} else if c.away() == c.size-1 {
		return false
	}
	c.idle = append(c.idle, w)
	return true
}

// away returns how many workers do not look at the queue before they are called.
// Of those that wait there is none: they are called first.
func (c *crew) away() int {
	n := len(c.idle)
	if c.blocked {
		n++
	}
	return n
}

// call brings a worker to the queue, unless one is at work: that looks there anyway.
func (c *crew) call() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := pop(&c.waiting); w != nil {
		w.bell.ring()
		return
	}
	if c.away() < c.size {
		return
	}
	if w := pop(&c.idle); w != nil {
		w.woken <- struct{}{}
	}
}

// dismiss wakes those who have nothing to do: the queue is closed.
func (c *crew) dismiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for w := pop(&c.idle); w != nil; w = pop(&c.idle) {
		w.woken <- struct{}{}
	}
}

func pop(list *[]*ringWorker) *ringWorker {
	n := len(*list)
	if n == 0 {
		return nil
	}
	w := (*list)[n-1]
	*list = (*list)[:n-1]
	return w
}

// bellSlot is the operation of a ring that ends when its bell is rung.
const bellSlot = 1 << 32

// bell ends a worker's wait for its ring, which reads an eventfd.
type bell struct {
	fd     int
	armed  bool
	count  [8]byte // what is read
	vector [1]unix.Iovec
}

func (b *bell) open() (err error) {
	if b.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return err
	}
	b.vector[0].Base = &b.count[0]
	b.vector[0].SetLen(len(b.count))
	return nil
}

func (b *bell) close() { _ = unix.Close(b.fd) } // nothing was written

// arm makes the ring wait for the bell too.
func (b *bell) arm(r *uring.Ring) {
	if !b.armed {
		b.armed = true
		r.Read(b.fd, b.vector[:], 0, bellSlot)
	}
}

func (b *bell) ring() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(b.fd, one[:]) // its count cannot be full
}
