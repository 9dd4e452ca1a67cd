package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"

	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// acceptAll takes connections until the listener is closed.
func (t *Transport) acceptAll(ctx context.Context, acceptor transport.Acceptor) error {
	for {
		raw, err := t.listener.AcceptTCP()
		switch {
		case err == nil:
			t.accept(ctx, raw, acceptor)
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
			t.params.Log.Error("cannot accept connections, trying again", slog.Any("reason", err))
			pause(ctx)
		case errors.Is(err, syscall.ECONNABORTED): // gone before we saw it
		default:
			return err
		}
	}
}

func pause(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, acceptPause)
	defer cancel()
	<-ctx.Done()
}

// accept gives raw its goroutine, or closes it when too many are shaking hands.
func (t *Transport) accept(ctx context.Context, raw *net.TCPConn, acceptor transport.Acceptor) {
	log := t.params.Log.With(slog.String("address", raw.RemoteAddr().String()))
	handshake, cancel := context.WithTimeout(ctx, t.limits.Handshake)
	c := newConn(t, log, cancel)
	admitted := t.startIf(func() bool {
		if t.pending >= t.limits.PendingMax {
			return false
		}
		t.pending++
		t.conns[c] = struct{}{}
		return true
	}, func() { c.runAccepted(handshake, raw, acceptor) })
	if !admitted {
		cancel()
		_ = raw.Close() // nothing was exchanged on it
		log.Warn("connection closed: too many in their handshake", slog.Int("pending_max", t.limits.PendingMax))
	}
}

// runAccepted is the goroutine of an accepted connection.
func (c *conn) runAccepted(ctx context.Context, raw *net.TCPConn, acceptor transport.Acceptor) {
	defer c.cancel()
	defer c.transport.finish(c)
	w, err := c.welcome(ctx, raw, acceptor)
	c.transport.settled()
	if err != nil {
		c.end(step.ConnReset)
	} else {
		c.converse(w, func() {})
	}
	if c.handler != nil {
		c.handler.Closed(c, c.outcome())
	}
}

func (t *Transport) settled() {
	t.mu.Lock()
	t.pending--
	t.mu.Unlock()
}

// welcome shakes hands with a peer, all within ctx.
func (c *conn) welcome(ctx context.Context, raw *net.TCPConn, acceptor transport.Acceptor) (*wire, error) {
	w, err := c.newWire(raw)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.socket.Close() }) // wakes whoever reads or writes
	err = c.judge(ctx, w, acceptor)
	if err != nil {
		c.refused(ctx, err)
		w.socket.linger()
	}
	if !stop() {
		return nil, errors.Join(err, ctx.Err())
	}
	return w, err
}

// refused logs why a peer was not accepted, unless this node is going down.
func (c *conn) refused(ctx context.Context, err error) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("handshake not ended after %v: %w", c.transport.limits.Handshake, err)
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		c.log.Warn("connection not accepted", slog.Any("reason", err))
	}
}

// judge hears who the peer is and what it wants, and answers.
func (c *conn) judge(ctx context.Context, w *wire, acceptor transport.Acceptor) error {
	own := c.transport.params.Identity
	if own != nil {
		if err := w.secure(ctx, tls.Server(w.socket, own.Server())); err != nil {
			return fmt.Errorf("prove identities: %w", err)
		}
	}
	hello, err := transport.ReadHello(w.stream)
	if err != nil {
		return fmt.Errorf("read the greeting: %w", err)
	}
	c.log = c.log.With(slog.String("peer", hello.Node.String()), slog.String("volume", hello.Volume.String()))
	err = c.question(w, &hello, acceptor)
	if err != nil {
		denied := &transport.DeniedError{Version: message.Version, Reason: err.Error()}
		_, writeErr := w.stream.Write(transport.AppendDenied(nil, denied))
		return errors.Join(err, writeErr)
	}
	welcome := transport.Welcome{Version: message.Version, Node: c.transport.params.Node}
	if _, err := w.stream.Write(transport.AppendWelcome(nil, welcome)); err != nil {
		return fmt.Errorf("welcome the peer: %w", err)
	}
	return nil
}

// question returns why the peer is denied, or sets the connection's handler.
func (c *conn) question(w *wire, hello *message.Hello, acceptor transport.Acceptor) error {
	if hello.Version != message.Version {
		return fmt.Errorf("you speak version %d, this node version %d: upgrade the older one", hello.Version, message.Version)
	}
	if w.tls != nil {
		peer, err := w.peer()
		if err != nil {
			return err
		}
		if peer != hello.Node {
			return fmt.Errorf("you say to be node %v, the certificate is node %v's", hello.Node, peer)
		}
	}
	h, err := acceptor.Accept(c, *hello)
	if err != nil {
		return err
	}
	c.handler = h
	return nil
}
