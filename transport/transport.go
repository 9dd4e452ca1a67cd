package transport

import (
	"context"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// Transport opens connections to other nodes. Connections that other nodes open
// arrive at the Acceptor that an implementation is run with.
type Transport interface {
	// Dial begins to open a connection to node and returns at once. The
	// outcome is h.Connected or h.Closed, never called from within Dial. ctx
	// bounds the attempt, not the connection that comes of it.
	Dial(ctx context.Context, node block.NodeID, hello message.Hello, h Handler) Conn
}

// Acceptor decides about connections that peers open.
type Acceptor interface {
	// Accept is asked once the peer has proven to be hello.Node. It returns
	// who hears of the connection, or an error, whose text the peer is given
	// as the reason of its ConnDenied. It may already send on c: that goes out
	// once the connection is open.
	Accept(c Conn, hello message.Hello) (Handler, error)
}

// Conn is one connection. Its methods may be called from any goroutine, and
// none of them waits for the network or calls a Handler.
//
// Sending has two halves so that the caller may order messages under its own
// lock and write them after it: Send queues, Flush writes what all callers have
// queued. A Send without a later Flush may never leave.
type Conn interface {
	// Send queues m in order and takes over its payload's reference. On a
	// connection that is not open yet it waits for the opening; on one that
	// has ended it is dropped. A connection whose peer reads so slowly that
	// the queue passes the implementation's limit ends with ConnTimeout.
	Send(m *message.Message)
	// Flush begins to write what is queued. Whoever finds the connection idle
	// writes for everybody.
	Flush()
	// Close ends the connection. What was sent and not yet delivered may be
	// lost. Handler.Closed still follows.
	Close()
}

// Handler hears of one connection. Its methods are called one at a time.
type Handler interface {
	// Connected says that a dialled connection is open.
	Connected(c Conn)
	// Message delivers a message, whose payload's reference it takes over. m
	// itself is reused after the return.
	Message(c Conn, m *message.Message)
	// BatchEnd follows one or more calls of Message when no further one is at
	// hand without waiting: the time to flush what they caused.
	BatchEnd(c Conn)
	// Closed is the last call, and is made exactly once, whoever ended the
	// connection. ConnClosed stands for an orderly end by either side, but is
	// only a hint: an orderly end can look like a ConnReset.
	Closed(c Conn, why step.ConnError)
}
