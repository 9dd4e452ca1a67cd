package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
	"github.com/lagan-storage/lagan/transport/identity"
)

var (
	// errImpostor says that somebody else answers at a node's address.
	errImpostor = errors.New("another node answers at this address: check the addresses the nodes advertise")
	// errNoAddress says that the metadata lists no address of a node, or not yet.
	errNoAddress = errors.New("its address is not known")
)

// runDialled is the goroutine of a dialled connection.
func (c *conn) runDialled(ctx context.Context, node block.NodeID, hello *message.Hello) {
	defer c.cancel()
	if wire, err := c.dial(ctx, node, hello); err != nil {
		c.dialFailed(ctx, err)
	} else {
		c.converse(wire, func() { c.handler.Connected(c) })
	}
	c.transport.finish(c)
	c.handler.Closed(c, c.outcome())
}

// converse exchanges messages until the connection ends; begin is called once
// it can be sent on.
func (c *conn) converse(w *wire, begin func()) {
	out, err := w.output(&c.transport.traffic)
	if err != nil {
		c.end(step.ConnReset)
		return
	}
	w.socket.beforeWait = c.batchEnd
	c.open(out)
	begin()
	c.read(w.stream)
}

// dial connects and shakes hands, all within ctx.
func (c *conn) dial(ctx context.Context, node block.NodeID, hello *message.Hello) (*wire, error) {
	t := c.transport
	address, known := t.params.Address(node)
	if !known {
		return nil, fmt.Errorf("dial node %v: %w", node, errNoAddress)
	}
	dialer := net.Dialer{KeepAliveConfig: keepAlive()}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("dial node %v: %w", node, err)
	}
	w, err := c.newWire(raw)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.socket.Close() }) // wakes whoever reads or writes
	if err := c.greet(ctx, w, node, hello); err != nil {
		stop()
		return nil, err
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return w, nil
}

func (c *conn) greet(ctx context.Context, w *wire, node block.NodeID, hello *message.Hello) error {
	if own := c.transport.params.Identity; own != nil {
		if err := w.secure(ctx, tls.Client(w.socket, own.Client(node))); err != nil {
			return fmt.Errorf("prove identities with node %v: %w", node, err)
		}
		if peer, err := w.peer(); err != nil || peer != node {
			return errors.Join(errImpostor, err)
		}
	}
	// A node that has refused us already may have closed: its reason can still
	// be read, so the outcome of writing says nothing.
	_, writeErr := w.stream.Write(transport.AppendHello(nil, hello))
	welcome, err := transport.ReadWelcome(w.stream)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.Join(err, writeErr)
		}
		return fmt.Errorf("greet node %v: %w", node, err)
	}
	if welcome.Node != node {
		return fmt.Errorf("%w: node %v", errImpostor, welcome.Node)
	}
	if welcome.Version != hello.Version {
		return &transport.DeniedError{Version: welcome.Version, Reason: "its WELCOME is of another version: upgrade the older node"}
	}
	return nil
}

// dialFailed ends the connection with the outcome of its dial.
func (c *conn) dialFailed(ctx context.Context, err error) {
	why := dialReason(ctx, err)
	level := slog.LevelDebug // the machine tries again and tells whom it waits for
	if why == step.ConnDenied || errors.Is(err, errImpostor) || isIdentityError(err) {
		level = slog.LevelWarn
	}
	c.log.LogAttrs(ctx, level, "connection not made", slog.Any("reason", err))
	c.end(why)
}

// dialReason says what a failed dial means to its machine. ConnRefused is the
// strong word: the node's machine is there and the node is not. So a stranger
// at the node's address counts as the node's silence, not as its refusal.
func dialReason(ctx context.Context, err error) step.ConnError {
	var denied *transport.DeniedError
	var op *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return step.ConnTimeout
	case ctx.Err() != nil:
		return step.ConnClosed
	case errors.As(err, &denied):
		return step.ConnDenied
	case errors.Is(err, syscall.ECONNREFUSED):
		return step.ConnRefused
	case errors.Is(err, errImpostor), errors.Is(err, errNoAddress), isIdentityError(err):
		return step.ConnTimeout
	case errors.As(err, &op) && op.Op == "remote error": // a TLS alert: it does not take our certificate
		return step.ConnDenied
	case errors.As(err, &op) && op.Op == "dial":
		return step.ConnTimeout
	}
	return step.ConnReset
}

func isIdentityError(err error) bool {
	var unverified *tls.CertificateVerificationError
	return errors.As(err, &unverified) || errors.Is(err, identity.ErrNoNode)
}
