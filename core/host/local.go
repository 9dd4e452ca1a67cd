package host

import (
	"errors"
	"sync"

	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

var errNoSuchDisk = errors.New("this node has no such disk")

// A coordinator reaches a replica on its own node by the same messages as one
// elsewhere, over a pair of pipes instead of a socket: a message is handed over
// by a function call on the sender's goroutine.

// pipe is one direction. Items wait in it until somebody flushes; one goroutine
// drains it at a time, so that order is kept and a reply that causes the next
// request does not recurse.
type pipe struct {
	mu       sync.Mutex // guards what follows
	queue    []message.Message
	spare    []message.Message
	opened   bool // the handler was told of the opening
	closing  bool // deliver what is queued, then the end
	ended    bool // the handler was told of the end
	draining bool
	why      step.ConnError
	handler  transport.Handler
	// open tells the handler that the connection is there, or returns why not.
	open func(p *pipe) (transport.Handler, error)
}

// localConn is one end: it sends into out, and what it closes ends both.
type localConn struct {
	out *pipe // towards the other end
	in  *pipe // towards this end
}

// dialLocal joins a coordinator to a disk of the same node. Nothing is called
// before the first flush.
func (h *Host) dialLocal(from *shard, d *step.Dial) transport.Conn {
	forth, back := &pipe{}, &pipe{}
	near := &localConn{out: forth, in: back}
	far := &localConn{out: back, in: forth}
	hello := d.Hello
	forth.open = func(*pipe) (transport.Handler, error) {
		handler, err := h.acceptLocal(far, &hello)
		if err != nil {
			back.end(step.ConnDenied)
		}
		return handler, err
	}
	to := &link{shard: from, id: d.Conn}
	back.open = func(*pipe) (transport.Handler, error) {
		forth.drain() // the other end hears first
		if !back.isClosing() {
			to.Connected(near)
		}
		return to, nil
	}
	return near
}

func (h *Host) acceptLocal(c transport.Conn, hello *message.Hello) (transport.Handler, error) {
	target := h.diskShard(hello.Disk)
	if target == nil {
		return nil, errNoSuchDisk
	}
	return target.accept(c, hello)
}

// Send implements transport.Conn.
func (c *localConn) Send(m *message.Message) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.closing {
		m.Payload.Release()
		return
	}
	c.out.queue = append(c.out.queue, *m)
}

// Flush implements transport.Conn: delivers to the other end, and to this one
// what has come back.
func (c *localConn) Flush() {
	c.in.drain()
	c.out.drain()
}

// Close implements transport.Conn.
func (c *localConn) Close() {
	c.out.end(step.ConnClosed)
	c.in.end(step.ConnClosed)
}

func (p *pipe) end(why step.ConnError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing {
		p.closing, p.why = true, why
	}
}

func (p *pipe) isClosing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing
}

// drain delivers what is queued until nothing is. If somebody else does so
// already, what was queued is left to them.
func (p *pipe) drain() {
	p.mu.Lock()
	if p.draining || p.ended {
		p.mu.Unlock()
		return
	}
	p.draining = true
	for p.next() {
	}
	p.draining = false
	p.mu.Unlock()
}

// next delivers one batch, called and returning with the lock held; false when
// there was nothing.
func (p *pipe) next() bool {
	switch {
	case !p.opened:
		p.opened = true
		p.mu.Unlock()
		handler, err := p.open(p)
		p.mu.Lock()
		p.handler = handler
		if err != nil {
			p.closing, p.why, p.ended = true, step.ConnDenied, true
			return false
		}
	case len(p.queue) > 0:
		batch := p.queue
		p.queue, p.spare = p.spare[:0], nil
		p.mu.Unlock()
		for i := range batch {
			p.handler.Message(nil, &batch[i])
		}
		p.handler.BatchEnd(nil)
		clear(batch)
		p.mu.Lock()
		p.spare = batch[:0]
	case p.closing && !p.ended:
		p.ended = true
		p.mu.Unlock()
		p.handler.Closed(nil, p.why)
		p.mu.Lock()
	default:
		return false
	}
	return true
}
