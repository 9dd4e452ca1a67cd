package reference

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

const (
	frameBytes = 64 + 35 + block.Size // what one write of a block is on the wire
	ackBytes   = 64 + 16              // what its acknowledgement is
	readBuffer = 256 << 10
)

// Loopback is a pair of bare sockets on this machine: one end sends frames as
// long as a write of a block, the other answers with as many bytes as an
// acknowledgement has.
type Loopback struct {
	clock    func() step.Time
	listener net.Listener
	conn     net.Conn
}

// OpenLoopback connects the pair.
func OpenLoopback(ctx context.Context, clock func() step.Time) (*Loopback, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("loopback reference: %w", err)
	}
	l := &Loopback{clock: clock, listener: listener}
	go answer(listener)
	if l.conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String()); err != nil {
		_ = listener.Close() // ends answer; the dial's error says more
		return nil, fmt.Errorf("loopback reference: %w", err)
	}
	return l, nil
}

// Close ends both ends.
func (l *Loopback) Close() error {
	_ = l.listener.Close() // an error says that it is closed
	return l.conn.Close()
}

// Run measures round trips, one at a time.
func (l *Loopback) Run(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
	frame, ack := make([]byte, frameBytes), make([]byte, ackBytes)
	s, err := load.Run(ctx, &load.Job{
		Clock: l.clock, Depth: 1, WarmUp: warmUp, Span: span,
		One: func(int) error {
			if _, err := l.conn.Write(frame); err != nil {
				return err
			}
			_, err := io.ReadFull(l.conn, ack)
			return err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("loopback reference: %w", err)
	}
	return s.Figures(), nil
}

// answer takes one connection and answers each frame, until it ends.
func answer(listener net.Listener) {
	c, err := listener.Accept()
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	r, frame, ack := bufio.NewReaderSize(c, readBuffer), make([]byte, frameBytes), make([]byte, ackBytes)
	for {
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		if _, err := c.Write(ack); err != nil {
			return
		}
	}
}
