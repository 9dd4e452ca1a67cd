package tcp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/transport/identity"
)

// wire is a socket and, above it, the stream that frames travel on.
type wire struct {
	socket *socket
	tls    *tls.Conn // nil if plain
	stream io.ReadWriter
}

// newWire makes raw the connection's socket.
func (c *conn) newWire(raw net.Conn) (*wire, error) {
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		_ = raw.Close() // nothing was exchanged on it
		return nil, fmt.Errorf("connection to %v is not TCP", raw.RemoteAddr())
	}
	s, err := newSocket(tcp)
	if err != nil {
		return nil, err
	}
	if !c.attach(s) {
		return nil, net.ErrClosed
	}
	return &wire{socket: s, stream: s}, nil
}

// secure shakes hands by TLS; from then on the stream is encrypted.
func (w *wire) secure(ctx context.Context, c *tls.Conn) error {
	w.tls, w.stream = c, c
	return c.HandshakeContext(ctx)
}

// peer returns the node that the peer's certificate names.
func (w *wire) peer() (block.NodeID, error) {
	return identity.NodeOf(w.tls.ConnectionState().PeerCertificates[0])
}

// output ends the handshake: all further writing is the output's. Bytes are
// counted from here on.
func (w *wire) output(t *traffic) (output, error) {
	raw, err := w.socket.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("set up connection: %w", err)
	}
	w.socket.open()
	v := newVector(raw)
	v.sent, w.socket.received = &t.bytesSent, &t.bytesReceived
	if w.tls == nil {
		w.socket.direct = directMin
		return &plainOutput{vector: v}, nil
	}
	w.socket.beginGathering()
	return &sealedOutput{secure: w.tls, socket: w.socket, vector: v, open: make([]byte, 0, record)}, nil
}
