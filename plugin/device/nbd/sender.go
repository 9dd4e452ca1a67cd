package nbd

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
)

const (
	// writeWithin is how long a client may take no byte of its replies.
	writeWithin = 30 * time.Second
	// stagingBytes is what is put together for TLS: a few of its records.
	stagingBytes = 64 << 10
)

// sender is one batch of replies on its way to a socket. At most one goroutine uses
// it at a time: see connection.sending.
type sender struct {
	conn       net.Conn
	raw        syscall.RawConn // nil: bytes go through conn, as with TLS
	structured bool
	now        func() time.Time

	batch   []*operation
	heads   []byte   // of the batch, one after the other
	pieces  [][]byte // what is left to be sent
	vectors []unix.Iovec
	staging []byte
	attempt func(fd uintptr) bool // sends once; made once, so that it is no garbage
	persist func(fd uintptr) bool // sends, and again when the socket takes more
	took    bool                  // some byte since the deadline was set
	err     error                 // of the last attempt
}

func newSender(conn net.Conn, structured bool, now func() time.Time) *sender {
	s := &sender{conn: conn, structured: structured, now: now, heads: make([]byte, 0, operationsMax*wire.HeadBytesMax)}
	if socket, ok := conn.(syscall.Conn); ok {
		s.raw, _ = socket.SyscallConn() // without it bytes go through conn
	}
	if s.raw == nil {
		s.staging = make([]byte, 0, stagingBytes)
	}
	s.attempt = func(fd uintptr) bool {
		s.writev(fd)
		return true
	}
	s.persist = func(fd uintptr) bool {
		again := s.writev(fd)
		return !again || s.took
	}
	return s
}

// load takes replies as the batch, and returns the memory of the list for the next.
func (s *sender) load(finished []*operation) []*operation {
	spare := s.batch[:0]
	s.batch, s.heads = finished, s.heads[:0]
	for _, op := range finished {
		s.add(op)
	}
	return spare
}

// add puts a reply behind the others. Heads that follow each other are one piece.
func (s *sender) add(op *operation) {
	from := len(s.heads)
	s.heads = s.heads[:from+wire.HeadBytesMax]
	s.heads = s.heads[:from+op.head(s.heads[from:], s.structured)]
	last := len(s.pieces) - 1
	payload := op.payload()
	if last >= 0 && from > 0 && joined(s.pieces[last], s.heads[from:]) {
		s.pieces[last] = s.pieces[last][:len(s.pieces[last])+len(s.heads)-from]
	} else {
		s.pieces = append(s.pieces, s.heads[from:])
	}
	if len(payload) > 0 {
		s.pieces = append(s.pieces, payload)
	}
}

// joined reports whether b begins in memory where a ends, with room for it.
func joined(a, b []byte) bool {
	return cap(a)-len(a) >= len(b) && unsafe.SliceData(a[:len(a)+1][len(a):]) == unsafe.SliceData(b)
}

// unload gives the batch back, sent or not.
func (s *sender) unload() []*operation {
	batch := s.batch
	s.batch = s.batch[:0]
	clear(s.pieces)
	s.pieces = s.pieces[:0]
	return batch
}

// try sends what the socket takes without waiting, and reports whether that was all.
func (s *sender) try() (sent bool, err error) {
	if s.raw == nil {
		return false, nil
	}
	s.err = nil
	if err := s.raw.Write(s.attempt); err != nil {
		return false, fmt.Errorf("send replies: %w", err)
	}
	if s.err != nil {
		return false, fmt.Errorf("send replies: %w", s.err)
	}
	return len(s.pieces) == 0, nil
}

// wait sends everything. It waits for the client as long as that takes some byte
// within writeWithin.
func (s *sender) wait() error {
	for len(s.pieces) > 0 {
		if err := s.conn.SetWriteDeadline(s.now().Add(writeWithin)); err != nil {
			return err
		}
		var err error
		if s.raw == nil {
			err = s.stage()
		} else {
			s.err, s.took = nil, false
			err = errors.Join(s.raw.Write(s.persist), s.err)
		}
		if err != nil {
			return err
		}
	}
	return s.conn.SetWriteDeadline(time.Time{})
}

// writev sends once, and reports whether more is to be sent when the socket takes it.
func (s *sender) writev(fd uintptr) (again bool) {
	s.vectors = s.vectors[:0]
	for _, p := range s.pieces {
		v := unix.Iovec{Base: unsafe.SliceData(p)}
		v.SetLen(len(p))
		s.vectors = append(s.vectors, v)
	}
	defer clear(s.vectors)
	for len(s.pieces) > 0 {
		n, _, errno := unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.vectors))), uintptr(len(s.vectors)))
		switch errno {
		case 0:
			s.took = s.took || n > 0
			s.advance(int(n))
			return len(s.pieces) > 0
		case unix.EINTR:
		case unix.EAGAIN:
			return true
		default:
			s.err = errno
			return false
		}
	}
	return false
}

// advance forgets the first n bytes of what is left.
func (s *sender) advance(n int) {
	gone := 0
	for gone < len(s.pieces) && n >= len(s.pieces[gone]) {
		n -= len(s.pieces[gone])
		gone++
	}
	if gone < len(s.pieces) {
		s.pieces[gone] = s.pieces[gone][n:]
	}
	kept := copy(s.pieces, s.pieces[gone:])
	clear(s.pieces[kept:])
	s.pieces = s.pieces[:kept]
}

// stage sends the beginning of what is left in one write: each is a system call, or a
// record of TLS.
func (s *sender) stage() error {
	s.staging = s.staging[:0]
	for _, p := range s.pieces {
		room := min(stagingBytes-len(s.staging), len(p))
		s.staging = append(s.staging, p[:room]...)
	}
	n, err := s.conn.Write(s.staging)
	s.advance(n)
	return err
}
