package device

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
)

// Kind says what a request asks for.
type Kind uint8

// The kinds of requests.
const (
	// Read fills the request's buffer.
	Read Kind = iota + 1
	// Write stores the request's buffer.
	Write
	// Flush makes everything durable whose write completed before the flush
	// was submitted. It covers the volume: offset and length are 0.
	Flush
	// Zero makes the range read as zeroes, deterministically. Trimming and
	// writing zeroes are both this.
	Zero
	// Map finds out where there may be data: it fills the request's Map.
	Map
)

func (k Kind) String() string {
	switch k {
	case Read:
		return "read"
	case Write:
		return "write"
	case Flush:
		return "flush"
	case Zero:
		return "zero"
	case Map:
		return "map"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Request is one thing asked of a volume. The driver owns its memory and reuses
// it: between Submit and Done it belongs to the backend, otherwise to the
// driver, and only Scratch outlives that.
type Request struct {
	Kind Kind
	// FUA asks that a write is durable when it completes, as if a flush of
	// that write alone followed it.
	FUA bool
	// Offset and Length are in bytes, multiples of block.Size, and lie within
	// the volume. Reads and writes are as large as the driver's largest
	// transfer; a Zero may span the volume.
	Offset, Length int64
	// Buffer has Length bytes for Read (to fill) and Write (the payload,
	// aligned to block.Size in memory so that it can go to a disk by direct
	// I/O); it is empty otherwise. The driver holds its reference until Done.
	// A backend that needs a payload longer retains it, and must not change
	// it: other parts of the same slab belong to other requests.
	Buffer block.Buffer
	// Map has, for Map, a mask of blocks for each chunk (block.PerChunk blocks) that
	// the range touches, to fill: bit i says that block i of the chunk may have
	// data. What has none reads as zeroes. Bits outside the range mean nothing.
	Map []uint16
	// Done completes the request, exactly once. It never blocks, may run
	// inline within Submit or on any goroutine, and takes the request back:
	// the backend must not touch it afterwards.
	Done func(request *Request, err error)
	// Scratch is the backend's own: a driver never touches it and hands it
	// out again with the reused request, so that what a backend needs per
	// request is made once.
	Scratch any
}

// Backend serves a volume to a driver.
type Backend interface {
	// Submit starts a request. Requests are independent of each other and may
	// complete in any order, but a Flush covers every write that completed
	// before it was submitted. Submit is called from several goroutines at
	// once and should not block for I/O.
	Submit(request *Request)
}
