package tcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
	"github.com/lagan-storage/lagan/transport/identity"
)

// Params is what a Transport is made from. All fields but Identity, Plain and
// Limits must be set.
type Params struct {
	Node      block.NodeID                                     // this node
	Listen    string                                           // host:port where peers connect; port 0 picks a free one
	Address   func(block.NodeID) (hostPort string, known bool) // called from any goroutine
	Identity  *identity.Identity                               // what mutual TLS needs
	Plain     bool                                             // without TLS: anybody who reaches the port can be any node
	Pool      block.Pool                                       // of the buffers that payloads are read into
	BlockSize int                                              // bytes
	Limits    Limits
	Log       *slog.Logger
}

// Transport is a node's end of all its connections.
type Transport struct {
	params   Params
	limits   Limits
	listener *net.TCPListener

	mu      sync.Mutex
	ended   bool
	conns   map[*conn]struct{}
	pending int // accepted connections in their handshake
	running sync.WaitGroup
	traffic traffic
}

var _ transport.Transport = (*Transport)(nil)

// New opens the port. Connections are accepted, and dials end, in Run.
func New(ctx context.Context, p Params) (*Transport, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	config := net.ListenConfig{KeepAliveConfig: keepAlive()}
	l, err := config.Listen(ctx, "tcp", p.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for other nodes: %w", err)
	}
	listener, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen for other nodes: %q is not TCP", p.Listen), l.Close())
	}
	return &Transport{params: p, limits: p.Limits.withDefaults(), listener: listener, conns: map[*conn]struct{}{}}, nil
}

func (p *Params) check() error {
	switch {
	case p.Identity == nil && !p.Plain:
		return errors.New("transport without a TLS identity: give one, or ask for plain connections by name")
	case p.Identity != nil && p.Plain:
		return errors.New("transport asked for plain connections has a TLS identity: leave out one of them")
	case p.Identity != nil && p.Identity.Node != p.Node:
		return fmt.Errorf("the certificate is node %v's, this is node %v: restore this node's own, or join again", p.Identity.Node, p.Node)
	case p.Pool == nil || p.Log == nil || p.Address == nil || p.BlockSize <= 0:
		return errors.New("transport needs Pool, Log, Address and BlockSize")
	}
	return nil
}

func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveEvery, Count: keepAliveCount}
}

// Addr returns where the transport listens.
func (t *Transport) Addr() net.Addr { return t.listener.Addr() }

// Run accepts connections until ctx ends. Then it ends all of them, and
// returns when the last Handler has heard of it; a Dial after that gives a dead
// connection, whose Handler hears nothing.
func (t *Transport) Run(ctx context.Context, acceptor transport.Acceptor) error {
	stop := context.AfterFunc(ctx, t.shut)
	defer stop()
	err := t.acceptAll(ctx, acceptor)
	t.shut()
	t.running.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("accept connections of other nodes: %w", err)
}

// Dial begins to open a connection; see transport.Transport.
func (t *Transport) Dial(ctx context.Context, node block.NodeID, hello message.Hello, h transport.Handler) transport.Conn {
	ctx, cancel := context.WithTimeout(ctx, t.limits.Dial)
	log := t.params.Log.With(slog.String("peer", node.String()), slog.String("volume", hello.Volume.String()))
	c := newConn(t, log, cancel)
	c.handler = h
	if !t.admit(c, func() { c.runDialled(ctx, node, &hello) }) {
		c.end(step.ConnClosed)
	}
	return c
}

// admit registers c and runs it, unless the transport has ended.
func (t *Transport) admit(c *conn, run func()) bool {
	return t.startIf(func() bool { t.conns[c] = struct{}{}; return true }, run)
}

// start runs f on a goroutine that Run waits for, unless the transport has ended.
func (t *Transport) start(f func()) bool {
	return t.startIf(func() bool { return true }, f)
}

func (t *Transport) startIf(allowed func() bool, f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || !allowed() {
		return false
	}
	t.running.Go(f)
	return true
}

// finish is the end of a connection's goroutine.
func (t *Transport) finish(c *conn) {
	t.mu.Lock()
	delete(t.conns, c)
	t.mu.Unlock()
}

// shut ends everything; nothing new begins.
func (t *Transport) shut() {
	t.mu.Lock()
	t.ended = true
	conns := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		conns = append(conns, c)
	}
	t.mu.Unlock()
	_ = t.listener.Close() // an error says that it is closed
	for _, c := range conns {
		c.end(step.ConnClosed)
	}
}
