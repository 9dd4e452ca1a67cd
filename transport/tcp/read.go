package tcp

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// read hands messages to the handler until the connection ends.
func (c *conn) read(src io.Reader) {
	r := transport.NewReader(src, c.transport.params.Pool, c.transport.params.BlockSize)
	for {
		if err := r.Next(&c.incoming); err != nil {
			c.readFailed(err)
			c.batchEnd()
			return
		}
		c.batchRead++
		c.handler.Message(c, &c.incoming)
	}
}

// batchEnd is called before the network is asked for more.
func (c *conn) batchEnd() {
	if c.batchRead == 0 {
		return
	}
	c.transport.traffic.messagesReceived.Add(uint64(c.batchRead))
	c.crowd.Store(c.batchRead > 1)
	c.batchRead = 0
	c.handler.BatchEnd(c)
}

func (c *conn) readFailed(err error) {
	var fault *transport.FrameError
	if errors.As(err, &fault) {
		c.log.Warn("connection closed: protocol error", slog.Any("reason", err))
	}
	c.end(reasonOf(err))
}

// reasonOf says what an error on an open connection means to its machine.
func reasonOf(err error) step.ConnError {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return step.ConnClosed
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.ENETUNREACH):
		return step.ConnTimeout
	}
	return step.ConnReset
}
