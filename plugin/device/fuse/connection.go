package fuse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/slab"
)

// connection is an open /dev/fuse: its readers, and what is in flight on it.
type connection struct {
	backend device.Backend
	stock   *slab.Stock
	log     *slog.Logger
	size    atomic.Int64 // of the volume, bytes
	fd      int
	// holders counts who may still use fd: readers and operations in flight.
	// A backend may complete long after an abort, when the number of the
	// descriptor would be somebody else's; the last holder closes it.
	holders    atomic.Int64
	operations operations
	resends    bool          // the kernel can ask again; known once ready
	left       atomic.Bool   // nothing is answered any more: it is to be asked again
	ready      chan error    // one answer to INIT
	waiting    int           // readers that begin once the first has read what was asked again; the first's own
	readers    atomic.Int64  // still running
	ended      chan struct{} // closed by the last reader
}

func openConnection(volume device.Volume, backend device.Backend, stock *slab.Stock, log *slog.Logger) (*connection, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w: load the kernel module fuse, as root", err)
	}
	c := &connection{
		backend: backend, stock: stock, log: log, fd: fd,
		ready: make(chan error, 1), ended: make(chan struct{}),
	}
	c.size.Store(volume.Size)
	return c, nil
}

// takeOver makes a connection of a descriptor that another process served. The
// kernel asks again what that did not answer, before anything else: with one reader
// all of it reaches the backend before what is new. The others begin with that.
func takeOver(fd int, size int64, readers int, backend device.Backend, stock *slab.Stock, log *slog.Logger) (*connection, error) {
	c := &connection{
		backend: backend, stock: stock, log: log, fd: fd, resends: true, waiting: readers - 1,
		ready: make(chan error, 1), ended: make(chan struct{}),
	}
	c.size.Store(size)
	if _, err := unix.Write(fd, resending()); err != nil {
		return nil, fmt.Errorf("have the kernel ask again: %w", err)
	}
	c.start(1)
	return c, nil
}

// start runs the readers. They end when the kernel has let go of the file
// system: it was unmounted and is not used any more, or it was aborted.
func (c *connection) start(readers int) {
	c.readers.Add(int64(readers))
	c.holders.Add(int64(readers))
	for range readers {
		go c.serve()
	}
}

// established waits until the kernel and we agree on the protocol.
func (c *connection) established(ctx context.Context) error {
	select {
	case err := <-c.ready:
		return err
	case <-c.ended:
		return errors.New("the kernel closed the FUSE connection before its first request")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold keeps fd open; false when it is closed already.
func (c *connection) hold() bool {
	for {
		n := c.holders.Load()
		if n == 0 {
			return false
		}
		if c.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release undoes a hold. Closing the descriptor makes the kernel abort what is
// left of the connection.
func (c *connection) release() {
	if c.holders.Add(-1) > 0 {
		return
	}
	if err := unix.Close(c.fd); err != nil {
		c.log.Error("cannot close /dev/fuse", slog.Any("error", err))
	}
}

// resize makes the kernel ask for the size of the file again.
func (c *connection) resize(size int64) error {
	if !c.hold() {
		return device.ErrGone
	}
	defer c.release()
	c.size.Store(size)
	if _, err := unix.Write(c.fd, invalidation()); err != nil {
		return fmt.Errorf("tell the kernel the new size: %w", err)
	}
	return nil
}

// reader is one goroutine's memory for requests.
type reader struct {
	arena   slab.Arena
	request [requestBytes]byte
	vectors [2]unix.Iovec
}

// next waits for a request and returns its length. What follows requestBytes is
// in the arena's room.
func (r *reader) next(fd int) (int, error) {
	room, err := r.arena.Room(transferBytesMax)
	if err != nil {
		return 0, err
	}
	r.vectors[0].Base = &r.request[0]
	r.vectors[0].SetLen(len(r.request))
	r.vectors[1].Base = &room[0]
	r.vectors[1].SetLen(len(room))
	for {
		n, _, errno := unix.Syscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(&r.vectors)), uintptr(len(r.vectors)))
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR && errno != unix.EAGAIN && errno != unix.ENOENT { // ENOENT: aborted while we read it
			return 0, errno
		}
	}
}

// serve reads and starts requests until the connection ends.
func (c *connection) serve() {
	defer func() {
		c.release()
		if c.readers.Add(-1) == 0 {
			close(c.ended)
		}
	}()
	r := &reader{arena: slab.NewArena(c.stock)}
	defer r.arena.Close()
	for {
		n, err := r.next(c.fd)
		if errors.Is(err, unix.ENODEV) {
			return
		}
		if err != nil {
			c.log.Error("cannot read requests from the kernel", slog.Any("error", err))
			return
		}
		if n < headerBytes {
			c.log.Error("request from the kernel is too short", slog.Int("bytes", n))
			return
		}
		c.dispatch(r, n)
	}
}

// dispatch starts the request of n bytes that r has read.
func (c *connection) dispatch(r *reader, n int) {
	if c.left.Load() {
		return
	}
	h := parseHeader(r.request[:])
	if c.waiting > 0 && h.unique&askedAgain == 0 {
		more := c.waiting
		c.waiting = 0
		c.start(more)
	}
	switch h.opcode {
	case opRead:
		c.onRead(r, h)
	case opWrite:
		c.onWrite(r, h, n)
	case opFsync:
		c.submit(h, device.Flush, extent{}, block.Buffer{})
	case opFallocate:
		c.onFallocate(r, h)
	case opForget, opBatchForget, opInterrupt:
		// These want no reply. Nothing is interrupted: a request that was
		// submitted takes its course.
	case opInit:
		c.onInit(r, h)
	case opGetattr:
		c.answer(h, attributes(c.size.Load()))
	case opOpen:
		c.answer(h, opened())
	case opStatfs:
		c.answer(h, statistics())
	case opRelease, opDestroy:
		c.answer(h, nil)
	default:
		// The kernel remembers and does without; notably FLUSH, which every
		// close would send otherwise.
		c.refuse(h, unix.ENOSYS)
	}
}

func (c *connection) onInit(r *reader, h header) {
	out, resends, err := negotiate(r.request[:])
	c.resends = resends
	if err != nil {
		c.refuse(h, unix.EPROTO)
	} else {
		c.answer(h, out)
	}
	select {
	case c.ready <- err:
	default: // the kernel says INIT once
	}
}

func (c *connection) onRead(r *reader, h header) {
	e := parseTransfer(r.request[:])
	size := c.size.Load()
	if e.offset >= size {
		c.answer(h, nil) // end of file
		return
	}
	e.length = min(e.length, size-e.offset)
	if !e.valid(size) || e.length > transferBytesMax {
		c.refuse(h, unix.EINVAL)
		return
	}
	c.submit(h, device.Read, e, r.arena.Cut(int(e.length)))
}

func (c *connection) onWrite(r *reader, h header, n int) {
	e := parseTransfer(r.request[:])
	if !e.valid(c.size.Load()) || e.length > transferBytesMax || int(e.length) != n-requestBytes {
		c.refuse(h, unix.EINVAL)
		return
	}
	c.submit(h, device.Write, e, r.arena.Cut(int(e.length)))
}

func (c *connection) onFallocate(r *reader, h header) {
	e, mode := parseFallocate(r.request[:])
	const punch, zero = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
	switch {
	case mode != punch && mode != zero:
		c.refuse(h, unix.EOPNOTSUPP)
	case !e.valid(c.size.Load()):
		c.refuse(h, unix.EINVAL)
	default:
		c.submit(h, device.Zero, e, block.Buffer{})
	}
}

// answer replies to a request of the file system, not of the data path.
func (c *connection) answer(h header, body []byte) { c.reply(h, 0, body) }

func (c *connection) refuse(h header, errno unix.Errno) { c.reply(h, errno, nil) }

func (c *connection) reply(h header, errno unix.Errno, body []byte) {
	if c.left.Load() {
		return
	}
	out := make([]byte, replyBytes+len(body))
	putReply(out, h.unique, int(errno), len(body))
	copy(out[replyBytes:], body)
	_, err := unix.Write(c.fd, out)
	c.sent(err)
}

// sent looks at how the kernel took a reply. It may have dropped the request
// (ENOENT) or the connection (ENODEV) meanwhile, which is its right.
func (c *connection) sent(err error) {
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		c.log.Error("the kernel refuses a reply", slog.Any("error", err))
	}
}
