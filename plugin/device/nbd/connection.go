package nbd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
	"github.com/lagan-storage/lagan/plugin/device/slab"
)

const (
	// operationsMax is how many requests of a connection may be under way, replies
	// that were not taken yet included. Beyond that its requests are not read.
	operationsMax = 256
	// bytesMax is how many bytes of payload they may have, but for a single one.
	bytesMax = 32 << 20
	// gatheredMax is how many replies wait for the reader at most, while it has
	// more requests in hand.
	gatheredMax = 64
	// readBytes is what is read from the socket at once: some requests. Of a payload
	// that is larger the rest is read to where it is to be, without another copy.
	readBytes = 32 << 10
)

// connection is a client that has chosen an export.
//
//	reader ──start──▶ backend ──finish──▶ finished ──▶ sender ──▶ socket
//	  ▲  waits while as much is under way as may be          │
//	  └──────────────────── free ◀───────────────────────────┘
type connection struct {
	agreement
	backend device.Backend
	log     *slog.Logger
	in      *bufio.Reader
	arena   slab.Arena
	sender  *sender

	mu        sync.Mutex // guards what follows
	underWay  int        // requests
	bytes     int64      // of their payloads
	free      []*operation
	finished  []*operation  // replies that nobody has begun to send
	sending   bool          // somebody sends, or gathers and is about to: the sender is theirs
	ended     error         // why the connection is over
	progress  sync.Cond     // on less under way, or the end
	handed    chan struct{} // the writer is to go on sending
	readerEnd chan struct{} // closed when no request is read any more
}

func newConnection(s *Server, a agreement, log *slog.Logger) *connection {
	c := &connection{
		agreement: a, backend: a.export.Backend, log: log,
		in: bufio.NewReaderSize(a.conn, readBytes), arena: slab.NewArena(s.stock),
		handed: make(chan struct{}, 1), readerEnd: make(chan struct{}),
	}
	c.sender = newSender(a.conn, a.structured, s.now)
	c.progress.L = &c.mu
	return c
}

// run serves the client until it leaves, returning nil, or has to. Then the backend
// is not called any more, though requests may be with it still.
func (c *connection) run() error {
	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.read()
	c.arena.Close()
	if errors.Is(err, errLeft) {
		_ = c.conn.Close() // TLS says goodbye
	}
	c.end(err)
	close(c.readerEnd)
	writer.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.ended, errLeft) {
		return nil
	}
	return c.ended
}

// end ends the connection where it is; the first reason counts.
func (c *connection) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = why
		_ = c.socket.Close() // wakes reader and writer; that of TLS would wait for the client
		c.progress.Broadcast()
	}
}

// read reads and starts requests until the client leaves, in order or not. While
// there are requests in hand their replies gather.
func (c *connection) read() error {
	gathering := false
	defer func() { c.stopGathering(gathering) }()
	for {
		if c.in.Buffered() < wire.RequestBytes {
			c.stopGathering(gathering)
			gathering = false
		} else {
			gathering = c.gather(gathering)
		}
		head, err := c.in.Peek(wire.RequestBytes)
		if err != nil {
			if len(head) > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return gone("read a request", err)
		}
		r, err := wire.ParseRequest(head)
		if err != nil {
			return err
		}
		_, _ = c.in.Discard(wire.RequestBytes) // they are there
		if r.Command == wire.CmdDisconnect {
			c.stopGathering(gathering)
			gathering = false
			return c.drain()
		}
		payload := 0
		if r.Command == wire.CmdWrite {
			payload = int(r.Length)
		}
		if c.in.Buffered() < payload || c.isFull(r) { // else nothing below waits
			c.stopGathering(gathering)
			gathering = false
		}
		if err := c.start(r); err != nil {
			return err
		}
	}
}

// drain waits until all is answered that the client has asked before it took leave.
func (c *connection) drain() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.underWay > 0 && c.ended == nil {
		c.progress.Wait()
	}
	return errLeft
}

// start carries out one request, whose payload is read here.
func (c *connection) start(r wire.Request) error {
	errno := c.judge(r)
	if r.Command == wire.CmdWrite && errno != wire.OK {
		if r.Length > transferBytesMax {
			return fmt.Errorf("it writes %d bytes at once, at most %d are taken", r.Length, transferBytesMax)
		}
		if _, err := c.in.Discard(int(r.Length)); err != nil {
			return fmt.Errorf("read a payload: %w", err)
		}
	}
	op, err := c.take(r)
	if err != nil {
		return err
	}
	switch {
	case errno != wire.OK:
		op.answer(errno)
		return nil
	}
	return c.submit(op, r)
}

// submit hands a request to the backend, with its buffer.
func (c *connection) submit(op *operation, r wire.Request) error {
	q := &op.request
	q.FUA, q.Offset, q.Length = r.Flags&wire.FlagFUA != 0, int64(r.Offset), int64(r.Length)
	switch r.Command {
	case wire.CmdRead, wire.CmdWrite:
		room, err := c.arena.Room(int(r.Length))
		if err == nil && r.Command == wire.CmdWrite {
			if _, err = io.ReadFull(c.in, room); err != nil {
				err = fmt.Errorf("read a payload: %w", err)
			}
		}
		if err != nil {
			c.release(op)
			return err
		}
		q.Buffer = c.arena.Cut(int(r.Length))
		q.Kind = device.Read
		if r.Command == wire.CmdWrite {
			q.Kind = device.Write
		}
	case wire.CmdBlockStatus:
		op.one = r.Flags&wire.FlagReqOne != 0
		op.maps(q)
	case wire.CmdFlush:
		q.Kind, q.Offset, q.Length, q.FUA = device.Flush, 0, 0, false
	default: // trim and write zeroes: others were refused
		q.Kind = device.Zero
	}
	c.backend.Submit(q)
	return nil
}

// allowed returns the flags that a command takes.
func (c *connection) allowed(command wire.Command) (flags wire.CommandFlags, known bool) {
	switch command {
	case wire.CmdRead:
		if c.structured {
			flags = wire.FlagDF // a read is one chunk in any case
		}
		return flags | wire.FlagFUA, true // which says nothing of a read, but is sent
	case wire.CmdWrite, wire.CmdTrim:
		return wire.FlagFUA, true
	case wire.CmdFlush:
		return wire.FlagFUA, true
	case wire.CmdWriteZeroes:
		return wire.FlagFUA | wire.FlagNoHole | wire.FlagFastZero, true // all zeroes are fast, and holes promised room
	case wire.CmdBlockStatus:
		return wire.FlagReqOne | wire.FlagFUA, c.allocation
	default: // caching was not offered
		return 0, false
	}
}

// judge says why a request is refused, or wire.OK.
func (c *connection) judge(r wire.Request) wire.Errno {
	flags, known := c.allowed(r.Command)
	writes := r.Command == wire.CmdWrite || r.Command == wire.CmdTrim || r.Command == wire.CmdWriteZeroes
	length, size := uint64(r.Length), uint64(c.size)
	switch {
	case !known || r.Flags&^flags != 0:
		return wire.EINVAL
	case r.Command == wire.CmdFlush:
		return wire.OK
	case writes && c.export.ReadOnly:
		return wire.EPERM
	case r.Offset > size || length > size-r.Offset:
		if writes {
			return wire.ENOSPC
		}
		return wire.EINVAL
	case length == 0 || length%block.Size != 0 || r.Offset%block.Size != 0:
		return wire.EINVAL
	case (r.Command == wire.CmdRead || r.Command == wire.CmdWrite) && length > transferBytesMax:
		return wire.EINVAL
	}
	return wire.OK
}
