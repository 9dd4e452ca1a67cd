package tcp

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// conn is one connection, from the dial or accept to its end.
type conn struct {
	transport *Transport
	log       *slog.Logger
	cancel    context.CancelFunc // ends the handshake
	handler   transport.Handler  // set before anything can be received

	incoming  message.Message // of the reading goroutine
	batchRead int             // messages since the last BatchEnd; of the reading goroutine
	crowd     atomic.Bool     // several messages were in the last batch read

	mu      sync.Mutex
	queue   batch // sent and not taken by the writer
	queued  int   // bytes in queue and taken
	writing bool  // somebody owns taken and out; also true until the connection is open
	last    int   // messages in the last batch taken
	ended   bool
	why     step.ConnError // once ended
	socket  *socket        // once there is one

	taken batch  // of the one who set writing
	out   output // of the one who set writing
}

func newConn(t *Transport, log *slog.Logger, cancel context.CancelFunc) *conn {
	return &conn{transport: t, log: log, cancel: cancel, writing: true}
}

// Send queues m; see transport.Conn.
func (c *conn) Send(m *message.Message) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		m.Payload.Release()
		return
	}
	before := c.queue.bytes
	err := c.queue.add(m)
	c.queued += c.queue.bytes - before
	queued := c.queued
	c.mu.Unlock()
	switch {
	case err != nil: // a bug of ours: the peer would close the connection
		m.Payload.Release()
		c.log.Error("connection closed: message cannot be sent", slog.Any("reason", err))
		c.end(step.ConnReset)
	case queued > c.transport.limits.QueuedBytesMax:
		c.log.Warn("connection closed: the peer does not read", slog.Int("queued_bytes", queued))
		c.end(step.ConnTimeout)
	}
}

// Flush writes what is queued unless somebody does already; see transport.Conn.
func (c *conn) Flush() {
	c.mu.Lock()
	if c.writing || c.ended || len(c.queue.pieces) == 0 {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.mu.Unlock()
	c.write()
}

// write is the writer on a caller's goroutine: it never waits.
func (c *conn) write() {
	for range turnsMax {
		c.gather()
		if !c.take() {
			return
		}
		done, err := c.out.write(&c.taken, false)
		if err != nil {
			c.writeFailed(err)
			return
		}
		if !done {
			break
		}
		c.taken.release()
	}
	if !c.transport.start(c.writeOn) {
		c.taken.release() // the transport has ended, and with it this connection
	}
}

// writeOn is the writer on its own goroutine: it waits for the network.
func (c *conn) writeOn() {
	for {
		if _, err := c.out.write(&c.taken, true); err != nil {
			c.writeFailed(err)
			return
		}
		c.taken.release()
		if !c.take() {
			return
		}
	}
}

// gather gives others the chance to add to the batch, when there are signs of
// others: one yield costs less than the system call it saves.
func (c *conn) gather() {
	c.mu.Lock()
	several := c.last > 1 || len(c.queue.pieces) > 1
	c.mu.Unlock()
	if several || c.crowd.Load() {
		runtime.Gosched()
	}
}

// take makes the queue the batch to write, or ends the writing if it is empty.
func (c *conn) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || len(c.queue.pieces) == 0 {
		c.queued, c.writing = c.queue.bytes, false
		return false
	}
	c.taken, c.queue = c.queue, c.taken
	c.queued, c.last = c.taken.bytes, len(c.taken.pieces)
	c.transport.traffic.messagesSent.Add(uint64(c.last))
	return true
}

func (c *conn) writeFailed(err error) {
	c.taken.release()
	c.end(reasonOf(err))
}

// open begins the exchange of messages: what was sent meanwhile goes out.
func (c *conn) open(out output) {
	c.mu.Lock()
	c.out, c.writing = out, false
	c.mu.Unlock()
	c.Flush()
}

// Close ends the connection; see transport.Conn.
func (c *conn) Close() { c.end(step.ConnClosed) }

// end ends the connection; the first reason stays.
func (c *conn) end(why step.ConnError) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended, c.why = true, why
	dropped, s := c.queue, c.socket
	c.queue = batch{}
	c.mu.Unlock()
	dropped.release()
	c.cancel()
	if s != nil {
		_ = s.Close() // an error says that it is closed
	}
}

// attach gives the connection its socket. It reports false, and closes the
// socket, if the connection was ended meanwhile.
func (c *conn) attach(s *socket) bool {
	c.mu.Lock()
	ended := c.ended
	c.socket = s
	c.mu.Unlock()
	if ended {
		_ = s.Close() // nobody has used it
	}
	return !ended
}

func (c *conn) outcome() step.ConnError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}
