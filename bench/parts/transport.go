package parts

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/lagan-storage/lagan/bench/hosts"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
	"github.com/lagan-storage/lagan/transport/identity"
	"github.com/lagan-storage/lagan/transport/tcp"
)

var errEnded = errors.New("the connection ended")

// line is a connection between two nodes on loopback, the second of which
// acknowledges every write at once and stores nothing.
type line struct {
	nodes   [2]*tcp.Transport
	running sync.WaitGroup
	end     context.CancelFunc
	opened  chan struct{}
	acks    chan struct{}
	ended   chan struct{}
	ack     message.Message
}

// openTransport sends a write of a block and waits for its acknowledgement.
func openTransport(secure bool) func(context.Context, Params) (*Opened, error) {
	return func(ctx context.Context, p Params) (*Opened, error) {
		l := &line{opened: make(chan struct{}), acks: make(chan struct{}, 1), ended: make(chan struct{})}
		life, end := context.WithCancel(ctx)
		l.end = end
		if err := l.start(life, &p, secure); err != nil {
			return nil, errors.Join(err, l.close())
		}
		hello := message.Hello{Version: message.Version, Node: nodeID(0), Session: 1, Number: 1}
		c := l.nodes[0].Dial(ctx, nodeID(1), hello, asking{l})
		select {
		case <-l.opened:
		case <-l.ended:
			return nil, errors.Join(errEnded, l.close())
		}
		m := write(p.Pool)
		return &Opened{
			One: func() error {
				m.Payload.Retain()
				c.Send(&m)
				c.Flush()
				select {
				case <-l.acks:
					return nil
				case <-l.ended:
					return errEnded
				}
			},
			Close: func() error { m.Payload.Release(); return l.close() },
		}, nil
	}
}

func nodeID(i int) block.NodeID { return block.NodeID{byte(i + 1)} }

func (l *line) start(ctx context.Context, p *Params, secure bool) error {
	authority, err := identity.NewAuthority(p.Now)
	if err != nil {
		return err
	}
	for i := range l.nodes {
		q := tcp.Params{
			Node: nodeID(i), Listen: "127.0.0.1:0", Address: l.address, Plain: !secure,
			Pool: p.Pool, BlockSize: block.Size, Log: p.Log,
		}
		if secure {
			if q.Identity, err = hosts.Issue(authority, nodeID(i), p.Now); err != nil {
				return err
			}
		}
		if l.nodes[i], err = tcp.New(ctx, q); err != nil {
			return err
		}
	}
	for _, n := range l.nodes {
		l.running.Go(func() {
			if err := n.Run(ctx, l); err != nil {
				p.Log.Error("transport ended", slog.Any("error", err))
			}
		})
	}
	return nil
}

func (l *line) close() error {
	l.end()
	l.running.Wait()
	return nil
}

func (l *line) address(id block.NodeID) (string, bool) {
	for i, n := range l.nodes {
		if nodeID(i) == id {
			return n.Addr().String(), true
		}
	}
	return "", false
}

// Accept implements transport.Acceptor.
func (l *line) Accept(transport.Conn, message.Hello) (transport.Handler, error) {
	return answering{l}, nil
}

// answering is the end that acknowledges.
type answering struct{ *line }

// Connected implements transport.Handler.
func (answering) Connected(transport.Conn) {}

// Message implements transport.Handler.
func (a answering) Message(c transport.Conn, m *message.Message) {
	a.ack = message.Message{Kind: message.Ack, Accepted: m.Record.Position.Seq, Durable: m.Stable}
	m.Payload.Release()
	c.Send(&a.ack)
}

// BatchEnd implements transport.Handler.
func (answering) BatchEnd(c transport.Conn) { c.Flush() }

// Closed implements transport.Handler.
func (answering) Closed(transport.Conn, step.ConnError) {}

// asking is the end that writes.
type asking struct{ *line }

// Connected implements transport.Handler.
func (a asking) Connected(transport.Conn) { close(a.opened) }

// Message implements transport.Handler.
func (a asking) Message(transport.Conn, *message.Message) { a.acks <- struct{}{} }

// BatchEnd implements transport.Handler.
func (asking) BatchEnd(transport.Conn) {}

// Closed implements transport.Handler.
func (a asking) Closed(transport.Conn, step.ConnError) { close(a.ended) }
