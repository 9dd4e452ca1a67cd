package conformance

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// TestMemoryConforms shows that the suite asks for nothing that only sockets
// have: the simplest network that comes to mind passes it.
func TestMemoryConforms(t *testing.T) {
	Run(t, func(*testing.T) Network { return &memory{nodes: map[block.NodeID]*memoryNode{}} })
}

// memory is a network of slices.
type memory struct {
	mu    sync.Mutex
	nodes map[block.NodeID]*memoryNode
}

type memoryNode struct {
	network  *memory
	acceptor transport.Acceptor
	running  sync.WaitGroup
	conns    []*memoryConn // under network.mu
}

// Start implements Network.
func (n *memory) Start(t *testing.T, node block.NodeID, a transport.Acceptor) transport.Transport {
	started := &memoryNode{network: n, acceptor: a}
	n.mu.Lock()
	n.nodes[node] = started
	n.mu.Unlock()
	t.Cleanup(func() { n.Stop(t, node) })
	return started
}

// Stop implements Network.
func (n *memory) Stop(_ *testing.T, node block.NodeID) {
	n.mu.Lock()
	stopped := n.nodes[node]
	delete(n.nodes, node)
	n.mu.Unlock()
	if stopped == nil {
		return
	}
	for _, c := range stopped.conns {
		c.Close()
	}
	stopped.running.Wait()
}

// Dial implements transport.Transport.
func (n *memoryNode) Dial(_ context.Context, to block.NodeID, h message.Hello, handler transport.Handler) transport.Conn {
	link := &memoryLink{}
	link.changed.L = &link.mu
	dialled, accepted := &memoryConn{link: link, handler: handler}, &memoryConn{link: link}
	dialled.other, accepted.other = accepted, dialled
	n.network.mu.Lock()
	defer n.network.mu.Unlock()
	peer := n.network.nodes[to]
	n.conns = append(n.conns, dialled)
	if peer != nil {
		peer.conns = append(peer.conns, accepted)
	}
	n.running.Go(func() { dialled.runDialled(peer, h) })
	return dialled
}

// memoryLink is what the two ends of a connection share.
type memoryLink struct {
	mu      sync.Mutex
	changed sync.Cond
	ended   bool
	why     step.ConnError
}

// memoryConn is one end of a connection.
type memoryConn struct {
	link    *memoryLink
	other   *memoryConn
	handler transport.Handler

	// Under link.mu.
	open    bool
	queue   []byte // sent
	arrived []byte // flushed by the other end
}

func (c *memoryConn) runDialled(peer *memoryNode, h message.Hello) {
	switch {
	case peer == nil:
		c.end(step.ConnRefused)
	case h.Version != message.Version:
		c.end(step.ConnDenied)
	default:
		handler, err := peer.acceptor.Accept(c.other, h)
		if err != nil {
			c.end(step.ConnDenied)
			break
		}
		c.other.handler = handler
		peer.running.Go(func() {
			c.other.begin()
			c.other.run()
		})
		c.begin()
		c.handler.Connected(c)
	}
	c.run()
}

// begin makes the connection open and lets out what was sent before.
func (c *memoryConn) begin() {
	c.link.mu.Lock()
	c.open = true
	c.link.mu.Unlock()
	c.Flush()
}

// run delivers what arrives until the end.
func (c *memoryConn) run() {
	for {
		c.link.mu.Lock()
		for len(c.arrived) == 0 && !c.link.ended {
			c.link.changed.Wait()
		}
		data, ended, why := c.arrived, c.link.ended, c.link.why
		c.arrived = nil
		c.link.mu.Unlock()
		if ended {
			c.handler.Closed(c, why)
			return
		}
		r := transport.NewReader(bytes.NewReader(data), block.Heap{}, block.Size)
		var m message.Message
		for r.Next(&m) == nil {
			c.handler.Message(c, &m)
		}
		c.handler.BatchEnd(c)
	}
}

// Send implements transport.Conn.
func (c *memoryConn) Send(m *message.Message) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	defer m.Payload.Release()
	if c.link.ended {
		return
	}
	queue, err := transport.Append(c.queue, m)
	if err != nil {
		panic(err)
	}
	c.queue = append(queue, m.Payload.Bytes()...)
}

// Flush implements transport.Conn.
func (c *memoryConn) Flush() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.open {
		c.other.arrived = append(c.other.arrived, c.queue...)
		c.queue = nil
		c.link.changed.Broadcast()
	}
}

// Close implements transport.Conn.
func (c *memoryConn) Close() { c.end(step.ConnClosed) }

func (c *memoryConn) end(why step.ConnError) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if !c.link.ended {
		c.link.ended, c.link.why = true, why
		c.link.changed.Broadcast()
	}
}
