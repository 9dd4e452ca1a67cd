package fuse

import (
	"encoding/binary"
	"errors"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/plugin/device"
)

// operation is a request of the kernel on its way through the backend. It is
// reused, with all that its reply needs, so that an I/O allocates nothing.
type operation struct {
	request    device.Request
	connection *connection
	unique     uint64 // the kernel's number of the request; 0 while unused
	head       [replyBytes + 8]byte
	vectors    [2]unix.Iovec
}

// operations is a stock of unused ones, as many as were ever in flight at once.
// It is no sync.Pool: what a backend keeps in Scratch should stay.
type operations struct {
	mu   sync.Mutex
	free []*operation
}

func (s *operations) take() *operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.free) - 1
	if last < 0 {
		return nil
	}
	op := s.free[last]
	s.free = s.free[:last]
	return op
}

func (s *operations) put(op *operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, op)
}

// submit hands a request to the backend, with the reference on the buffer.
func (c *connection) submit(h header, kind device.Kind, e extent, buffer block.Buffer) {
	op := c.operations.take()
	if op == nil {
		op = &operation{connection: c}
		op.request.Done = op.done
	}
	c.holders.Add(1) // the reader holds the descriptor, so it is open
	op.unique = h.unique
	op.request.Kind, op.request.FUA = kind, false // the block layer asks for FUA as WRITE and FSYNC
	op.request.Offset, op.request.Length, op.request.Buffer = e.offset, e.length, buffer
	c.backend.Submit(&op.request)
}

// done replies to the kernel and takes the operation back.
func (op *operation) done(_ *device.Request, err error) {
	invariant.That(op.unique != 0, "a request is completed once")
	c := op.connection
	if !c.left.Load() {
		op.reply(err)
	}
	op.request.Buffer.Release()
	op.request.Buffer = block.Buffer{}
	op.unique = 0
	c.operations.put(op)
	c.release()
}

// reply sends one writev: header and data of a read, header and count of a
// write, or the header alone.
func (op *operation) reply(err error) {
	vectors, length := 1, 0
	head := replyBytes
	switch {
	case err != nil:
	case op.request.Kind == device.Read:
		vectors, length = 2, op.request.Buffer.Len()
		op.vectors[1].Base = unsafe.SliceData(op.request.Buffer.Bytes())
		op.vectors[1].SetLen(length)
	case op.request.Kind == device.Write:
		binary.NativeEndian.PutUint32(op.head[replyBytes:], uint32(op.request.Length))
		head, length = replyBytes+8, 8
	}
	putReply(op.head[:], op.unique, int(errnoOf(err)), length)
	op.vectors[0].Base = &op.head[0]
	op.vectors[0].SetLen(head)
	_, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(op.connection.fd), uintptr(unsafe.Pointer(&op.vectors)), uintptr(vectors))
	op.vectors[1].Base = nil
	if errno != 0 {
		op.connection.sent(errno)
	}
}

// errnoOf turns what a backend reports into what a client of the file sees.
func errnoOf(err error) unix.Errno {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, device.ErrNoSpace):
		return unix.ENOSPC
	case errors.Is(err, device.ErrGone):
		return unix.ENODEV
	case errors.Is(err, device.ErrTimeout):
		return unix.ETIMEDOUT
	default:
		return unix.EIO
	}
}
