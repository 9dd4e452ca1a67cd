// Package uring is as much of Linux's io_uring as disks need: reads and writes
// of many pieces of memory, begun together by the one system call that waits for
// the first of them to end. It owns the memory that is shared with the kernel and
// promises nothing about order. Its caller is core/host/diskio.
//
//	Read, Write ─▶ [ submission queue ] ──Wait: one system call──▶ kernel
//	      Next ◀── [ completion queue ] ◀──────────────────────────┘
//
// A Ring belongs to one goroutine at a time, which may move between threads. What
// an operation reads into or writes from must stay where it is until it ended:
// on the heap, and referenced.
package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What of linux/io_uring.h is used here.
const (
	opReadv  = 1
	opWritev = 2

	enterGetEvents = 1 << 0

	featSingleMmap = 1 << 0
	featNoDrop     = 1 << 1 // completions are never lost: Linux 5.5

	offsetRings   = 0
	offsetEntries = 0x10000000
)

// setup is struct io_uring_params.
type setup struct {
	sqEntries, cqEntries, flags, cpu, idle, features, queue uint32
	_                                                       [3]uint32
	sq                                                      struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, entry, flags, _ uint32
		_                                                    uint64
	}
}

// submission is struct io_uring_sqe.
type submission struct {
	op, flags uint8
	priority  uint16
	fd        int32
	offset    uint64
	address   uint64
	length    uint32
	opFlags   uint32
	user      uint64
	_         [3]uint64
}

// completion is struct io_uring_cqe.
type completion struct {
	user   uint64
	result int32
	flags  uint32
}

// Ring is one pair of queues.
type Ring struct {
	fd       int
	shared   []byte // both queues' heads and tails, and the completions
	entries  []byte
	prepared uint32 // not with the kernel yet

	tail        uint32 // of submissions, as it will be with the next Wait
	tailShared  *uint32
	submitMask  uint32
	submissions []submission
	order       []uint32

	head        uint32 // of completions
	headShared  *uint32
	ended       *uint32 // the tail of completions, which the kernel moves
	endedMask   uint32
	completions []completion
}

// New makes a ring for that many operations under way. The error says that the
// kernel has no io_uring, or forbids it.
func New(entries int) (*Ring, error) {
	var p setup
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("set up io_uring: %w", errno)
	}
	r := &Ring{fd: int(fd)}
	if p.features&featSingleMmap == 0 || p.features&featNoDrop == 0 {
		return nil, errors.Join(errors.New("set up io_uring: that of this kernel is too old: Linux 5.5 has what is needed"), r.Close())
	}
	if err := r.share(&p); err != nil {
		return nil, errors.Join(fmt.Errorf("set up io_uring: %w", err), r.Close())
	}
	return r, nil
}

// share maps the queues.
func (r *Ring) share(p *setup) (err error) {
	size := max(p.sq.array+p.sqEntries*4, p.cq.entry+p.cqEntries*uint32(unsafe.Sizeof(completion{})))
	const how, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.shared, err = unix.Mmap(r.fd, offsetRings, int(size), how, flags); err != nil {
		return err
	}
	if r.entries, err = unix.Mmap(r.fd, offsetEntries, int(p.sqEntries)*int(unsafe.Sizeof(submission{})), how, flags); err != nil {
		return err
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.shared[offset])) }
	r.tailShared, r.submitMask = at(p.sq.tail), *at(p.sq.mask)
	r.order = unsafe.Slice(at(p.sq.array), p.sqEntries)
	r.submissions = unsafe.Slice((*submission)(unsafe.Pointer(&r.entries[0])), p.sqEntries)
	r.headShared, r.ended, r.endedMask = at(p.cq.head), at(p.cq.tail), *at(p.cq.mask)
	r.completions = unsafe.Slice((*completion)(unsafe.Pointer(&r.shared[p.cq.entry])), p.cqEntries)
	return nil
}

// Read prepares to fill pieces, in order, from a file's offset. user comes back
// with the completion. The caller has no more operations under way than the ring
// was made for.
func (r *Ring) Read(fd int, pieces []unix.Iovec, offset int64, user uint64) {
	r.prepare(opReadv, fd, pieces, offset, user)
}

// Write prepares to write pieces, in order, to a file's offset.
func (r *Ring) Write(fd int, pieces []unix.Iovec, offset int64, user uint64) {
	r.prepare(opWritev, fd, pieces, offset, user)
}

func (r *Ring) prepare(op uint8, fd int, pieces []unix.Iovec, offset int64, user uint64) {
	i := r.tail & r.submitMask
	r.submissions[i] = submission{
		op: op, fd: int32(fd), offset: uint64(offset), user: user,
		address: uint64(uintptr(unsafe.Pointer(&pieces[0]))), length: uint32(len(pieces)),
	}
	r.order[i] = i
	r.tail++
	r.prepared++
}

// Wait begins what was prepared and returns once one operation has ended that
// Next has not told yet.
func (r *Ring) Wait() error {
	atomic.StoreUint32(r.tailShared, r.tail)
	for {
		wait, flags := uintptr(1), uintptr(enterGetEvents)
		if r.head != atomic.LoadUint32(r.ended) {
			if r.prepared == 0 {
				return nil
			}
			wait, flags = 0, 0
		}
		n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.prepared), wait, flags, 0, 0)
		switch errno {
		case 0:
			r.prepared -= uint32(n)
		case unix.EINTR, unix.EAGAIN, unix.EBUSY: // a signal, or no memory for now: what ends makes room
		default:
			return fmt.Errorf("wait for io_uring: %w", errno)
		}
	}
}

// Next returns an operation that has ended: its user and what the system call
// would have returned, a number of bytes or a negative errno.
func (r *Ring) Next() (user uint64, result int, ok bool) {
	if r.head == atomic.LoadUint32(r.ended) {
		return 0, 0, false
	}
	c := r.completions[r.head&r.endedMask]
	r.head++
	atomic.StoreUint32(r.headShared, r.head)
	return c.user, int(c.result), true
}

// Close gives the ring back. Nothing may be under way.
func (r *Ring) Close() error {
	var errs []error
	for _, mapped := range [][]byte{r.entries, r.shared} {
		if mapped != nil {
			errs = append(errs, unix.Munmap(mapped))
		}
	}
	return errors.Join(append(errs, unix.Close(r.fd))...)
}
