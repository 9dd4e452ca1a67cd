package nbd

import (
	"errors"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
)

const (
	chunkBytes = block.Size * block.PerChunk
	// mapChunksMax bounds how much one block status describes, 64 MiB: a volume that
	// is asked about has other things to do.
	mapChunksMax = 1024
	// extentsMax bounds what one says about that.
	extentsMax = 2048
)

// operation is a request of a client on its way through the backend and back. It is
// reused, so that a request allocates nothing.
type operation struct {
	request    device.Request
	connection *connection
	command    wire.Command
	cookie     uint64
	bytes      int64 // of payload that it counts for
	errno      wire.Errno
	one        bool   // of a block status: one extent is enough
	extents    []byte // of a block status, encoded
	inUse      bool
}

// payloadBytes is what a request needs memory for.
func payloadBytes(r wire.Request) int64 {
	if r.Command == wire.CmdRead || r.Command == wire.CmdWrite {
		return min(int64(r.Length), transferBytesMax)
	}
	return 0
}

// full reports whether one more request must wait, with c.mu held.
func (c *connection) full(bytes int64) bool {
	return c.underWay >= operationsMax || c.underWay > 0 && c.bytes+bytes > bytesMax
}

func (c *connection) isFull(r wire.Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.full(payloadBytes(r))
}

// take returns an operation for a request, once there may be one more.
func (c *connection) take(r wire.Request) (*operation, error) {
	bytes := payloadBytes(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.full(bytes) && c.ended == nil {
		c.progress.Wait()
	}
	if c.ended != nil {
		return nil, c.ended
	}
	c.underWay++
	c.bytes += bytes
	var op *operation
	if last := len(c.free) - 1; last >= 0 {
		op = c.free[last]
		c.free = c.free[:last]
	} else {
		op = &operation{connection: c}
		op.request.Done = op.done
	}
	op.command, op.cookie, op.bytes, op.errno, op.inUse = r.Command, r.Cookie, bytes, wire.OK, true
	op.request.Offset, op.request.Length = int64(r.Offset), int64(r.Length)
	return op, nil
}

// done takes the request back from the backend.
func (op *operation) done(_ *device.Request, err error) {
	if op.command == wire.CmdBlockStatus && err == nil {
		op.describe()
	}
	op.answer(errnoOf(err))
}

// answer has the reply sent.
func (op *operation) answer(errno wire.Errno) {
	invariant.That(op.inUse, "a request is completed once")
	op.inUse, op.errno = false, errno
	op.connection.finish(op)
}

// maps makes a request one for where there is data: of the beginning of its range, if
// that is long. Who wants the rest asks again.
func (op *operation) maps(q *device.Request) {
	first := q.Offset / chunkBytes
	q.Length = min(q.Length, (first+mapChunksMax)*chunkBytes-q.Offset)
	chunks := int((q.Offset+q.Length-1)/chunkBytes - first + 1)
	if cap(q.Map) < chunks {
		q.Map = make([]uint16, chunks)
	}
	q.Kind, q.FUA, q.Map = device.Map, false, q.Map[:chunks]
}

// describe makes extents of what was found out: blocks that are alike lie together.
func (op *operation) describe() {
	q := &op.request
	op.extents = op.extents[:0]
	first, end := q.Offset/block.Size, (q.Offset+q.Length)/block.Size
	has := func(n int64) bool {
		return q.Map[n/block.PerChunk-first/block.PerChunk]&(1<<(n%block.PerChunk)) != 0
	}
	most := extentsMax
	if op.one {
		most = 1
	}
	for at := first; at < end && len(op.extents) < most*wire.ExtentBytes; {
		next := at + 1
		for next < end && has(next) == has(at) {
			next++
		}
		state := uint32(0)
		if !has(at) {
			state = wire.StateHole | wire.StateZero
		}
		op.extents = wire.AppendExtent(op.extents, uint32(next-at)*block.Size, state)
		at = next
	}
}

// payload returns what follows the head of the reply.
func (op *operation) payload() []byte {
	switch {
	case op.errno != wire.OK:
		return nil
	case op.command == wire.CmdRead:
		return op.request.Buffer.Bytes()
	case op.command == wire.CmdBlockStatus:
		return op.extents
	}
	return nil
}

// head writes what comes before the payload of the reply, and returns its length.
func (op *operation) head(b []byte, structured bool) int {
	switch {
	case !structured:
		return wire.PutSimple(b, op.cookie, op.errno)
	case op.errno != wire.OK:
		return wire.PutError(b, op.cookie, op.errno)
	case op.command == wire.CmdRead:
		return wire.PutData(b, op.cookie, uint64(op.request.Offset), op.request.Buffer.Len())
	case op.command == wire.CmdBlockStatus:
		return wire.PutBlockStatus(b, op.cookie, allocationContext, len(op.extents)/wire.ExtentBytes)
	}
	return wire.PutDone(b, op.cookie)
}

// release takes operations back whose replies are sent, or that get none.
func (c *connection) release(all ...*operation) {
	for _, op := range all {
		op.request.Buffer.Release()
		op.request.Buffer, op.inUse = block.Buffer{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, op := range all {
		c.underWay--
		c.bytes -= op.bytes
	}
	c.free = append(c.free, all...)
	c.progress.Signal()
}

// errnoOf turns what a backend reports into what a client sees.
func errnoOf(err error) wire.Errno {
	switch {
	case err == nil:
		return wire.OK
	case errors.Is(err, device.ErrNoSpace):
		return wire.ENOSPC
	case errors.Is(err, device.ErrGone):
		return wire.ESHUTDOWN
	default:
		return wire.EIO
	}
}
